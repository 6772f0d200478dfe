#!/usr/bin/python3
"""vanish - clients that vanish, that dawdle, and that send rubbish, beside a few that work: what it costs, and whether anybody is harmed.

    make bench-vanish [CLIENTS=500]     so many clients of each kind vanish, a quarter as many dawdle, ten times as many send rubbish
    tests/bench/vanish.py --clients 100

A real PostgreSQL and a pgweir with a pool of 20 and two workers. Four clients work all the time and check every answer. Sixteen at a time do
what their kind does and are gone, by FIN or by RST in turn. Server logins are counted by PostgreSQL's own log, servers by pg_stat_activity.
Then what is left: descriptors, memory, transactions. Prints a table; the exit status is 0 if all marks are met.
"""
import argparse
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import wire  # noqa: E402
from pooler import Pooler  # noqa: E402
from postgres import Postgres  # noqa: E402
from wire import SLOW, Client, QueryFailed, wait_until  # noqa: E402

POOL, WORKING, AT_ONCE = 20, 4, 16
LOGINS_EACH = 0.05  # server logins for each client that vanished
LOGIN_TIMEOUT = 5
MEMORY = 24 << 20  # more than before: what allocators keep
LARGE = wire.query("select '%s'" % ("x" * 200000))
SETTINGS = {"default_pool_size": POOL, "worker_threads": 2, "max_client_conn": 5000, "session_features": "pin",
            "client_login_timeout": LOGIN_TIMEOUT * SLOW, "query_wait_timeout": 60, "log_connections": 0, "log_disconnections": 0,
            "log_pooler_errors": 0, "listen_backlog": 4096}


def answered(c):
    c.recv_until("Z")


def began(kind):
    return lambda c: c.recv_until(kind)


def sent(c):
    c.drained()


def nothing(_c):
    pass


KINDS = {  # name: what is sent, one after another, and what is waited for behind each
    "in a transaction": [(wire.query("begin; insert into vanished values (1)"), answered)],
    "in a failed transaction": [(wire.query("begin; insert into vanished values (1)"), answered), (wire.query("select 1/0"), answered)],
    "in a query": [(wire.query("insert into vanished select 1 from pg_sleep(600)"), sent)],
    "in a batch, without its Sync": [(wire.parse("", "insert into vanished values (1)") + wire.bind() + wire.execute() + wire.FLUSH, began("C"))],
    "in COPY": [(wire.query("copy vanished from stdin"), began("G")), (wire.copy_data("1\n"), sent)],
    "in the middle of a small Query": [(wire.query("begin"), answered), (wire.query("insert into vanished values (1)")[:20], sent)],
    "in the middle of a large Query": [(wire.query("begin"), answered), (LARGE[:150000], nothing)],
    "in the middle of a large Bind": [(wire.parse("", "insert into vanished select length($1)") +
                                       wire.bind("", "", ["y" * 300000])[:200000], nothing)],
    "in the middle of a CopyData": [(wire.query("copy vanished from stdin"), began("G")), (wire.copy_data("1\n" * 50000)[:60000], nothing)],
    "announcing a gigabyte": [(wire.query("begin"), answered), (b"Q\x40\0\0\0select", sent)],
    "before a large result": [(wire.query("select repeat('x', 1000) from generate_series(1, 300000)"), began("D"))],
    "before many results": [(wire.query("select repeat('x', 100000)") * 100, began("D"))],
}


class Worker(threading.Thread):
    """Somebody at work: short transactions whose answers are checked, with how long each took."""

    def __init__(self, pooler, number):
        super().__init__(daemon=True)
        self.client = Client(pooler.host, pooler.port, timeout=30 * SLOW).login("app", "test")
        self.number, self.ends, self.error, self.times = number, threading.Event(), None, []

    def run(self):
        n = 0
        try:
            while not self.ends.wait(0.002):
                n += 1
                begin = time.monotonic()
                want = "%d %d" % (self.number, n)
                assert self.client.query("select '%s'" % want) == [[want]]
                self.times.append(time.monotonic() - begin)
            self.client.close()
        except (AssertionError, QueryFailed, OSError) as e:
            self.error = e


class Watch(threading.Thread):
    """How many servers there were at most."""

    def __init__(self, postgres):
        super().__init__(daemon=True)
        self.connection, self.ends, self.most = postgres.connect(), threading.Event(), 0

    def run(self):
        cur = self.connection.cursor()
        while not self.ends.wait(0.02):
            cur.execute("select count(*) from pg_stat_activity where datname = 'test' and backend_type = 'client backend'"
                        " and application_name <> 'harness'")
            self.most = max(self.most, cur.fetchone()[0])
        self.connection.close()


def p99(times):
    return sorted(times)[int(len(times) * 0.99)] if times else 0.0


class Turn:
    """One row of the table: some load beside the workers."""

    def __init__(self, experiment, name):
        self.experiment, self.name, self.marks = experiment, name, []

    def __enter__(self):
        e = self.experiment
        self.workers = [Worker(e.pooler, n) for n in range(WORKING)]
        self.watch = Watch(e.postgres)
        for t in [*self.workers, self.watch]:
            t.start()
        self.logins, self.begin = e.logins(), time.monotonic()
        return self

    def __exit__(self, kind, value, tb):
        self.seconds = time.monotonic() - self.begin
        for t in [*self.workers, self.watch]:
            t.ends.set()
        for t in [*self.workers, self.watch]:
            t.join(60)
        self.logins = self.experiment.logins() - self.logins
        self.p99 = p99([t for w in self.workers for t in w.times])
        self.expect(not any(w.error for w in self.workers), "nobody at work is harmed: %s" % [w.error for w in self.workers if w.error][:1])
        self.expect(self.watch.most <= POOL, "%d servers at most" % POOL)

    def expect(self, is_met, mark):
        if not is_met:
            self.marks.append(mark)


class Experiment:
    def __init__(self):
        self.postgres = Postgres()
        self.pooler, self.rows = None, []
        try:
            self.postgres.sql("alter system set log_connections = on", "select pg_reload_conf()")
            self.postgres.sql("create table vanished (i int)", database="test")
            self.pooler = Pooler(self.postgres, SETTINGS)
            self.warm()
        except BaseException:
            self.end()
            raise

    def warm(self):
        """All servers are there, and what is allocated once."""
        clients = [self.pooler.connect() for _ in range(POOL)]
        for c in clients:
            c.query("begin")
        for c in clients:
            c.query("commit")
            c.close()
        self.pooler.wait_rest()
        self.before = self.pooler.descriptors(), self.pooler.rss()

    def end(self):
        try:
            if self.pooler:
                self.pooler.destroy()
        finally:
            self.postgres.destroy()

    def logins(self):
        with open(self.postgres.log, errors="replace") as f:
            return sum("connection authorized" in line and "database=test" in line and "harness" not in line for line in f)

    def vanish(self, name, clients):
        with Turn(self, name) as turn:
            for first in range(0, clients, AT_ONCE):
                group = [Client(self.pooler.host, self.pooler.port, timeout=60 * SLOW, rcvbuf=16384).login("app", "test")
                         for _ in range(min(AT_ONCE, clients - first))]
                for data, wait in KINDS[name]:
                    for c in group:
                        c.send(data)
                    for c in group:
                        wait(c)
                for n, c in enumerate(group):
                    c.rst() if n % 2 else c.fin()
        begin = time.monotonic()
        wait_until(lambda: not self.postgres.sessions("state <> 'idle'"), 20 * SLOW, "no transaction is left")
        self.pooler.wait_rest()
        turn.recovery = time.monotonic() - begin
        turn.expect(turn.logins <= max(1, LOGINS_EACH * clients), "at most %.2f logins for each" % LOGINS_EACH)
        turn.expect(self.postgres.sql("select * from vanished", database="test") == [], "nothing is committed")
        self.add(turn, clients)

    def dawdle(self, clients):
        """Logins that send a byte a second: gone when their time is over, and others log in at once meanwhile."""
        startup = wire.startup({"user": "app", "database": "test", "application_name": "x" * 200})
        with Turn(self, "logins at a byte a second") as turn:
            slow = [Client(self.pooler.host, self.pooler.port) for _ in range(clients)]
            logins = []
            for n in range(int(LOGIN_TIMEOUT * SLOW) - 1):
                for c in slow:
                    try:
                        c.sock.send(startup[n:n + 1])
                    except OSError:  # a busy machine: its time is over already
                        pass
                begin = time.monotonic()
                Client(self.pooler.host, self.pooler.port).login("app", "test").close()
                logins.append(time.monotonic() - begin)
                time.sleep(1)
            begin = time.monotonic()
            for c in slow:
                while c.read_bytes(1000, timeout=(LOGIN_TIMEOUT + 5) * SLOW):
                    pass
                c.sock.close()
            gone = time.monotonic() - begin
        # who had to wait for their end would wait for most of their time
        turn.expect(max(logins) < LOGIN_TIMEOUT / 2 * SLOW, "others log in at once: %.2f s" % max(logins))
        turn.expect(gone < (LOGIN_TIMEOUT + 5) * SLOW, "gone after client_login_timeout: %.2f s" % gone)
        self.add(turn, clients)

    def rubbish(self, clients, is_spoiled=True):
        """Connections with what a client might send; mutated, or as a base for comparison whole."""
        rng = random.Random(clients)
        whole = wire.startup({"user": "app", "database": "test"}) + wire.query("select 1") + wire.parse("a", "select $1::int") + \
            wire.bind("a", "", ["1"]) + wire.describe("P") + wire.execute() + wire.SYNC + wire.query("begin; select 2")
        with Turn(self, "mutated bytes" if is_spoiled else "the same, not mutated") as turn:
            for _ in range(clients):
                c = Client(self.pooler.host, self.pooler.port)
                try:
                    c.send(mutate(rng, whole) if is_spoiled else whole)
                    if rng.random() < 0.2:
                        c.readable(0.01)
                except OSError:
                    pass
                c.rst() if rng.random() < 0.5 else c.fin()
        self.pooler.wait_rest()
        turn.expect(self.pooler.is_running() and not self.pooler.complaints(), "no crash")
        self.add(turn, clients)
        return turn

    def add(self, turn, clients):
        turn.clients = clients
        self.rows.append(turn)
        print("%-32s %7d %9d %8.3f %8d %9.1f %8.1f  %s" % (
            turn.name, clients, turn.logins, turn.logins / clients, turn.watch.most, turn.p99 * 1e3, turn.seconds,
            "missed: " + "; ".join(turn.marks) if turn.marks else "ok"), flush=True)

    def left_over(self):
        """Of descriptors and memory, when all have gone."""
        self.pooler.wait_rest(everybody_left=True)
        wait_until(lambda: self.pooler.descriptors() <= self.before[0] + 2, 10 * SLOW, "descriptors are closed")
        wait_until(lambda: self.pooler.rss() <= self.before[1] + MEMORY * SLOW, 20 * SLOW, "memory is given back")
        return self.pooler.descriptors() - self.before[0], self.pooler.rss() - self.before[1]


def mutate(rng, data):
    """Some bytes changed, left out or doubled, and the end perhaps cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(out))
        kind = rng.randrange(4)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            del out[at:at + rng.randrange(1, 9)]
        elif kind == 2:
            out[at:at] = out[at:at + rng.randrange(1, 30)]
        else:
            out[at:at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\4"))
        if not out:
            break
    return bytes(out[:rng.randrange(len(out) + 1)] if rng.random() < 0.3 else out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200, help="of each kind (200)")
    clients = parser.parse_args().clients
    e = Experiment()
    try:
        print("%-32s %7s %9s %8s %8s %9s %8s" % ("", "clients", "logins", "each", "servers", "p99 [ms]", "s"))
        for kind in KINDS:
            e.vanish(kind, clients)
        e.dawdle(max(1, clients // 4 * 10))
        calm = e.rubbish(clients * 20, is_spoiled=False)
        spoiled = e.rubbish(clients * 20)
        spoiled.expect(spoiled.p99 <= 2 * calm.p99 + 0.005, "the p99 of those at work at most doubles")
        descriptors, memory = e.left_over()
        print("left over: %d descriptors, %.1f MB" % (descriptors, memory / 1e6))
        logins, vanished = sum(r.logins for r in e.rows if r.name in KINDS), len(KINDS) * clients
        print("server logins for each client that vanished: %.3f (mark: %.2f)" % (logins / vanished, LOGINS_EACH))
        return 1 if any(r.marks for r in e.rows) else 0
    finally:
        e.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""herd - thousands of clients at once through pgweir on a few servers, and a table that must hold exactly what was acknowledged.

One process, no threads: raw sockets and a selector. All clients connect and log in at once; when all stand there, each inserts under its
own number in explicit transactions, statement by statement or in one segment, simple or extended. Some roll back; some are killed
between INSERT and COMMIT, by FIN or RST (their rows must be absent); some right after sending COMMIT (either is right). When all have left,
the daemon's descriptors and memory must be back near the start. Prints a summary line; the exit status is 0 if all is well.
"""
import argparse
import collections
import os
import random
import resource
import selectors
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import wire  # noqa: E402
from pooler import Pooler  # noqa: E402
from postgres import PASSWORDS, Postgres  # noqa: E402

COMMIT, ROLLBACK, KILL, KILL_AFTER_COMMIT = "commit", "rollback", "kill", "kill after commit"
Step = collections.namedtuple("Step", "data status")  # what to send, and the tx_status that its answer must end with


class Client:
    """One client and its state: connecting, login, ready (waiting for the others), working, done."""

    def __init__(self, herd, number):
        self.herd, self.number, self.rng = herd, number, random.Random(herd.seed * 1000003 + number)
        self.buffer, self.out, self.state, self.steps, self.n, self.fate = b"", b"", "connecting", [], 0, None
        self.pending = []  # tx_status of each ReadyForQuery still due
        self.scram = None
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex(herd.address)
        herd.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def on_event(self, mask):
        if self.state == "connecting":
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return self.fail("connect: " + os.strerror(error))
            self.state = "login"
            self.send(wire.startup({"user": self.herd.user, "database": "test", "application_name": "herd %d" % self.number}))
        elif mask & selectors.EVENT_WRITE:
            self.send(b"")
        if mask & selectors.EVENT_READ:
            self.read()

    def send(self, data):
        self.out += data
        try:
            self.out = self.out[self.sock.send(self.out):]
        except BlockingIOError:
            pass
        except OSError as e:
            return self.fail("send: %s" % e)
        self.herd.selector.modify(self.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0), self)

    def read(self):
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as e:
            return self.fail("recv: %s" % e)
        if not data:
            return self.fail("closed by the daemon")
        self.buffer += data
        while len(self.buffer) >= 5 and self.state not in ("done", "failed"):
            size = 1 + struct.unpack_from("!i", self.buffer, 1)[0]
            if len(self.buffer) < size:
                break
            m = wire.Message(chr(self.buffer[0]), self.buffer[5:size])
            self.buffer = self.buffer[size:]
            self.on_message(m)

    def on_message(self, m):
        if m.kind == "E":
            return self.fail(str(m))
        if self.state == "login":
            return self.on_login(m)
        if m.kind == "Z":
            if not self.pending:
                return self.fail("a ReadyForQuery too many")
            status = m.body.decode()
            if status != self.pending.pop(0):
                return self.fail("unexpected Z(%s)" % status)
            if not self.pending:
                self.next_step()

    def on_login(self, m):
        if m.kind == "R":
            request, = struct.unpack_from("!i", m.body)
            if request == 10:
                self.scram = wire.Scram(PASSWORDS[self.herd.user])
                self.send(self.scram.initial())
            elif request == 11:
                self.send(self.scram.response(m.body[4:]))
        elif m.kind == "Z":
            self.state = "ready"
            self.herd.ready += 1

    # -- work

    def query(self, sql):
        if self.rng.random() < 0.5:
            return wire.query(sql)
        return wire.parse("", sql) + wire.bind() + wire.execute() + wire.SYNC

    def start(self):
        self.state = "working"
        self.next_transaction()

    def next_transaction(self):
        if self.n == self.herd.transactions:
            return self.leave()
        self.n += 1
        last = self.n == self.herd.transactions
        self.fate = self.rng.choices([COMMIT, ROLLBACK, KILL, KILL_AFTER_COMMIT], [70, 15, 10 * last, 5 * last])[0]
        insert = "insert into herd values (%d, %d)" % (self.number, self.n)
        end = {COMMIT: "commit", ROLLBACK: "rollback", KILL_AFTER_COMMIT: "commit", KILL: None}[self.fate]
        self.steps = [Step(self.query("begin"), "T"), Step(self.query(insert), "T")]
        if end:
            self.steps.append(Step(self.query(end), "I"))
        if self.rng.random() < 0.3:  # all in one segment
            self.pending = [s.status for s in self.steps]
            data, self.steps = b"".join(s.data for s in self.steps), []
            self.send_last(data) if self.fate == KILL_AFTER_COMMIT else self.send(data)
        else:
            self.next_step()

    def next_step(self):
        if self.steps:
            step = self.steps.pop(0)
            self.pending = [step.status]
            if not self.steps and self.fate == KILL_AFTER_COMMIT:
                return self.send_last(step.data)
            return self.send(step.data)
        if self.fate == KILL:
            self.herd.count[KILL] += 1
            return self.vanish()
        if self.fate == COMMIT:
            self.herd.acknowledged.add((self.number, self.n))
        self.herd.count[self.fate] += 1
        self.next_transaction()

    def send_last(self, data):
        """COMMIT, and gone: whether it counts nobody knows."""
        self.herd.unknown.add((self.number, self.n))
        self.herd.count[KILL_AFTER_COMMIT] += 1
        self.send(data)
        if self.state != "failed":
            self.vanish()

    # -- ways to leave

    def vanish(self):
        if self.rng.random() < 0.5:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.finish("done")

    def leave(self):
        self.send(wire.TERMINATE)
        if self.state != "failed":
            self.finish("done")

    def fail(self, why):
        self.herd.failures["%s (%s)" % (why, self.state)] += 1
        self.finish("failed")

    def finish(self, state):
        self.state = state
        self.herd.selector.unregister(self.sock)
        self.sock.close()
        self.herd.finished += 1


class Herd:
    def __init__(self, pooler, postgres, clients, transactions, seed, user):
        self.pooler, self.postgres, self.transactions, self.seed, self.user = pooler, postgres, transactions, seed, user
        self.address = (pooler.host, pooler.port)
        self.selector = selectors.DefaultSelector()
        self.ready = self.finished = self.most_servers = self.peak_rss = 0
        self.failures, self.count = collections.Counter(), collections.Counter()
        self.acknowledged, self.unknown = set(), set()
        self.clients = [Client(self, n) for n in range(clients)]

    def turn_until(self, condition, what, patience):
        """The event loop. Patience is for silence, not for the whole."""
        heard = looked = time.monotonic()
        while not condition():
            events = self.selector.select(0.5)
            now = time.monotonic()
            if events:
                heard = now
            if now - heard > patience:
                states = collections.Counter(c.state for c in self.clients)
                raise SystemExit("herd: nothing happens while waiting for %s: %s %s" % (what, dict(states), dict(self.failures)))
            for key, mask in events:
                key.data.on_event(mask)
            if now - looked > 0.5:
                looked = now
                self.most_servers = max(self.most_servers, len(self.postgres.sessions()))
                self.peak_rss = max(self.peak_rss, self.pooler.rss())

    def run(self):
        patience = 30 * wire.SLOW
        start = time.monotonic()
        self.turn_until(lambda: self.ready + self.finished == len(self.clients), "logins", patience)
        self.login_time = time.monotonic() - start
        if not self.failures and self.pooler.descriptors() < len(self.clients):
            self.failures["the daemon doesn't have all clients at once"] += 1
        start = time.monotonic()
        for c in self.clients:
            if c.state == "ready":
                c.start()
        self.turn_until(lambda: self.finished == len(self.clients), "the work", patience)
        self.work_time = time.monotonic() - start


def raise_file_limit(need):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < need:
        raise SystemExit("herd: %d descriptors are needed, the limit is %d" % (need, hard))


def compare(herd, postgres):
    """What is wrong with the table, as texts."""
    table = [tuple(r) for r in postgres.sql("select client, n from herd", database="test")]
    rows = set(table)
    wrong = []
    if len(rows) != len(table):
        wrong.append("%d rows twice" % (len(table) - len(rows)))
    if herd.acknowledged - rows:
        wrong.append("%d acknowledged rows are missing" % len(herd.acknowledged - rows))
    if rows - herd.acknowledged - herd.unknown:
        wrong.append("%d rows that nobody committed" % len(rows - herd.acknowledged - herd.unknown))
    return len(rows), wrong


def main(argv=None):
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--clients", type=int, default=5000)
    a.add_argument("--servers", type=int, default=20)
    a.add_argument("--transactions", type=int, default=4)
    a.add_argument("--workers", type=int, default=2)
    a.add_argument("--auth", choices=["trust", "scram-sha-256"], default="trust")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--memory", type=int, default=32, help="MB that the daemon may have grown when all have left")
    o = a.parse_args(argv)
    raise_file_limit(o.clients + 200)
    postgres = Postgres()
    pooler = None
    try:
        postgres.sql("create table herd (client int, n int)", "grant all on herd to public", database="test")
        pooler = Pooler(postgres, {"default_pool_size": o.servers, "max_client_conn": o.clients + 100, "worker_threads": o.workers,
                                   "listen_backlog": 4096, "query_wait_timeout": 600, "client_login_timeout": 600, "auth_type": o.auth,
                                   "log_connections": 0, "log_disconnections": 0},
                        userlist={"admin": "", "scram_user": PASSWORDS["scram_user"]})
        user = "app" if o.auth == "trust" else "scram_user"
        first = pooler.connect(user, password=PASSWORDS.get(user))
        first.query("select 1")
        first.close()
        rss, files = pooler.rss(), pooler.descriptors()
        herd = Herd(pooler, postgres, o.clients, o.transactions, o.seed, user)
        herd.run()
        wrong = ["%d × %s" % (n, why) for why, n in herd.failures.items()]
        try:
            wire.wait_until(lambda: not postgres.sessions("state is distinct from 'idle'"), what="no transaction left behind")
            wire.wait_until(lambda: pooler.descriptors() <= files + o.servers + 8, what="descriptors back")
            if wire.SLOW == 1:
                wire.wait_until(lambda: pooler.rss() - rss < o.memory << 20, what="memory back")
        except wire.Timeout as e:
            wrong.append(str(e))
        rows, differences = compare(herd, postgres)
        wrong += differences
        if herd.most_servers > o.servers:
            wrong.append("%d servers" % herd.most_servers)
        rss_after, files_after = pooler.rss(), pooler.descriptors()
        status = pooler.end()
        if status != 0 or pooler.complaints():
            wrong.append("exit status %d %s" % (status, "\n".join(pooler.complaints())))
        print("herd: %d clients on %d servers: logins %.1f s, %d transactions in %.1f s; %d rows, %d acknowledged, %d rolled back, %d killed "
              "before COMMIT, %d right after it; at most %d servers; daemon %.1f → %.1f (peak %.1f) MB, %d → %d descriptors: %s" % (
                  o.clients, o.servers, herd.login_time, sum(herd.count.values()), herd.work_time, rows, len(herd.acknowledged),
                  herd.count[ROLLBACK], herd.count[KILL], herd.count[KILL_AFTER_COMMIT], herd.most_servers, rss / 2**20,
                  rss_after / 2**20, herd.peak_rss / 2**20, files, files_after, "; ".join(wrong) or "ok"))
        return 1 if wrong else 0
    finally:
        if pooler and pooler.is_running():
            pooler.end()
        postgres.destroy()


if __name__ == "__main__":
    sys.exit(main())

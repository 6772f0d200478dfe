"""overload - who is served when more is asked for than a pool can bear, and what a crowd does to those beside it.

An open loop: queries are sent when it's their time, whether or not earlier ones were answered, as functions are called. Each says when PostgreSQL
began with it, so what is counted as a start or as a wait is PostgreSQL's own word; all run on one machine, with one clock.
"""
import random
import selectors
import socket
import struct
import time

import contestants
from figures import table

POOL, HELD = 10, 0.02  # servers, and seconds for which each query holds one: 500 a second
DEADLINE = 2.0
CONNECTIONS = 4000
LONE, LONE_POOL, LONE_HELD, CROWD = 10, 5, 0.005, 2000


class Connection:
    """A client: one query at a time."""

    def __init__(self, address, params):
        self.sock = socket.create_connection(address)
        self.buffer, self.due_at, self.sent_at, self.began, self.error = b"", None, None, None, None
        body = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in dict({"user": "app", "database": "test"}, **params).items()) + b"\0"
        self.sock.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
        while not self.take(self.sock.recv(65536)):
            pass
        assert not self.error, self.error
        self.sock.setblocking(False)

    def ask(self, seconds, due):
        self.due_at, self.sent_at, self.began, self.error = due, time.time(), None, None
        sql = b"select extract(epoch from clock_timestamp()), pg_sleep(%f)\0" % seconds
        self.sock.sendall(b"Q" + struct.pack("!i", len(sql) + 4) + sql)

    def take(self, data):
        """True: it has its answer."""
        assert data, "a connection was lost"
        self.buffer += data
        done = False
        while len(self.buffer) >= 5:
            size = struct.unpack("!i", self.buffer[1:5])[0] + 1
            if len(self.buffer) < size:
                break
            kind, body, self.buffer = self.buffer[:1], self.buffer[5:size], self.buffer[size:]
            if kind == b"D":
                length = struct.unpack("!i", body[2:6])[0]
                self.began = float(body[6:6 + length])
            elif kind == b"E":
                fields = {f[:1]: f[1:] for f in body.split(b"\0") if f}
                self.error = fields[b"C"].decode()
            done = done or kind == b"Z"
        return done


class Herd:
    """Connections in one loop. on_answer(connection, now) is told of each answer."""

    def __init__(self, address, n, params, on_answer, poll=None):
        self.poll, self.on_answer = poll or selectors.DefaultSelector(), on_answer
        self.all = [Connection(address, params(i)) for i in range(n)]
        for c in self.all:
            self.poll.register(c.sock, selectors.EVENT_READ, (self, c))

    def close(self):
        for c in self.all:
            c.sock.close()


def serve(poll, seconds):
    for key, _ in poll.select(seconds):
        herd, c = key.data
        if c.take(c.sock.recv(65536)):
            herd.on_answer(c, time.time())


def overload(address, seconds, factor, params, connections):
    """Counts of an open loop of so many times what the pool can bear."""
    free, got = [], {"due": 0, "in_time": 0, "late": 0, "refused": 0, "no_connection": 0, "started_late": 0, "latest_start": 0, "refused_after": []}
    rate = factor * POOL / HELD

    def on_answer(c, now):
        free.append(c)
        if c.error:
            got["refused"] += 1
            got["refused_after"].append(now - c.sent_at)
            return
        got["in_time" if now - c.due_at <= DEADLINE else "late"] += 1
        got["started_late"] += c.began - c.sent_at > DEADLINE
        got["latest_start"] = max(got["latest_start"], c.began - c.sent_at)

    herd = Herd(address, connections, lambda i: params, on_answer)
    free.extend(herd.all)
    began = due = time.time()
    while time.time() - began < seconds:
        now = time.time()
        while due <= now:
            got["due"] += 1
            if free:
                free.pop(0).ask(HELD * random.uniform(0.5, 1.5), due)
            else:
                got["no_connection"] += 1
            due += random.expovariate(rate)
        serve(herd.poll, max(0.0, min(due - time.time(), 0.01)))
    herd.close()
    return got


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


def crowd(address, seconds, n):
    """Waits of LONE clients, one of each application, beside n of one; all send as soon as they have their answer."""
    waits = []

    def again(c, now):
        c.ask(LONE_HELD, now)

    def on_answer(c, now):
        if c.began:
            waits.append(c.began - c.sent_at)
        again(c, now)

    poll = selectors.DefaultSelector()
    herds = [Herd(address, n, lambda i: {"application_name": "crowd"}, again, poll)]
    herds.append(Herd(address, LONE, lambda i: {"application_name": "lone%d" % i}, on_answer, poll))
    for herd in herds:
        for c in herd.all:
            c.ask(LONE_HELD, time.time())
    began = time.time()
    while time.time() - began < seconds:
        serve(poll, 0.1)
        if time.time() - began < min(seconds / 4, 5):
            waits.clear()  # until the queue is what it will be
    for herd in herds:
        herd.close()
    return {"p50": percentile(waits, 0.5), "p99": percentile(waits, 0.99), "answers": len(waits)}


def with_pooler(database, kind, settings, fn):
    pooler = kind(database, dict({"default_pool_size": POOL, "max_waiting_clients": 20000}, **settings))
    if kind is contestants.PgBouncer:
        pooler.settings.pop("max_waiting_clients")
    try:
        pooler.start()
        return fn((pooler.host, pooler.port))
    finally:
        pooler.stop()


WITHOUT = {"query_wait_timeout": 0}
DEADLINES = {"query_wait_timeout": 600, "query_wait_timeout_action": "error", "query_wait_prediction": 0}
FORECAST = dict(DEADLINES, query_wait_prediction=1)
OWN = {"options": "-c pgweir.query_wait=%gs" % DEADLINE}


def run_overload(database, ours, seconds, connections):
    cases = [("PgBouncer, no deadline", contestants.PgBouncer, WITHOUT, {}),
             ("first come, first served", ours, WITHOUT, {}),
             (".. with deadlines", ours, DEADLINES, OWN),
             (".. and the forecast", ours, FORECAST, OWN)]
    lines, out = [], {}
    for name, kind, settings, params in cases:
        if kind is contestants.PgBouncer and not contestants.PgBouncer.version():
            continue
        got = with_pooler(database, kind, settings, lambda a, params=params: overload(a, seconds, 3, params, connections))
        capacity = seconds * POOL / HELD
        after = got.pop("refused_after")
        got["of_capacity"] = got["in_time"] / capacity
        got["refused_after_p50"] = percentile(after, 0.5)
        out[name] = got
        lines.append([name, "%.0f %%" % (100 * got["of_capacity"]), *(str(got[k]) for k in ("in_time", "late", "started_late")), "%.3f s" % got["latest_start"], str(got["refused"]),
                      "%.3f s" % got["refused_after_p50"], str(got["no_connection"])])
    print("\nthree times what %d servers can bear, for %g s; deadline %g s" % (POOL, seconds, DEADLINE))
    print(table(["", "of capacity", "in time", "late", "started late", "latest", "refused", "after (p50)", "no connection"], lines))
    return out


def run_crowd(database, ours, seconds, many):
    lines, out = [], {}
    for name, fairness, n in (("alone", "off", 0), ("beside %d" % many, "off", many), (".. queue_fairness", "application_name", many)):
        got = with_pooler(database, ours, {"queue_fairness": fairness, "default_pool_size": LONE_POOL}, lambda a, n=n: crowd(a, seconds, n))
        out[name] = got
        lines.append([name, "%.1f ms" % (1000 * got["p50"]), "%.1f ms" % (1000 * got["p99"]), str(got["answers"])])
    print("\n%d clients of an application each, on %d servers: their waits" % (LONE, LONE_POOL))
    print(table(["", "p50", "p99", "answers"], lines))
    return out


def run(args, database, ours):
    seconds = args.seconds if args.seconds > 1 else 60  # 1 is the default of all, and says nothing here
    return {"overload": run_overload(database, ours[0], seconds, int(CONNECTIONS * args.clients)),
            "crowd": run_crowd(database, ours[0], min(seconds, 20), int(CROWD * args.clients))}

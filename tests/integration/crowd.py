"""crowd - clients that work on and on while something is done to their PostgreSQL, and a record of what became of each transaction.

    with Crowd(pooler, 30) as crowd:     # a thread of its own; raw sockets and a selector
        postgres.restart()
        crowd.wait_done(1000)
    crowd.check(postgres)                # the table has what was acknowledged, each once, and nothing that can't be there

Every transaction inserts (client, number) into the table crowd. Client by client it's done in another way: one INSERT, a block statement by
statement, a block in one segment, an INSERT by the extended protocol, or only a SELECT. An answer that never came, or an error in the
place of a COMMIT's, makes the transaction's fate unknown, which is all that any client can say then.
"""
import collections
import random
import selectors
import threading
import time

import wire
from wire import SLOW, Client, wait_until

TABLE = "create table if not exists crowd (client int, number int)"
Trouble = collections.namedtuple("Trouble", "time sent client stage sqlstate text")  # stage: first, only, later, commit, rollback; lost, lost in a block, login
KINDS = ("insert", "block", "segment", "extended", "select")


class Member:
    """One client: what it sends next, and what it has been told."""

    def __init__(self, crowd, number):
        self.crowd, self.number, self.kind = crowd, number, KINDS[number % len(KINDS)]
        self.rng = random.Random(number)
        self.n, self.steps, self.buffer, self.sock = 0, [], b"", None
        self.error, self.sent, self.wake, self.status, self.stage = None, 0, 0, "I", "first"

    def connect(self):
        c = Client(self.crowd.end.host, self.crowd.end.port).login(self.crowd.user, "test", **self.crowd.login)
        self.sock, self.buffer, self.steps = c.sock, c.buffer if hasattr(c, "buffer") else b"", []
        self.sock.setblocking(False)
        self.crowd.selector.register(self.sock, selectors.EVENT_READ, self)
        self.wake = time.monotonic() + self.rng.random() * self.crowd.think

    # -- what it does

    def begin(self):
        self.n += 1
        insert = "insert into crowd values (%d, %d)" % (self.number, self.n)
        work = self.crowd.work
        if self.kind == "insert":
            self.steps = [("only", wire.query(insert))]
        elif self.kind == "block":
            self.steps = [("first", wire.query("begin")), ("later", wire.query(insert)), ("later", wire.query(work)), ("commit", wire.query("commit"))]
        elif self.kind == "segment":
            self.steps = [("only", wire.query("begin; %s; %s; commit" % (insert, work)))]
        elif self.kind == "extended":
            self.steps = [("only", wire.parse("", insert) + wire.bind() + wire.execute() + wire.SYNC)]
        else:
            self.steps = [("first", wire.query(work))]
        self.is_written = self.kind != "select"
        self.step()

    def step(self):
        self.stage, data = self.steps.pop(0)
        self.error, self.sent = None, time.monotonic()
        try:
            self.sock.sendall(data)  # small: it always fits
        except OSError:
            self.lose("send failed")

    def take(self, data):
        self.buffer += data
        while len(self.buffer) >= 5:
            size = int.from_bytes(self.buffer[1:5], "big") + 1
            if len(self.buffer) < size:
                return
            kind, body, self.buffer = self.buffer[:1], self.buffer[5:size], self.buffer[size:]
            if kind == b"E":
                self.error = wire.Message("E", body).fields
            elif kind == b"Z":
                self.answered(body.decode())

    def answered(self, status):
        if self.error:
            self.note(self.stage, self.error["C"], self.error["M"])
            if self.stage in ("only", "commit") and self.is_written:
                self.crowd.unknown.add((self.number, self.n))
            self.steps = [("rollback", wire.query("rollback"))] if status != "I" else []
        elif not self.steps:
            if self.stage != "rollback":
                self.crowd.count(self)
                if self.is_written:
                    self.crowd.acked.append((self.number, self.n))
        self.status = status
        if self.steps:
            self.step()
        else:
            self.sent, self.wake = 0, time.monotonic() + self.rng.expovariate(1 / self.crowd.think)

    def note(self, stage, sqlstate, text):
        self.crowd.troubles.append(Trouble(time.monotonic(), self.sent, self.number, stage, sqlstate, text))

    def lose(self, why):
        """The connection is gone: as an application would, it connects again."""
        self.note("lost in a block" if self.status != "I" else "lost", (self.error or {}).get("C", ""), (self.error or {}).get("M", why))
        if self.sent and self.is_written:
            self.crowd.unknown.add((self.number, self.n))
        self.crowd.selector.unregister(self.sock)
        self.sock.close()
        self.sent, self.sock, self.status = 0, None, "I"
        self.wake = time.monotonic() + 0.1

    def readable(self):
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as e:
            self.lose(str(e))
            return
        if data:
            self.take(data)
        else:
            self.lose("end of the connection")


class Crowd:
    def __init__(self, end, n, think=0.05, work="select 1", user="app", login=None):
        """end: a pooler or a PostgreSQL. think: mean seconds between a client's transactions. work: a statement of each one."""
        self.end, self.think, self.work, self.user, self.login = end, think, work, user, login or {}
        self.selector = selectors.DefaultSelector()
        self.acked, self.unknown, self.troubles, self.done, self.last_done = [], set(), [], 0, 0
        self.done_by = collections.Counter()  # kind: transactions
        self.members = [Member(self, i) for i in range(n)]
        self.is_stopping, self.failure = False, None
        self.thread = threading.Thread(target=self._main, daemon=True)

    def start(self):
        for m in self.members:
            m.connect()
        self.thread.start()
        return self

    def _main(self):
        try:
            while not self.is_stopping or any(m.sent for m in self.members):
                self._round()
        except BaseException as e:  # told by stop()
            self.failure = e

    def _round(self):
        for key, _ in self.selector.select(0.005):
            key.data.readable()
        now = time.monotonic()
        for m in self.members:
            if m.sent or now < m.wake or self.is_stopping:
                continue
            if m.sock is None:
                self._reconnect(m)
            else:
                m.begin()

    def _reconnect(self, m):
        try:
            m.connect()
        except (OSError, AssertionError, wire.LoginFailed) as e:
            m.note("login", getattr(e, "sqlstate", ""), str(e))
            m.wake = time.monotonic() + 0.2

    def stop(self, timeout=30 * SLOW):
        """Whoever has asked gets his answer first."""
        self.is_stopping = True
        self.thread.join(timeout)
        stuck = [m.number for m in self.members if m.sent]
        for m in self.members:
            if m.sock:
                m.sock.close()
        self.selector.close()
        if self.failure:
            raise self.failure
        assert not stuck, "clients that never got an answer: %r" % stuck

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, tb):
        self.stop()

    # -- what came of it

    def count(self, member):
        self.done += 1
        self.done_by[member.kind] += 1
        self.last_done = time.monotonic()

    def wait_all_kinds(self, timeout=30 * SLOW):
        """Until a client of each kind has been answered."""
        before = dict(self.done_by)
        wait_until(lambda: self.failure or all(self.done_by[k] > before.get(k, 0) for k in self.kinds()), timeout, "every kind of client is served")

    def kinds(self):
        return {m.kind for m in self.members}

    def wait_done(self, n, timeout=30 * SLOW):
        """Until n more transactions are through."""
        goal = self.done + n
        wait_until(lambda: self.failure or self.done >= goal, timeout, "%d transactions more" % n)

    def lost(self):
        """Connections that could have been kept. Who is idle in a block when its server dies gets the FATAL at once, as directly (TX-07)."""
        return [t for t in self.troubles if t.stage == "lost"]

    def counts(self):
        """Errors by stage and SQLSTATE."""
        return collections.Counter((t.stage, t.sqlstate) for t in self.troubles)

    def unexcused(self, since, until=float("inf")):
        """Errors to statements that were sent in this time: nothing could have been under way for them."""
        return [t for t in self.troubles if t.stage in ("first", "only") and since <= t.sent <= until and t.sqlstate]

    def check(self, postgres):
        """Every acknowledged transaction once, and no other but those whose fate is unknown. Gives (acknowledged, unknown, unknown but there)."""
        rows = collections.Counter(map(tuple, postgres.sql("select client, number from crowd", database="test")))
        twice = [r for r, n in rows.items() if n > 1]
        missing = [a for a in self.acked if a not in rows]
        acked = set(self.acked)
        others = [r for r in rows if r not in acked]
        strange = [r for r in others if r not in self.unknown]
        assert not twice, "twice: %r" % twice[:5]
        assert not missing, "acknowledged and not there: %d, %r" % (len(missing), missing[:5])
        assert not strange, "there although it had failed: %r" % strange[:5]
        return len(acked), len(self.unknown), len(others)

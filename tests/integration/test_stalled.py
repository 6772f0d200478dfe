"""A client that stops reading: bounded bytes, then its query is cancelled and its server reused. If it reads on it finds an error and goes on."""
import time

import pytest
import wire
from wire import SLOW, Client, wait_until

ROWS = "select i, repeat('x', %d) from generate_series(1, 1000000) i"
TIMEOUT = 0.5


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def pooler(request, new_pooler):
    return new_pooler({"session_features": "pin", "client_write_timeout": TIMEOUT * SLOW, "worker_threads": request.param, "idle_transaction_timeout": 0, "verbose": 2})


def connect_slow(p):
    return Client(p.host, p.port, rcvbuf=16384).login(p.user, p.database)


def stall(p, data, *before):
    """Asks for much and doesn't read it. Gives the client and the pid of its server, which is free again."""
    c = connect_slow(p)
    pid = int(c.value("select pg_backend_pid()"))
    for sql in before:
        c.query(sql)
    c.send(data)
    wait_until(lambda: p.column("sv_active") == 1, what="its query runs")
    wait_until(lambda: p.column("sv_active") == 0, what="its server is free")
    return c, pid


def backend(p):
    other = p.connect()
    pid = int(other.value("select pg_backend_pid()"))
    other.close()
    return pid


def read_on(c):
    """Rows up to an error: how many, the error, and how far they go without a gap."""
    rows = []
    while True:
        m = c.recv()
        assert m is not None, "closed"
        if m.kind == "D":
            rows.append(int(m.row[0]))
        elif m.kind == "E":
            assert rows == list(range(1, len(rows) + 1))
            return len(rows), m
        else:
            assert m.kind in "T12N", str(m)


def batch(sql):
    return wire.parse("", sql) + wire.bind() + wire.describe("P") + wire.execute() + wire.SYNC


@pytest.mark.parametrize("width", [1, 1000, 100000])
@pytest.mark.parametrize("extended", [False, True])
def test_it_goes_on_behind_an_error(pooler, width, extended):
    """Whole rows, 57014, ReadyForQuery; the server is the same and serves others meanwhile. In TLS or not the stream is one of whole messages."""
    sql = ROWS % width
    c, pid = stall(pooler, batch(sql) if extended else wire.query(sql))
    assert backend(pooler) == pid, pooler.log()
    rows, e = read_on(c)
    assert e.sqlstate == "57014" and e.severity == "ERROR" and rows < 1000000
    assert c.recv().body == b"I"
    assert c.query("select 1") == [["1"]]


def test_in_a_block(pooler, postgres):
    """The block has failed: 25P02 until ROLLBACK, and nothing of it is there."""
    postgres.sql("create table if not exists stalled (i int); truncate stalled", database="test")
    c, pid = stall(pooler, wire.query(ROWS % 1000), "begin", "insert into stalled values (1)")
    assert backend(pooler) == pid
    assert read_on(c)[1].sqlstate == "57014" and c.recv().body == b"E"
    c.send(wire.query("select 1"))
    e, z = c.recv_until("Z")
    assert e.sqlstate == "25P02" and z.body == b"E"
    assert c.query("rollback") == []
    assert c.query("select count(*) from stalled") == [["0"]]


def test_a_pipeline(pooler):
    """Each batch behind the one that was cut has its error and its ReadyForQuery."""
    c, pid = stall(pooler, batch(ROWS % 1000) + batch("select 2") + batch("select 3") + wire.query("select 4"))
    assert backend(pooler) == pid
    assert read_on(c)[1].sqlstate == "57014" and c.recv().body == b"I"
    for _ in range(3):
        assert [(m.kind, m.sqlstate if m.kind == "E" else "") for m in c.recv_until("Z")] == [("E", "57014"), ("Z", "")]
    assert c.query("select 5") == [["5"]]


def test_copy_out(pooler):
    c, pid = stall(pooler, wire.query("copy (%s) to stdout" % (ROWS % 1000)))
    assert backend(pooler) == pid
    got = c.recv_until("Z")
    assert [m.kind for m in got[:2]] == ["H", "d"] and [m.kind for m in got[-2:]] == ["E", "Z"] and got[-2].sqlstate == "57014"
    assert c.query("select 1") == [["1"]]


CLOSED = {
    "in the middle of a large message": (wire.query("select repeat('x', 20000000)"), ()),
    "pinned": (wire.query(ROWS % 1000), ("create temp table pinned (i int)",)),
    "with a lock that no ROLLBACK gives back": (wire.query(ROWS % 1000), ("begin", "select pg_advisory_lock(4712)")),
}


@pytest.mark.parametrize("why", CLOSED)
def test_who_has_to_be_closed(pooler, why):
    """Where an error can't be said, or would be less than the truth, the connection ends. The server is reused."""
    data, before = CLOSED[why]
    c, pid = stall(pooler, data, *before)
    assert backend(pooler) == pid
    while c.read_bytes(1 << 16):
        pass


def test_who_reads_slowly_is_left_alone(pooler):
    """As long as it reads at all."""
    c = connect_slow(pooler)
    c.send(wire.query((ROWS % 300).replace("1000000", "100000")))
    rows, end = 0, False
    while not end:
        if rows % 20000 == 0:
            wait_until(lambda: c.readable(0), what="more")
            time.sleep(TIMEOUT * SLOW / 4)
        m = c.recv()
        assert m.kind != "E", str(m)
        rows += m.kind == "D"
        end = m.kind == "Z"
    assert rows == 100000

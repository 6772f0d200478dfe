"""ER: errors and disconnects at every point. (The end of each test checks that the pool is at rest and serves the next one.)"""
import struct

import pytest
import wire
from wire import wait_until

BATCH = wire.parse("", "select 'batch'") + wire.bind() + wire.execute()
BIG = "select repeat('x', 1000) from generate_series(1, 1000000)"


def leave(c, how):
    {"X": c.close, "FIN": c.fin, "RST": c.rst}[how]()


POINTS = {  # name: what is sent after login
    "after a header only": b"Q\0\0\0\x50",
    "inside a header": b"Q\0",
    "half a Query": wire.query("select 'half of it'")[:14],
    "half a large Query": wire.query("select '%s'" % ("x" * 300000))[:150000],
    "half a Bind": wire.parse("a", "select $1::text") + wire.bind("a", "", ["y" * 300000])[:150000],
    "half a Parse": wire.parse("a", "select 1 -- %s" % ("x" * 100000))[:50000],
    "all of a Query": wire.query("select 1"),
    "a long Query": wire.query("select pg_sleep(0.3)"),
    "a failing Query": wire.query("select 1/0"),
    "Parse without Sync": wire.parse("a", "select 1"),
    "batch without Sync": BATCH,
    "batch with Flush": BATCH + wire.FLUSH,
    "batch, replies unread": BATCH + wire.SYNC,
    "many batches, replies unread": (BATCH + wire.SYNC) * 100,
    "failed batch without Sync": wire.bind("zz") + BATCH,
    "failed batch with Sync": wire.bind("zz") + BATCH + wire.SYNC,
    "in a block": wire.query("begin"),
    "in a failed block": wire.query("begin; select 1/0"),
    "in a block, half a Query": wire.query("begin") + wire.query("select 1")[:9],
    "huge result unread": wire.query(BIG),
    "function call": wire.function_call(177, ["1", "2"]),
    "copy out unread": wire.query("copy (%s) to stdout" % BIG),
    "copy in": wire.query("create temp table if not exists er (i int); copy er from stdin"),
    "two queries and half": wire.query("select 1") + wire.query("select 2") + wire.query("select 3")[:8],
    "Sync alone": wire.SYNC,
    "Flush alone": wire.FLUSH,
}


@pytest.mark.two_workers
@pytest.mark.parametrize("how", ["X", "FIN", "RST"])
@pytest.mark.parametrize("point", POINTS)
def test_ER_01_client_vanishes(via, point, how):
    """ER-01: Wherever a client vanishes, the next one gets exactly its own replies."""
    c = via.connect()
    c.send(POINTS[point])
    waiting = via.connect()
    waiting.send(wire.query("select 'waited'") if how != "FIN" else wire.parse("", "select 'waited'") + wire.bind() + wire.describe("P") +
                 wire.execute() + wire.SYNC)
    leave(c, how)
    got = [m for m in waiting.recv_until("Z") if m and m.kind not in "12SN"]
    assert [m.kind for m in got] == ["T", "D", "C", "Z"] and got[1].row == ["waited"], [str(m) for m in got]


@pytest.mark.pooler_only
@pytest.mark.parametrize("how", ["X", "FIN", "RST"])
def test_ER_01_client_vanishes_in_the_queue(via, how):
    """ER-01: Who leaves the queue is out of it, and its query never runs."""
    t = via.table()
    holder, c = via.connect(), via.connect()
    holder.query("begin")
    c.send(wire.query("insert into %s values (1)" % t))
    wait_until(lambda: via.pooler.column("cl_waiting") == 1, what="it waits")
    leave(c, how)
    if how != "X":  # X may be read only when its turn has come: by then the insert has been sent
        wait_until(lambda: via.pooler.column("cl_waiting") == 0, what="it waits no more")
    holder.query("commit")
    via.pooler.wait_rest()
    assert via.rows(t) == [] or how == "X"


@pytest.mark.two_workers
@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("size", [5, 20, 8192, 8200, 70000])
def test_ER_02_half_a_message_was_forwarded(via, how, size):
    """ER-02: A server that holds half a message is closed: the next client's bytes would complete it."""
    c = via.connect()
    c.query("begin")
    c.send(wire.query("select '%s'" % ("x" * 100000))[:size])
    c.drained()
    leave(c, how)
    for _ in range(3):
        assert via.connect().query("select 'clean'") == [["clean"]]


@pytest.mark.two_workers
@pytest.mark.parametrize("how", ["X", "FIN", "RST"])
def test_ER_03_client_leaves_a_huge_result(via, how):
    """ER-03: c1 leaves after the first of a million rows: the server is soon free, no reply of it unread."""
    c = via.connect(rcvbuf=16384)
    c.send(wire.query("select repeat('x', 1000) from generate_series(1, 20000000)"))
    assert c.recv().kind == "T" and c.recv().kind == "D"
    waiting = via.connect()
    waiting.send(wire.query("select 'waited'"))
    leave(c, how)
    got = [m for m in waiting.recv_until("Z") if m.kind == "D"]
    assert got[0].row == ["waited"]


@pytest.mark.pooler_only
@pytest.mark.parametrize("how", ["X", "FIN", "RST"])
def test_ER_04_idle_client_leaves(via, how):
    """ER-04: A client that leaves while idle costs no server connection."""
    pids = set()
    for _ in range(5):
        c = via.connect()
        pids.add(c.value("select pg_backend_pid()"))
        leave(c, how)
        via.pooler.wait_rest()
    assert len(pids) == 1


@pytest.mark.pooler_only
@pytest.mark.parametrize("how", ["X", "FIN", "RST"])
@pytest.mark.parametrize("point", ["all of a Query", "batch, replies unread", "in a block", "in a failed block"])
def test_ER_04_leaving_at_a_message_boundary_keeps_the_server(via, point, how):
    """ER-04: At a message boundary a ROLLBACK cleans the server: leaving is no reason for a new connection."""
    before = via.connect().value("select pg_backend_pid()")
    c = via.connect()
    c.send(POINTS[point])
    c.recv_until("Z")
    leave(c, how)
    assert via.connect().value("select pg_backend_pid()") == before


@pytest.mark.two_workers
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("block", [False, True])
def test_ER_05_server_killed_in_mid_query(via, extended, block):
    """ER-05: The server's own FATAL comes once; through pgweir as an ERROR, and the client goes on."""
    c = via.connect()
    if block:
        c.query("begin")
    sql = "select pg_sleep(100), 'er05'"
    c.send(wire.parse("", sql) + wire.bind() + wire.execute() + wire.SYNC if extended else wire.query(sql))
    pid = wait_until(lambda: via.postgres.sessions("state = 'active' and query like '%er05%'"), what="it runs")[0]["pid"]
    via.postgres.terminate(pid)
    if not via.is_pooler:
        got = c.recv_until("E")
        assert got[-1].sqlstate == "57P01" and got[-1].severity == "FATAL"
        c.expect_close()
        return
    got = c.recv_until("Z")
    errors = [m for m in got if m.kind == "E"]
    assert [m.sqlstate for m in errors] == ["57P01"], [str(m) for m in got]
    assert errors[0].severity == "ERROR" and errors[0].text == "terminating connection due to administrator command"
    assert got[-1].body == (b"E" if block else b"I")
    if block:
        c.send(wire.query("select 1"))
        e, z = c.recv_until("Z")
        assert e.sqlstate in ("25P02", "25P03") and z.body == b"E"
        c.send(wire.query("rollback"))
        assert [str(m) for m in c.recv_until("Z")] == ["C(ROLLBACK)", "Z(I)"]
    assert c.query("select 'goes on'") == [["goes on"]]


@pytest.mark.pooler_only
def test_ER_05_pipeline_behind_a_dead_server(via):
    """ER-05: Batches behind the one that died: each gets an answer to its Sync, in order, and none twice."""
    c = via.connect()
    c.send(wire.query("select pg_sleep(100), 'er05p'") + BATCH + wire.SYNC + wire.query("select 'last'"))
    pid = wait_until(lambda: via.postgres.sessions("state = 'active' and query like '%er05p%'"), what="it runs")[0]["pid"]
    via.postgres.terminate(pid)
    first, second, third = c.recv_until("Z"), c.recv_until("Z"), c.recv_until("Z")
    assert [m.sqlstate for m in first if m.kind == "E"] == ["57P01"] and first[-1].body == b"I"
    for got, row in ((second, "batch"), (third, "last")):  # either told that it was lost, or run on another server
        kinds = [m.kind for m in got if m.kind not in "12TSN"]
        assert kinds in (["E", "Z"], ["D", "C", "Z"]), [str(m) for m in got]
    assert c.query("select 'goes on'") == [["goes on"]]


@pytest.mark.pooler_only
@pytest.mark.parametrize("junk", [0, 100, 100000, 3000000])
def test_ER_07_our_errors_arrive(via, junk):
    """ER-07: A FATAL of ours arrives although the client's input is unread: no RST takes it away."""
    for _ in range(5):
        c = via.connect()
        c.send(wire.message("!"))
        try:
            c.send(b"\0" * junk)
        except OSError:
            pass
        e = c.recv()
        assert e is not None and e.severity == "FATAL" and e.sqlstate == "08P01"
        c.sock.close()
    for _ in range(5):  # and in login
        c = via.raw()
        c.send(wire.startup({"user": "app", "database": "test", "options": "-Z"}))
        try:
            c.send(b"\0" * junk)
        except OSError:
            pass
        e = c.recv_until("E")[-1]
        assert e is not None and e.severity == "FATAL"
        c.sock.close()


def test_ER_08_error_in_a_batch_skips_to_sync(via):
    """ER-08: Never an error and a Z at once in the extended protocol."""
    via.run('''
        c1: B(zz) E H              → E[26000] quiet
        c1: P("select 1") H        → quiet
        c1: S                      → Z(I)
        c1: D(S,zz) H              → E[26000] quiet
        c1: S                      → Z(I)
    ''')


@pytest.mark.two_workers
def test_ER_10_idle_server_killed(via):
    """ER-10: An idle server that dies is replaced; nobody notices."""
    c = via.connect()
    for _ in range(3):
        pid = int(c.value("select pg_backend_pid()"))
        if not via.is_pooler:
            return
        via.postgres.terminate(pid)
        wait_until(lambda: not via.postgres.sessions("pid = %d" % pid))
        assert c.query("select 1") == [["1"]]


@pytest.mark.parametrize("body", [struct.pack("!i", 0x7fffffff), struct.pack("!i", 5)])
def test_ER_01_unfinished_messages_of_any_declared_length(via, body):
    """ER-01: A length that never comes true holds nobody up once its client has left."""
    for kind in b"QPBDECFdHSX":
        c = via.connect()
        c.send(bytes([kind]) + body)
        leave(c, "FIN")
    assert via.connect().query("select 1") == [["1"]]


def test_ER_09_refused_in_the_queue(new_pooler, postgres):
    """ER-09: What a client had sent when it was refused is thrown away with the request, not replayed with its next."""
    postgres.sql("create table if not exists er09 (i int); truncate er09", database="test")
    p = new_pooler({"query_wait_timeout": 0.5, "query_wait_timeout_action": "error"})
    holder, c = p.connect(), p.connect()
    holder.query("begin")
    insert = "insert into er09 values (%d)"
    c.send(wire.parse("", insert % 1) + wire.bind() + wire.execute() + wire.parse("", insert % 2) + wire.bind() + wire.execute() + wire.FLUSH)
    e = c.recv(timeout=10)
    assert (e.kind, e.severity, e.sqlstate) == ("E", "ERROR", "53300")
    c.send(wire.parse("", insert % 3) + wire.bind() + wire.execute() + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["Z"]
    holder.query("commit")
    assert c.query(insert % 4) == []
    assert postgres.sql("select i from er09", database="test") == [(4,)]

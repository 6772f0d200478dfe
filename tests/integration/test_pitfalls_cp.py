"""CP: COPY."""

import pytest
import wire
from wire import wait_until


@pytest.mark.two_workers
def test_CP_01_copy_in_keeps_its_server(via):
    """CP-01: After CopyInResponse the server stays, however long until the first CopyData."""
    t = via.table()
    via.run('''
        c1: Q("copy {t} from stdin")   → G quiet
        c2: Q("select 'c2'")
        c1: d("1\\n2\\n") d("3\\n")    → quiet
        c1: c                          → C(COPY 3) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
        c1: Q("copy {t} from stdin") d("4\\n") c → G C(COPY 1) Z(I)
        c1: Q("copy {t} from stdin") c → G C(COPY 0) Z(I)
        c1: Q("copy (select 7) to stdout") → H d("7\\n") c C(COPY 1) Z(I)
        c1: Q("copy {t} to stdout")    → H d* c C(COPY 4) Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == [1, 2, 3, 4]


@pytest.mark.two_workers
def test_CP_02_extended_copy_swallows_the_first_sync(via):
    """CP-02: The Sync behind Execute is swallowed by COPY: one Z."""
    t = via.table()
    via.run('''
        c1: P("copy {t} from stdin") B E S → 1 2 G quiet
        c2: Q("select 'c2'")
        c1: d("1\\n") d("2\\n") c S    → C(COPY 2) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
        c1: P("copy {t} from stdin") B E S d("3\\n") d("4\\n") c S → 1 2 G C(COPY 2) Z(I)
        c1: P("copy {t} from stdin") B E S S H S d("5\\n") H S c S → 1 2 G C(COPY 1) Z(I)
        c1: P("copy {t} from stdin") B E H → 1 2 G
        c1: d("6\\n") c                → quiet
        c1: S                          → C(COPY 1) Z(I)
        c1: P("copy {t} from stdin") B E d("7\\n") c P("select 'next'") B E S → 1 2 G C(COPY 1) 1 2 D(next) C Z(I)
        c1: P("copy (select 8) to stdout") B E S → 1 2 H d("8\\n") c C(COPY 1) Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.two_workers
def test_CP_02_extended_copy_with_a_bad_row(via):
    """CP-02: After the error everything up to the last Sync is skipped: one Z."""
    t = via.table()
    via.run('''
        c1: P("copy {t} from stdin") B E S d("bad\\n") d("2\\n") c S → 1 2 G E[22P02] Z(I)
        c1: P("copy {t} from stdin") B E S → 1 2 G
        c1: d("bad\\n")                → E[22P02] quiet
        c2: Q("select 'c2'")
        c1: d("2\\n") d("3\\n") c      → quiet
        c1: S                          → Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
        c1: P("copy {t} from stdin") B E S S d("bad\\n") c S → 1 2 G E[22P02] Z(I)
        c1: P("copy {t} from stdin") B E S d("bad\\n") c S P("select 1") B E S → 1 2 G E[22P02] Z(I) 1 2 D(1) C Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == []


@pytest.mark.two_workers
def test_CP_03_late_copy_data(via):
    """CP-03: CopyData that comes after the COPY has failed, or with no COPY at all, means nothing to anybody."""
    t = via.table()
    via.run('''
        c1: Q("copy {t} from stdin") d("bad\\n") → G E[22P02] Z(I)
        c2: Q("begin; select 'c2'")    → C(BEGIN) T D(c2) C(SELECT 1) Z(T)
        c1: d("1\\n") d("2\\n") c      → quiet
        c2: Q("commit")                → C(COMMIT) Z(I)
        c1: Q("select 1")              → T D(1) C(SELECT 1) Z(I)
        c1: d("1\\n") c f("x")         → quiet
        c1: c d("2\\n") Q("select 2")  → T D(2) C(SELECT 1) Z(I)
        c1: Q("copy {t} from stdin") d("bad\\n") d("2\\n") c Q("select 3") → G E[22P02] Z(I) T D(3) C(SELECT 1) Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == []


def test_CP_03_late_copy_data_in_a_block(via):
    """CP-03: The same inside a transaction."""
    t = via.table()
    via.run('''
        c1: Q("begin")                 → C(BEGIN) Z(T)
        c1: Q("copy {t} from stdin") d("bad\\n") → G E[22P02] Z(E)
        c2: Q("select 'c2'")
        c1: d("1\\n") c                → quiet
        c1: Q("rollback")              → C(ROLLBACK) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
    '''.replace("{t}", t))


def test_CP_04_copy_fail(via):
    """CP-04: CopyFail ends it with 57014, and the server is reused."""
    t = via.table()
    via.run('''
        c1: Q("copy {t} from stdin") d("1\\n") f("changed my mind") → G E[57014] Z(I)
        c1: P("copy {t} from stdin") B E S d("1\\n") f("again") S → 1 2 G E[57014] Z(I)
        c1: Q("begin; copy {t} from stdin") f("in a block") → C(BEGIN) G E[57014] Z(E)
        c1: Q("rollback")              → C(ROLLBACK) Z(I)
    '''.replace("{t}", t))
    c = via.connect()
    c.send(wire.query("copy %s from stdin" % t) + wire.copy_fail("my reason"))
    assert [m.text for m in c.recv_until("Z") if m.kind == "E"] == ["COPY from stdin failed: my reason"]
    assert via.rows(t) == []


@pytest.mark.two_workers
@pytest.mark.parametrize("leave", ["X", "FIN", "RST"])
@pytest.mark.parametrize("half", [False, True])
def test_CP_05_gone_in_copy_in(via, leave, half):
    """CP-05: Who leaves in COPY IN has stored nothing, and the server is free."""
    t = via.table()
    c = via.connect()
    c.send(wire.query("copy %s from stdin" % t) + wire.copy_data("1\n"))
    assert c.recv().kind == "G"
    waiting = via.connect()
    waiting.send(wire.query("select 'waited'"))
    if half:
        c.send(wire.copy_data("2\n" * 100)[:50])
    {"X": c.close, "FIN": c.fin, "RST": c.rst}[leave]()
    assert [m.row for m in waiting.recv_until("Z") if m.kind == "D"] == [["waited"]]
    wait_until(via.sessions_idle)
    assert via.rows(t) == []


@pytest.mark.parametrize("leave", ["X", "FIN", "RST"])
def test_CP_05_gone_in_copy_out(via, leave):
    """CP-05: Who leaves in a huge COPY OUT frees the server within seconds."""
    c = via.connect()
    c.send(wire.query("copy (select repeat('x', 1000) from generate_series(1, 20000000)) to stdout"))
    assert c.recv().kind == "H"
    for _ in range(1000):
        c.recv()
    waiting = via.connect()
    waiting.send(wire.query("select 'waited'"))
    {"X": c.close, "FIN": c.fin, "RST": c.rst}[leave]()
    assert [m.row for m in waiting.recv_until("Z", wire.TIMEOUT) if m.kind == "D"] == [["waited"]]


def test_CP_06_client_goes_on_sending(via):
    """CP-06: The server fails early, the client sends on: it gets its error, and nobody's buffers deadlock."""
    t = via.table()
    c = via.connect()
    c.send(wire.query("copy %s from stdin" % t) + wire.copy_data("bad\n"))
    line = wire.copy_data("1\n" * 30000)
    for _ in range(500):
        c.send(line)
    c.send(wire.COPY_DONE + wire.query("select 'after'"))
    got = c.recv_until("Z") + c.recv_until("Z")
    assert [m.kind for m in got] == ["G", "E", "Z", "T", "D", "C", "Z"], [str(m) for m in got]
    assert got[4].row == ["after"] and via.rows(t) == []


@pytest.mark.parametrize("message", ['Q("select 1")', 'P("select 1")', 'B'])
def test_CP_07_other_messages_in_copy_in(via, message):
    """CP-07: Query or Parse during COPY IN: 08P01, the server is gone and nobody else gets it. Through pgweir the client goes on."""
    t = via.table()
    sessions = via.run('''
        c1: Q("copy {t} from stdin") d("1\\n") → G
        c1: {message}                  → E[08P01] {then}
        c2: Q("select 'c2'")           → T D(c2) C(SELECT 1) Z(I)
    '''.replace("{t}", t).replace("{message}", message).replace("{then}", via.choose("FATAL[08P01] close", "")))
    if via.is_pooler:
        c1 = sessions["c1"].connection
        c1.send(wire.SYNC + wire.query("select 'fence'"))
        while (m := c1.recv()).kind != "D":
            assert m.kind in "EZT", str(m)
        assert m.row == ["fence"]
        c1.recv_until("Z")
    assert via.rows(t) == []


def test_CP_08_copy_between_statements(via):
    """CP-08: Two COPYs and a SELECT in one Query."""
    t = via.table()
    via.run('''
        c1: Q("copy {t} from stdin; select 7; copy {t} from stdin") → G
        c1: d("1\\n") c                → C(COPY 1) T D(7) C(SELECT 1) G quiet
        c2: Q("select 'c2'")
        c1: d("2\\n") c                → C(COPY 1) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
        c1: Q("copy {t} to stdout; select 8; copy {t} to stdout") → H d* c C(COPY 2) T D(8) C H d* c C(COPY 2) Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == [1, 2]


def test_CP_09_copy_data_cut_anywhere(via):
    """CP-09: CopyData of one byte, and messages cut between any two bytes."""
    t = via.table()
    c = via.connect()
    c.send(wire.query("copy %s from stdin" % t))
    assert c.recv().kind == "G"
    for byte in "17\n23\n":
        c.send(wire.copy_data(byte))
    data = wire.copy_data("31\n") + wire.copy_data("") + wire.copy_data("42\n") + wire.COPY_DONE
    c.send_cut(data, *range(1, len(data)))
    assert [str(m) for m in c.recv_until("Z")] == ["C(COPY 4)", "Z(I)"]
    assert via.rows(t) == [17, 23, 31, 42]


@pytest.mark.parametrize("size", [4096, 8192, 16384, 32768, 65536, 64 << 20])
def test_CP_09_large_copy_data(via, size):
    """CP-09: CopyData of a buffer's size, a byte around it, and of 64 MB, in and out."""
    t = via.table("s text")
    c = via.connect()
    for n in (size,) if size > 1 << 20 else (size - 6, size - 5, size - 4, size):
        c.send(wire.query("truncate %s" % t))
        c.recv_until("Z")
        c.send(wire.query("copy %s from stdin" % t) + wire.copy_data("x" * (n - 1) + "\n") + wire.COPY_DONE)
        assert [str(m) for m in c.recv_until("Z")] == ["G", "C(COPY 1)", "Z(I)"]
        c.send(wire.query("copy %s to stdout" % t))
        got = c.recv_until("Z")
        assert [m.kind for m in got] == ["H", "d", "c", "C", "Z"] and len(got[1].body) == n


def test_CP_10_cancel_while_the_server_waits_for_data(via):
    """CP-10: PostgreSQL answers a cancel in COPY IN only at the next CopyData; that's no stuck server."""
    t = via.table()
    sessions = via.run('''
        c1: Q("copy {t} from stdin")   → G
        c1: d("1\\n")                  → quiet
    '''.replace("{t}", t))
    sessions["c1"].connection.cancel()
    via.run('''
        c1:                            → quiet
        c1: d("2\\n") c                → E[57014] Z(I)
        c1: Q("select 1")              → T D(1) C(SELECT 1) Z(I)
    ''', clients=sessions)
    assert via.rows(t) == []

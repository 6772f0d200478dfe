"""SQ: simple Query."""
import struct

import pytest
import wire


def test_SQ_01_empty_query(via):
    """SQ-01: An empty query is PostgreSQL's to answer."""
    via.run('''
        c1: Q("")                → I Z(I)
        c1: Q(";")               → I Z(I)
        c1: Q("-- c")            → I Z(I)
        c1: Q("/* c */ ; ;")     → I Z(I)
        c1: P("") B E S          → 1 2 I Z(I)
    ''')


@pytest.mark.two_workers
def test_SQ_02_several_statements_one_ready(via):
    """SQ-02: The server is released at Z(I), never at a CommandComplete."""
    t = via.table()
    via.run('''
        c1: Q("select 1; begin; select 2") → T D(1) C(SELECT 1) C(BEGIN) T D(2) C(SELECT 1) Z(T)
        c2: Q("select 'c2'")
        c1: Q("select 3; rollback; select 4") → T D(3) C(SELECT 1) C(ROLLBACK) T D(4) C(SELECT 1) Z(I)
        c2:                      → T D(c2) C(SELECT 1) Z(I)
        c1: Q("begin; select 1; commit; select 2") → C(BEGIN) T D(1) C(SELECT 1) C(COMMIT) T D(2) C(SELECT 1) Z(I)
        c1: Q("insert into {t} values (1); select 1/0; select 3") → C(INSERT 0 1) E[22012] Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == []


@pytest.mark.two_workers
def test_SQ_03_queries_in_one_segment(via):
    """SQ-03: Three queries in one segment get three answers, from one server."""
    via.run('''
        c1: Q("select 1") Q("select 2") Q("select 3") → T D(1) C(SELECT 1) Z(I) T D(2) C(SELECT 1) Z(I) T D(3) C(SELECT 1) Z(I)
        c1: Q("begin") Q("select 1/0") Q("rollback") Q("select 5")
        c2: Q("select 'c2'")     → T D(c2) C(SELECT 1) Z(I)
        c1:                      → C(BEGIN) Z(T) E[22012] Z(E) C(ROLLBACK) Z(I) T D(5) C(SELECT 1) Z(I)
    ''')


def test_SQ_03_all_from_one_server(via):
    """SQ-03: Queries of one segment are not spread over servers."""
    c = via.connect()
    c.send(wire.query("select pg_backend_pid()") * 20)
    pids = {m.row[0] for _ in range(20) for m in c.recv_until("Z") if m.kind == "D"}
    assert len(pids) == 1


def test_SQ_04_function_call(via):
    """SQ-04: FunctionCall needs a server like Query, in every state."""
    via.run('''
        c1: F(177,"3","4")       → V(7) Z(I)
        c1: Q("begin")           → C(BEGIN) Z(T)
        c1: F(177,"1","2")       → V(3) Z(T)
        c2: Q("select 'c2'")
        c1: F(177,"1","x")       → E[22P02] Z(E)
        c1: F(177,"1","2")       → E[25P02] Z(E)
        c1: Q("rollback")        → C(ROLLBACK) Z(I)
        c2:                      → T D(c2) C(SELECT 1) Z(I)
        c1: F(999999,"1")        → E Z(I)
        c1: F(1622,"xyz","2") F(1622,"ab","1") → V(xyzxyz) Z(I) V(ab) Z(I)
    ''')


def test_SQ_04_large_function_result(via):
    """SQ-04: A large FunctionCallResponse is streamed."""
    c = via.connect()
    c.send(wire.function_call(1622, ["x", "20000000"]))
    m = c.recv()
    assert m.kind == "V" and len(m.body) == 4 + 20000000 and m.body.count(b"x") == 20000000
    assert c.recv().kind == "Z"


@pytest.mark.parametrize("kind", ["!", "T", "p", "R", "\0", "z"])
def test_SQ_05_invalid_message_type(via, kind):
    """SQ-05: A type that a client may not send ends in FATAL 08P01 and never reaches a server."""
    c = via.connect()
    c.query("select 1")
    c.send(wire.message(kind, b"x\0"))
    m = c.recv()
    assert (m.kind, m.severity, m.sqlstate, m.text) == ("E", "FATAL", "08P01", "invalid frontend message type %d" % ord(kind))
    c.expect_close()


@pytest.mark.parametrize("kind", ["!", "T"])
def test_SQ_05_invalid_message_type_in_a_block(via, kind):
    """SQ-05: The same inside a transaction: rolled back."""
    t = via.table()
    c = via.connect()
    c.query("begin; insert into %s values (1)" % t)
    c.send(wire.message(kind))
    assert c.recv().sqlstate == "08P01"
    c.expect_close()
    assert via.rows(t) == []


@pytest.mark.parametrize("size", [0, 1, 3, -1, -2147483648])
@pytest.mark.parametrize("kind", [b"Q", b"d", b"X"])
def test_SQ_06_impossible_length(via, kind, size):
    """SQ-06: A length below four closes the connection."""
    c = via.connect()
    c.query("select 1")
    c.send(kind + struct.pack("!i", size))
    for m in c.recv_until(""):
        assert m is None or (m.kind == "E" and m.severity == "FATAL" and m.sqlstate == "08P01"), str(m)


def test_SQ_06_query_without_terminator(via):
    """SQ-06: A malformed Query is an ERROR and the connection lives."""
    c = via.connect()
    for body in (b"select 1", b"", b"select 1\0x"):
        c.send(wire.message("Q", body))
        got = c.recv_until("Z")
        assert [m.kind for m in got] == ["E", "Z"] and got[0].sqlstate == "08P01", body
        assert got[0].severity == "ERROR" and got[1].body == b"I"
    assert c.query("select 2") == [["2"]]


def test_SQ_06_malformed_extended_messages(via):
    """SQ-06: A malformed extended message is an ERROR, the rest is skipped to Sync and the connection lives."""
    bad = {"P": [b"a", b"a\0select 1", b"a\0select 1\0", b"a\0select 1\0\0\2\0\0\0\0"], "B": [b"", b"p\0", b"p\0a\0\0\1"],
           "D": [b"", b"S", b"Sa", b"Xa\0"], "E": [b"", b"p\0\0"], "C": [b"", b"Sa", b"Xa\0"]}
    c = via.connect()
    for kind, bodies in bad.items():
        for body in bodies:
            c.send(wire.message(kind, body) + wire.parse("", "select 1") + wire.SYNC)
            got = c.recv_until("Z")
            assert [m and m.kind for m in got] == ["E", "Z"], (kind, body, [str(m) for m in got])
            assert got[0].severity == "ERROR" and got[0].sqlstate in ("08P01", "26000"), (kind, body, str(got[0]))
            assert c.query("select 'alive'") == [["alive"]]


def test_SQ_07_notices_and_status_in_order(via):
    """SQ-07: N, PS and long errors reach the client that caused them, where they came."""
    via.run('''
        c1: Q("do $$begin raise notice 'n1'; raise warning 'n2'; end$$; select 1") → N[00000] N[01000] C(DO) T D(1) C(SELECT 1) Z(I)
        c1: Q("begin; set local application_name = 'sq07'") → C(BEGIN) C(SET) PS(application_name=sq07) Z(T)
        c2: Q("show application_name")
        c1: Q("commit") → C(COMMIT) PS(application_name=) Z(I)
        c2: → T D() C(SHOW) Z(I)
        c1: P("do $$begin raise notice 'n3'; end$$") B E S → 1 2 N[00000] C(DO) Z(I)
    '''.replace("D()", 'D("")'))


def test_SQ_07_long_error_text(via):
    """SQ-07: An error of 20 kB in many lines arrives whole."""
    c = via.connect()
    text = "\n".join("line %d %s" % (i, "x" * 90) for i in range(200))
    c.send(wire.query("do $$begin raise exception using message = '%s', detail = 'd', hint = 'h', errcode = 'P0042'; end$$" % text))
    m, z = c.recv_until("Z")
    assert m.fields["M"] == text and m.fields["D"] == "d" and m.fields["H"] == "h" and m.sqlstate == "P0042"
    assert z.body == b"I"

"""TX: transactions and the decision to release."""
import pytest
import wire
from wire import wait_until


@pytest.mark.two_workers
def test_TX_01_status_comes_from_ready_for_query(via):
    """TX-01: Savepoints, chains and batches: only the byte in Z says where a client stands."""
    via.run('''
        c1: Q("begin")                 → C(BEGIN) Z(T)
        c1: Q("savepoint s")           → C(SAVEPOINT) Z(T)
        c1: Q("select 1/0")            → E[22012] Z(E)
        c2: Q("select 'c2'")
        c1: Q("select 1")              → E[25P02] Z(E)
        c1: Q("rollback to s")         → C(ROLLBACK) Z(T)
        c1: Q("select 1")              → T D(1) C(SELECT 1) Z(T)
        c1: Q("release s")             → C(RELEASE) Z(T)
        c1: Q("commit")                → C(COMMIT) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
        c1: Q("begin; select 1/0")     → C(BEGIN) E[22012] Z(E)
        c2: Q("select 'c2'")
        c1: Q("commit")                → C(ROLLBACK) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
        c1: Q("begin; select 1")       → C(BEGIN) T D(1) C(SELECT 1) Z(T)
        c1: Q("commit and chain")      → C(COMMIT) Z(T)
        c2: Q("select 'c2'")
        c1: Q("rollback and chain")    → C(ROLLBACK) Z(T)
        c1: Q("rollback")              → C(ROLLBACK) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
        c1: Q("commit")                → N[25P01] C(COMMIT) Z(I)
        c1: Q("begin") Q("begin")      → C(BEGIN) Z(T) N[25001] C(BEGIN) Z(T)
        c1: Q("rollback")              → C(ROLLBACK) Z(I)
        c1: P("begin") B E S           → 1 2 C(BEGIN) Z(T)
        c2: Q("select 'c2'")
        c1: P("commit") B E S          → 1 2 C(COMMIT) Z(I)
        c2:                            → T D(c2) C(SELECT 1) Z(I)
    ''')


def test_TX_01_prepare_transaction(via):
    """TX-01: PREPARE TRANSACTION leaves Z(I), and another transaction may finish it."""
    t = via.table()
    via.run('''
        c1: Q("begin; insert into {t} values (1); prepare transaction '{t}'") → C(BEGIN) C(INSERT 0 1) C(PREPARE TRANSACTION) Z(I)
        c2: Q("commit prepared '{t}'") → C(COMMIT PREPARED) Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == [1]


@pytest.mark.two_workers
@pytest.mark.parametrize("leave", ["X", "FIN", "RST"])
@pytest.mark.parametrize("block", ["T", "E"])
def test_TX_02_leaving_inside_a_block(via, block, leave):
    """TX-02: Rolled back, and the next client on that server has a clean one."""
    t = via.table()
    via.run('''
        c1: Q("begin; insert into {t} values (1)") → C(BEGIN) C(INSERT 0 1) Z(T)
        {fail}
        c2: Q("insert into {t} values (2)")
        c3: Q("select 'c3'")
        c1: {leave}
        c2:                            → C(INSERT 0 1) Z(I)
        c3:                            → T D(c3) C(SELECT 1) Z(I)
        c2: Q("commit")                → N[25P01] C(COMMIT) Z(I)
    '''.replace("{fail}", 'c1: Q("select 1/0") → E[22012] Z(E)' if block == "E" else "").replace("{t}", t).replace("{leave}", leave))
    wait_until(via.sessions_idle)
    assert via.rows(t) == [2]


@pytest.mark.pooler_only
@pytest.mark.two_workers
def test_TX_03_nobody_gets_a_server_that_is_being_cleaned(via):
    """TX-03: Many leave blocks while others wait: nobody ever starts inside a transaction, nobody gets our clean-up's answers."""
    t = via.table()
    for turn in range(20):
        a, b = via.connect(), via.connect(params={"application_name": "tx03 %d" % turn})
        a.query("begin; insert into %s values (1)" % t)
        b.send(wire.query("select current_setting('application_name'), now() = statement_timestamp()"))
        a.send(wire.query("select 'never read'"))
        (a.fin, a.rst, a.close)[turn % 3]()
        got = b.recv_until("Z")
        assert [m.kind for m in got if m.kind != "S"] == ["T", "D", "C", "Z"], [str(m) for m in got]
        assert [m.row for m in got if m.kind == "D"] == [["tx03 %d" % turn, "t"]] and got[-1].body == b"I"
        b.close()
    assert via.rows(t) == []


@pytest.mark.parametrize("line", [
    'c1: Q("begin") → C(BEGIN) Z(T)\nc1: X',
    'c1: Q("begin") X',
    'c1: Q("begin") → C(BEGIN) Z(T)\nc1: Q("rollback") → C(ROLLBACK) Z(I)',
    'c1: Q("begin") → C(BEGIN) Z(T)\nc1: Q("commit") → C(COMMIT) Z(I)',
    'c1: Q("begin") Q("commit") → C(BEGIN) Z(T) C(COMMIT) Z(I)',
    'c1: Q("begin read only") → C(BEGIN) Z(T)\nc1: Q("create table never(i int)") → E[25006] Z(E)\nc1: Q("rollback") → C(ROLLBACK) Z(I)',
    'c1: Q("begin isolation level serializable; show transaction_isolation") → C(BEGIN) T D(serializable) C(SHOW) Z(T)\nc1: Q("end") → C(COMMIT) Z(I)',
    'c1: Q("start transaction") → C(START TRANSACTION) Z(T)\nc1: Q("savepoint a") → C(SAVEPOINT) Z(T)\nc1: Q("abort") → C(ROLLBACK) Z(I)',
    'c1: Q("begin") → C(BEGIN) Z(T)\nc1: P("select 1") B E S → 1 2 D(1) C Z(T)\nc1: Q("commit") → C(COMMIT) Z(I)',
    'c1: Q("begin") → C(BEGIN) Z(T)\nc1: S → Z(T)\nc1: Q("") → I Z(T)\nc1: Q("commit") → C(COMMIT) Z(I)',
])
def test_TX_04_begin_is_the_servers(via, line):
    """TX-04: BEGIN, and whatever follows it, looks as on a direct connection."""
    via.run(line)


@pytest.mark.two_workers
def test_TX_05_query_then_terminate(via):
    """TX-05: Query and Terminate in one segment: executed."""
    t = via.table()
    via.run('c1: Q("insert into {t} values (1)") X'.replace("{t}", t))
    wait_until(lambda: via.rows(t) == [1], what="the insert")


def test_TX_05_half_close(via):
    """TX-05: After the client has shut down writing it still gets its replies."""
    t = via.table()
    via.run('c1: Q("insert into {t} values (2)") SHUT → C(INSERT 0 1) Z(I) close'.replace("{t}", t))
    via.run('c4: P("select 1") B E S SHUT → 1 2 D(1) C(SELECT 1) Z(I) close')
    via.run('''c5: Q("select repeat('x', 1000000)") SHUT → T D C(SELECT 1) Z(I) close''')
    assert via.rows(t) == [2]


@pytest.mark.parametrize("leave", ["X", "FIN", "RST"])
def test_TX_06_complete_requests_then_gone(via, leave):
    """TX-06: What was sent completes in order or not at all, and the server's replies are consumed before its reuse."""
    t = via.table()
    via.run('''
        c1: Q("insert into {t} values (1)") Q("insert into {t} values (2)") {leave}
        c2: Q("select 'c2'")           → T D(c2) C(SELECT 1) Z(I)
    '''.replace("{t}", t).replace("{leave}", leave))
    if leave == "X":
        wait_until(lambda: via.rows(t) == [1, 2], what="both inserts")
        return
    wait_until(via.sessions_idle)
    if via.is_pooler:
        via.pooler.wait_rest()
    assert via.rows(t) in ([], [1], [1, 2])


@pytest.mark.two_workers
def test_TX_07_server_dies_in_an_idle_block(via):
    """TX-07: The client is told now, not at its next query, as on a direct connection; the slot is free at once."""
    c1 = via.connect()
    c1.query("begin")
    pid = int(c1.value("select pg_backend_pid()"))
    via.postgres.terminate(pid)
    assert via.connect().query("select 'c2'") == [["c2"]]
    e = c1.recv()
    assert (e.kind, e.severity, e.sqlstate, e.text) == ("E", "FATAL", "57P01", "terminating connection due to administrator command")
    c1.expect_close()


def lose_a_transaction(via):
    """A client whose server has died under a query in a block: the virtual failed transaction."""
    sessions = via.run('c1: Q("begin") → C(BEGIN) Z(T)')
    c1 = sessions["c1"].connection
    c1.send(wire.query("select pg_sleep(100), 'tx07'"))
    pid = wait_until(lambda: via.postgres.sessions("state = 'active' and query like '%tx07%'"), what="it runs")[0]["pid"]
    via.postgres.terminate(pid)
    via.run('c1: → T E[57P01] Z(E)', clients=sessions)
    return sessions


@pytest.mark.pooler_only
@pytest.mark.two_workers
def test_TX_07_the_virtual_failed_transaction(via):
    """TX-07: It looks like a failed transaction of PostgreSQL, holds no server, and ends with ROLLBACK."""
    via.run('''
        c1: Q("select 1")              → E[25P02|25P03] Z(E)
        c2: Q("select 'c2'")           → T D(c2) C Z(I)
        c1: P("select 1") B E S        → E[25P02|25P03] Z(E)
        c1: S                          → Z(E)
        c1: H                          → quiet
        c1: Q("")                      → I Z(E)
        c1: F(177,"1","2")             → E[25P02|25P03] Z(E)
        c1: Q("begin")                 → E[25P02|25P03] Z(E)
        c1: Q("rollback to a")         → E[25P02|25P03|3B001] Z(E)
        c1: d("1") c                   → quiet
        c1: Q("select 1") Q("rollback") Q("select 2") → E[25P02|25P03] Z(E) C(ROLLBACK) Z(I) T D(2) C Z(I)
    ''', clients=lose_a_transaction(via))


@pytest.mark.pooler_only
@pytest.mark.parametrize("end", ['Q("rollback")', 'Q("COMMIT")', 'Q(" /* c */ rollback work; -- c")', 'Q("abort")', 'Q("end transaction")', 'Q("commit /*k=v*/")',
                                 'P("rollback") B E S', 'P("commit") B D(P,"") E S', 'P(n,"rollback") B(n) E S'])
def test_TX_07_ways_out_of_a_lost_transaction(via, end):
    """TX-07: Each spelling of ROLLBACK and COMMIT ends the virtual failed transaction."""
    want = "C(ROLLBACK) Z(I)" if end.startswith("Q") else "1 2 n C(ROLLBACK) Z(I)" if "D(" in end else "1 2 C(ROLLBACK) Z(I)"
    via.run('''
        c1: {end}                      → {want}
        c1: Q("select 2")              → T D(2) C Z(I)
    '''.replace("{end}", end).replace("{want}", want), clients=lose_a_transaction(via))


@pytest.mark.pooler_only
@pytest.mark.parametrize("leave", ["X", "FIN", "RST"])
def test_TX_07_leaving_a_lost_transaction(via, leave):
    """TX-07: Nothing is left of it."""
    via.run("c1: " + leave, clients=lose_a_transaction(via))

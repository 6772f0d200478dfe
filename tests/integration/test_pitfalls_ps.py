"""PS: prepared statements on protocol level."""
import threading

import psycopg2
import pytest
import wire
from test_review import own_section
from wire import wait_until


def kill_servers(via):
    """All server connections of the test database end; what comes next runs on new ones."""
    pids = {s["pid"] for s in via.postgres.sessions()}
    via.postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'test' and application_name <> 'harness'"
                     " and backend_type = 'client backend'")
    wait_until(lambda: not pids & {s["pid"] for s in via.postgres.sessions()}, what="servers ended")
    wait_until(lambda: not via.pooler.column("sv_idle"), what="pgweir saw its servers end")


def prepared(c, like="%"):
    """Statements that c's server knows just now."""
    return int(c.value("select count(*) from pg_prepared_statements where statement like '%s'" % like))


@pytest.mark.two_workers
def test_PS_01_bind_in_a_later_transaction(via):
    """PS-01: A statement works in every later transaction: 2 D C Z, no 1."""
    via.run('''
        c1: P(a,"select 'ps01', $1::int") S → 1 Z(I)
        c1: B(a,"1") E S           → 2 D(ps01,1) C(SELECT 1) Z(I)
        c1: B(a,"2") D(P,"") E S   → 2 T D(ps01,2) C(SELECT 1) Z(I)
        c1: Q("begin") B(a,"3") E S Q("commit") → C(BEGIN) Z(T) 2 D(ps01,3) C(SELECT 1) Z(T) C(COMMIT) Z(I)
    ''')


@pytest.mark.pooler_only
def test_PS_01_on_a_new_server(via):
    """PS-01: The same on a server that has never seen the statement."""
    sessions = via.run('''c1: P(a,"select 'ps01', $1::int") S → 1 Z(I)''')
    kill_servers(via)
    via.run('''c1: B(a,"1") E S B(a,"2") E S → 2 D(ps01,1) C(SELECT 1) Z(I) 2 D(ps01,2) C(SELECT 1) Z(I)''', clients=sessions)


@pytest.mark.two_workers
def test_PS_02_same_name_different_statements(via):
    """PS-02: Two clients' statements of one name, in turn on one server."""
    via.run('''
        c1: P(a,"select 'one', $1::text") S → 1 Z(I)
        c2: P(a,"select 'two', $1::text") S → 1 Z(I)
        c1: B(a,"x") E S           → 2 D(one,x) C(SELECT 1) Z(I)
        c2: B(a,"y") E S           → 2 D(two,y) C(SELECT 1) Z(I)
        c1: C(S,a) S               → 3 Z(I)
        c2: B(a,"z") E S           → 2 D(two,z) C(SELECT 1) Z(I)
        c1: B(a,"x") E S           → E[26000] Z(I)
    ''')


def test_PS_03_same_text_under_two_names(via):
    """PS-03: Equal text under two names, and with different types."""
    via.run('''
        c1: P(a,"select $1 as ps03") P(b,"select $1 as ps03") P(i,"select $1 as ps03",23) S → 1 1 1 Z(I)
        c1: B(a,"x") E B(b,"y") E B(i,"3") E S → 2 D(x) C 2 D(y) C 2 D(3) C Z(I)
        c1: B(i,"x") S             → E[22P02] Z(I)
        c1: B(a,"x") E S           → 2 D(x) C Z(I)
        c1: C(S,a) B(b,"y") E S    → 3 2 D(y) C Z(I)
    ''')


@pytest.mark.pooler_only
def test_PS_03_equal_statements_share_one(via):
    """PS-03: On the server equal statements of all clients are one; other types make another."""
    via.run('''
        c1: P(a,"select $1 as ps03s") P(b,"select $1 as ps03s") S → 1 1 Z(I)
        c2: P(c,"select $1 as ps03s") S → 1 Z(I)
        c2: P(d,"select $1 as ps03s",23) S → 1 Z(I)
        c1: B(a,"x") E S           → 2 D(x) C Z(I)
        c1: B(b,"x") E S           → 2 D(x) C Z(I)
        c2: B(c,"x") E B(d,"3") E S → 2 D(x) C 2 D(3) C Z(I)
    ''')
    assert prepared(via.connect(), "select $1 as ps03s") == 2


def test_PS_04_same_text_other_search_path(via):
    """PS-04: Equal text means each client's own tables."""
    via.postgres.sql("drop schema if exists ps04a, ps04b cascade", "create schema ps04a", "create schema ps04b",
                     "create table ps04a.ps04 as select 'from a' as x", "create table ps04b.ps04 as select 7 as x",
                     database="test")
    a = via.connect(params={"search_path": "ps04a"})
    b = via.connect(params={"search_path": "ps04b"})
    for c in (a, b):
        c.send(wire.parse("s", "select x from ps04") + wire.SYNC)
        assert [m.kind for m in c.recv_until("Z")] == ["1", "Z"]
    for c, want in ((a, "from a"), (b, "7"), (a, "from a"), (b, "7")):
        c.send(wire.bind("s") + wire.describe("P") + wire.execute() + wire.SYNC)
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [[want]]


def test_PS_04_same_text_other_role(via):
    """PS-04: Equal text means each client's own role."""
    a = via.connect(params={"options": "-c role=trust_user"})
    b = via.connect()
    for c, want in ((a, "trust_user"), (b, "app"), (a, "trust_user"), (b, "app")):
        c.send(wire.parse("", "select current_user") + wire.bind() + wire.execute() + wire.SYNC)
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [[want]]


def test_PS_05_name_exists(via):
    """PS-05: Parse of a name in use is an ERROR; the old statement stays."""
    via.run('''
        c1: P(a,"select 1") S      → 1 Z(I)
        c1: P(a,"select 2") B(a) E S → E[42P05] Z(I)
        c1: P(a,"select 1") S      → E[42P05] Z(I)
        c1: B(a) E S               → 2 D(1) C(SELECT 1) Z(I)
        c1: P(b,"select 3") P(b,"select 4") S → 1 E[42P05] Z(I)
        c1: B(b) E S               → 2 D(3) C(SELECT 1) Z(I)
        c1: Q("begin") P(a,"select 5") S → C(BEGIN) Z(T) E[42P05] Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
    ''')


def test_PS_06_failed_parse_leaves_nothing(via):
    """PS-06: A Parse that failed is in nobody's table."""
    via.run('''
        c1: P(a,"selekt 1") S      → E[42601] Z(I)
        c1: B(a) E S               → E[26000] Z(I)
        c1: P(a,"select 2") B(a) E S → 1 2 D(2) C(SELECT 1) Z(I)
        c1: P(b,"select * from ps06_nowhere") S → E[42P01] Z(I)
        c2: P(b,"select * from ps06_nowhere") S → E[42P01] Z(I)
        c1: P(b,"select 3") B(b) E S → 1 2 D(3) C(SELECT 1) Z(I)
    ''')


def test_PS_06_failed_parse_that_works_later(via):
    """PS-06: The table appears: the same Parse works, and on a shared server for both."""
    via.postgres.sql("drop table if exists ps06_later", database="test")
    sessions = via.run('''
        c1: P(a,"select * from ps06_later") S → E[42P01] Z(I)
        c2: P(a,"select * from ps06_later") S → E[42P01] Z(I)
    ''')
    via.postgres.sql("create table ps06_later as select 5 as x", database="test")
    via.run('''
        c1: P(a,"select * from ps06_later") B(a) E S → 1 2 D(5) C(SELECT 1) Z(I)
        c2: P(a,"select * from ps06_later") B(a) E S → 1 2 D(5) C(SELECT 1) Z(I)
    ''', clients=sessions)


def test_PS_07_failure_inside_a_batch(via):
    """PS-07: What was parsed before the error exists, what came after it was skipped."""
    via.run('''
        c1: P(a,"select 1") P(b,"selekt") S → 1 E[42601] Z(I)
        c1: B(a) E S               → 2 D(1) C(SELECT 1) Z(I)
        c1: P(b,"selekt") P(c,"select 3") S → E[42601] Z(I)
        c1: B(c) E S               → E[26000] Z(I)
        c1: P(c,"select 4") B(c) E S → 1 2 D(4) C(SELECT 1) Z(I)
        c1: P(d,"selekt") C(S,a) S → E[42601] Z(I)
        c1: B(a) E S               → 2 D(1) C(SELECT 1) Z(I)
    ''')


@pytest.mark.parametrize("leave", ["X", "FIN", "RST"])
def test_PS_08_parse_then_gone(via, leave):
    """PS-08: A client parses and is gone; another's same statement works."""
    via.run('''
        c1: P(a,"select 'ps08 {leave}'") {leave}
        c2: P(a,"select 'ps08 {leave}'") B(a) E S → 1 2 D(ps08 {leave}) C(SELECT 1) Z(I)
        c2: B(a) E S               → 2 D(ps08 {leave}) C(SELECT 1) Z(I)
    '''.replace("{leave}", leave))


@pytest.mark.settings(max_prepared_statements=2)
def test_PS_09_eviction_inside_a_batch(via):
    """PS-09: With room for two on the server, a batch of three gets all its replies."""
    via.run('''
        c1: P(a,"select 'ps09 a'") B(a) E P(b,"select 'ps09 b'") P(c,"select 'ps09 c'") S → 1 2 D(ps09 a) C 1 1 Z(I)
        c1: B(a) E B(b) E B(c) E S → 2 D(ps09 a) C 2 D(ps09 b) C 2 D(ps09 c) C Z(I)
        c1: B(c) E B(b) E B(a) E D(S,b) B(b) E S → 2 D(ps09 c) C 2 D(ps09 b) C 2 D(ps09 a) C t T 2 D(ps09 b) C Z(I)
        c2: P(a,"select 'ps09 d'") P(b,"select 'ps09 e'") P(c,"select 'ps09 f'") S → 1 1 1 Z(I)
        c1: B(a) E S               → 2 D(ps09 a) C Z(I)
        c2: B(a) E B(b) E B(c) E S → 2 D(ps09 d) C 2 D(ps09 e) C 2 D(ps09 f) C Z(I)
    ''')


@pytest.mark.settings(max_prepared_statements=2)
def test_PS_10_eviction_while_only_flushing(via):
    """PS-10: Our eviction's CloseComplete reaches nobody, also without Sync."""
    via.run('''
        c1: P(a,"select 'ps10 a'") H → 1 quiet
        c1: P(b,"select 'ps10 b'") H → 1 quiet
        c1: P(c,"select 'ps10 c'") H → 1 quiet
        c1: P(d,"select 'ps10 d'") D(S,d) H → 1 t T quiet
        c1: B(a) E H               → 2 D(ps10 a) C quiet
        c1: B(b) E H               → 2 D(ps10 b) C quiet
        c1: S                      → Z(I)
    ''')


@pytest.mark.settings(max_prepared_statements=2)
def test_PS_11_eviction_in_a_batch_that_fails(via):
    """PS-11: The Close of an eviction was skipped with the rest of a failed batch: nothing is out of step."""
    via.run('''
        c1: P(a,"select 'ps11 a'") P(b,"select 'ps11 b'") S → 1 1 Z(I)
        c1: P("selekt") P(c,"select 'ps11 c'") P(d,"select 'ps11 d'") S → E[42601] Z(I)
        c1: B(a) E B(b) E S        → 2 D(ps11 a) C 2 D(ps11 b) C Z(I)
        c1: P(c,"select 'ps11 c'") P("selekt") P(d,"select 'ps11 d'") S → 1 E[42601] Z(I)
        c1: B(c) E B(a) E B(b) E S → 2 D(ps11 c) C 2 D(ps11 a) C 2 D(ps11 b) C Z(I)
        c1: P("select 1/(random()*0)::int") B E B(a) E B(b) E B(c) E S → 1 2 E[22012] Z(I)
        c1: B(a) E B(b) E B(c) E S → 2 D(ps11 a) C 2 D(ps11 b) C 2 D(ps11 c) C Z(I)
    ''')
    if via.is_pooler:
        assert prepared(via.connect()) <= 2


@pytest.mark.pooler_only
@pytest.mark.settings(max_prepared_statements=20)
def test_PS_12_the_limit_holds(via):
    """PS-12: Thousands of unique statements, some at once: a server never holds more than the limit."""
    errors, most = [], []

    def work(n):
        try:
            c = via.connect()
            for batch in range(10):
                names = ["s%d_%d" % (batch, i) for i in range(50)]
                c.send(b"".join(wire.parse(s, "select '%d %s'" % (n, s)) + wire.bind(s) + wire.execute() for s in names) + wire.SYNC)
                got = [m.row[0] for m in c.recv_until("Z") if m.kind == "D"]
                assert got == ["%d %s" % (n, s) for s in names], got
                most.append(prepared(c))
            c.close()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors
    assert 0 < max(most) <= 20


@pytest.mark.pooler_only
def test_PS_12_a_new_server_starts_empty(via):
    """PS-12: After a server died its successor's table is empty."""
    sessions = via.run('''c1: P(a,"select 'ps12'") P(b,"select 'ps12 b'") S → 1 1 Z(I)''')
    kill_servers(via)
    assert prepared(via.connect()) == 0
    via.run('''c1: B(b) E B(a) E S → 2 D(ps12 b) C 2 D(ps12) C Z(I)''', clients=sessions)


def test_PS_13_describe_alone(via):
    """PS-13: Describe of a statement alone, first thing on a server."""
    sessions = via.run('''c1: P(a,"select $1::int as ps13") S → 1 Z(I)''')
    if via.is_pooler:
        kill_servers(via)
    via.run('''c1: D(S,a) S → t T(ps13) Z(I)''', clients=sessions)


def test_PS_14_unknown_statement(via):
    """PS-14: A name never prepared is 26000, and the connection lives."""
    via.run('''
        c1: B(zz) E S              → E[26000] Z(I)
        c1: D(S,zz) S              → E[26000] Z(I)
        c1: P("select 1") B E B(zz) E S → 1 2 D(1) C E[26000] Z(I)
        c1: B(zz) P(zz,"select 1") S → E[26000] Z(I)
        c1: Q("begin") B(zz) S     → C(BEGIN) Z(T) E[26000] Z(E)
        c1: B(zz) S                → E[26000|25P02] Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
        c1: B(zz) H                → E[26000] quiet
        c1: S                      → Z(I)
        c1: D(P,zz) S              → E[34000] Z(I)
        c1: E(zz) S                → E[34000] Z(I)
    ''')


def test_PS_14_unknown_statement_as_first_message(via):
    """PS-14: The same with no server linked; the error names the statement as the client did."""
    c = via.connect()
    c.send(wire.bind("my name") + wire.SYNC)
    e, z = c.recv_until("Z")
    assert e.sqlstate == "26000" and e.text == 'prepared statement "my name" does not exist' and z.body == b"I"


def test_PS_15_close_and_parse_again(via):
    """PS-15: Close frees the name at once; Close of a portal leaves the statement alone."""
    via.run('''
        c1: P(a,"select 1") C(S,a) P(a,"select 2") B(a) E S → 1 3 1 2 D(2) C(SELECT 1) Z(I)
        c1: C(P,a) B(a) E S        → 3 2 D(2) C(SELECT 1) Z(I)
        c1: C(S,a) B(a) E S        → 3 E[26000] Z(I)
        c1: P(a,"select 3") B(a) C(S,a) E S → 1 2 3 D(3) C(SELECT 1) Z(I)
        c1: C(S,a) C(S,a) S        → 3 3 Z(I)
        c1: P(a,"select 4") S      → 1 Z(I)
        c1: C(S,a) P(a,"select 5") S → 3 1 Z(I)
        c2: P(a,"select 4") B(a) E S → 1 2 D(4) C(SELECT 1) Z(I)
        c1: B(a) E S               → 2 D(5) C(SELECT 1) Z(I)
    ''')


@pytest.mark.two_workers
def test_PS_16_unnamed_statement(via):
    """PS-16: The unnamed statement is each client's own, until its next Query or Parse."""
    via.run('''
        c1: P("select 'c1', $1::text") S → 1 Z(I)
        c2: P("select 'c2', $1::text") S → 1 Z(I)
        c1: B("","x") E S          → 2 D(c1,x) C(SELECT 1) Z(I)
        c2: B("","y") D(P,"") E S  → 2 T D(c2,y) C(SELECT 1) Z(I)
        c1: D(S,"") S              → t T Z(I)
        c1: B("","z") E S          → 2 D(c1,z) C(SELECT 1) Z(I)
        c1: Q("select 1")          → T D(1) C Z(I)
        c1: B("","z") E S          → E[26000] Z(I)
        c2: B("","y") E S          → 2 D(c2,y) C(SELECT 1) Z(I)
        c2: C(S,"") S              → 3 Z(I)
        c2: B("","y") E S          → E[26000] Z(I)
        c1: P("select 1") S        → 1 Z(I)
        c1: P("selekt") S          → E[42601] Z(I)
        c1: B("") E S              → E[26000] Z(I)
    ''')


def test_PS_16_unnamed_never_parsed(via):
    """PS-16: A client that parsed nothing doesn't get somebody's unnamed statement."""
    via.run('''
        c2: P("select 'secret of c2'") S → 1 Z(I)
        c1: B("") E S              → E[26000] Z(I)
        c2: B("") E S              → 2 D(secret of c2) C Z(I)
    ''')


@pytest.mark.parametrize("reset", ["DEALLOCATE ALL", "discard all", "/* c */ deallocate  all ;", "-- x\\nDISCARD ALL", "discard plans; deallocate all"])
def test_PS_17_deallocate_all(via, reset):
    """PS-17: It takes c1's names; c2's statements still work."""
    tags = {"deallocate all": "C(DEALLOCATE ALL)", "discard all": "C(DISCARD ALL)"}
    tag = tags["deallocate all" if "allocate" in reset.lower() else "discard all"]
    if "plans" in reset:
        tag = "C(DISCARD PLANS) " + tag
    via.run('''
        c1: P(a,"select 'ps17', $1::text") P(b,"select 2") S → 1 1 Z(I)
        c2: P(a,"select 'ps17', $1::text") S → 1 Z(I)
        c1: Q("{reset}")           → {tag} Z(I)
        c1: B(a,"x") E S           → E[26000] Z(I)
        c1: B(b) E S               → E[26000] Z(I)
        c2: B(a,"y") E S           → 2 D(ps17,y) C(SELECT 1) Z(I)
        c1: P(a,"select 3") B(a) E S → 1 2 D(3) C(SELECT 1) Z(I)
        c2: B(a,"z") E S           → 2 D(ps17,z) C(SELECT 1) Z(I)
    '''.replace("{reset}", reset).replace("{tag}", tag))


def test_PS_17_deallocate_all_that_fails(via):
    """PS-17: One that failed takes nothing."""
    via.run('''
        c1: P(a,"select 1") S      → 1 Z(I)
        c1: Q("begin; select 1/0") → C(BEGIN) E[22012] Z(E)
        c1: Q("deallocate all")    → E[25P02] Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
        c1: B(a) E S               → 2 D(1) C(SELECT 1) Z(I)
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: Q("discard all")       → E[25001] Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
        c1: B(a) E S               → 2 D(1) C(SELECT 1) Z(I)
    ''')


def test_PS_18_deallocate_all_inside_a_batch(via):
    """PS-18: It covers only what was prepared before it."""
    via.run('''
        c1: P(a,"select 1") S      → 1 Z(I)
        c1: P("deallocate all") B E P(b,"select 2") S → 1 2 C(DEALLOCATE ALL) 1 Z(I)
        c1: B(b) E S               → 2 D(2) C(SELECT 1) Z(I)
        c1: B(a) E S               → E[26000] Z(I)
        c1: P(a,"select 3") P("deallocate all") B E B(b) S → 1 1 2 C(DEALLOCATE ALL) E[26000] Z(I)
        c1: B(a) S                 → E[26000] Z(I)
    ''')


def test_PS_19_deallocate_one(via):
    """PS-19: DEALLOCATE of a protocol-level statement."""
    via.run('''
        c1: P(a,"select 1") P(b,"select 2") P(\"Mixed\",\"select 3\") S → 1 1 1 Z(I)
        c2: P(a,"select 1") S      → 1 Z(I)
        c1: Q("DEALLOCATE a")      → C(DEALLOCATE) Z(I)
        c1: B(a) E S               → E[26000] Z(I)
        c1: B(b) E S               → 2 D(2) C(SELECT 1) Z(I)
        c2: B(a) E S               → 2 D(1) C(SELECT 1) Z(I)
        c1: Q("deallocate prepare \\"Mixed\\" ;") → C(DEALLOCATE) Z(I)
        c1: P(\"Mixed\",\"select 4\") B(\"Mixed\") E S → 1 2 D(4) C Z(I)
        c1: Q("deallocate zz")     → E[26000] Z(I)
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: Q("deallocate b")      → C(DEALLOCATE) Z(T)
        c1: Q("commit")            → C(COMMIT) Z(I)
        c1: P(b,"select 5") B(b) E S → 1 2 D(5) C Z(I)
        c1: P("deallocate b") B E S → 1 2 C(DEALLOCATE) Z(I)
        c1: B(b) E S               → E[26000] Z(I)
    ''')


def test_PS_20_statements_of_prepare(new_pooler):
    """PS-20: PREPARE pins: EXECUTE, and Bind of that name, work later; others neither see it nor stumble over the name."""
    p = own_section(new_pooler({"default_pool_size": 3, "max_pinned": 2}, start=False))
    c, d, e = p.connect(), p.connect(), p.connect()
    c.query("prepare x as select 'of c'")
    for other in (d, e):
        other.send(wire.query("execute x"))
        assert [m.sqlstate for m in other.recv_until("Z") if m.kind == "E"] == ["26000"]
    d.query("prepare x as select 'of d'")
    for _ in range(3):
        assert (c.value("execute x"), d.value("execute x")) == ("of c", "of d")
        assert e.query("select 1") == [["1"]]
    c.send(wire.bind("x") + wire.execute() + wire.SYNC)
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["of c"]]
    c.query("deallocate x")
    wait_until(lambda: len(p.ask("show pins")) == 1, what="c isn't pinned any more")
    c.send(wire.bind("x") + wire.SYNC)
    assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["26000"]


def test_PS_21_schema_changed(via):
    """PS-21: "cached plan must not change result type" comes through, and the driver's own new Parse helps."""
    t = via.table("i int")
    via.postgres.sql("insert into %s values (1)" % t, database="test")
    sql = "select * from " + t
    sessions = via.run('''
        c1: P(a,"{sql}") B(a) E S  → 1 2 D(1) C(SELECT 1) Z(I)
        c2: P(a,"{sql}") B(a) E S  → 1 2 D(1) C(SELECT 1) Z(I)
    '''.replace("{sql}", sql))
    via.postgres.sql("alter table %s add j int default 7" % t, database="test")
    via.run('''
        c1: B(a) E S               → E[0A000] Z(I)
        c1: C(S,a) P(a,"{sql}") S  → 3 1 Z(I)
        c1: B(a) D(P,"") E S       → 2 T(i,j) D(1,7) C(SELECT 1) Z(I)
        c1: P(b,"{sql}") B(b) E S  → 1 2 D(1,7) C(SELECT 1) Z(I)
    '''.replace("{sql}", sql), clients=sessions)


@pytest.mark.pooler_only
@pytest.mark.settings(max_prepared_statements=3)
def test_PS_22_server_names_are_not_reused(via):
    """PS-22: Whatever resets and evicts, an old name on a server never means a new statement."""
    c1, c2 = via.connect(), via.connect()
    for turn in range(30):
        for c in (c1, c2):
            sql = "select 'ps22 %d %s'" % (turn % 5, "c1" if c is c1 else "c2")
            c.send(wire.close("S", "a") + wire.parse("a", sql) + wire.bind("a") + wire.execute() + wire.SYNC)
            assert [m.row[0] for m in c.recv_until("Z") if m.kind == "D"] == [sql[8:-1]]
        if turn % 7 == 3:
            c1.query("discard all")
        if turn % 7 == 5:
            c2.query("deallocate all")


@pytest.mark.parametrize("size", [64, 1000, 4096, 9900, 16384])
def test_PS_23_long_name(via, size):
    """PS-23: A statement's name of 16 kB (PostgreSQL limits Describe and Close to 10,000 bytes)."""
    name = "n" * size
    sessions = via.run('''
        c1: P({name},"select $1::text") S → 1 Z(I)
        c1: B({name},"x") E S      → 2 D(x) C(SELECT 1) Z(I)
    '''.replace("{name}", name))
    if size < 10000:
        via.run('''
            c1: D(S,{name}) S          → t T Z(I)
            c1: C(S,{name}) S          → 3 Z(I)
            c1: B({name}) S            → E[26000] Z(I)
        '''.replace("{name}", name), clients=sessions)


@pytest.mark.parametrize("size", [2048, 4096, 8192, 16384, 65536, 1 << 20])
def test_PS_23_parse_of_buffer_size(via, size):
    """PS-23: A Parse of exactly one buffer, a byte more and less, and two of half a buffer."""
    c = via.connect()

    def text(n, name):
        sql = "select '%s'" % name
        return sql + " " * (n - len(wire.parse(name, sql)))

    for n in (size - 1, size, size + 1, size + 5):
        c.send(wire.parse("a", text(n, "a")) + wire.bind("a") + wire.execute() + wire.SYNC)
        assert [m.kind for m in c.recv_until("Z")] == ["1", "2", "D", "C", "Z"]
        c.send(wire.parse("b", text(n // 2, "b")) + wire.parse("d", text(n // 2, "d")) + wire.bind("b") + wire.execute() +
               wire.bind("d") + wire.execute() + wire.SYNC)
        assert "".join(m.kind for m in c.recv_until("Z")) == "112DC2DCZ"
        c.send(wire.close("S", "a") + wire.close("S", "b") + wire.close("S", "d") + wire.SYNC)
        assert "".join(m.kind for m in c.recv_until("Z")) == "333Z"


def test_PS_24_preparing_without_end(via):
    """PS-24: Old statements stay intact; beyond a limit of pgweir's new ones are refused with 54000."""
    c = via.connect()
    c.send(wire.parse("first", "select 'first'") + wire.SYNC)
    c.recv_until("Z")
    refused = 0
    for batch in range(20):
        c.send(b"".join(wire.parse("s%d_%d" % (batch, i), "select %d" % i) for i in range(500)) + wire.SYNC)
        got = c.recv_until("Z")
        refused += [m.sqlstate for m in got if m.kind == "E"].count("54000")
        assert all(m.kind in "1EZ" for m in got) and all(m.sqlstate == "54000" for m in got if m.kind == "E")
    assert via.is_pooler or not refused
    c.send(wire.bind("first") + wire.execute() + wire.bind("s0_7") + wire.execute() + wire.SYNC)
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["first"], ["7"]]


def test_PS_25_nothing_before_set_transaction(via):
    """PS-25: No Parse of ours comes between BEGIN and SET TRANSACTION."""
    sessions = via.run('''
        c1: P(a,"select 'ps25'") P(iso,"set transaction isolation level serializable") S → 1 1 Z(I)
    ''')
    if via.is_pooler:
        kill_servers(via)
    via.run('''
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: Q("set transaction isolation level serializable") → C(SET) Z(T)
        c1: B(a) E S               → 2 D(ps25) C Z(T)
        c1: Q("show transaction isolation level") → T D(serializable) C(SHOW) Z(T)
        c1: Q("commit")            → C(COMMIT) Z(I)
        c1: P("begin") B E B(iso) E B(a) E S → 1 2 C(BEGIN) 2 C(SET) 2 D(ps25) C Z(T)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
    ''', clients=sessions)


def test_PS_statements_in_transactions(via):
    """A statement parsed in a block that is rolled back exists afterwards, as protocol-level statements do."""
    via.run('''
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: P(a,"select 'kept'") S → 1 Z(T)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
        c1: B(a) E S               → 2 D(kept) C Z(I)
        c1: Q("begin; select 1/0") → C(BEGIN) E[22012] Z(E)
        c1: P(b,"select 1") S      → E[25P02] Z(E)
        c1: B(a) E S               → E[25P02] Z(E)
        c1: P(r,"rollback") B(r) E S → 1 2 C(ROLLBACK) Z(I)
        c1: B(b) E S               → E[26000] Z(I)
        c1: B(a) E S               → 2 D(kept) C Z(I)
    ''')


def test_PS_psycopg2_uses_simple_protocol(via):
    """A driver of another kind on the same path."""
    host, port = via.address
    c = psycopg2.connect(host=host, port=port, user="app", dbname="test")
    cur = c.cursor()
    cur.execute("select %s, %s", (1, "x"))
    assert cur.fetchall() == [(1, "x")]
    c.rollback()
    c.close()

"""A statement that was prepared before its table changed: directly it fails, 0A000."""
from wire import SYNC, bind, describe, execute, parse


def test_a_client_never_gets_another_result_type_than_it_was_told(new_pooler, postgres):
    """Its driver was told int4 and asks for it in binary: it would take a text's bytes for a number (pgjdbc, asyncpg, pgx)."""
    postgres.sql("drop table if exists stale", "create table stale as select 1 as i", database="test")
    p = new_pooler({"default_pool_size": 2})
    c, d, e = p.connect(), p.connect(), p.connect()
    c.send(parse("s", "select * from stale") + describe("S", "s") + bind("s", result_formats=[1]) + execute() + SYNC)
    c.recv_until("Z")
    pid = c.value("select pg_backend_pid()")
    for other in (d, e):  # whoever gets c's server keeps it
        other.query("begin")
        if other.value("select pg_backend_pid()") == pid:
            break
    (e if other is d else d).query("rollback")
    postgres.sql("alter table stale alter column i type text", database="test")
    c.send(bind("s", result_formats=[1]) + execute() + SYNC)
    got = c.recv_until("Z")
    assert [m.sqlstate for m in got if m.kind == "E"] == ["0A000"], [str(m) for m in got]


def test_it_keeps_the_result_that_it_was_prepared_with(via):
    """Also where it was described by nobody, and its server has lost it since; until the table is as it was."""
    via.run('''
        c1: Q("drop table if exists stale1; create table stale1 as select 1 as i") → C(DROP TABLE) C(SELECT 1) Z(I)
        c1: P(a,"select * from stale1") S → 1 Z(I)
        c2: Q("deallocate all")    → C(DEALLOCATE ALL) Z(I)
        c1: Q("alter table stale1 add column j int default 2") → C(ALTER TABLE) Z(I)
        c1: D(S,a) S               → t E[0A000] Z(I)
        c1: B(a) E S               → E[0A000] Z(I)
        c1: B(a,"1") E S           → E[08P01] Z(I)
        c1: B(a) D(S,a) E S B(a) S → E[0A000] Z(I) E[0A000] Z(I)
        c2: P(a,"select * from stale1") B(a) E S → 1 2 D(1,2) C(SELECT 1) Z(I)
        c1: B(a) E S               → E[0A000] Z(I)
        c1: P(b,"select * from stale1") D(S,b) B(b) E S → 1 t T(i,j) 2 D(1,2) C(SELECT 1) Z(I)
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: Q("alter table stale1 drop column j") → C(ALTER TABLE) Z(T)
        c1: B(a) E S               → 2 D(1) C(SELECT 1) Z(T)
        c1: D(S,b) S               → t E[0A000] Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
        c1: B(b) E S               → 2 D(1,2) C(SELECT 1) Z(I)
        c1: B(a) E S               → E[0A000] Z(I)
        c1: Q("alter table stale1 drop column j") → C(ALTER TABLE) Z(I)
        c1: D(S,a) B(a) E S        → t T(i) 2 D(1) C(SELECT 1) Z(I)
    ''')


def test_so_does_the_unnamed_one(via):
    via.run('''
        c1: Q("drop table if exists stale2; create table stale2 as select 1 as i") → C(DROP TABLE) C(SELECT 1) Z(I)
        c1: P(x,"alter table stale2 alter column i type text") S → 1 Z(I)
        c1: P("select * from stale2") S → 1 Z(I)
        c1: B(x) E S               → 2 C(ALTER TABLE) Z(I)
        c2: Q("select 1")          → T D(1) C(SELECT 1) Z(I)
        c1: D(S,"") S              → t E[0A000] Z(I)
        c1: B("") E S              → E[0A000] Z(I)
        c1: P("select * from stale2") B("") E S → 1 2 D(1) C(SELECT 1) Z(I)
        c1: P(y,"alter table stale2 alter column i type int using i::int") S → 1 Z(I)
        c1: P("select * from stale2") D(S,"") S → 1 t T(i) Z(I)
        c1: B(y) E S               → 2 C(ALTER TABLE) Z(I)
        c2: Q("select 1")          → T D(1) C(SELECT 1) Z(I)
        c1: B("") E S              → E[0A000] Z(I)
    ''')

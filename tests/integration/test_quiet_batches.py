"""Parse, Describe and Flush without a Sync (prepare() of asyncpg, postgres.js): once all is answered nothing of it needs a server."""
from wire import SLOW, wait_until


def test_others_are_served_between_describe_and_bind(via):
    via.run('''
        c1: P(a,"select $1::int + 1 as r") D(S,a) H → 1 t T(r)
        c2: Q("select 'c2'")       → T D(c2) C(SELECT 1) Z(I)
        c1: B(a,"7") E S           → 2 D(8) C(SELECT 1) Z(I)
        c1: P("select 5 as u") D(S,"") H → 1 t T(u)
        c2: Q("select 'c2'")       → T D(c2) C(SELECT 1) Z(I)
        c1: B("") E S              → 2 D(5) C(SELECT 1) Z(I)
        c1: P(d,"select 1") H      → 1
        c2: Q("select 'c2'")       → T D(c2) C(SELECT 1) Z(I)
        c1: S                      → Z(I)
        c1: S                      → Z(I)
        c1: D(S,d) H               → t T
        c2: P(d,"select 2") D(S,d) H → 1 t T
        c1: C(S,d) H               → 3
        c2: C(S,d) S               → 3 Z(I)
        c1: B(d) S                 → E[26000] Z(I)
    ''')


def test_errors_stay_where_they_belong(via):
    via.run('''
        c1: P(b,"select 1/$1::int") D(S,b) H → 1 t T
        c2: Q("select 'c2'")       → T D(c2) C(SELECT 1) Z(I)
        c1: B(b,"0") E B(b,"1") E S → E[22012] Z(I)
        c1: P(b,"select 1") H      → E[42P05]
        c1: P(c,"select 1") H      → quiet
        c1: S                      → Z(I)
        c1: P(c,"selekt") D(S,c) H → E[42601]
        c1: S                      → Z(I)
        c2: Q("select 'c2'")       → T D(c2) C(SELECT 1) Z(I)
        c1: B(b,"1") E S           → 2 D(1) C(SELECT 1) Z(I)
    ''')


def test_a_transaction_and_a_portal_keep_their_server(via):
    via.run('''
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: P(e,"select 1") D(S,e) H → 1 t T
        c2: Q("select 'c2'")
        c1: Q("commit")            → C(COMMIT) Z(I)
        c2:                        → T D(c2) C(SELECT 1) Z(I)
        c1: P("select generate_series(1,3)") B(p←) H → 1 2
        c2: Q("select 'c2'")
        c1: E(p)/1 H               → D(1) s
        c1: E(p) S                 → D(2) D(3) C Z(I)
        c2:                        → T D(c2) C(SELECT 1) Z(I)
    ''')


def test_a_server_comes_back_by_itself(new_pooler):
    """Also when nobody waits: it would count as a transaction that is idle."""
    from wire import FLUSH, describe, parse
    p = new_pooler()
    c = p.connect()
    c.send(parse("a", "select 1") + describe("S", "a") + FLUSH)
    c.recv_until("T")
    wait_until(lambda: p.column("sv_idle") == 1, 10 * SLOW, "an idle server")
    c.close()

"""Session state beyond the pitfalls: what a direct connection shows, through pgweir as well."""
import pytest


def test_known_text_in_a_failed_transaction(via):
    """Parse of a text that the server has already is refused as any other in a failed transaction block."""
    via.run('''
        c2: P(k,"select 'known'") S → 1 Z(I)
        c1: Q("begin; select 1/0") → C(BEGIN) E[22012] Z(E)
        c1: P(a,"select 'known'") S → E[25P02] Z(E)
        c1: P(a,"select 'known'") H → E[25P02]
        c1: S                      → Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
        c1: B(a) S                 → E[26000] Z(I)
        c1: Q("begin") Q("select 1/0") P(a,"select 'known'") S → C(BEGIN) Z(T) E[22012] Z(E) E[25P02] Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
    ''')


def test_bad_text_under_a_name_in_use(via):
    """What is wrong with the text comes before the name that is taken."""
    via.run('''
        c1: P(a,"select 1") S      → 1 Z(I)
        c1: P(a,"selekt") S        → E[42601] Z(I)
        c1: P(a,"select * from state_nowhere") S → E[42P01] Z(I)
        c1: P(a,"select 2") S      → E[42P05] Z(I)
        c1: B(a) E S               → 2 D(1) C Z(I)
    ''')


def test_names_of_batches_that_failed(via):
    via.run('''
        c1: P(s3,"selekt") P(s1,"select 1") S → E[42601] Z(I)
        c1: B(s1) S                → E[26000] Z(I)
        c1: P(s3,"selekt") P(s1,"select 1") S P("select 2") S B("",s1) S → E[42601] Z(I) 1 Z(I) E[08P01] Z(I)
        c1: B(s1) S                → E[26000] Z(I)
        c1: B(s2) P(s1,"select 1") S Q("select 3") P(s1,"select 1") S → E[26000] Z(I) T D(3) C Z(I) 1 Z(I)
        c1: B(s1) E S              → 2 D(1) C Z(I)
    ''')


@pytest.mark.settings(max_prepared_statements=1)
def test_deallocate_with_a_cache_of_one(via):
    via.run('''
        c1: P(a,"select 1") P(d,"deallocate a") S → 1 1 Z(I)
        c1: B(d) E S               → 2 C(DEALLOCATE) Z(I)
        c1: B(a) S                 → E[26000] Z(I)
        c1: P(a,"select 2") B(a) E B(d) E P(a,"select 3") B(a) E S → 1 2 D(2) C 2 C(DEALLOCATE) 1 2 D(3) C Z(I)
    ''')


def test_deallocate_of_itself(via):
    via.run('''
        c1: P(a,"deallocate a") B(a) E S → 1 2 C(DEALLOCATE) Z(I)
        c1: B(a) S                 → E[26000] Z(I)
        c1: P(a,"deallocate a") S  → 1 Z(I)
        c1: B(a) E S               → 2 C(DEALLOCATE) Z(I)
        c1: B(a) S                 → E[26000] Z(I)
    ''')


def test_close_in_the_middle_of_a_copy(via):
    """PostgreSQL ends the connection for it: nothing that we answer ourselves may hide that, and nothing is copied."""
    t = via.table("x text")
    end = via.choose("E[08P01] FATAL[08P01] close", "E[08P01] E[08P01] Z(I) E[08P01]") + "\n            c%d: S → Z(I)" * via.is_pooler
    via.run('''
        c1: P(a,"select 1") S      → 1 Z(I)
        c1: Q("copy {t} from stdin") → G
        c1: d("one\\n") C(S,a) c    → {end1}
        c2: P(a,"select 1") S      → 1 Z(I)
        c2: Q("copy {t} from stdin") d("one\\n") C(S,a) c → G {end2}
        c3: P(a,"select 1") S      → 1 Z(I)
        c3: d("late\\n") C(S,a) S   → 3 Z(I)
        c3: B(a) E S               → E[26000] Z(I)
    '''.replace("{t}", t).replace("{end1}", end.replace("%d", "1")).replace("{end2}", end.replace("%d", "2")))
    assert via.rows(t) == []


def test_a_new_statement_sees_the_new_table(via):
    """Others have prepared the same text before the table changed; who prepares it afterwards sees it as it is."""
    t = via.table("i int")
    via.postgres.sql("insert into %s values (1)" % t, database="test")
    sql = "select * from " + t
    sessions = via.run('''
        c1: P(a,"{sql}") B(a) E S  → 1 2 D(1) C(SELECT 1) Z(I)
        c2: P(a,"{sql}") B(a) E S  → 1 2 D(1) C(SELECT 1) Z(I)
    '''.replace("{sql}", sql))
    via.postgres.sql("alter table %s add j int default 7" % t, database="test")
    via.run('''
        c3: P(n,"{sql}") D(S,n) S  → 1 t T(i,j) Z(I)
        c3: B(n) E S               → 2 D(1,7) C Z(I)
        c3: P("{sql}") B("") E S   → 1 2 D(1,7) C Z(I)
    '''.replace("{sql}", sql), clients=sessions)
    via.run('''
        c2: Q("alter table {t} drop j")     → C(ALTER TABLE) Z(I)
        c4: P(n,"{sql}") B(n) D(P,"") E S   → 1 2 T(i) D(1) C Z(I)
        c4: Q("begin") Q("alter table {t} add k int default 8") → C(BEGIN) Z(T) C(ALTER TABLE) Z(T)
        c4: P(m,"{sql}") B(m) E S           → 1 2 D(1,8) C Z(T)
        c4: Q("rollback")                   → C(ROLLBACK) Z(I)
        c5: P(m,"{sql}") B(m) E S           → 1 2 D(1) C Z(I)
        c5: B(m) E S                        → 2 D(1) C Z(I)
    '''.replace("{sql}", sql).replace("{t}", t), clients=sessions)


def test_an_old_statement_keeps_its_columns(via):
    """Who prepared before the change gets PostgreSQL's error, not rows of another shape, as often as it tries."""
    t = via.table("i int")
    via.postgres.sql("insert into %s values (1)" % t, database="test")
    sql = "select * from " + t
    via.run('''
        c1: P(a,"{sql}") B(a) E S  → 1 2 D(1) C(SELECT 1) Z(I)
        c2: Q("alter table {t} add j int default 7") → C(ALTER TABLE) Z(I)
        c2: P(a,"{sql}") B(a) E S  → 1 2 D(1,7) C(SELECT 1) Z(I)
        c1: B(a) E S               → E[0A000] Z(I)
        c1: B(a) E S               → E[0A000] Z(I)
        c2: B(a) E S               → 2 D(1,7) C(SELECT 1) Z(I)
        c1: C(S,a) P(a,"{sql}") B(a) E S → 3 1 2 D(1,7) C(SELECT 1) Z(I)
    '''.replace("{sql}", sql).replace("{t}", t))

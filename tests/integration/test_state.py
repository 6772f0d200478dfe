"""Session state beyond the pitfalls: what a direct connection shows, through pgweir as well."""
import pytest
from scripted_server import ScriptedServer, complete, data_row, ready
from test_review import own_section
from wire import SYNC, bind, close, execute, parse, query, wait_until


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


def test_execute_by_sql_of_what_parse_has_prepared(new_pooler):
    """Its name is the client's own: the error says so, in EXPLAIN and in the extended protocol, too."""
    c = own_section(new_pooler(start=False)).connect()
    c.send(parse("s", 'select 1') + SYNC)
    c.recv_until("Z")
    for ask in (query("execute s"), query("explain execute s"), parse("", "execute s") + bind("") + execute() + SYNC):
        c.send(ask)
        errors = [m for m in c.recv_until("Z") if m.kind == "E"]
        assert [m.sqlstate for m in errors] == ["26000"] and "PREPARE" in errors[0].fields["H"] and "Parse" in errors[0].fields["D"]
    c.send(query("execute unknown"))
    assert ["H" in m.fields for m in c.recv_until("Z") if m.kind == "E"] == [False]
    c.send(bind("s") + execute() + SYNC)
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["1"]]


def test_deallocate_of_itself_twice_in_a_batch(via):
    via.run('''
        c1: P(a,"deallocate a") B(a) E P(a,"deallocate a") B(a) E S → 1 2 C(DEALLOCATE) 1 2 C(DEALLOCATE) Z(I)
        c1: P(b,"select 1") P(a,"deallocate b") B(a) E(none) S → 1 1 2 E[34000] Z(I)
        c1: B(a) E S B(b) S        → 2 C(DEALLOCATE) Z(I) E[26000] Z(I)
    ''')


def test_the_unnamed_statement_of_batches_that_failed(via):
    """A skipped Parse, Query or Close leaves the one before it, in pipelines as well; a failed Parse leaves none."""
    via.run('''
        c1: P("select 'old'") S    → 1 Z(I)
        c1: B(none) P("select 'new'") S → E[26000] Z(I)
        c1: B("") E S              → 2 D(old) C Z(I)
        c1: B(none) P("select 'new'") Q("select 1") C(S,"") S B("") E S → E[26000] Z(I) 2 D(old) C Z(I)
        c1: P("select 'one'") B(none) P("select 'two'") P("select 'three'") S B("") E S → 1 E[26000] Z(I) 2 D(one) C Z(I)
        c1: P("select 'a'") P("select 'b'") E(none) P("select 'c'") S → 1 1 E[34000] Z(I)
        c1: B("") E S              → 2 D(b) C Z(I)
        c1: P("selekt") S E(none) P("select 'x'") S B("") S → E[42601] Z(I) E[34000] Z(I) E[26000] Z(I)
        c1: P("select 'y'") S      → 1 Z(I)
        c1: E(none) C(S,"") S B("") E S → E[34000] Z(I) 2 D(y) C Z(I)
        c1: E(none) B("") S B("") E S → E[34000] Z(I) 2 D(y) C Z(I)
        c1: P("select 'z'") B(none) C(S,"") S → 1 E[26000] Z(I)
        c1: E(none) P("select 'x'") S B("") E S → E[34000] Z(I) 2 D(z) C Z(I)
    ''')


def test_names_that_a_failed_batch_gives_back(via):
    """A Close that was skipped took nothing; errors name the statement as the client does."""
    via.run('''
        c1: P(a,"select 1") P(b,"select 1") S → 1 1 Z(I)
        c1: B(a,"x") C(S,a) S P(a,"select 2") S → E[08P01] Z(I) E[42P05] Z(I)
        c1: B(a,"x") C(S,a) S B(a) E S → E[08P01] Z(I) 2 D(1) C Z(I)
    ''')
    c = via.connect()
    c.send(parse("one", "select 'x'") + parse("two", "select 'x'") + SYNC + bind("two", values=("v",)) + close("S", "two") + SYNC)
    c.recv_until("Z")
    assert c.recv().text == 'bind message supplies 1 parameters, but prepared statement "two" requires 0'


def test_the_same_text_again_behind_deallocate_all(via):
    """The answer to the first Parse of a text says nothing of the second."""
    via.run('''
        c1: P(b,"select 'same'") C(S,b) P(d,"deallocate all") B(d) E P(c,"select 'same'") B(c) E S → 1 3 1 2 C(DEALLOCATE ALL) 1 2 D(same) C Z(I)
        c1: B(c) E S               → 2 D(same) C Z(I)
        c1: P("deallocate all") B("") E P("deallocate c") B("") E S → 1 2 C(DEALLOCATE ALL) 1 2 E[26000] Z(I)
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


# ---- what can't follow a client -------------------------------------------------------------------------------------------


MAKERS = [
    ("create temp table pins (i int)", "temp", "temporary object", "drop table pins"),
    ("select pg_advisory_lock(4720)", "advisory", "advisory lock", "select pg_advisory_unlock(4720)"),
    ("begin; declare pins cursor with hold for select 1; commit", "cursor", "DECLARE WITH HOLD", "close pins"),
    ("prepare pins as select 1", "prepare", "PREPARE", "deallocate pins"),
    ("listen pins", "listen", "LISTEN", "unlisten pins"),
]
BY_NAME = [m[1] for m in MAKERS]


def answers(c, sql):
    """Of a simple Query: all messages up to its ReadyForQuery, and what came between."""
    c.send(query(sql))
    return c.recv_until("Z")


def extended(c, sql):
    c.send(parse("", sql) + bind() + execute() + SYNC)
    return c.recv_until("Z")


@pytest.fixture
def pool(new_pooler):
    def make(**settings):
        return own_section(new_pooler(dict({"default_pool_size": 2, "worker_threads": 1}, **settings), start=False))

    return make


@pytest.mark.parametrize("make,reason,kind,end", MAKERS, ids=BY_NAME)
def test_a_pin_is_told_and_shown(pool, make, reason, kind, end):
    """One NOTICE with a HINT, a line of SHOW PINS with the kind of statement and nothing of its text, a count; all gone when it's over."""
    p = pool()
    c = p.connect()
    got = answers(c, make)
    assert got[-1].kind == "Z"
    notice = c.recv()
    assert (notice.kind, notice.severity, notice.sqlstate) == ("N", "NOTICE", "00000")
    assert "keeps a server connection" in notice.text and notice.fields["D"] and notice.fields["H"]
    assert c.query("select 1") == [["1"]] and not c.readable(0.1)  # once
    rows = p.ask("show pins")
    assert [(r["database"], r["user"], r["reasons"], r["statement"]) for r in rows] == [("test", "app", reason, kind)]
    assert rows[0]["server_pid"] == int(c.value("select pg_backend_pid()")) and rows[0]["seconds"] < 60
    assert {r["reason"]: (r["pinned"], r["total"]) for r in p.ask("show pin_counts")}[reason] == (1, 1)
    c.query(end)
    wait_until(lambda: p.ask("show pins") == [], what="the pin is gone")
    assert {r["reason"]: (r["pinned"], r["total"]) for r in p.ask("show pin_counts")}[reason] == (0, 1)


def test_no_notice_if_not_wanted(pool):
    p = pool(pin_notice=0)
    c = p.connect()
    c.query("create temp table quiet (i int)")
    wait_until(lambda: len(p.ask("show pins")) == 1, what="the pin")
    assert not c.readable(0.1)


@pytest.mark.parametrize("how", [answers, extended])
@pytest.mark.parametrize("make,reason,kind,end", MAKERS, ids=BY_NAME)
def test_session_features_error(pool, make, reason, kind, end, how):
    """Refused before it runs, with a SQLSTATE, a DETAIL and a HINT; in a transaction that fails as by any error. What ends them may run."""
    p = pool(session_features="error")
    c = p.connect()
    if ";" in make:
        make = "declare pins cursor with hold for select 1"
    got = how(c, make)
    e = [m for m in got if m.kind == "E"]
    assert [(m.sqlstate, m.severity) for m in e] == [("0A000", "ERROR")] and e[0].fields["D"] and e[0].fields["H"]
    assert got[-1].body == b"I"
    assert p.ask("show pins") == []
    c.query("begin")
    got = how(c, make)
    assert [m.sqlstate for m in got if m.kind == "E"] == ["0A000"] and got[-1].body == b"E"
    assert [m.sqlstate for m in answers(c, "select 1") if m.kind == "E"] == ["25P02"]
    c.query("rollback")
    assert [m.sqlstate for m in how(c, end) if m.kind == "E"] != ["0A000"]
    assert c.query("select pg_advisory_xact_lock(4721), 2") == [["", "2"]]


def test_session_features_of_a_database(new_pooler):
    p = new_pooler({"default_pool_size": 2}, start=False)
    p.databases = {"strict": p.server_address() + " dbname=test session_features=error", "*": p.server_address()}
    p.write()
    p = own_section(p)
    assert [m.sqlstate for m in answers(p.connect(database="strict"), "listen x") if m.kind == "E"] == ["0A000"]
    assert [m.sqlstate for m in answers(p.connect(), "listen x") if m.kind == "E"] == []


@pytest.mark.parametrize("how", [answers, extended])
def test_SS_13_max_pinned(pool, how):
    """SS-13: auto, which is one of two. The statement is refused; what isn't going to pin is served, and a pin that ends makes room."""
    p = pool()
    c, d = p.connect(), p.connect()
    c.query("select pg_advisory_lock(4722)")
    wait_until(lambda: len(p.ask("show pins")) == 1, what="the pin")
    got = how(d, "create temp table too_many (i int)")
    e = [m for m in got if m.kind == "E"]
    assert [m.sqlstate for m in e] == ["53400"] and "max_pinned" in e[0].text and e[0].fields["D"].startswith("1 of") and e[0].fields["H"]
    assert d.query("select 1") == [["1"]]
    c.query("create temp table more (i int)")  # it has its server anyway
    c.query("discard all")
    wait_until(lambda: p.ask("show pins") == [], what="the pin is gone")
    assert not [m for m in how(d, "create temp table too_many (i int)") if m.kind == "E"]


def test_SS_13_pin_idle_timeout(pool):
    """SS-13: A frozen client that keeps a server is ended, and told why."""
    p = pool(pin_idle_timeout=0.3, pin_notice=0)
    c, d = p.connect(), p.connect()
    c.query("create temp table frozen (i int)")
    m = c.recv()
    assert (m.severity, m.sqlstate) == ("FATAL", "57P05") and "temporary" in m.fields["D"] and m.fields["H"]
    c.expect_close()
    assert d.query("select 1") == [["1"]]


def test_load_pins_for_good(pool, postgres):
    """Nothing unloads a library: its server goes with its client, and nobody else gets it."""
    p = pool(max_pinned=2)
    c, d = p.connect(), p.connect()
    c.query("load 'auto_explain'")
    assert c.recv().kind == "N"
    pid = c.value("select pg_backend_pid()")
    c.query("discard all")
    assert c.value("select pg_backend_pid()") == pid
    assert [r["reasons"] for r in p.ask("show pins")] == ["load"]
    c.close()
    wait_until(lambda: pid not in [str(s["pid"]) for s in postgres.sessions()], what="its server is closed")
    assert d.value("select count(*) from pg_settings where name like 'auto_explain.%'") == "0"


def test_large_object_descriptors_pin_nothing(via):
    """They end with their transaction."""
    via.run('''
        c1: Q("begin; select lo_create(47001)") → C(BEGIN) T D(47001) C Z(T)
        c1: Q("select lo_open(47001, 131072)") → T D(0) C Z(T)
        c1: Q("select lowrite(0, 'abc')")  → T D(3) C Z(T)
        c1: Q("commit")            → C(COMMIT) Z(I)
        c2: Q("select convert_from(lo_get(47001), 'UTF8')") → T D(abc) C Z(I)
        c1: Q("select loread(0, 3)") → T E[42704] Z(I)
        c1: Q("select lo_unlink(47001)") → T D(1) C Z(I)
    ''')


# ---- sequences ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sequences(postgres):
    postgres.sql("drop table if exists seq_a, seq_b", "create table seq_a (id serial, x int)", "create table seq_b (id int generated always as identity)",
                 database="test")


@pytest.mark.parametrize("how", [answers, extended])
def test_lastval_is_never_another_clients(pool, sequences, how):
    """55000 as in a fresh session, or one's own value; after the first 55000 the client is pinned and its INSERT and lastval agree."""
    p = pool(max_pinned=2)
    c, d = p.connect(), p.connect()
    c.query("insert into seq_a (x) values (1)")
    assert [m.sqlstate for m in how(d, "select lastval()") if m.kind == "E"] == ["55000"]
    wait_until(lambda: [r["reasons"] for r in p.ask("show pins")] == ["sequence"], what="d is pinned")
    for i in range(3):
        c.query("insert into seq_a (x) values (1)")
        d.query("insert into seq_a (x) values (2)")
        c.query("insert into seq_b default values")
        mine = d.value("select max(id) from seq_a where x = 2")
        assert [m.row for m in how(d, "select lastval(), currval('seq_a_id_seq')") if m.kind == "D"] == [[mine, mine]]
        assert [m.sqlstate for m in how(d, "select currval('seq_b_id_seq')") if m.kind == "E"] == ["55000"]
    d.query("discard sequences")
    wait_until(lambda: p.ask("show pins") == [], what="d isn't pinned any more")


def test_lastval_on_the_server_of_the_last_transaction(pool, sequences):
    """Nobody has used it since: the value is there. In a transaction it always is."""
    p = pool(max_pinned=2)
    c, d = p.connect(), p.connect()
    c.query("begin; insert into seq_a (x) values (1)")
    assert c.value("select lastval()") == c.value("select max(id) from seq_a")
    c.query("commit")
    for _ in range(5):
        c.query("insert into seq_a (x) values (3)")
        assert c.value("select lastval()") == c.value("select max(id) from seq_a where x = 3")
        d.query("select 1")
    assert p.ask("show pins") == []


# ---- what the text doesn't show ---------------------------------------------------------------------------------------------


@pytest.fixture
def hidden(postgres):
    postgres.sql("create or replace function hidden_set(v text) returns text language plpgsql as"
                 " $$ begin perform set_config('app.hidden', v, false); perform set_config('work_mem', '3MB', false); return v; end $$",
                 "create or replace procedure hidden_call(v text) language plpgsql as $$ begin perform hidden_set(v); end $$", database="test")


def seen(c):
    return c.query("select current_setting('work_mem'), coalesce(current_setting('app.hidden', true), '')")[0]


@pytest.mark.parametrize("settings,statement", [
    ({"suspect_functions": "other, public.Hidden_Set"}, "select hidden_set('a')"), ({"session_probe": "always"}, "select hidden_set('a')"),
    ({}, "call hidden_call('a')"), ({}, "do $$ begin perform hidden_set('a'); end $$"),
], ids=["suspect_functions", "always", "call", "do"])
def test_hidden_settings(pool, hidden, settings, statement):
    """Settings follow; custom ones of names that nobody has seen are taken back before the next client has the server."""
    p = pool(default_pool_size=1, **settings)
    c, d = p.connect(), p.connect()
    c.query(statement)
    assert seen(d) == ["4MB", ""]
    assert seen(c)[0] == "3MB"
    assert seen(d) == ["4MB", ""]


def test_connect_query_holds_after_hidden_settings(new_pooler, hidden):
    """Taking back what nobody knows takes back what connect_query has set: it is set again."""
    p = new_pooler({"default_pool_size": 1}, start=False)
    p.databases = {"test": p.server_address() + " connect_query='set lock_timeout = 1234'"}
    p.write()
    p = own_section(p)
    c, d = p.connect(), p.connect()
    for _ in range(2):
        c.query("call hidden_call('a')")
        assert (d.value("show lock_timeout"), *seen(d)) == ("1234ms", "4MB", "")


def test_session_probe_off(pool, hidden):
    """Nothing is asked and nothing kept: the server is cleaned after each such transaction."""
    p = pool(default_pool_size=1, session_probe="off")
    c, d = p.connect(), p.connect()
    for statement in ("set work_mem = '3MB'", "set app.hidden = 'x'", "create temp table off_t (i int)", "select pg_advisory_lock(4723)", "listen off_c"):
        c.query(statement)
        assert seen(d) == seen(c) == ["4MB", ""]
        assert d.value("select (select count(*) from pg_class where relname = 'off_t') + (select count(*) from pg_listening_channels()) +"
                       " (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())") == "0"
    assert p.ask("show pins") == []


# ---- what it costs ------------------------------------------------------------------------------------------------------------


KINDS = [("probe", b"pg_settings"), ("ask", b"pg_catalog.current_setting"), ("set", b"pg_catalog.set_config("), ("undo", b"RESET")]


@pytest.fixture
def counted(new_pooler):
    """counted(settings) -> (pooler, kinds): what its one server has been sent, by kind; a client's own statements as they are."""
    servers, sent = [], []

    def script(c):
        c.login()
        while True:
            m = c.recv()
            if m is None or m.kind == "X":
                return
            if m.kind == "Q":
                kind = [k for k, part in KINDS if part in m.body]
                sent.append(kind[0] if kind else m.body[:-1].decode())
                c.send(data_row("work_mem", "9MB") * (kind == ["ask"]) + complete("OK") + ready())

    def make(**settings):
        server = ScriptedServer(script)
        servers.append(server)
        return own_section(new_pooler(settings, server=server, start=False)), sent

    yield make
    for server in servers:
        server.stop()
    for server in servers:
        assert not server.errors, server.errors


def test_equal_settings_cost_no_message(counted):
    """Nothing but the clients' own statements, whoever has the server; the values of a startup packet are set once."""
    p, sent = counted()
    clients = [p.connect() for _ in range(3)]
    for _ in range(2):
        for c in clients:
            c.query("select 1")
    assert sent == ["select 1"] * 6
    del sent[:]
    clients = [p.connect(params={"options": "-c work_mem=5MB", "application_name": "same"}) for _ in range(3)]
    for _ in range(2):
        for c in clients:
            c.query("select 1")
    assert sent == ["set"] + ["select 1"] * 6


def test_other_settings_cost_one_message(counted):
    """One in front of the first statement whenever the server changes hands, however many settings differ; none while it doesn't."""
    p, sent = counted()
    c = p.connect(params={"options": "-c work_mem=5MB -c lock_timeout=3s -c search_path=a,b"})
    d = p.connect(params={"options": "-c work_mem=6MB"})
    del sent[:]
    for client in (c, c, d, d, c):
        client.query("select 1")
    assert sent == ["set", "select 1", "select 1", "set", "select 1", "select 1", "set", "select 1"]
    plain = p.connect()
    del sent[:]
    plain.query("select 1")
    assert sent == ["undo", "select 1"]


@pytest.mark.parametrize("statement,asks", [
    ("set work_mem = '9MB'", "ask"), ("SET SESSION work_mem TO 9", "ask"), ("set work_mem = default", "probe"), ("reset work_mem", "probe"),
    ("set role x", "probe"), ("set work_mem = 1; set lock_timeout = 2", "probe"), ("select set_config('work_mem', '9MB', false)", "probe"),
    ("listen x", "probe"), ("create temp table x ()", "probe"), ("set local work_mem = 3", None), ("select set_config('a', 'b', true)", None),
    ("select 1", None), ("begin", None), ("select pg_advisory_xact_lock(1)", None),
])
def test_what_is_asked_after_a_statement(counted, statement, asks):
    """Once, behind the answer, and only for the one setting where its name is all that can have changed."""
    p, sent = counted()
    c = p.connect()
    c.query(statement)
    wait_until(lambda: len(sent) > bool(asks), what="the question")
    c.query("select 2")
    assert sent == [statement] + [asks] * bool(asks) + ["select 2"]


@pytest.mark.parametrize("threads", [1, 2])
def test_max_pinned_waits_for_a_pin_that_is_about_to_end(new_pooler, threads):
    """Whoever has heard that another gave up its lock may take one, although pgweir is still asking the server whether that is so."""
    p = own_section(new_pooler({"default_pool_size": 3, "max_pinned": 1, "worker_threads": threads}, start=False))
    a, b = p.connect(), p.connect()
    for client in (a, b):
        client.query("select 1")
    for _ in range(50):
        for client in (a, b):
            client.send(query("select pg_advisory_lock(7)"))
            assert not [m.sqlstate for m in client.recv_until("Z") if m.kind == "E"]
            client.query("select pg_advisory_unlock(7)")

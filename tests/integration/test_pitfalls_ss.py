"""SS: session state. What a client sets follows it over every server; what can't follow pins the server; nobody inherits anything.

Two servers and more clients than that, so that servers change hands all the time.
"""
import pytest
import wire
from test_review import own_section
from wire import LoginFailed, QueryFailed, query, wait_until


@pytest.fixture
def pool_of_two(new_pooler):
    return own_section(new_pooler({"default_pool_size": 2, "worker_threads": 1, "max_pinned": 2}, start=False))


@pytest.fixture
def pool_of_workers(new_pooler):
    return own_section(new_pooler({"default_pool_size": 2, "worker_threads": 3}, start=False))


def sqlstates(c, sql):
    c.send(query(sql))
    return [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"]


SETTINGS = [
    ("set work_mem = '7MB'", "show work_mem", "7MB"),
    ("set search_path = pg_catalog, public", "show search_path", "pg_catalog, public"),
    ("set application_name = 'it''s \\'", "show application_name", "it's \\"),
    ("set time zone 'Asia/Tokyo'", "show timezone", "Asia/Tokyo"),
    ("set session characteristics as transaction read only", "show default_transaction_read_only", "on"),
    ("select set_config('lock_timeout', '5s', false)", "show lock_timeout", "5s"),
    ("do $$ begin perform set_config('statement_timeout', '77s', false); end $$", "show statement_timeout", "77s"),
    ("set app.user_id = '42'", "select current_setting('app.user_id', true)", "42"),
    ("begin; set datestyle = 'German'; commit", "show datestyle", "German, DMY"),
]


@pytest.mark.parametrize("statement,look,value", SETTINGS, ids=lambda v: None if not isinstance(v, str) else v[:20])
def test_SS_01_SS_02_settings_follow_their_client(pool_of_two, statement, look, value):
    """SS-01, SS-02: One client sets it; it keeps it on every server, and the others keep theirs."""
    p = pool_of_two
    clients = [p.connect() for _ in range(5)]
    plain = clients[1].value(look) or ""
    clients[0].query(statement)
    for _ in range(4):
        for i, c in enumerate(clients):
            assert (c.value(look) or "") == (value if i == 0 else plain), "client %d" % i
            if i == 1:
                c.query("begin")  # holds its server, so that the others get the other one
        clients[1].query("commit")


def test_SS_02_on_several_workers(pool_of_workers):
    """SS-02: The same where servers move between workers."""
    p = pool_of_workers
    clients = [p.connect(params={"options": "-c statement_timeout=%d" % (1000 + i)}) for i in range(9)]
    for i, c in enumerate(clients):
        c.query("set work_mem = '%dkB'" % (1024 + i))
    for _ in range(5):
        for i, c in enumerate(clients):
            assert c.value("select setting from pg_settings where name = 'work_mem'") == str(1024 + i)
            assert c.value("select setting from pg_settings where name = 'statement_timeout'") == str(1000 + i)


def test_SS_03_role(pool_of_two, postgres):
    """SS-03: SET ROLE: nobody else runs a statement as that role, and RESET ROLE leads back."""
    p = pool_of_two
    postgres.sql("drop role if exists ss03")
    postgres.sql("create role ss03")
    postgres.sql("grant ss03 to app")
    try:
        clients = [p.connect() for _ in range(4)]
        clients[0].query("set role ss03")
        for _ in range(3):
            assert [c.value("select current_user") for c in clients] == ["ss03", "app", "app", "app"]
        clients[0].query("reset role")
        assert [c.value("select current_user") for c in clients] == ["app"] * 4
    finally:
        p.end()
        postgres.sql("drop role ss03")


@pytest.mark.parametrize("reset", ["reset all", "discard all", "reset statement_timeout"])
def test_SS_05_reset_leads_back_to_startup(pool_of_two, reset):
    """SS-05: To what the client sent at startup, not to the server's own value."""
    p = pool_of_two
    c, other = p.connect(params={"options": "-c statement_timeout=4321"}), p.connect()
    c.query("set statement_timeout = 1000")
    assert (c.value("show statement_timeout"), other.value("show statement_timeout")) == ("1s", "0")
    c.query(reset)
    for _ in range(3):
        assert (c.value("show statement_timeout"), other.value("show statement_timeout")) == ("4321ms", "0")


WRONG = [("-c work_mem=nonsense", "22023"), ("-c no_such_thing=1", "42704"), ("-c role=nobody_there", "22023"), ("-c port=1", "55P02")]


@pytest.mark.parametrize("options,sqlstate", WRONG)
def test_SS_06_refused_at_login(pool_of_two, options, sqlstate):
    """SS-06: A wrong value in options fails at login, as directly, where a server is at hand; nobody else is concerned."""
    p = pool_of_two
    for _ in range(2):  # on a cold pool, too
        with pytest.raises(LoginFailed) as e:
            p.connect(params={"options": options})
        assert e.value.sqlstate == sqlstate and e.value.error.severity == "FATAL"
    assert p.connect(params={"options": "-c work_mem=5MB"}).value("show work_mem") == "5MB"
    assert p.connect().query("select 1") == [["1"]]


def test_SS_06_refused_at_first_use(pool_of_two):
    """SS-06: With no server at hand nobody waits for it: it's an error at each use, of that client's alone."""
    p = pool_of_two
    holders = [p.connect(), p.connect()]
    for h in holders:
        h.query("begin")
    c = p.connect(params={"options": "-c work_mem=nonsense"})
    for h in holders:
        h.query("commit")
    for _ in range(2):
        with pytest.raises(QueryFailed) as e:
            c.query("select 1")
        assert e.value.sqlstate == "22023"
    assert p.connect().query("select 1") == [["1"]]


def test_SS_07_local_and_rolled_back(pool_of_two):
    """SS-07: SET LOCAL, and a SET that was rolled back, are gone at the transaction's end."""
    p = pool_of_two
    c = p.connect()
    c.query("begin; set local work_mem = '9MB'; set lock_timeout = '9s'")
    assert c.value("show work_mem") == "9MB"
    c.query("rollback")
    assert (c.value("show work_mem"), c.value("show lock_timeout")) == ("4MB", "0")


HARMFUL = [
    ("set session characteristics as transaction read only", "create table if not exists ss08 (i int)"),
    ("set session characteristics as transaction isolation level serializable", "show transaction isolation level"),
    ("set client_encoding = 'LATIN1'", "select octet_length('\u00e4'), '\u00e4'"),
    ("set standard_conforming_strings = off", "select 'a\\\\b', length('\\\\')"),
    ("set default_transaction_deferrable = on", "show transaction_deferrable"),
]


@pytest.mark.parametrize("statement,look", HARMFUL, ids=[s.split("=")[0].split()[-1] + str(i) for i, (s, _) in enumerate(HARMFUL)])
def test_SS_08_settings_that_would_hurt_others(pool_of_two, postgres, statement, look):
    """SS-08: Read-only transactions, another encoding, other strings: for whom asked for them, and for nobody else."""
    p = pool_of_two

    def outcome(c):
        c.send(query(look))
        return [(m.kind, m.sqlstate if m.kind == "E" else m.body) for m in c.recv_until("Z") if m.kind in "ED"]

    clients = [p.connect() for _ in range(4)]
    plain = outcome(clients[1])
    direct = wire.Client(postgres.host, postgres.port).login("app", "test")
    direct.query(statement)
    own = outcome(direct)
    clients[0].query(statement)
    for _ in range(3):
        for i, c in enumerate(clients):
            assert outcome(c) == (own if i == 0 else plain), "client %d" % i
    postgres.sql("drop table if exists ss08", database="test")


def test_SS_12_server_default_changes(pool_of_two, postgres):
    """SS-12: postgresql.conf is read anew: that's the new default of all who set nothing, and no wish of anybody's."""
    p = pool_of_two
    plain, own = p.connect(), p.connect()
    own.query("set timezone = 'Asia/Tokyo'")
    assert plain.value("show timezone") == "UTC"
    postgres.sql("alter system set timezone = 'Europe/Rome'", "select pg_reload_conf()")
    try:
        wait_until(lambda: {plain.value("show timezone") for _ in range(4)} == {"Europe/Rome"}, what="the new default")
        assert own.value("show timezone") == "Asia/Tokyo"
        own.query("reset timezone")
        assert own.value("show timezone") == "Europe/Rome"
        assert wait_until(lambda: p.connect().value("show timezone") == "Europe/Rome", what="the new default")
    finally:
        postgres.sql("alter system reset timezone", "select pg_reload_conf()")
    wait_until(lambda: {plain.value("show timezone") for _ in range(4)} == {"UTC"}, what="the old default")
    assert own.value("show timezone") == "UTC"


PINS = [
    ("create temp table ss10 (i int)", "insert into ss10 values (1) returning i", "1", "drop table ss10"),
    ("select pg_advisory_lock(4712)", "select pg_try_advisory_lock(4712)", "t", "select pg_advisory_unlock_all()"),
    ("prepare ss20 as select 20", "execute ss20", "20", "deallocate ss20"),
    ("begin; declare ss10 cursor with hold for select 10; commit", "fetch ss10", "10", "close ss10"),
    ("listen ss09", "select pg_listening_channels()", "ss09", "unlisten *"),
]


def both_servers(clients):
    """Their pids: one is held while the other is looked at."""
    clients[0].query("begin")
    pids = [c.value("select pg_backend_pid()") for c in clients[:2]]
    clients[0].query("commit")
    return pids


@pytest.mark.parametrize("make,use,value,end", PINS, ids=["temp", "advisory", "prepare", "cursor", "listen"])
def test_SS_09_SS_10_SS_11_pins(pool_of_two, make, use, value, end):
    """SS-09, SS-10, SS-11: What lives in one server only keeps it for its client, until it is gone; others never see it."""
    p = pool_of_two
    c, others = p.connect(), [p.connect() for _ in range(3)]
    c.query(make)
    pid = c.value("select pg_backend_pid()")
    for other in others:
        assert other.value("select pg_backend_pid()") != pid
    assert c.value(use) == value
    c.query(end)
    wait_until(lambda: pid in both_servers(others), what="the pin's server is free")


@pytest.mark.parametrize("make,use,value,end", PINS, ids=["temp", "advisory", "prepare", "cursor", "listen"])
def test_SS_10_client_leaves_its_pin(pool_of_two, make, use, value, end):
    """SS-10: It leaves without cleaning up: its server comes back clean."""
    p = pool_of_two
    c, d = p.connect(), p.connect()
    c.query(make)
    c.close()
    d.query("begin")  # both servers are looked at
    e = p.connect()
    for client in (d, e):
        assert client.value("select (select count(*) from pg_listening_channels()) + (select count(*) from pg_cursors) +"
                            " (select count(*) from pg_prepared_statements where from_sql) +"
                            " (select count(*) from pg_class where relnamespace = pg_my_temp_schema()) +"
                            " (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())") == "0"
    d.query("commit")


def test_SS_11_failed_try_lock_pins_nothing(pool_of_two):
    """SS-11: Nothing was taken, so there's nothing to keep."""
    p = pool_of_two
    c, d, e = p.connect(), p.connect(), p.connect()
    c.query("select pg_advisory_lock(4713)")
    assert d.value("select pg_try_advisory_lock(4713)") == "f"
    assert e.query("select 1") == [["1"]] and d.query("select 2") == [["2"]]
    c.query("select pg_advisory_unlock(4713)")


def test_SS_04_a_timeout_too_short_for_any_question(pool_of_two):
    """SS-04: Of a millisecond: what the session has become is found out all the same, and nobody else has it."""
    p = pool_of_two
    c, d = p.connect(), p.connect()
    c.query("set statement_timeout = '1ms'")
    c.query("set work_mem = '8MB'")
    for _ in range(5):
        d.query("begin; select pg_sleep(0.02)")
        assert [d.value("show statement_timeout"), d.value("show work_mem")] == ["0", "4MB"]
        assert sqlstates(c, "select pg_sleep(1)") == ["57014"]
        d.query("commit")
    wait_until(lambda: not sqlstates(c, "set statement_timeout = '30s'"), what="a statement that takes less than a millisecond")
    assert [c.value("show statement_timeout"), c.value("show work_mem")] == ["30s", "8MB"]


def test_SS_02_server_reset_query_of_another_kind(new_pooler):
    """SS-02: What it has done is unknown: the server is brought into line from scratch."""
    p = own_section(new_pooler({"default_pool_size": 1, "server_reset_query": "set work_mem = '5MB'; reset search_path"}, start=False))
    c, d = p.connect(), p.connect(params={"options": "-c lock_timeout=7s"})
    c.query("set work_mem = '6MB'; set search_path = pg_catalog; set role trust_user")
    c.send(query("select set_config('app.x', 'leak', false), pg_sleep(3)"))
    c.close()
    looks = ("show work_mem", "show search_path", "select coalesce(current_setting('app.x', true), '')", "show role", "show lock_timeout")
    assert [d.value(look) for look in looks] == ["4MB", '"$user", public', "", "none", "7s"]

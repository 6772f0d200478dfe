"""AD: the console."""
import re
import threading

import psycopg2
import pytest
import wire
from wire import LoginFailed, QueryFailed, wait_until

T, I, N = 25, 23, 1700
CLIENTS = ("type:t user:t database:t replication:t state:t addr:t port:i local_addr:t local_port:i connect_time:t request_time:t wait:i wait_us:i "
           "close_needed:i ptr:t link:t remote_pid:i tls:t application_name:t prepared_statements:i id:i")
STATS = ["server_assignment_count", "xact_count", "query_count", "received", "sent", "xact_time", "query_time", "wait_time",
         "client_parse_count", "server_parse_count", "bind_count"]
VIEWS = {
    "POOLS": "database:t user:t cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active:i sv_active_cancel:i "
             "sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode:t load_balance_hosts:t",
    "CLIENTS": CLIENTS, "SERVERS": CLIENTS,
    "DATABASES": "name:t host:t port:i database:t force_user:t pool_size:i min_pool_size:i reserve_pool_size:i server_lifetime:i pool_mode:t "
                 "load_balance_hosts:t max_connections:i current_connections:i max_client_connections:i current_client_connections:i paused:i disabled:i",
    "LISTS": "list:t items:i",
    "CONFIG": "key:t value:t default:t changeable:t",
    "VERSION": "version:t",
    "STATS": "database:t " + " ".join("total_%s:n" % s for s in STATS) + " " +
             " ".join("avg_%s:n" % {"received": "recv"}.get(s, s) for s in STATS),
}


@pytest.fixture
def console(new_pooler):
    return new_pooler({"worker_threads": 2, "default_pool_size": 2, "max_client_conn": 50})


def raw_console(p, user="admin", **kw):
    return p.raw().login(user, p.console_database, **kw)


@pytest.mark.parametrize("view", VIEWS)
def test_AD_columns_are_pgbouncers(console, view):
    """Names, order, count and types of the columns are an API."""
    c = console.connect()
    c.query("begin")
    db = console.console()
    cur = db.cursor()
    cur.execute("SHOW " + view)
    got = [(d.name, d.type_code) for d in cur.description]
    want = [(n.split(":")[0], {"t": T, "i": I, "n": N}[n.split(":")[1]]) for n in VIEWS[view].split()]
    assert got == want
    rows = cur.fetchall()
    assert rows and all(len(r) == len(want) for r in rows)
    c.query("commit")
    db.close()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("spelling", ["show {v}", "SHOW {v};", "  Show  {v} ; ", "SELECT {v}"])
def test_AD_spellings(console, view, spelling):
    """Case, blanks and the semicolon don't matter; SELECT is SHOW."""
    if "SELECT" in spelling and view not in ("POOLS", "VERSION"):
        pytest.skip("two will do")
    c = raw_console(console)
    c.send(wire.query(spelling.replace("{v}", view.lower() if spelling.startswith("show") else view)))
    got = c.recv_until("Z")
    assert got[0].kind == "T" and got[-2].tag == "SHOW" and got[-1].body == b"I"


def test_AD_show_help_and_version(console):
    """HELP is a notice with a DETAIL, VERSION has three numbers in it."""
    c = raw_console(console)
    c.send(wire.query("SHOW HELP"))
    got = c.recv_until("Z")
    n = [m for m in got if m.kind == "N"]
    assert n and n[0].fields["M"] == "Console usage" and "SHOW" in n[0].fields["D"] and got[-2].tag == "SHOW"
    assert re.search(r"\d+\.\d+\.\d+", c.query("SHOW VERSION")[0][0])
    assert re.search(r"\d+\.\d+", c.parameters["server_version"])


@pytest.mark.parametrize("database", ["pgweir", "pgbouncer"])
def test_AD_both_names(console, database):
    """The console is database pgweir, and pgbouncer for tools."""
    c = console.raw().login("admin", database)
    assert c.query("SHOW VERSION")


def test_AD_pools_count_what_happens(console):
    """SHOW POOLS, CLIENTS, SERVERS and LISTS say what is going on."""
    clients = [console.connect(params={"application_name": "ad pools"}) for _ in range(4)]
    for c in clients[:2]:
        c.query("begin")
    clients[2].send(wire.query("select 1"))
    wait_until(lambda: console.column("cl_waiting") == 1)
    pool = console.pool()
    assert (pool["sv_active"], pool["cl_waiting"], pool["pool_mode"]) == (2, 1, "transaction")
    assert pool["cl_active"] in (2, 3)  # PgBouncer counts idle clients as active
    rows = [r for r in console.ask("SHOW CLIENTS") if r["application_name"] == "ad pools"]
    assert len(rows) == 4 and {r["type"] for r in rows} == {"C"} and sum(r["state"] == "waiting" for r in rows) == 1
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", r["connect_time"]) for r in rows)
    servers = [r for r in console.ask("SHOW SERVERS") if r["database"] == "test" and r["state"] == "active"]
    assert len(servers) == 2 and all(r["remote_pid"] > 0 and r["link"] for r in servers)
    links = {r["link"] for r in servers}
    assert links <= {r["ptr"] for r in rows}
    lists = {r["list"]: r["items"] for r in console.ask("SHOW LISTS")}
    assert {"databases", "users", "pools", "free_clients", "used_clients", "login_clients", "free_servers", "used_servers", "dns_names"} <= set(lists)
    assert lists["used_clients"] >= 4 and lists["used_servers"] >= 2
    for c in clients[:2]:
        c.query("commit")
    clients[2].recv_until("Z")
    for c in clients:
        c.close()
    console.wait_rest()


def test_AD_05_counters(new_pooler):
    """AD-05: Counters count, never go back, and no time is since 1970."""
    p = new_pooler({"stats_period": 1})
    c = p.connect()

    def stats():
        return [r for r in p.ask("SHOW STATS") if r["database"] == "test"][0]
    c.query("select 1")
    before = stats()
    for _ in range(10):
        c.query("select 1")
    c.query("begin"), c.query("select 1"), c.query("commit")
    c.send((wire.parse("", "select 1") + wire.bind() + wire.execute() + wire.SYNC) * 5)
    for _ in range(5):
        c.recv_until("Z")
    after = wait_until(lambda: (lambda s: s if s["total_query_count"] - before["total_query_count"] >= 18 else None)(stats()))
    assert after["total_query_count"] - before["total_query_count"] == 18
    assert after["total_xact_count"] - before["total_xact_count"] == 16
    assert after["total_client_parse_count"] - before["total_client_parse_count"] == 5
    assert after["total_bind_count"] - before["total_bind_count"] == 5
    assert after["total_sent"] > before["total_sent"] and after["total_received"] > before["total_received"]
    assert 0 <= after["total_query_time"] < 60e6 * wire.SLOW and 0 <= after["total_wait_time"] < 60e6 * wire.SLOW
    for row in p.ask("SHOW STATS"):
        assert all(v is None or v == row["database"] or 0 <= v < 1e15 for v in row.values())
    for row in p.ask("SHOW CLIENTS") + p.ask("SHOW SERVERS"):
        assert 0 <= row["wait"] < 600 and 0 <= row["wait_us"] < 1000000


def test_AD_01_extended_protocol(console):
    """AD-01: Parse, Bind, Describe, Execute on the console answer like a simple Query does."""
    c = raw_console(console)
    c.send(wire.parse("", "SHOW POOLS") + wire.describe("S") + wire.bind() + wire.describe("P") + wire.execute() + wire.SYNC)
    got = c.recv_until("Z")
    kinds = "".join(m.kind for m in got)
    assert re.fullmatch("1tT2TD*CZ", kinds), kinds
    c.send(wire.parse("s", "SHOW VERSION") + wire.SYNC + (wire.bind("s") + wire.execute() + wire.SYNC) * 2)
    assert [[m.kind for m in c.recv_until("Z")] for _ in range(3)] == [["1", "Z"], ["2", "D", "C", "Z"], ["2", "D", "C", "Z"]]
    c.send(wire.parse("", "SHOW NONSENSE") + wire.bind() + wire.execute() + wire.SYNC + wire.query("SHOW VERSION"))
    got = c.recv_until("Z")
    assert [m.kind for m in got if m.kind not in "12"] == ["E", "Z"] and got[-2].severity == "ERROR"
    assert c.recv_until("Z")[0].kind == "T"
    c.send(wire.bind("unknown") + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["E", "Z"]
    c.send(wire.FLUSH + wire.close("S", "s") + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["3", "Z"]
    c.send(wire.function_call(177, ["1", "2"]) + wire.query("SHOW VERSION"))
    got = c.recv_until("Z")
    assert got[0].kind == "E" and got[0].severity == "ERROR"
    assert c.recv_until("Z")[0].kind == "T"


@pytest.mark.parametrize("name", ["client_encoding", "default_transaction_isolation", "standard_conforming_strings", "datestyle", "timezone"])
def test_AD_01_driver_start_up_queries(console, name):
    """AD-01: What drivers ask for first is answered."""
    c = raw_console(console)
    assert len(c.query("SHOW " + name)) == 1
    c.query("SET %s = 'x'" % name) if name not in ("timezone",) else None
    assert c.query("SHOW VERSION")


def test_AD_01_psycopg2_and_startup_parameters(console):
    """AD-01: Drivers' startup parameters and encryption requests don't keep them out."""
    c = console.raw()
    c.send(wire.special(wire.GSSENC_CODE))
    assert c.read_bytes(1) == b"N"
    c.send(wire.special(wire.SSL_CODE))
    assert c.read_bytes(1) == b"N"
    c.login("admin", console.console_database, params={"extra_float_digits": "2", "options": "-c statement_timeout=5s", "client_encoding": "UTF8"})
    assert c.query("SHOW VERSION")
    db = psycopg2.connect(host=console.host, port=console.port, user="admin", dbname="pgbouncer")
    db.autocommit = True
    cur = db.cursor()
    cur.execute("SHOW POOLS")
    assert cur.description
    db.close()


def test_AD_empty_and_wrong_commands(console):
    """Empty statements, unknown commands and malformed ones: an ERROR with 08P01, and the console lives."""
    c = raw_console(console)
    for text in ("", ";"):
        c.send(wire.query(text))
        assert [m.kind for m in c.recv_until("Z")] in (["I", "Z"], ["E", "Z"])
    for text in ("nonsense", "SHOW", "SHOW NOTHING", "KILL_CLIENT", "PAUSE a b c", "SHOW POOLS extra", "SET", "SET x", "SHOW 'a", "select 1 from", "\xff\xfe", "SHOW POOLS; SHOW POOLS", "x" * 100000):
        c.send(wire.query(text))
        got = c.recv_until("Z")
        assert [m.kind for m in got] == ["E", "Z"], (text[:40], [str(m) for m in got][:5])
        assert got[0].severity == "ERROR" and got[0].sqlstate, text[:40]
    assert c.query("SHOW VERSION")


def test_AD_03_who_may_what(console):
    """AD-03: stats_users look and don't touch; others are refused, without a hang."""
    s = raw_console(console, "stats")
    assert s.query("SHOW POOLS") is not None and s.query("SHOW STATS")
    for command in ("PAUSE", "RESUME", "RELOAD", "KILL test", "SHUTDOWN", "SUSPEND", "SET verbose = 1", "DISABLE test", "RECONNECT", "KILL_CLIENT 1"):
        with pytest.raises(QueryFailed) as failed:
            s.query(command)
        assert failed.value.error.severity == "ERROR" and failed.value.sqlstate, command
    for user in ("app", "nobody_at_all"):
        with pytest.raises(LoginFailed):
            raw_console(console, user)
    assert console.is_running() and console.connect().query("select 1") == [["1"]]


def test_AD_03_the_check_does_not_depend_on_the_login_method(new_pooler):
    """AD-03: With passwords, too: an admin needs his password, a user is no admin."""
    p = new_pooler({"auth_type": "scram-sha-256"}, userlist={"admin": "admin secret", "app": "app secret"})
    assert raw_console(p, password="admin secret").query("SHOW VERSION")
    for user, password in (("admin", "wrong"), ("app", "app secret")):
        with pytest.raises(LoginFailed):
            raw_console(p, user, password=password)


def test_AD_04_at_the_client_limit(new_pooler):
    """AD-04: The console works when no client gets in any more."""
    p = new_pooler({"max_client_conn": 2})
    clients = [p.connect() for _ in range(2)]
    with pytest.raises(LoginFailed):
        p.connect()
    assert p.ask("SHOW POOLS")
    assert clients[0].query("select 1") == [["1"]]


@pytest.mark.parametrize("workers", [1, 4])
def test_AD_kill(new_pooler, postgres, workers):
    """KILL drops a database's clients and servers at once; RESUME brings it back."""
    p = new_pooler({"worker_threads": workers, "default_pool_size": 2}, databases={})
    p.databases = {"test": p.server_address()}
    p.reload()
    clients = [p.connect() for _ in range(4)]
    clients[0].query("begin")
    clients[1].query("select 1")
    p.ask("KILL test")
    for c in clients:
        got = c.recv_until("E")
        assert got[-1] is None or got[-1].severity == "FATAL"
    wait_until(lambda: not postgres.sessions(), what="servers closed")
    p.ask("RESUME test")
    assert p.connect().query("select 1") == [["1"]]


def test_AD_set_and_config(new_pooler):
    """SHOW CONFIG has PgBouncer's keys; SET changes what can be changed and refuses the rest."""
    p = new_pooler()
    config = {r["key"]: r for r in p.ask("SHOW CONFIG")}
    for key in ("max_client_conn", "default_pool_size", "pool_mode", "listen_port", "query_wait_timeout", "server_lifetime", "auth_type", "max_user_connections"):
        assert key in config, key
    assert config["default_pool_size"]["value"] == "1" and config["default_pool_size"]["default"] == "20"
    assert config["listen_port"]["changeable"] == "no" and config["default_pool_size"]["changeable"] == "yes"
    assert all(r["changeable"] in ("yes", "no") for r in config.values())


def test_AD_02_show_in_a_storm(new_pooler):
    """AD-02: SHOW of everything while clients come and go and the configuration changes: consistent rows, no crash."""
    p = new_pooler({"worker_threads": 4, "default_pool_size": 3, "max_client_conn": 200})
    stop, errors = threading.Event(), []

    def storm():
        n = 0
        while not stop.is_set():
            n += 1
            try:
                c = p.connect(params={"application_name": "storm"})
                c.query("select 1")
                (c.close, c.fin, c.rst)[n % 3]()
            except (LoginFailed, QueryFailed, OSError):
                pass
            except BaseException as e:
                errors.append(e)
                return
    threads = [threading.Thread(target=storm) for _ in range(6)]
    for t in threads:
        t.start()
    try:
        for turn in range(20):
            for view in VIEWS:
                rows = p.ask("SHOW " + view)
                assert all(None not in (r.get("state"), r.get("database")) for r in rows if "state" in r)
                for r in rows:
                    assert all("\0" not in v for v in r.values() if isinstance(v, str))
            if turn % 4 == 0:
                p.reload()
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not errors, errors

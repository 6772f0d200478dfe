"""Commands of the console: DISABLE, ENABLE, SUSPEND, SET; what they do rather than what they say (test_console_pgbouncer.py)."""
import psycopg2
import pytest
import wire
from wire import SLOW, LoginFailed, wait_until


def state(p):
    return {r["key"]: r["value"] for r in p.ask("SHOW STATE")}


def disabled(p, database="test"):
    return {r["name"]: r["disabled"] for r in p.ask("SHOW DATABASES")}.get(database)


def test_disable_refuses_new_clients_only(new_pooler, postgres):
    """Those that are there go on; new ones are told why, also after a RELOAD; other databases and the console are open; ENABLE ends it."""
    p = new_pooler(databases={n: "host=%s port=%d dbname=test" % (postgres.host, postgres.port) for n in ("test", "other")})
    c = p.connect()
    p.ask("DISABLE test")
    p.reload()
    assert c.query("select 1") == [["1"]] and disabled(p) == 1 and disabled(p, "other") == 0
    with pytest.raises(LoginFailed) as refused:
        p.connect()
    assert refused.value.error.fields["M"] == 'database "test" is disabled' and refused.value.sqlstate == "55000"
    assert refused.value.error.severity == "FATAL"
    assert p.connect(database="other").query("select 1") == [["1"]]
    p.ask("ENABLE test")
    assert disabled(p) == 0 and p.connect().query("select 1") == [["1"]] and c.query("select 1") == [["1"]]


@pytest.mark.parametrize("workers", [1, 3])
def test_suspend_stops_reading_until_resume(new_pooler, workers):
    """What is sent while suspended is answered after RESUME, by clients old and new, in or out of a transaction."""
    p = new_pooler({"worker_threads": workers, "default_pool_size": 5})
    clients = [p.connect() for _ in range(4)]
    clients[0].query("begin")
    p.ask("SUSPEND")
    assert state(p) == {"active": "no", "paused": "no", "suspended": "yes"}
    clients.append(p.connect())
    before = sum(r["total_query_count"] for r in p.ask("SHOW STATS") if r["database"] == "test")
    for c in clients:
        c.send(wire.query("select 7"))
    wait_until(lambda: wire.unsent(clients[-1].sock) == 0)
    assert sum(r["total_query_count"] for r in p.ask("SHOW STATS") if r["database"] == "test") == before
    p.ask("RESUME")
    for c in clients:
        assert c.recv_until("Z")[1].kind == "D"
    assert state(p) == {"active": "yes", "paused": "no", "suspended": "no"}


def test_suspend_waits_for_what_was_sent_and_no_longer_than_its_time(new_pooler):
    """A client that doesn't take its result holds SUSPEND up, and is closed when suspend_timeout is over."""
    p = new_pooler({"suspend_timeout": 0.3})
    slow, other = p.connect(), p.connect()
    slow.send(wire.query("select repeat('x', 1000) from generate_series(1, 100000)"))
    wait_until(lambda: any(r["send_avail"] for r in p.ask("SHOW ACTIVE_SOCKETS") if r["state"] == "cl_active"), what="a backlog")
    p.ask("SUSPEND")
    p.logged("suspend_timeout")
    p.ask("RESUME")
    assert other.query("select 1") == [["1"]]


def test_suspend_is_undone_by_its_cancel(new_pooler):
    """Ctrl-C while it waits: an error, and everything is as before."""
    p = new_pooler({"suspend_timeout": 60 * SLOW})
    slow, other = p.connect(), p.connect()
    slow.send(wire.query("select repeat('x', 1000) from generate_series(1, 100000)"))
    wait_until(lambda: any(r["send_avail"] for r in p.ask("SHOW ACTIVE_SOCKETS") if r["state"] == "cl_active"), what="a backlog")
    c = p.raw().login("admin", p.console_database)
    c.send(wire.query("SUSPEND"))
    wait_until(lambda: state(p)["suspended"] == "yes")
    c.cancel()
    got = c.recv_until("Z")
    assert got[0].sqlstate == "57014" and state(p)["suspended"] == "no"
    slow.rst()
    assert other.query("select 1") == [["1"]]


def test_set_is_until_the_next_reload(new_pooler):
    """SET changes a live setting at once and RELOAD brings the file's back; what can't be changed says so."""
    p = new_pooler({"max_client_conn": 100})

    def value(key):
        return {r["key"]: r["value"] for r in p.ask("SHOW CONFIG")}[key]
    c = p.connect()
    p.ask("SET max_client_conn = 1")
    assert value("max_client_conn") == "1"
    with pytest.raises(LoginFailed):
        p.connect()
    p.reload()
    assert value("max_client_conn") == "100" and p.connect() and c.query("select 1")
    for command, why in (("SET listen_port = 1", "restart"), ("SET nosuch = 1", "nosuch"), ("SET max_client_conn = many", "many")):
        with pytest.raises(psycopg2.Error) as refused:
            p.ask(command)
        assert "SET failed" in str(refused.value) and why in refused.value.diag.message_detail, command
    assert value("listen_port") == str(p.port)


def test_fds_has_no_secret_and_no_listener(new_pooler):
    """SHOW FDS shows whose sockets there are; what would let somebody in is NULL."""
    p = new_pooler()
    c = p.connect(params={"DateStyle": "German"})
    c.query("begin")
    rows = p.ask("SHOW FDS")
    client, server = [next(r for r in rows if r["task"] == t) for t in ("client", "server")]
    assert (client["user"], client["database"], client["client_encoding"]) == ("app", "test", "UTF8")
    assert client["link"] == server["fd"] and server["link"] == client["fd"] and client["datestyle"].startswith("German")
    assert all(r[k] is None for r in rows for k in ("cancel", "password", "scram_client_key", "scram_server_key"))


def test_dns_hosts(new_pooler, postgres):
    """Names that were looked up, those that don't exist, too."""
    p = new_pooler({"server_login_retry": 0.1}, databases={
        "test": "host=localhost port=%d" % postgres.port, "wrong": "host=nosuch.invalid port=1"})
    assert p.ask("SHOW DNS_HOSTS") == []
    p.connect().query("select 1")
    rows = {r["hostname"]: r for r in p.ask("SHOW DNS_HOSTS")}
    assert rows["localhost"]["addrs"] in ("127.0.0.1", "::1") and 0 <= rows["localhost"]["ttl"] <= 15
    assert {r["list"]: r["items"] for r in p.ask("SHOW LISTS")}["dns_names"] == len(rows)

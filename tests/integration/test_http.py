"""The HTTP server: what it answers, to whom, and that nobody who is slow, rude or curious harms anybody else."""
import os
import shutil
import signal
import socket
import subprocess

import psycopg2
import pytest

import secrets_seen as secrets
from postgres import Postgres, free_port
from web import Web, new_web, patience
from wire import is_ready, query, startup, wait_until

TOKEN = "a-token-that-nobody-guesses-0123456789"
secrets.learn(TOKEN, "the token of HTTP")


# ---- who may -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/metrics", "/api.json", "/api/pools.json", "/api/all.json?views=pools", "/nothing"])
def test_all_but_health_and_the_empty_page_need_the_token(new_pooler, path):
    w = new_web(new_pooler, token=TOKEN)
    for token in ("", "x", TOKEN + "x", TOKEN[:-1]):
        status, headers, body = w.request(path, token=token or "-")
        assert status == 401 and headers["www-authenticate"].startswith("Bearer"), body
        assert TOKEN not in body
    w.token = None
    assert w.status(path) == 401
    assert w.status(path, token=TOKEN) == (404 if path == "/nothing" else 200)
    assert [w.status(p) for p in ("/", "/healthz", "/readyz")] == [200] * 3
    w.pooler.logged("http: a wrong token from 127.0.0.1")
    assert TOKEN not in w.pooler.log() and TOKEN not in str(w.pooler.ask("SHOW CONFIG"))


def test_the_token_changes_by_reload_and_by_its_file(new_pooler):
    w = new_web(new_pooler, {"http_token": TOKEN})
    assert w.status("/metrics", token=TOKEN) == 200
    w.pooler.settings["http_token"] = "another-token"
    w.pooler.reload()
    assert w.status("/metrics", token=TOKEN) == 401 and w.status("/metrics", token="another-token") == 200
    path = w.pooler.dir + "/token"
    w.pooler.files["token"] = "from-a-file\r\nrest"
    w.pooler.settings["http_token_file"] = path
    w.pooler.reload()
    assert w.status("/metrics", token="another-token") == 401 and w.status("/metrics", token="from-a-file") == 200
    with open(path + ".new", "w") as f:
        f.write("rotated\n")
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)
    wait_until(lambda: w.status("/metrics", token="rotated") == 200, patience(10), "the new token counts")
    assert w.status("/metrics", token="from-a-file") == 401
    os.unlink(path)
    w.pooler.logged("the old token stays")
    assert w.status("/metrics", token="rotated") == 200
    w.pooler.files = {}
    w.pooler.settings["default_pool_size"] = 7
    with pytest.raises(psycopg2.Error, match="could not read http_token_file"):
        w.pooler.reload()
    assert {"key": "default_pool_size", "value": "1"}.items() <= next(r for r in w.pooler.ask("SHOW CONFIG") if r["key"] == "default_pool_size").items()
    w.pooler.ask("SET http_token_file = ''")
    with pytest.raises(psycopg2.Error, match="a token has up to"):
        w.pooler.ask("SET http_token = 'two words'")


def test_a_token_file_that_cannot_be_read_ends_the_start(new_pooler):
    p = new_pooler({"http_listen": ":%d" % free_port(), "http_token_file": "/nonexistent"}, start=False)
    with pytest.raises(AssertionError, match="could not read http_token_file \"/nonexistent\""):
        p.start()
    p.process = None


def test_without_a_token_only_loopback_is_a_name(new_pooler):
    """A page that the browser on this machine knows by a name of its own would otherwise read all this (DNS rebinding)."""
    w = new_web(new_pooler)
    for host in ("localhost", "localhost:80", "127.0.0.1", "[::1]:9187", "LOCALHOST"):
        assert w.status("/metrics", Host=host) == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.", "10.0.0.1", "[::2]"):
        assert w.status("/metrics", Host=host) == 403


# ---- health --------------------------------------------------------------------------------------------------------

def test_readiness_follows_postgresql_and_the_drain(new_pooler):
    server = Postgres()
    try:
        w = new_web(new_pooler, {"http_unready_after": 1, "server_login_retry": 0.1, "query_wait_timeout": 100}, server=server)
        c = w.pooler.connect()
        assert c.query("select 1")
        assert w.request("/readyz")[2] == "ready\n"
        host = {"host": server.host, "port": str(server.port)}
        assert w.metrics().get("pgweir_host_up", **host) == 1 and w.metrics().get("pgweir_host_servers", **host) == 1
        server.stop()
        c.send(query("select 2"))
        wait_until(lambda: w.status("/readyz") == 503, patience(20), "not ready without PostgreSQL")
        assert w.metrics().get("pgweir_host_up", **host) == 0 and w.metrics().get("pgweir_host_login_failures_total", **host) > 0
        assert "PostgreSQL has been away for" in w.request("/readyz")[2]
        assert w.status("/healthz") == 200 and w.metrics().get("pgweir_ready") == 0
        assert w.metrics().get("pgweir_postgres_away_seconds") > 0
        server.start()
        wait_until(lambda: w.status("/readyz") == 200, patience(20), "ready with PostgreSQL")
        assert w.metrics().get("pgweir_postgres_away_seconds") == 0
        c.close()
        d = w.pooler.connect()
        d.query("begin")
        w.pooler.process.send_signal(signal.SIGINT)
        wait_until(lambda: w.request("/readyz")[::2] == (503, "not ready: draining\n"), what="draining")
        assert w.status("/healthz") == 200
        d.query("commit")
    finally:
        server.destroy()


def test_one_host_that_is_away_does_not_make_it_unready(new_pooler, postgres):
    """Clients of the others are still served."""
    w = new_web(new_pooler, {"http_unready_after": 0.1, "server_login_retry": 0.1}, databases={
        "test": "host=127.0.0.1 port=%d" % postgres.port, "gone": "host=127.0.0.1 port=%d" % free_port()})
    here, gone = w.pooler.connect(), w.pooler.raw()
    here.query("select 1")
    gone.send(startup({"user": "app", "database": "gone"}))
    wait_until(lambda: w.metrics().sum("pgweir_host_up") == 1 and len(w.json("/api/hosts.json")["rows"]) == 2, what="one is away")
    for _ in range(3):
        assert w.status("/readyz") == 200 and w.metrics().get("pgweir_postgres_away_seconds") == 0
        here.query("select 1")
    here.close()
    gone.close()


# ---- metrics -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_metrics_count_what_clients_did(new_pooler, workers):
    w = new_web(new_pooler, {"worker_threads": workers, "default_pool_size": 2})
    before = w.metrics()
    assert before.get("pgweir_build_info", version=before_version(before)) == 1
    a, b = w.pooler.connect(), w.pooler.connect()
    for _ in range(7):
        a.query("select 1")
        b.query("select 1")
    a.query("begin")
    m = w.metrics()
    pool = {"database": "test", "user": "app"}
    assert m.get("pgweir_pool_queries_total", **pool) == 15 and m.get("pgweir_pool_transactions_total", **pool) == 14
    assert m.get("pgweir_pool_clients", state="active", **pool) == 1 and m.get("pgweir_pool_clients", state="idle", **pool) == 1
    assert m.sum("pgweir_pool_servers", **pool) == m.get("pgweir_database_servers", database="test") >= 1
    assert m.get("pgweir_pool_servers_limit", kind="size", **pool) == 2
    assert m.get("pgweir_pool_received_bytes_total", **pool) > 0 and m.get("pgweir_pool_query_seconds_total", **pool) > 0
    assert m.get("pgweir_query_seconds_count", **pool) == 15 and m.get("pgweir_transaction_seconds_count", **pool) == 14
    assert m.get("pgweir_query_seconds_bucket", le="+Inf", **pool) == 15 and 0 < m.get("pgweir_query_seconds_sum", **pool) < 15
    assert m.get("pgweir_wait_seconds_count", **pool) > 0 and m.get("pgweir_server_connect_seconds_count", **pool) >= 1
    assert m.get("pgweir_login_seconds_count", **pool) == 2 and m.get("pgweir_events_total", kind="life") >= 1
    assert m.get("pgweir_clients") == 2 and m.get("pgweir_clients_limit") == 1000
    assert m.sum("pgweir_worker_clients") == 2 and len([s for s in m.samples if s[0] == "pgweir_worker_clients"]) == workers
    assert m.get("process_open_fds") > 5 and m.get("process_resident_memory_bytes") > 1e6
    assert all(after >= before.samples.get(key, 0) for key, after in m.samples.items() if key[0].endswith("_total"))
    a.query("commit")
    a.close()
    b.close()


def before_version(m):
    return next(dict(labels)["version"] for name, labels in m.samples if name == "pgweir_build_info")


def test_pins_and_waits_are_seen(new_pooler):
    w = new_web(new_pooler, {"session_features": "pin", "max_pinned": 1})
    a, b = w.pooler.connect(), w.pooler.connect()
    a.query("select pg_advisory_lock(7)")
    b.send(query("select 1"))
    wait_until(lambda: w.metrics().get("pgweir_pinned_clients", reason="advisory") == 1, what="a is pinned")
    wait_until(lambda: w.metrics().get("pgweir_pool_clients", state="waiting", database="test") == 1, what="b waits")
    m = w.metrics()
    assert m.get("pgweir_pins_total", reason="advisory") == m.sum("pgweir_pins_total") == m.sum("pgweir_pinned_clients") == 1
    assert m.get("pgweir_pool_oldest_wait_seconds", database="test") > 0
    a.close()
    wait_until(lambda: w.metrics().get("pgweir_pool_clients", state="waiting", database="test") == 0, what="b has a server")
    b.close()


def test_names_of_any_bytes_stay_labels(new_pooler):
    """A client chooses them."""
    name = 'a"b\\c{}\n=,\u00e4'
    w = new_web(new_pooler, databases={"*": "host=127.0.0.1 port=1 dbname=test"}, settings={"query_wait_timeout": 1})
    c = w.pooler.raw()
    c.send(startup({"user": "app", "database": name}))
    wait_until(lambda: w.metrics().get("pgweir_database_clients", database=name) is not None, what="the database is there")
    assert name in [row["name"] for row in w.json("/api/databases.json")["rows"]]
    c.close()


def test_promtool_finds_nothing(new_pooler):
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool (Debian's package prometheus)")
    w = new_web(new_pooler, {"max_db_connections": 5, "max_db_client_connections": 500})
    c = w.pooler.connect()
    c.query("select 1")
    text = w.request("/metrics")
    assert text[1]["content-type"].startswith("text/plain; version=0.0.4")
    done = subprocess.run(["promtool", "check", "metrics"], input=text[2], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    c.close()


def test_a_thousand_pools_become_one_for_each_database(new_pooler):
    users = {"u%d" % i: "" for i in range(210)}
    w = new_web(new_pooler, {"max_client_conn": 2000}, userlist=users, databases={"*": "host=127.0.0.1 port=1"})
    clients = []
    for user in users:
        c = w.pooler.raw()
        c.send(startup({"user": user, "database": "test"}))
        clients.append(c)
    wait_until(lambda: w.metrics().sum("pgweir_clients") == 210, what="all are in")
    m = w.metrics()
    assert m.sum("pgweir_pool_clients", user="(all)") == 210
    assert len([s for s in m.samples if s[0] == "pgweir_pool_clients"]) == 3
    for c in clients:
        c.close()


# ---- the console's views -------------------------------------------------------------------------------------------

def test_every_view_is_there_with_the_consoles_columns(new_pooler):
    w = new_web(new_pooler, {"http_token": TOKEN}, token=TOKEN)
    c = w.pooler.connect()
    c.query("select 1")
    views = w.json("/api.json")["views"]
    assert {"pools", "clients", "servers", "config", "workers", "pins"} <= set(views) and "help" not in views
    console = w.pooler.console()
    for view in views:
        cur = console.cursor()
        cur.execute("SHOW " + view)
        got = w.json("/api/%s.json" % view)
        assert got["view"] == view and got["is_cut"] is False
        types = {d.name: d.type_code for d in cur.description}
        rows = cur.fetchall()
        assert bool(got["rows"]) == bool(rows), view
        for row in got["rows"]:
            assert list(row) == [d.name for d in cur.description], view
            for name, value in row.items():
                assert value is None or isinstance(value, (int, float)) == (types[name] in (20, 21, 23, 1700, 701)), (view, name, value)
    console.close()
    rows = {r["key"]: r["value"] for r in w.json("/api/config.json")["rows"]}
    assert rows["http_token"] == "" and TOKEN not in str(rows)
    c.close()


def test_several_views_from_one_question(new_pooler):
    w = new_web(new_pooler)
    got = w.json("/api/all.json?views=pools,nothing,Workers&limit=1")
    assert got["is_ready"] is True and got["why"] is None and got["version"]
    assert got["views"]["nothing"] is None and len(got["views"]["Workers"]["rows"]) == 1
    assert w.json("/api/all.json")["views"] == {}


def test_rows_are_limited(new_pooler):
    w = new_web(new_pooler)
    clients = [w.pooler.connect() for _ in range(5)]
    for query, n, is_cut in (("", 5, False), ("?limit=2", 2, True), ("?limit=0", 0, True), ("?limit=-1", 5, False), ("?limit=x", 5, False), ("?limit=99999", 5, False)):
        got = w.json("/api/clients.json" + query)
        assert (len(got["rows"]), got["is_cut"]) == (n, is_cut), query
    for c in clients:
        c.close()


# ---- the protocol --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("request_line, status", [
    (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    (b"DELETE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 413),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 400),
    (b"GET /" + b"x" * 9000, 431),
    (b"GET /nothing HTTP/1.0\r\n\r\n", 404),
    (b"GET /../../etc/passwd HTTP/1.0\r\n\r\n", 404),
    (b"GET /api/../metrics HTTP/1.0\r\n\r\n", 404),
])
def test_requests_that_are_refused(new_pooler, request_line, status):
    w = new_web(new_pooler)
    assert w.answers(request_line).startswith("HTTP/1.1 %d " % status)
    assert w.status("/healthz") == 200


def test_head_has_no_body_and_connections_are_kept(new_pooler):
    w = new_web(new_pooler)
    one = b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    got = w.answers(one + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"GET /api/pools.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    + b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" + b"GET / HTTP/1.1\r\n")
    assert got.count("HTTP/1.1 200 OK") == 4 and got.count("\r\n\r\nok\n") == 1 and got.endswith("\r\n\r\nready\n")
    assert got.index('"view":"pools"') < got.index("ready\n")


def test_a_request_may_come_byte_by_byte(new_pooler):
    w = new_web(new_pooler)
    with w.raw() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":
            s.sendall(bytes([byte]))
        assert s.recv(4096).startswith(b"HTTP/1.1 200")


# ---- those who are slow --------------------------------------------------------------------------------------------

def test_a_crowd_that_stands_in_the_door_shuts_out_nobody(new_pooler):
    w = new_web(new_pooler)
    crowd = [w.raw(b"GET /metr") for _ in range(200)]
    for _ in range(5):
        assert w.status("/healthz") == 200
    assert w.metrics().get("pgweir_http_evicted_connections_total") >= 136
    assert w.pooler.descriptors() < 64 + 60
    gone = sum(1 for s in crowd if is_ready(s, 0))
    assert gone >= 136
    for s in crowd:
        s.close()


def test_whoever_does_not_read_its_answer_holds_up_nobody(new_pooler):
    w = new_web(new_pooler, {"max_client_conn": 3000})
    clients = [w.pooler.connect() for _ in range(300)]
    greedy = []
    for _ in range(10):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", w.port))
        s.sendall(b"GET /api/clients.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        greedy.append(s)
    for _ in range(5):
        assert len(w.json("/api/clients.json")["rows"]) == 300
    psycopg2.connect(host="127.0.0.1", port=w.pooler.port, user="app", dbname="test").close()
    for s in greedy:
        s.close()
    for c in clients:
        c.close()


def test_a_request_that_takes_too_long_is_ended(new_pooler):
    w = new_web(new_pooler)
    with w.raw(b"GET /healthz HTTP/1.1\r\n") as slow:
        wait_until(lambda: is_ready(slow, 0.2) or slow.sendall(b"x"), patience(20), "the slow one is ended")
        assert slow.recv(1) == b""


# ---- sockets -------------------------------------------------------------------------------------------------------

def test_a_port_in_use_is_taken_as_soon_as_it_is_free(new_pooler):
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    p = new_pooler({"http_listen": "127.0.0.1:%d" % port})
    p.logged("127.0.0.1:%d is in use, trying again every second" % port)
    assert p.connect().query("select 1")
    taken.close()
    p.logged("http: listening on 127.0.0.1:%d" % port)
    assert Web(p, port).status("/healthz") == 200
    assert p.log().count("is in use, trying") == 1


def test_nothing_is_left_of_many_connections(new_pooler):
    w = new_web(new_pooler)
    asked = 0

    def accepted():  # besides those that ask
        nonlocal asked
        asked += 1
        return w.metrics().get("pgweir_http_connections_total") - asked
    for _ in range(3):
        accepted()
    before, fds = accepted(), w.pooler.descriptors()
    for i in range(300):
        s = w.raw(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" if i % 2 else b"GET /met")
        s.close()
    wait_until(lambda: accepted() - before >= 300, what="all have been accepted")
    wait_until(lambda: w.pooler.descriptors() <= fds, what="descriptors are back")

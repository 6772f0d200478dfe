"""RL: reload, pause, shutdown; SF: server failure and restart."""
import os
import signal
import subprocess
import threading
import time

import psycopg2
import pytest
import wire
from postgres import Postgres, free_port, unprivileged
from wire import SLOW, LoginFailed, QueryFailed, wait_until


@pytest.fixture
def own_postgres():
    """A PostgreSQL that a test may stop."""
    server = Postgres()
    yield server
    server.destroy()


def reload_error(p):
    with pytest.raises(psycopg2.Error) as failed:
        p.ask("RELOAD")
    return str(failed.value)


@pytest.mark.parametrize("spoil", ["no_such_key = 1", "default_pool_size = many", "[databases]\nx = no_such_key=1", "[nowhere]\na = b", "%include /nowhere/at/all"])
def test_RL_01_broken_file(new_pooler, spoil):
    """RL-01: A broken file: RELOAD tells, the old configuration stays whole."""
    p = new_pooler({"default_pool_size": 1})
    c = p.connect()
    c.query("select 1")
    p.settings["default_pool_size"] = 7
    p.write()
    with open(p.ini, "a") as f:
        f.write(spoil + "\n")
    reload_error(p)
    p.process.send_signal(signal.SIGHUP)
    config = {r["key"]: r["value"] for r in p.ask("SHOW CONFIG")}
    assert config["default_pool_size"] == "1"
    assert c.query("select 1") == [["1"]] and p.connect().query("select 2") == [["2"]]
    p.write()
    p.ask("RELOAD")
    assert {r["key"]: r["value"] for r in p.ask("SHOW CONFIG")}["default_pool_size"] == "7"


def test_RL_01_broken_auth_file(new_pooler):
    """RL-01: A broken or missing auth_file at RELOAD: the old users stay."""
    p = new_pooler({"auth_type": "scram-sha-256"}, userlist={"admin": "a", "app": "a"})

    def reload_by_signal():
        p.process.send_signal(signal.SIGHUP)
    with open(p.settings["auth_file"], "w") as f:
        f.write('"app" "a"\nnonsense without quotes\n')
    reload_by_signal()
    for _ in range(3):
        p.connect(password="a").close()
    assert p.is_running()


@pytest.mark.parametrize("workers", [1, 4])
def test_RL_02_there_and_back(new_pooler, workers):
    """RL-02: A→B→A applies three times; A→A recycles nothing; nothing changes inside a transaction."""
    p = new_pooler({"default_pool_size": 1, "worker_threads": workers})
    c = p.connect()
    pid = c.value("select pg_backend_pid()")
    for _ in range(3):
        p.reload()
        assert c.value("select pg_backend_pid()") == pid
    for size in (3, 1, 3):
        p.settings["default_pool_size"] = size
        p.reload()
        clients = [p.connect() for _ in range(size + 1)]
        for x in clients[:size]:
            x.query("begin")
        clients[size].send(wire.query("select 'waits'"))
        wait_until(lambda: p.column("cl_waiting") == 1, what="one more than %d waits" % size)
        for x in clients[:size]:
            x.query("commit")
        assert clients[size].recv_until("Z")[-1].body == b"I"
        for x in clients:
            x.close()
        p.wait_rest()


def test_RL_02_inside_a_transaction(new_pooler):
    """RL-02: A reload that changes the database takes effect at the next transaction."""
    p = new_pooler()
    c = p.connect()
    c.query("begin")
    pid = c.value("select pg_backend_pid()")
    p.databases = {"*": p.server_address(), "test": p.server_address() + " dbname=test2"}
    p.reload()
    assert c.query("select pg_backend_pid(), current_database()") == [[pid, "test"]]
    c.query("commit")
    wait_until(lambda: c.value("select current_database()") == "test2", what="the new database")


def test_RL_03_host_changed(new_pooler, own_postgres, postgres):
    """RL-03: Old servers finish their transaction and close; none is reused."""
    p = new_pooler({"default_pool_size": 3})
    clients = [p.connect() for _ in range(3)]
    for c in clients:
        c.query("begin")
    old = {c.value("select pg_backend_pid()") for c in clients}
    clients[0].query("commit")
    p.server = own_postgres
    p.databases = {"*": p.server_address()}
    p.reload()
    fresh = p.connect()
    assert fresh.value("select inet_server_port()") == str(own_postgres.port)
    for c in clients[1:]:
        assert c.value("select inet_server_port()") == str(postgres.port)
        c.query("commit")
    wait_until(lambda: not postgres.sessions(), what="the old servers closed")
    for c in clients:
        assert c.value("select inet_server_port()") == str(own_postgres.port)
    assert len(old) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_RL_03_pool_size_changed(new_pooler, postgres, workers):
    """RL-03: A larger pool wakes those who wait at once, a smaller one closes servers."""
    p = new_pooler({"default_pool_size": 1, "worker_threads": workers})
    a, b = p.connect(), p.connect()
    a.query("begin")
    b.send(wire.query("begin; select 'woken'"))
    wait_until(lambda: p.column("cl_waiting") == 1)
    p.settings["default_pool_size"] = 2
    p.reload()
    assert b.recv_until("Z")[-1].body == b"T"
    a.query("commit"), b.query("commit")
    p.settings["default_pool_size"] = 1
    p.reload()
    for _ in range(10):
        a.query("select 1"), b.query("select 1")
    wait_until(lambda: len(postgres.sessions()) == 1, what="one server left")


def test_RL_04_database_removed_and_back(new_pooler):
    """RL-04: Clients of a database that a reload removes get a FATAL at the next boundary, others go on; it comes back."""
    p = new_pooler(databases={})
    p.databases = {"kept": p.server_address() + " dbname=test", "gone": p.server_address() + " dbname=test"}
    p.reload()
    kept, idle, busy = p.connect(database="kept"), p.connect(database="gone"), p.connect(database="gone")
    idle.query("select 1"), kept.query("select 1")
    busy.query("begin")
    gone = p.databases.pop("gone")
    p.reload()
    assert kept.query("select 1") == [["1"]]
    with pytest.raises(LoginFailed) as failed:
        p.connect(database="gone")
    assert failed.value.sqlstate == "3D000"
    try:
        busy.query("commit")
    except (QueryFailed, OSError):
        pass
    for c in (idle, busy):
        try:
            c.send(wire.query("select 1"))
        except OSError:
            continue
        got = c.recv_until("EZ")
        assert got[-1] is None or (got[-1].kind == "E" and got[-1].severity == "FATAL"), str(got[-1])
    p.databases["gone"] = gone
    p.reload()
    assert p.connect(database="gone").query("select 'back'") == [["back"]]


def test_RL_04_reload_while_clients_log_in(new_pooler):
    """RL-04: Reloads that remove and add a database while clients log in to it: each is served or refused, nothing breaks."""
    p = new_pooler({"worker_threads": 2, "default_pool_size": 3})
    p.databases = {"flips": p.server_address() + " dbname=test", "*": p.server_address()}
    p.reload()
    stop, errors, served = threading.Event(), [], [0]

    def work():
        while not stop.is_set():
            try:
                c = p.connect(database="flips")
                if c.query("select 1") == [["1"]]:
                    served[0] += 1
                c.close()
            except (LoginFailed, QueryFailed, OSError):
                pass
            except BaseException as e:
                errors.append(e)
                return
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    flips = p.databases["flips"]
    for turn in range(30):
        p.databases.pop("flips", None)
        if turn % 2:
            p.databases = {"flips": flips, **p.databases}
        p.reload()
    stop.set()
    for t in threads:
        t.join()
    assert not errors and served[0], errors


def test_RL_users_change_at_reload(new_pooler):
    """auth_file is read again: a new password works, the old one doesn't, a removed user is refused."""
    p = new_pooler({"auth_type": "md5"}, userlist={"app": "one", "other": "x", "admin": "a"})
    running = p.connect(password="one")
    p.userlist["app"] = "two"
    del p.userlist["other"]
    p.write()
    p.process.send_signal(signal.SIGHUP)
    c = wait_until(lambda: _try(p, password="two"), what="the new password")
    c.close()
    for user, password in (("app", "one"), ("other", "x")):
        with pytest.raises(LoginFailed) as failed:
            p.connect(user, password=password)
        assert failed.value.sqlstate == "28P01"
    assert running.query("select 1") == [["1"]]


def _try(p, **kw):
    try:
        return p.connect(**kw)
    except (LoginFailed, OSError):
        return None


@pytest.mark.parametrize("workers", [1, 4])
def test_RL_05_pause_and_resume(new_pooler, postgres, workers):
    """RL-05: PAUSE waits for open blocks and unfinished batches; new work queues; RESUME wakes everybody."""
    p = new_pooler({"default_pool_size": 4, "worker_threads": workers})
    block, batch, fresh = p.connect(), p.connect(), [p.connect() for _ in range(6)]
    block.query("begin")
    batch.send(wire.parse("", "select 'batch'") + wire.bind() + wire.execute() + wire.FLUSH)
    batch.recv_until("C")
    paused = threading.Event()

    def pause():
        p.ask("PAUSE test")
        paused.set()
    thread = threading.Thread(target=pause)
    thread.start()
    wait_until(lambda: [r for r in p.ask("SHOW DATABASES") if r["name"] == "test" and r["paused"]], what="paused")
    for n, c in enumerate(fresh):
        c.send(wire.query("select 'woken %d'" % n))
    wait_until(lambda: p.column("cl_waiting") == 6, what="new work queues")
    assert not paused.is_set()
    assert block.query("select 'in the block'") == [["in the block"]]
    block.query("commit")
    batch.send(wire.SYNC)
    assert batch.recv_until("Z")[-1].body == b"I"
    assert paused.wait(wire.TIMEOUT), "PAUSE never returned"
    thread.join()
    assert not any(c.readable(0) for c in fresh)
    wait_until(lambda: not postgres.sessions(), what="servers closed while paused")
    newcomer = threading.Thread(target=lambda: p.connect().close())
    newcomer.start()  # a login while paused may wait
    p.ask("RESUME test")
    newcomer.join(wire.TIMEOUT)
    for n, c in enumerate(fresh):
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["woken %d" % n]]


def test_RL_05_pause_all_signals_and_errors(new_pooler):
    """RL-05: PAUSE of everything, by command and by signal; an unknown name is an error."""
    p = new_pooler()
    c = p.connect()
    c.query("select 1")
    for command in ("PAUSE no_such_database", "RESUME no_such_database", "KILL no_such_database"):
        if "*" in p.databases:
            p.databases = {"test": p.server_address()}
            p.reload()
        with pytest.raises(psycopg2.Error):
            p.ask(command)
    p.ask("PAUSE")
    c.send(wire.query("select 'queued'"))
    assert not c.readable(0.2)
    p.ask("RESUME")
    assert c.recv_until("Z")[-1].body == b"I"
    p.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: [r for r in p.ask("SHOW STATE") if r["key"] == "paused" and r["value"] == "yes"] or _is_paused(p), what="paused by SIGUSR1")
    c.send(wire.query("select 'queued'"))
    assert not c.readable(0.2)
    p.process.send_signal(signal.SIGUSR2)
    assert c.recv_until("Z")[-1].body == b"I"


def _is_paused(p):
    return any(r["paused"] for r in p.ask("SHOW DATABASES"))


def test_RL_05_pause_ends_with_its_console(new_pooler):
    """RL-05: A console that leaves while its PAUSE waits takes nothing down with it. AD-04."""
    p = new_pooler({"default_pool_size": 2})
    block = p.connect()
    block.query("begin")
    console = p.raw()
    console.login("admin", p.console_database)
    console.send(wire.query("PAUSE test"))
    wait_until(lambda: _is_paused(p) or p.column("sv_idle") == 0)
    console.rst()
    assert block.query("select 1") == [["1"]]
    block.query("commit")
    try:
        p.ask("RESUME test")
    except psycopg2.Error:
        pass
    assert p.connect().query("select 1") == [["1"]]


def test_RL_06_sigterm(new_pooler, postgres):
    """RL-06: No new clients; open blocks may finish; who waits or comes afterwards is served or told 57P01; it ends when all have left."""
    p = new_pooler({"default_pool_size": 1})
    idle, block, waiting = p.connect(), p.connect(), p.connect()
    idle.query("select 1")
    block.query("begin; select 1")
    waiting.send(wire.query("select 'waiting'"))
    wait_until(lambda: p.column("cl_waiting") == 1)
    p.process.send_signal(signal.SIGTERM)
    wait_until(lambda: _refused(p), what="no new clients")
    assert block.query("select 'may finish'") == [["may finish"]]
    block.send(wire.query("commit"))
    assert block.recv_until("Z")[0].tag == "COMMIT"
    for c in (waiting, block, idle):
        if c is not waiting:
            try:
                c.send(wire.query("select 'afterwards'"))
            except OSError:
                pass
        m = c.recv_until("EZ", 20 * SLOW)[-1]  # served to the last, as PgBouncer does, or told
        assert m is None or m.kind == "Z" or m.sqlstate == "57P01", str(m)
        c.sock.close()
    assert p.process.wait(20 * SLOW) == 0


def _refused(p):
    try:
        wire.Client(p.host, p.port).login("app", "test").close()
        return False
    except (OSError, LoginFailed, AssertionError):
        return True


def test_RL_06_second_signal_ends_it_now(new_pooler, postgres):
    """RL-06: With a block open SIGTERM waits; a second one ends it, and PostgreSQL isn't left working alone."""
    p = new_pooler()
    c = p.connect()
    c.send(wire.query("begin; select pg_sleep(100), 'rl06'"))
    wait_until(lambda: postgres.sessions("state = 'active' and query like '%rl06%'"))
    p.process.send_signal(signal.SIGTERM)
    wait_until(lambda: _refused(p), what="no new clients")
    assert p.is_running()
    p.process.send_signal(signal.SIGTERM)
    assert p.process.wait(20 * SLOW) == 0
    wait_until(lambda: not postgres.sessions("state <> 'idle' and query like '%rl06%'"), 20 * SLOW, "PostgreSQL stopped the query")


@pytest.mark.parametrize("how", ["SHUTDOWN", "SIGINT", "SIGQUIT"])
def test_RL_06_other_ways_to_end(new_pooler, how):
    """RL-06: SHUTDOWN, SIGINT and SIGQUIT with idle clients: it ends, status 0."""
    p = new_pooler()
    clients = [p.connect() for _ in range(3)]
    clients[0].query("select 1")
    if how == "SHUTDOWN":
        try:
            p.ask("SHUTDOWN")
        except psycopg2.Error:
            pass
    else:
        p.process.send_signal(getattr(signal, how))
    assert p.process.wait(20 * SLOW) == 0
    for c in clients:
        got = c.recv_until("E")
        assert got[-1] is None or got[-1].severity == "FATAL"


def test_RL_07_pid_file_and_socket(new_pooler):
    """RL-07: The pid file holds its pid; a second one on the same files refuses and harms nothing; both are gone afterwards."""
    p = new_pooler()
    p.end()
    p.settings["pidfile"] = p.dir + "/pid"
    p.write()
    p.start()
    sock = "%s/.s.PGSQL.%d" % (p.dir, p.port)
    wait_until(lambda: os.path.exists(p.dir + "/pid") and open(p.dir + "/pid").read().strip() == str(p.process.pid), what="the pid file")
    assert os.path.exists(sock)
    assert wire.Client(p.dir, p.port).login("app", "test").query("select 1") == [["1"]]
    second = subprocess.run([p.program, p.ini], capture_output=True, cwd=p.dir, timeout=20 * SLOW, **unprivileged())
    assert second.returncode != 0
    assert os.path.exists(p.dir + "/pid") and os.path.exists(sock)
    assert p.connect().query("select 1") == [["1"]]
    assert p.end() == 0
    assert not os.path.exists(p.dir + "/pid") and not os.path.exists(sock)


# ---- server failure ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_SF_restart_under_clients(new_pooler, own_postgres, how):
    """PostgreSQL restarts: idle clients notice nothing, a query sent meanwhile waits, a block is lost and says so."""
    p = new_pooler({"default_pool_size": 3, "server_login_retry": 0.1}, server=own_postgres)
    idle, block = p.connect(), p.connect()
    idle.query("select 1")
    block.query("begin")
    own_postgres.stop(how)
    meanwhile = p.connect()
    meanwhile.send(wire.query("select 'meanwhile'"))
    assert not meanwhile.readable(0.3)
    own_postgres.start()
    assert [m.row for m in meanwhile.recv_until("Z", 30 * SLOW) if m.kind == "D"] == [["meanwhile"]]
    assert idle.query("select 'idle'") == [["idle"]]
    e = block.recv_until("E")[-1]  # as on a direct connection: TX-07
    assert e is None or (e.severity == "FATAL" and e.sqlstate in ("57P01", "08006", "57P02"))


def test_SF_server_that_was_never_there(new_pooler, postgres):
    """A server that refuses connections: the wait ends at its limit, with an error; when it comes, all is well."""
    port = free_port()
    p = new_pooler({"query_wait_timeout": 1, "client_login_timeout": 3}, databases={"*": "host=127.0.0.1 port=%d" % port})
    start = time.monotonic()
    with pytest.raises((LoginFailed, QueryFailed)):
        p.connect().query("select 1")
    assert time.monotonic() - start < 10 * SLOW
    p.databases = {"*": p.server_address()}
    p.reload()
    assert wait_until(lambda: _try(p), what="a server").query("select 1") == [["1"]]


def test_SF_01_all_servers_killed(new_pooler, postgres):
    """SF-01: All idle servers die at once: nobody notices."""
    p = new_pooler({"default_pool_size": 5, "worker_threads": 2})
    clients = [p.connect() for _ in range(5)]
    for _ in range(3):
        for c in clients:
            c.query("begin")
        for c in clients:
            c.query("commit")
        for s in postgres.sessions():
            postgres.terminate(s["pid"])
        wait_until(lambda: not postgres.sessions())
        for n, c in enumerate(clients):
            assert c.query("select %d" % n) == [[str(n)]]


def test_SF_05_password_changed(new_pooler, postgres):
    """SF-05: A wrong server password is an error, not a hang; after a reload with the right one it works."""
    p = new_pooler(userlist={"scram_user": "outdated"})
    with pytest.raises((LoginFailed, QueryFailed)) as failed:
        p.connect("scram_user").query("select 1")
    assert failed.value.sqlstate == "28P01"
    p.userlist["scram_user"] = "scram secret"
    p.reload()

    def works():
        try:
            return p.connect("scram_user").query("select 1") == [["1"]]
        except (LoginFailed, QueryFailed):
            return False
    wait_until(works, what="the new password")


def test_RL_06_session_clients_are_told_too(new_pooler):
    """RL-06: A client of session pooling that rests with its server doesn't keep the process alive."""
    p = new_pooler({"pool_mode": "session"})
    c = p.connect()
    assert c.query("select 1") == [["1"]]
    p.process.send_signal(signal.SIGINT)
    e = c.recv()
    assert (e.kind, e.severity, e.sqlstate) == ("E", "FATAL", "57P01")
    assert p.process.wait(20) == 0
    p.process = None


def test_TO_03_client_idle_timeout_in_session_pooling(new_pooler):
    """TO-03: The same where an idle client has a server."""
    p = new_pooler({"pool_mode": "session", "client_idle_timeout": 0.5})
    c = p.connect()
    assert c.query("select 1") == [["1"]]
    assert c.recv().sqlstate == "57P05"
    assert p.connect().query("select 2") == [["2"]]

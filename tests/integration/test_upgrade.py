"""Online upgrade: pgweir -R takes the place of the process that runs, and clients notice nothing."""
import os
import socket
import subprocess

import pytest
import tls
from postgres import bindir, dies_with_us, unprivileged
from wire import SLOW, Client, QueryFailed, bind, describe, execute, parse, query, wait_until

SYNC = b"S\0\0\0\x04"


def start_next(p, ini=None, env=None):
    """A new process with -R, beside the one that runs."""
    with open(p.stderr, "a") as err:
        return subprocess.Popen([*dies_with_us("KILL"), p.program, "-R", ini or p.ini], stdin=subprocess.DEVNULL, stdout=err, stderr=err, cwd=p.dir,
                                env=dict(os.environ, **(env or {})), **unprivileged())


def upgrade(p, patience=30 * SLOW):
    """The new process serves, and the old one has ended well."""
    old, p.process = p.process, start_next(p)
    assert old.wait(patience) == 0, p.log()
    assert p.process.poll() is None, p.log()
    p.logged("took over")
    return old


def ends(sock):
    try:
        return sock.recv(1000) == b""
    except ConnectionResetError:
        return True


def prepare(c, name, sql):
    c.send(parse(name, sql) + SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["1", "Z"]


def run_prepared(c, name, *values):
    c.send(bind(name, values=values) + execute() + SYNC)
    rows = c.recv_until("Z")
    assert not [m for m in rows if m.kind == "E"], rows
    return [m.row for m in rows if m.kind == "D"]


def test_RL_08_an_idle_client_moves_with_all_it_has(new_pooler, postgres):
    """RL-08: Settings, role, prepared statements, parameters told and cancel key: all as before, and no byte of the login again."""
    p = new_pooler({"default_pool_size": 2, "worker_threads": 2, "session_features": "pin"})
    clients = [p.connect(params={"application_name": "app %d" % n, "options": "-c search_path=s%d,public" % n}) for n in range(6)]
    for n, c in enumerate(clients):
        c.query("set statement_timeout = '%d s'" % (100 + n))
        prepare(c, "mine", "select %d + $1::int" % n)
        assert run_prepared(c, "mine", "1") == [[str(n + 1)]]
    sockets = [c.sock.getpeername() for c in clients]
    upgrade(p)
    for n, c in enumerate(clients):
        assert c.sock.getpeername() == sockets[n]
        assert c.query("show application_name") == [["app %d" % n]]
        assert c.query("show search_path") == [["s%d,public" % n]] or c.query("show search_path") == [["s%d, public" % n]]
        assert c.query("show statement_timeout") == [["%ds" % (100 + n)]]
        assert run_prepared(c, "mine", "10") == [[str(n + 10)]]
        c.query("reset statement_timeout")
        assert c.query("show statement_timeout") == [["0"]]
    assert sorted(r["application_name"] for r in p.ask("SHOW CLIENTS") if r["database"] == "test") == ["app %d" % n for n in range(6)]
    p.connect().close()


def test_RL_08_cancel_keys_go_on(new_pooler, postgres):
    """RL-08: The key that a client has from a process that is gone cancels its query in the next one, and no other one's."""
    p = new_pooler({"default_pool_size": 3, "worker_threads": 2})
    old = [p.connect() for _ in range(4)]
    upgrade(p)
    new = [p.connect() for _ in range(4)]
    upgrade(p)
    for victim in (old[1], new[2]):
        others = [c for c in (old[0], new[0])]
        for c in [victim, *others]:
            c.send(query("select pg_sleep(%d)" % (300 if c is victim else 1)))
        wait_until(lambda: len(postgres.sessions("query like 'select pg_sleep%' and state = 'active'")) == 3, what="they run")
        victim.cancel()
        assert [m.sqlstate for m in victim.recv_until("Z") if m.kind == "E"] == ["57014"]
        for c in others:
            assert not [m for m in c.recv_until("Z") if m.kind == "E"]


def test_RL_08_who_is_in_the_middle_stays_until_it_is_not(new_pooler, postgres):
    """RL-08: An open transaction, a batch without Sync and half a message go on in the old process, and move when they are done."""
    p = new_pooler({"default_pool_size": 5, "drain_timeout": 0})
    block, batch, half, idle = (p.connect() for _ in range(4))
    block.query("begin")
    block.query("create temp table t (i int)")
    batch.send(parse("", "select 7") + bind() + execute() + b"H\0\0\0\x04")
    assert batch.recv().kind == "1"
    whole = query("select 'whole'")
    half.send(whole[:9])
    wait_until(lambda: p.column("sv_active") == 2, what="two hold servers")
    old, p.process = p.process, start_next(p)
    p.logged("has taken over")
    assert idle.query("select 1") == [["1"]]
    block.query("insert into t values (3)")
    assert block.query("select i from t") == [["3"]]
    assert old.poll() is None
    half.send(whole[9:])
    assert [m.row for m in half.recv_until("Z") if m.kind == "D"] == [["whole"]]
    batch.send(SYNC)
    assert [m.row for m in batch.recv_until("Z") if m.kind == "D"] == [["7"]]
    block.query("drop table t")
    block.query("commit")
    assert old.wait(20 * SLOW) == 0
    for c in (block, batch, half, idle):
        assert c.query("select 1") == [["1"]]


def test_RL_08_replication_in_the_old_process_counts_for_limits(new_pooler):
    """RL-08: Two of the same database and user, each with a server of its own, take two places in the new process, too."""
    p = new_pooler({"max_db_connections": 3, "default_pool_size": 1, "drain_timeout": 0})
    a, b = (p.connect(params={"replication": "database"}) for _ in range(2))
    assert a.query("IDENTIFY_SYSTEM") and b.query("IDENTIFY_SYSTEM")
    old, p.process = p.process, start_next(p)
    p.logged("has taken over")
    assert [r["current_connections"] for r in p.ask("show databases") if r["name"] == "test"] == [2]
    assert p.connect().query("select 1") == [["1"]]  # the pool itself has all its places
    p.ask("pause")  # .. and waits for nobody elsewhere
    p.ask("resume")
    a.close()
    b.close()
    assert old.wait(20 * SLOW) == 0
    assert p.connect().query("select 1") == [["1"]]


def test_RL_08_a_cancel_finds_who_is_still_in_the_old_process(new_pooler, postgres):
    """RL-08: New connections reach the new process, so it passes cancel requests on while the old one has clients."""
    p = new_pooler({"drain_timeout": 0})
    c = p.connect()
    c.send(query("select pg_sleep(300)"))
    wait_until(lambda: postgres.sessions("query like 'select pg_sleep%' and state = 'active'"), what="it runs")
    old, p.process = p.process, start_next(p)
    p.logged("has taken over")
    c.cancel(wait=False)
    assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["57014"]
    assert old.wait(20 * SLOW) == 0
    assert c.query("select 1") == [["1"]]


def test_RL_08_who_never_gets_idle_is_told(new_pooler, postgres):
    """RL-08: After drain_timeout the rest gets 57P01, and its statement is cancelled."""
    p = new_pooler({"drain_timeout": 1, "default_pool_size": 2})
    stuck, idle = p.connect(), p.connect()
    stuck.query("begin")
    upgrade(p)
    e = stuck.recv()
    assert (e.severity, e.sqlstate) == ("FATAL", "57P01")
    assert idle.query("select 1") == [["1"]]


def test_RL_10_a_successor_that_cannot_start_changes_nothing(new_pooler, postgres):
    """RL-10: A bad file, an address that is taken, another owner of the protocol: the old process serves on, and can be replaced later."""
    p = new_pooler({"pidfile": "pid"})
    c = p.connect()
    bad = p.dir + "/bad.ini"
    taken = socket.create_server(("127.0.0.1", 0))
    with open(p.ini) as f:
        text = f.read()
    for broken, says in ((text + "\nno_such_key = 1\n", "no_such_key"),
                         (text.replace("listen_addr = 127.0.0.1", "listen_addr = 127.0.0.1,192.0.2.77"), "192.0.2.77"),
                         (text + "\nauth_type = hba\nauth_hba_file = /nowhere/hba\n", "/nowhere/hba")):
        with open(bad, "w") as f:
            f.write(broken)
        assert start_next(p, bad).wait(20 * SLOW) == 1, says
        p.logged(says)
        assert p.process.poll() is None
        assert c.query("select 1") == [["1"]]
        p.connect().close()
        with open(p.dir + "/pid") as f:
            assert int(f.read()) == p.process.pid
        assert os.path.exists("%s/.s.PGSQL.%d" % (p.dir, p.port))
    taken.close()
    knock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    knock.connect("%s/.s.PGSQL.%d.upgrade" % (p.dir, p.port))
    knock.send(b"Hpgweir handover\0\0\0\0\x63")
    assert b"version" in knock.recv(1000)
    knock.close()
    for nonsense in (b"", b"H", b"C" + b"x" * 1000, b"R\0\0\0\x01", b"\xff" * 60000):
        knock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        knock.connect("%s/.s.PGSQL.%d.upgrade" % (p.dir, p.port))
        if nonsense:
            knock.send(nonsense)
            assert ends(knock)
        knock.close()
    upgrade(p)
    assert c.query("select 1") == [["1"]]
    with open(p.dir + "/pid") as f:
        assert int(f.read()) == p.process.pid


def test_RL_10_a_successor_that_dies_on_the_way(new_pooler, postgres):
    """RL-10: Killed after it has taken over: who hadn't moved yet is served on, and new clients come in again."""
    p = new_pooler({"drain_timeout": 0, "default_pool_size": 3})
    busy = p.connect()
    busy.query("begin")
    successor = start_next(p)
    p.logged("has taken over")
    wait_until(lambda: "took" in p.log() or p.process.poll() is None)
    successor.kill()
    successor.wait()
    p.logged("this one goes on")
    busy.query("commit")
    assert busy.query("select 1") == [["1"]]
    assert p.connect().query("select 2") == [["2"]]
    upgrade(p)
    assert busy.query("select 3") == [["3"]]


def test_RL_07_files_are_whose_they_are(new_pooler):
    """RL-07: The old one's end removes neither pid file nor sockets; the new one's end does."""
    p = new_pooler({"pidfile": "pid"})
    for _ in range(2):
        upgrade(p)
        assert {".s.PGSQL.%d" % p.port, ".s.PGSQL.%d.upgrade" % p.port, "pid"} <= set(os.listdir(p.dir))
        Client(p.dir, p.port).login("app", "test").close()
    assert p.end() == 0
    assert not {".s.PGSQL.%d" % p.port, ".s.PGSQL.%d.upgrade" % p.port, "pid"} & set(os.listdir(p.dir))


def test_nobody_there_to_take_over_from(new_pooler):
    """-R starts as usual then, so that it may stand in a unit file."""
    p = new_pooler()
    assert p.end() == 0
    p.process = start_next(p)
    wait_until(p._listens, what="it listens")
    p.logged("there is no process to take over from")


def test_RL_08_a_password_that_only_clients_know(new_pooler, postgres):
    """RL-08: With SCRAM secrets the keys to log in to servers come from clients' logins; they go along."""
    secret = postgres.sql("select rolpassword from pg_authid where rolname = 'scram_user'")[0][0]
    p = new_pooler({"auth_type": "scram-sha-256"}, userlist={"scram_user": secret})
    c = p.connect("scram_user", password="scram secret")
    assert c.query("select current_user") == [["scram_user"]]
    upgrade(p)
    assert c.query("select current_user") == [["scram_user"]]


@pytest.fixture(scope="module")
def pair():
    ca = tls.Authority()
    yield ca.issue("localhost", "DNS:localhost,IP:127.0.0.1")
    ca.destroy()


def tls_settings(pair, **more):
    return dict({"client_tls_sslmode": "allow", "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key}, **more)


def connect_tls(p, version=None, **kw):
    context = tls.client_context()
    if version:
        context.maximum_version = version
    return tls.TlsClient(p.host, p.port).start_tls(context).login("app", "test", **kw)


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_RL_08_tls_moves_too(new_pooler, pair, suite):
    """RL-08: A TLS 1.3 connection goes on in the next process, and the one after that, with its own keys and counters, in large and small."""
    p = new_pooler(tls_settings(pair, client_tls13_ciphers=suite))
    c, quiet = connect_tls(p), connect_tls(p)
    assert c.tls.cipher()[0] == suite
    text = "x" * 100000
    for _ in range(3):
        assert c.value("select repeat('y', 300000)") == "y" * 300000
        assert c.value("select '%s'" % text) == text
        for n in range(20):
            assert c.query("select %d" % n) == [[str(n)]]
        upgrade(p)
        p.logged("took over 2 clients")
    assert c.query("select 'end'") == [["end"]] and quiet.query("select 1") == [["1"]]
    shown = [r["tls"] for r in p.ask("SHOW CLIENTS") if r["database"] == "test"]
    assert shown == ["TLSv1.3/" + suite] * 2
    c.goodbye()
    assert c.read_bytes(1) == b""


def test_RL_08_tls_in_half_a_record_waits(new_pooler, pair):
    """RL-08: Part of a record has been read: it moves when the rest has come."""
    p = new_pooler(tls_settings(pair, drain_timeout=0))
    c = connect_tls(p)
    sealed = c.seal(query("select 'whole'"))
    c.sock.sendall(sealed[:11])
    old, p.process = p.process, start_next(p)
    p.logged("has taken over")
    other = connect_tls(p)
    assert other.query("select 1") == [["1"]]
    assert old.poll() is None
    c.sock.sendall(sealed[11:])
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["whole"]]
    assert old.wait(20 * SLOW) == 0
    assert c.query("select 2") == [["2"]]


def test_RL_08_tls_1_2_drains(new_pooler, pair):
    """RL-08: What can't move is told so, after drain_timeout."""
    p = new_pooler(tls_settings(pair, drain_timeout=1))
    c = connect_tls(p, version=tls.ssl.TLSVersion.TLSv1_2)
    assert c.query("select 1") == [["1"]]
    upgrade(p)
    assert c.recv().sqlstate == "57P01"


@pytest.mark.timeout(300 * SLOW)
def test_RL_09_ten_times_under_load(new_pooler, postgres, pair):
    """RL-08, RL-09: pgbench and idle clients, ten upgrades in a row, with few descriptors: no error, no reconnect, no descriptor more."""
    subprocess.run([bindir() + "/pgbench", "-i", "-q", "-s", "1", "-h", postgres.dir, "-p", str(postgres.port), "-U", "app", "test2"], check=True,
                   stderr=subprocess.DEVNULL)
    p = new_pooler(tls_settings(pair, default_pool_size=10, worker_threads=2), max_files=600)
    idle = [connect_tls(p) if n % 2 else p.connect() for n in range(200)]
    for n, c in enumerate(idle):
        c.query("set application_name = 'idle %d'" % n)
    before, threads = p.descriptors(), p.threads()
    load = subprocess.Popen([bindir() + "/pgbench", "-h", p.host, "-p", str(p.port), "-U", "app", "-n", "-c", "20", "-j", "2", "-M", "prepared", "-T",
                             str(int(15 * SLOW)), "test2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for _ in range(10):
        upgrade(p)
    out = load.communicate(timeout=120 * SLOW)[0]
    assert load.returncode == 0 and "number of failed transactions: 0" in out and "ERROR" not in out, out
    for n, c in enumerate(idle):
        assert c.query("show application_name") == [["idle %d" % n]]
    assert p.descriptors() <= before + 10 and p.threads() == threads  # the pool had no server then

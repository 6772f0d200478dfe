"""Replication connections: each has a server connection of its own, outside the pools, in session pooling."""
import os
import shutil
import signal
import subprocess
import tempfile

import pytest

from postgres import Postgres, bindir, dies_with_us, own, unprivileged
from wire import SLOW, LoginFailed, query, wait_until


@pytest.fixture
def pooler(new_pooler):
    return new_pooler({"default_pool_size": 2})


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="pgweir-wal.")
    own(path)
    yield path
    shutil.rmtree(path)


def tool(name, p, *args):
    """One of PostgreSQL's, through pgweir."""
    return [*dies_with_us("KILL"), bindir() + "/" + name, "-h", p.host, "-p", str(p.port), "-U", "app", "-w", *args]


def number(postgres, sql):
    return postgres.sql(sql)[0][0]


def walsenders(postgres):
    return number(postgres, "select count(*) from pg_stat_activity where backend_type = 'walsender'")


def no_walsender(postgres):
    wait_until(lambda: walsenders(postgres) == 0, what="no walsender is left")


@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
def test_ST_08_replication(pooler, postgres, value):
    """ST-08: A walsender connection never reaches a pool; it says what PostgreSQL's does."""
    c = pooler.connect(params={"replication": value, "application_name": "walrus", "options": "-c work_mem=7MB"})
    assert c.parameters["application_name"] == "walrus" and "server_version" in c.parameters
    assert len(c.query("IDENTIFY_SYSTEM")[0]) == 4
    assert c.query("SHOW work_mem") == [["7MB"]]
    c.send(query("select 41 + 1"))
    got = c.recv_until("Z")
    if value == "database":
        assert [m.row for m in got if m.kind == "D"] == [["42"]]
    else:
        assert [m.sqlstate for m in got if m.kind == "E"] == ["0A000"], [str(m) for m in got]
    assert number(postgres, "select application_name from pg_stat_activity where backend_type = 'walsender'") == "walrus"
    kind = "logical" if value == "database" else "physical"
    for view in ("clients", "servers"):
        assert [r["replication"] for r in pooler.ask("show " + view) if r["database"] == "test"] == [kind]
    assert not pooler.pool()
    other = pooler.connect()
    assert other.value("select 1") == "1" and pooler.column("sv_idle") == 1
    c.close()
    no_walsender(postgres)


def test_it_counts_for_its_database(new_pooler, postgres):
    p = new_pooler({"default_pool_size": 5, "max_db_connections": 2, "client_login_timeout": 2 * SLOW})
    a, b = (p.connect(params={"replication": "database"}) for _ in range(2))
    with pytest.raises(LoginFailed):
        p.connect(params={"replication": "database"})
    a.close()
    c = p.connect()
    assert c.value("select 1") == "1"
    d = p.connect(params={"replication": "database"})  # the idle server goes for it
    assert d.query("IDENTIFY_SYSTEM")
    b.close()
    d.close()
    no_walsender(postgres)


def test_what_the_server_refuses_is_told_at_once(new_pooler, postgres):
    postgres.sql("drop role if exists no_walsender", "create role no_walsender login")
    p = new_pooler({"client_login_timeout": 60 * SLOW})
    for params, sqlstate in (({"replication": "true"}, "42501"), ({"replication": "perhaps"}, "22023")):
        with pytest.raises(LoginFailed) as failed:
            p.connect(user="no_walsender", params=params)
        assert failed.value.sqlstate in (sqlstate, "28000") and failed.value.error.severity == "FATAL"
    with pytest.raises(LoginFailed) as failed:
        p.connect(user="app", params={"replication": "true", "options": "-c work_mem=nonsense"})
    assert failed.value.sqlstate == "22023"
    with pytest.raises(LoginFailed) as failed:
        p.connect(user="admin", database="pgweir", params={"replication": "true"})
    assert failed.value.sqlstate == "0A000"


@pytest.fixture
def one_place():
    """A PostgreSQL with a place for one walsender."""
    postgres = Postgres()
    try:
        postgres.sql("alter system set max_wal_senders = 1")
        postgres.restart()
        yield postgres
    finally:
        postgres.destroy()


def test_no_place_for_a_walsender(new_pooler, one_place):
    """Its client is told 53300 at once, and the pool of the same user isn't limited by it."""
    p = new_pooler({"client_login_timeout": 60 * SLOW, "default_pool_size": 5}, server=one_place)
    c, a = p.connect(), p.connect(params={"replication": "database"})
    assert c.query("select 1") == [["1"]]
    with pytest.raises(LoginFailed) as failed:
        p.connect(params={"replication": "database"})
    assert failed.value.sqlstate == "53300"
    row, = p.ask("show limits")
    assert (row["limit"], row["servers"], row["sqlstate"]) == (5, 1, ""), row
    a.close()


def test_hba_lets_physical_replication_in_by_its_own_word(new_pooler):
    p = new_pooler({"auth_type": "hba", "auth_hba_file": "hba"}, files={"hba": "host all all 127.0.0.1/32 trust\nhost replication other 127.0.0.1/32 trust\n"})
    assert p.connect(params={"replication": "database"}).query("IDENTIFY_SYSTEM")
    with pytest.raises(LoginFailed) as failed:
        p.connect(params={"replication": "true"})
    assert failed.value.sqlstate == "28000"
    assert p.connect(user="other", params={"replication": "true"}).query("IDENTIFY_SYSTEM")


def test_pg_receivewal_streams(pooler, postgres, folder):
    """CopyBoth in both directions: what it has written and flushed, PostgreSQL knows."""
    r = subprocess.Popen(tool("pg_receivewal", pooler, "-D", folder, "--synchronous", "--status-interval=1"), cwd=folder, **unprivileged())
    try:
        wait_until(lambda: number(postgres, "select count(*) from pg_stat_replication where state = 'streaming'") == 1, 20 * SLOW,
                   what="pg_receivewal streams")
        postgres.sql("drop table if exists streamed", "create table streamed as select generate_series(1, 20000) as i", database="test")
        at = number(postgres, "select pg_current_wal_flush_lsn()")
        wait_until(lambda: number(postgres, "select count(*) from pg_stat_replication where flush_lsn >= '%s'" % at) == 1, 20 * SLOW,
                   what="what was written is told to be flushed")
        assert any(f.endswith(".partial") for f in os.listdir(folder))
        other = pooler.connect()
        assert other.value("select count(*) from streamed") == "20000"
        r.send_signal(signal.SIGINT)  # it ends the copy and says goodbye
        assert r.wait(20 * SLOW) == 0
    finally:
        if r.poll() is None:
            r.kill()
            r.wait()
    no_walsender(postgres)


def test_pg_recvlogical_streams(pooler, postgres, folder):
    """Logical replication, of the database that pgweir leads to; the slot is made, used and dropped by the protocol's commands."""
    slot = ["-d", "test", "--slot", "pgweir"]
    subprocess.run(tool("pg_recvlogical", pooler, *slot, "--create-slot", "--plugin", "test_decoding"), cwd=folder, check=True, **unprivileged())
    r = subprocess.Popen(tool("pg_recvlogical", pooler, *slot, "--start", "-f", folder + "/changes", "--fsync-interval=1", "--status-interval=1"), cwd=folder,
                         **unprivileged())
    try:
        postgres.sql("drop table if exists decoded", "create table decoded (i int)", "insert into decoded values (4711)", database="test")

        def has_change():
            try:
                with open(folder + "/changes") as f:
                    return "decoded: INSERT: i[integer]:4711" in f.read()
            except FileNotFoundError:
                return False

        wait_until(has_change, 20 * SLOW, what="the change arrives")
        r.send_signal(signal.SIGINT)
        assert r.wait(20 * SLOW) == 0
    finally:
        if r.poll() is None:
            r.kill()
            r.wait()
        no_walsender(postgres)
        subprocess.run(tool("pg_recvlogical", pooler, *slot, "--drop-slot"), cwd=folder, check=True, **unprivileged())


def test_pg_basebackup(pooler, postgres, folder):
    done = subprocess.run(tool("pg_basebackup", pooler, "-D", folder + "/backup", "-X", "stream", "-c", "fast"), cwd=folder,
                          capture_output=True, text=True, timeout=120 * SLOW, **unprivileged())
    assert done.returncode == 0, done.stderr
    verified = subprocess.run([bindir() + "/pg_verifybackup", folder + "/backup"], cwd=folder, capture_output=True, text=True, **unprivileged())
    assert verified.returncode == 0, verified.stderr
    no_walsender(postgres)


def test_a_stream_doesnt_hold_up_pause_or_the_end(pooler, postgres, folder):
    r = subprocess.Popen(tool("pg_receivewal", pooler, "-D", folder, "--no-loop"), cwd=folder, stderr=subprocess.DEVNULL, **unprivileged())
    try:
        wait_until(lambda: number(postgres, "select count(*) from pg_stat_replication where state = 'streaming'") == 1, 20 * SLOW,
                   what="pg_receivewal streams")
        pooler.ask("pause")
        pooler.ask("resume")
        assert r.poll() is None
        pooler.process.send_signal(signal.SIGINT)
        assert pooler.process.wait(20 * SLOW) == 0
        assert r.wait(20 * SLOW) != 0
    finally:
        if r.poll() is None:
            r.kill()
            r.wait()
    no_walsender(postgres)

"""A transaction whose client has gone silent gives its server back when somebody needs it; the client gets 25P03 and keeps its connection."""
import os
import signal
import subprocess
import sys
import time

import psycopg2
import pytest
import wire
from wire import SLOW, QueryFailed, wait_until

AFTER = 0.3
SETTINGS = {"session_features": "pin", "reclaim_after": AFTER * SLOW, "idle_in_transaction_grace": 0.2 * SLOW, "idle_transaction_timeout": 0}


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def pooler(request, new_pooler):
    return new_pooler(dict(SETTINGS, worker_threads=request.param))


def say(c, data, until="Z"):
    c.send(data)
    return [str(m) for m in c.recv_until(until)]


def fails(c, sql, sqlstate="25P03"):
    c.send(wire.query(sql))
    e, z = c.recv_until("Z")
    assert (e.kind, e.severity, e.sqlstate, z.body) == ("E", "ERROR", sqlstate, b"E"), (sql, str(e), str(z))
    return e


def served(p, patience=AFTER + 5):
    """Somebody else comes, waits, and is served; how long that took."""
    c, begin = p.connect(), time.monotonic()
    c.send(wire.query("select 'served', pg_backend_pid()"))
    rows = [m.row for m in c.recv_until("Z", timeout=patience * SLOW) if m.kind == "D"]
    assert rows and rows[0][0] == "served"
    c.close()
    return time.monotonic() - begin, int(rows[0][1])


def test_the_longest_silent_is_reclaimed(new_pooler, postgres):
    """Of three frozen clients the one that has been silent for longest loses its transaction; its server is reused, not replaced."""
    p = new_pooler(dict(SETTINGS, default_pool_size=3, worker_threads=2))
    clients = []
    for n in range(3):
        c = p.connect()
        c.query("begin")
        clients.append((int(c.value("select pg_backend_pid()")), c))
        time.sleep(0.05)
    took, pid = served(p)
    assert pid == clients[0][0]
    assert AFTER <= took < (AFTER + 2) * SLOW
    e = fails(clients[0][1], "select 1")
    assert "had been idle for" in e.text and "waited for a server connection" in e.text
    for _, c in clients[1:]:
        c.query("commit")
    assert clients[0][1].query("rollback") == []
    assert clients[0][1].query("select 1") == [["1"]]
    assert len(postgres.sessions()) == 3


STATEMENTS = ("select 1", "insert into pg_class values (1)", "savepoint a", "release a", "rollback to savepoint a", "rollback to a", "begin",
              "set work_mem = '5MB'", "declare c cursor for select 1", "copy pg_class to stdout", "copy pg_class from stdin", "select (", "")


def test_everything_fails_until_the_end(pooler):
    """In simple protocol: 25P03 with E for whatever it says; ROLLBACK and COMMIT end it, both with the tag ROLLBACK."""
    for end in ("rollback", "COMMIT", "abort", "end;"):
        c = pooler.connect()
        c.query("begin")
        served(pooler)
        for sql in STATEMENTS:
            if sql:
                fails(c, sql)
            else:
                assert say(c, wire.query("")) == ["I", "Z(E)"]
        assert say(c, wire.query(end)) == ["C(ROLLBACK)", "Z(I)"]
        assert c.query("select 1") == [["1"]]
        c.close()


def test_extended_protocol(pooler):
    """A batch fails once and is skipped to its Sync; a pipeline of batches gets an answer for each; the end may be prepared or not."""
    c = pooler.connect()
    assert say(c, wire.parse("back", "rollback") + wire.parse("one", "select 1") + wire.SYNC) == ["1", "1", "Z(I)"]
    c.query("begin")
    served(pooler)
    batch = wire.parse("", "select 1") + wire.bind() + wire.describe("P") + wire.execute() + wire.SYNC
    c.send(batch + batch + wire.bind("one") + wire.execute() + wire.SYNC + wire.query("select 1") + wire.SYNC)
    for _ in range(4):
        e, z = c.recv_until("Z")
        assert (e.sqlstate, z.body) == ("25P03", b"E")
    assert str(c.recv()) == "Z(E)"
    assert say(c, wire.function_call(177, ["1", "2"]))[-1] == "Z(E)"
    assert say(c, wire.bind("back") + wire.describe("P") + wire.execute() + wire.SYNC) == ["2", "n", "C(ROLLBACK)", "Z(I)"]
    assert [m for m in say(c, wire.bind("one") + wire.execute() + wire.SYNC)] == ["2", "D(1)", "C(SELECT 1)", "Z(I)"]
    c.query("begin")
    served(pooler)
    assert say(c, wire.parse("", "commit") + wire.bind() + wire.execute() + wire.SYNC) == ["1", "2", "C(ROLLBACK)", "Z(I)"]
    assert c.query("select 1") == [["1"]]


def test_a_batch_that_was_begun(pooler, postgres):
    """Frozen between Flush and Sync, outside a block and inside one: an error, then the Sync's answer. Nothing is committed."""
    postgres.sql("create table if not exists reclaimed (i int); truncate reclaimed", database="test")
    for block in (False, True):
        c = pooler.connect()
        if block:
            c.query("begin")
        c.send(wire.parse("", "insert into reclaimed values (1)") + wire.bind() + wire.execute() + wire.FLUSH)
        assert [str(m) for m in c.recv_until("C")] == ["1", "2", "C(INSERT 0 1)"]
        served(pooler)
        assert c.recv().sqlstate == "25P03"
        assert say(c, wire.bind() + wire.execute() + wire.SYNC) == ["Z(E)" if block else "Z(I)"]
        if block:
            fails(c, "select 1")
            c.query("rollback")
        assert c.query("select 1") == [["1"]]
    assert postgres.sql("select * from reclaimed", database="test") == []


@pytest.mark.parametrize("rest", [b"", b"half"], ids=["between messages", "in the middle of a CopyData"])
def test_copy(pooler, postgres, rest):
    """Frozen in COPY FROM STDIN: nothing of it is there, the server is reused, and what the client sends of it afterwards is skipped."""
    postgres.sql("create table if not exists reclaimed (i int); truncate reclaimed", database="test")
    pids = {s["pid"] for s in postgres.sessions()}
    for block in (False, True):
        c = pooler.connect()
        if block:
            c.query("begin")
        assert say(c, wire.query("copy reclaimed from stdin"), "G")[-1] == "G"
        half = wire.copy_data("2\n" * 100)
        c.send(wire.copy_data("1\n") + (half[:50] if rest else b""))
        _, pid = served(pooler)
        pids = pids or {pid}
        assert pid in pids
        c.send((half[50:] if rest else b"") + wire.copy_data("3\n") + wire.message("c"))
        e, z = c.recv_until("Z")
        assert (e.sqlstate, z.body) == ("25P03", b"E" if block else b"I")
        if block:
            fails(c, "select 1")
            c.query("rollback")
        assert c.query("select count(*) from reclaimed") == [["0"]]


def test_settings_and_statements_stay_right(pooler):
    """What was set before the transaction holds, what was set in it doesn't; statements that were prepared are there."""
    c = pooler.connect(params={"application_name": "frozen"})
    c.query("set work_mem = '5MB'")
    say(c, wire.parse("one", "select 1") + wire.SYNC)
    c.query("begin")
    c.query("set work_mem = '6MB'; set timezone = 'America/Lima'; set local statement_timeout = 5000")
    say(c, wire.parse("two", "select 2") + wire.SYNC)
    served(pooler)
    fails(c, "show work_mem")
    c.query("rollback")
    assert c.value("show work_mem") == "5MB"
    assert c.value("show timezone") != "America/Lima"
    assert c.value("show statement_timeout") == "0"
    assert c.value("show application_name") == "frozen"
    for name, value in (("one", "1"), ("two", "2")):
        assert say(c, wire.bind(name) + wire.execute() + wire.SYNC) == ["2", "D(%s)" % value, "C(SELECT 1)", "Z(I)"]


KEPT = {
    "a temporary table, outside a transaction": ["create temp table kept (i int)"],
    "a temporary table, in a transaction": ["create temp table kept (i int)", "begin"],
    "an advisory lock": ["begin", "select pg_advisory_lock(4711)"],
    "SQL-level PREPARE": ["begin", "prepare kept as select 1"],
    "a setting that a pipeline has committed": ["begin; set work_mem = '5MB'; commit and chain"],
}


@pytest.mark.parametrize("why", KEPT)
def test_what_a_rollback_would_not_undo_is_kept(new_pooler, why):
    """Who has more to lose than a transaction isn't reclaimed: the others wait."""
    p = new_pooler(dict(SETTINGS, query_wait_timeout=(AFTER + 1) * SLOW, query_wait_timeout_action="error", pin_notice=0, max_pinned=1))
    c, other = p.connect(), p.connect()
    for sql in KEPT[why]:
        c.query(sql)
    with pytest.raises(QueryFailed) as e:
        other.query("select 1")
    assert e.value.sqlstate == "53300"
    assert c.query("select 'mine'") == [["mine"]]


def test_who_is_at_work_is_left_alone(new_pooler):
    """A long query, and a transaction with short pauses, however long it lasts."""
    p = new_pooler(dict(SETTINGS, idle_in_transaction_grace=1 * SLOW, query_wait_notify=0))
    c = p.connect()
    c.query("begin")
    other = p.connect()
    other.send(wire.query("select 'waited'"))
    end = time.monotonic() + 3 * SLOW
    while time.monotonic() < end:
        time.sleep(0.05)
        assert c.query("select 1") == [["1"]]
    c.query("select pg_sleep(%f)" % (2 * SLOW))
    assert not other.readable(0)
    c.query("commit")
    assert [m.row for m in other.recv_until("Z") if m.kind == "D"] == [["waited"]]


def test_off_by_default_in_pgbouncers_section(new_pooler):
    """An unchanged file means the same."""
    p = new_pooler()
    config = {row["key"]: row for row in p.ask("SHOW CONFIG")}
    assert config["reclaim_after"]["value"] == "0"
    assert config["idle_in_transaction_grace"]["value"] == "1"


FROZEN = """
import os, sys
import psycopg2
c = psycopg2.connect(sys.argv[1])
cur = c.cursor()
cur.execute("select 1")
print("ready", flush=True)
sys.stdin.readline()
try:
    cur.execute("select 2")
except psycopg2.Error as e:
    print(e.pgcode, type(e).__name__, c.closed, flush=True)
c.rollback()
cur.execute("select 3")
print(cur.fetchone()[0], c.closed, flush=True)
c.commit()
"""


def test_a_pool_of_frozen_functions(new_pooler, postgres):
    """Ten processes stopped in a transaction on a pool of ten: a live client is served; thawed, each gets 25P03 and goes on over its connection."""
    p = new_pooler(dict(SETTINGS, default_pool_size=10, worker_threads=2))
    dsn = "host=%s port=%d user=app dbname=test" % (p.host, p.port)
    functions = [subprocess.Popen([sys.executable, "-c", FROZEN, dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                 for _ in range(10)]
    try:
        for f in functions:
            assert f.stdout.readline() == "ready\n"
            os.kill(f.pid, signal.SIGSTOP)
        time.sleep(0.2 * SLOW)
        live = psycopg2.connect(dsn)
        begin = time.monotonic()
        with live, live.cursor() as cur:
            cur.execute("select 'live'")
            assert cur.fetchone() == ("live",)
        took = time.monotonic() - begin
        assert took < (AFTER + 0.1) * SLOW + 0.2, took  # the last: a busy machine
        connections = p.column("cl_active")
        herd = [p.connect() for _ in range(10)]  # the one server that is free isn't enough for these
        for c in herd:
            c.send(wire.query("select pg_sleep(%f)" % (1.5 * SLOW)))
        for c in herd:
            assert c.recv_until("Z")[-1].body == b"I"
        for f in functions:
            os.kill(f.pid, signal.SIGCONT)
        answers = [f.communicate("go\n", timeout=30)[0].splitlines() for f in functions]
        assert answers == [["25P03 IdleInTransactionSessionTimeout 0", "3 0"]] * 10
        assert connections == 11
        assert len(postgres.sessions()) <= 10
    finally:
        for f in functions:
            f.kill()
            f.wait()
    wait_until(lambda: not postgres.sessions("state <> 'idle'"), what="no transaction is left")

"""Bugs that a review of pools and sessions found: lost wake-ups, state that outlives its owner, servers that end at a bad moment."""
import os
import signal
import struct
import time

import pytest
import wire
from scripted_server import ScriptedServer, complete, data_row, error, has, message, ready, result, row_description
from wire import FLUSH, SYNC, LoginFailed, QueryFailed, bind, close, execute, parse, query, wait_until


def kinds(messages):
    return "".join("-" if m is None else m.kind for m in messages)


@pytest.fixture
def behind(new_pooler):
    """behind(script, settings) → (server, pooler)"""
    servers = []

    def make(script, settings=None, on_cancel=None, **kw):
        server = ScriptedServer(script, on_cancel)
        servers.append(server)
        return server, new_pooler(dict({"server_login_retry": 0.1}, **(settings or {})), server=server, **kw)

    yield make
    for server in servers:
        server.stop()
    for server in servers:
        assert not server.errors, server.errors


def own_section(p):
    """[pgweir] instead of [pgbouncer]: what a client leaves behind pins its server."""
    with open(p.ini) as f:
        text = f.read()
    with open(p.ini, "w") as f:
        f.write(text.replace("[pgbouncer]", "[pgweir]"))
    p.start()
    return p


def test_names_of_a_batch_that_died_with_its_server_are_free(new_pooler, postgres):
    """P(a) was never answered: it doesn't exist afterwards, and preparing it anew works at once."""
    p = new_pooler()
    c = p.connect()
    c.send(query("select pg_sleep(30)") + parse("a", "select 41") + SYNC)
    wait_until(lambda: postgres.sessions("state = 'active'"), what="the query runs")
    postgres.terminate(postgres.sessions("state = 'active'")[0]["pid"])
    assert kinds(c.recv_until("Z"))[-2:] == "EZ"
    assert kinds(c.recv_until("Z")) == "EZ"
    c.send(bind("a") + execute() + SYNC)
    assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["26000"]
    c.send(parse("a", "select 42") + bind("a") + execute() + SYNC)
    assert kinds(c.recv_until("Z", 5)) == "12DCZ"


def test_same_name_again_behind_an_unanswered_parse(via):
    """P(a) S P(x) P(a) S in one segment: the answer to P(x) doesn't come before the second Sync, so nothing may wait for it."""
    c = via.connect()
    c.send(parse("a", "select 1") + SYNC + parse("x", "select 2") + parse("a", "select 3") + SYNC)
    assert kinds(c.recv_until("Z", 5)) == "1Z"
    got = c.recv_until("Z", 5)
    assert kinds(got) == "1EZ" and got[1].sqlstate == "42P05"


def test_full_cache_in_the_skip_state(new_pooler):
    """No room for one more statement, and the server skips our Close, too."""
    p = new_pooler({"max_prepared_statements": 2})
    c = p.connect()
    c.send(parse("a", "select 1") + parse("b", "select 2") + SYNC)
    assert kinds(c.recv_until("Z")) == "11Z"
    c.send(parse("", "selec") + FLUSH)
    assert kinds(c.recv_until("E")) == "E"
    c.send(parse("c", "select 3") + SYNC)
    assert kinds(c.recv_until("Z", 5)) == "Z"
    c.send(parse("c", "select 3") + bind("c") + execute() + SYNC)
    assert kinds(c.recv_until("Z", 5)) == "12DCZ"


@pytest.mark.parametrize("sql", ["deallocate all", "discard all"])
@pytest.mark.parametrize("simple", [True, False])
def test_prepare_behind_deallocate_all(new_pooler, sql, simple):
    """The server had the text before, but it won't when the Bind arrives."""
    p = new_pooler()
    other, c = p.connect(), p.connect()
    other.send(parse("o", "select 77") + bind("o") + execute() + SYNC)
    assert kinds(other.recv_until("Z")) == "12DCZ"
    first = query(sql) if simple else parse("", sql) + bind() + execute() + SYNC
    c.send(first + parse("b", "select 77") + bind("b") + execute() + SYNC)
    c.recv_until("Z")
    assert kinds(c.recv_until("Z")) == "12DCZ"
    other.send(bind("o") + execute() + SYNC)
    assert kinds(other.recv_until("Z")) == "2DCZ"


@pytest.mark.parametrize("simple", [True, False])
def test_names_behind_deallocate_all(via, simple):
    """In one segment: the old name is gone when the next batch wants it."""
    c = via.connect()
    c.send(parse("a", "select 1") + SYNC)
    assert kinds(c.recv_until("Z")) == "1Z"
    first = query("deallocate all") if simple else parse("", "deallocate all") + bind() + execute() + SYNC
    c.send(first + parse("a", "select 2") + bind("a") + execute() + SYNC + bind("a") + execute() + SYNC)
    c.recv_until("Z")
    for want in ("12DCZ", "2DCZ"):
        got = c.recv_until("Z")
        assert kinds(got) == want and got[-3].row == ["2"]


def test_known_text_again_in_a_failed_block(via):
    """A name that exists: in a failed block PostgreSQL says so first."""
    c = via.connect()
    c.send(parse("a", "select 1") + SYNC + query("begin; select 1/0"))
    c.recv_until("Z"), c.recv_until("Z")
    c.send(parse("a", "select 1") + SYNC)
    assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["25P02"]
    c.query("rollback")


def test_eviction_that_was_skipped_and_then_deallocated(new_pooler):
    """Our Close was skipped, so the statement is there; DISCARD ALL takes it away all the same."""
    p = new_pooler({"max_prepared_statements": 2})
    c, other = p.connect(), p.connect()
    c.send(parse("a", "select 1") + parse("b", "select 2") + SYNC)
    assert kinds(c.recv_until("Z")) == "11Z"
    c.send(bind("nothing") + parse("c", "select 3") + SYNC)
    assert kinds(c.recv_until("Z")) == "EZ"
    other.query("discard all")
    for name in "ab":
        c.send(bind(name) + execute() + SYNC)
        assert kinds(c.recv_until("Z")) == "2DCZ"


def test_statement_whose_parse_was_skipped_in_the_batch_before(new_pooler):
    """The Parse that we put ahead of a Bind is skipped with a batch that fails before it; the next batch has been sent already."""
    p = new_pooler({"default_pool_size": 2})
    c, other = p.connect(), p.connect()
    other.query("begin")
    c.send(parse("a", "select 91") + SYNC)
    assert kinds(c.recv_until("Z")) == "1Z"
    c.query("begin")
    other.query("rollback")
    c.query("rollback")
    p.ask("RECONNECT")  # a server that doesn't have it
    c.send(bind("nothing") + execute() + bind("a") + execute() + SYNC + bind("a") + execute() + SYNC)
    assert kinds(c.recv_until("Z")) == "EZ"
    assert kinds(c.recv_until("Z")) == "2DCZ"


def test_bad_text_under_two_names(via):
    """The second one isn't taken for parsed because the first was on its way."""
    c = via.connect()
    c.send(parse("a", "selec") + SYNC + parse("b", "selec") + SYNC)
    assert (kinds(c.recv_until("Z")), kinds(c.recv_until("Z"))) == ("EZ", "EZ")


def test_error_of_an_old_unnamed_parse(via):
    """It comes when the next unnamed statement has been sent already, and doesn't take that away."""
    c = via.connect()
    c.send(parse("", "selec") + SYNC + parse("", "select 92") + wire.bind()[:3])
    assert kinds(c.recv_until("Z")) == "EZ"
    c.send(wire.bind()[3:] + execute() + SYNC)
    assert kinds(c.recv_until("Z")) == "12DCZ"


@pytest.mark.parametrize("sent", [wire.copy_data("late"), FLUSH, FLUSH + wire.copy_data("late") * 3])
def test_reset_behind_what_needs_no_answer(new_pooler, sent):
    """Both arrive together: nobody sends anything to that client, and still it's noticed."""
    p = new_pooler()
    for _ in range(3):
        c = p.connect()
        c.query("select 1")
        os.kill(p.process.pid, signal.SIGSTOP)
        c.send(sent)
        c.rst()
        os.kill(p.process.pid, signal.SIGCONT)
    p.wait_rest(everybody_left=True)


def test_statements_deallocated_inside_a_function(new_pooler):
    """Nobody can see it; whoever meets it gets PostgreSQL's error once, not for ever."""
    p = new_pooler()
    other, c = p.connect(), p.connect()
    other.send(parse("o", "select 78") + bind("o") + execute() + SYNC)
    assert kinds(other.recv_until("Z")) == "12DCZ"
    c.query("do $$begin execute 'deallocate all'; end$$")
    other.send(bind("o") + execute() + SYNC)
    other.recv_until("Z")
    other.send(bind("o") + execute() + SYNC)
    assert kinds(other.recv_until("Z")) == "2DCZ"


def test_touched_server_without_a_reset_query(new_pooler):
    """There is nothing to clean it with: it is closed, not lent to the next."""
    p = own_section(new_pooler({"server_reset_query": ""}, start=False))
    c = p.connect()
    c.query("select pg_advisory_lock(4711)")
    c.close()
    p.wait_rest()
    d = p.connect()
    pid = d.value("select pg_backend_pid()")
    wait_until(lambda: d.value("select count(*) from pg_locks where locktype = 'advisory'") == "0", what="PostgreSQL noticed the close")
    assert d.value("select pg_backend_pid()") == pid


def test_fastpath_leaves_nothing_behind(new_pooler, postgres):
    """A FunctionCall may take a lock or set a parameter as well as a Query may."""
    p = own_section(new_pooler(start=False))
    oid = int(postgres.value("select 'pg_advisory_lock(bigint)'::regprocedure::oid"))
    c, d = p.connect(), p.connect()
    c.send(wire.function_call(oid, [struct.pack("!q", 99)], [1]))
    assert kinds(c.recv_until("Z")) == "VZ"
    c.close()
    p.wait_rest()
    assert d.value("select count(*) from pg_locks where locktype = 'advisory'") == "0"


def test_known_text_of_another_database(new_pooler, postgres):
    """That db 'test' has parsed it says nothing about db 'test2'."""
    postgres.sql("create table only_here (i int)", database="test")
    try:
        p = new_pooler()
        a, b = p.connect(), p.connect(database="test2")
        for c in (a, b):
            c.query("select 1")
        a.send(parse("s", "select * from only_here") + SYNC)
        assert kinds(a.recv_until("Z")) == "1Z"
        b.send(parse("s", "select * from only_here") + SYNC)
        assert kinds(b.recv_until("Z")) == "EZ"
    finally:
        postgres.sql("drop table only_here", database="test")


def test_session_mode_tells_a_fatal_once(new_pooler, postgres):
    p = new_pooler({"pool_mode": "session"})
    c = p.connect()
    c.query("select 1")
    pid = c.value("select pg_backend_pid()")
    postgres.terminate(int(pid))
    got = c.recv_until("")
    assert [m.sqlstate for m in got if m is not None] == ["57P01"]


def test_waiting_clients_of_a_removed_database(new_pooler):
    """They're told; nobody will ever serve them."""
    p = new_pooler(databases={"test": "host=127.0.0.1 port=1", "other": "host=127.0.0.1 port=1"}, settings={"server_login_retry": 1})
    good = p.databases.copy()
    p.databases["test"] = "host=127.0.0.1 port=%d" % p.server.port
    p.reload()
    holder, waiter = p.connect(), p.connect()
    holder.query("begin")
    waiter.send(query("select 1"))
    wait_until(lambda: p.column("cl_waiting") == 1, what="it waits")
    p.databases = {"other": good["other"]}
    p.reload()
    got = waiter.recv_until("", 5)
    assert [m.severity for m in got if m is not None] == ["FATAL"]
    holder.query("commit")


@pytest.mark.parametrize("pinned", [False, True])
def test_state_that_died_with_its_server_is_told(behind, pinned):
    """SET was answered, then the server died before anybody could ask what has become of it: the client must not believe that it holds."""
    def script(c):
        c.login()
        if c.polite(until=has("pg_settings")) is not None:
            if not pinned:
                c.close()
                return
            c.send(row_description("a", "b") + data_row("", "advisory") + complete("SELECT 1") + ready())
            if c.polite(until=has("boom")) is not None:
                c.close()
    server, p = behind(script, start=False)
    c = own_section(p).connect()
    c.query("set work_mem = '5MB'")
    if pinned:
        c.send(query("boom"))
    got = c.recv_until("", 5)
    assert [m.severity for m in got if m is not None][-1] == "FATAL", [str(m) for m in got]


def has_end_of_stream(port):
    """Is there a socket with this local port whose peer's end of stream has arrived (CLOSE_WAIT)? A busy machine delivers it late."""
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.read().splitlines()[1:]]
    return any(int(r[1].split(":")[1], 16) == port and r[3] == "08" for r in rows)


def stands_still(pid):
    """A thread that has an event in hand stops a moment later than the signal was sent."""
    states = []
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, task)) as f:
            states.append(f.read().rpartition(")")[2].split()[0])
    return set(states) == {"T"}


@pytest.mark.parametrize("workers", [1, 3])
def test_server_that_ends_with_its_last_answer(behind, workers):
    """Both arrive together while others wait, also at other workers: they get their rows, from another server."""
    stopped = []

    def script(c):
        c.login()
        if c.polite(until=has("boom")) is not None:
            wait_until(lambda: stopped, what="pgweir stands still")
            peer = c.sock.getpeername()[1]
            c.send(result("done"))
            c.close()
            wait_until(lambda: has_end_of_stream(peer), what="the kernel has delivered it")
            stopped.append(1)

    server, p = behind(script, {"worker_threads": workers})
    clients = [p.connect() for _ in range(6)]
    for round in range(3):
        del stopped[:]
        clients[round].send(query("select boom"))
        wait_until(lambda: server.queries("boom") == round + 1, what="it runs")
        for c in clients:
            if c is not clients[round]:
                c.send(query("select 1"))
        wait_until(lambda: p.column("cl_waiting") == 5, what="they wait")
        os.kill(p.process.pid, signal.SIGSTOP)
        wait_until(lambda: stands_still(p.process.pid), what="all its threads have stopped")
        stopped.append(0)
        wait_until(lambda: len(stopped) == 2, what="the server has ended")
        os.kill(p.process.pid, signal.SIGCONT)
        got = [c.recv_until("Z") for c in clients]
        # At another worker its end may be seen only when a query has been sent to it: that one gets an error.
        assert sorted(kinds(m) for m in got)[workers > 1:] == ["TDCZ"] * (6 - (workers > 1)), [[str(x) for x in m] for m in got]
    p.wait_rest()


def test_slot_of_a_client_paused_by_a_failed_copy(new_pooler, postgres):
    """COPY fails while complete messages still wait for the server: the client is read on after its ReadyForQuery."""
    postgres.sql("drop table if exists slow_copy", "create table slow_copy (i int)",
                 "create or replace function slow_row() returns trigger language plpgsql as $$begin perform pg_sleep(2);"
                 " raise exception 'no'; end$$",
                 "create trigger t before insert on slow_copy for each row execute function slow_row()", database="test")
    p = new_pooler()
    c = p.connect()
    c.send(query("copy slow_copy from stdin"))
    assert kinds(c.recv_until("G")) == "G"
    c.send(wire.copy_data("1\n" * 5000))
    data = wire.copy_data("1\n" * 4000)
    while not c.readable(0.01):
        c.sock.setblocking(False)
        rest = data
        try:
            while rest:
                rest = rest[c.sock.send(rest):]
        except BlockingIOError:
            break
        finally:
            c.sock.settimeout(wire.TIMEOUT)
    assert kinds(c.recv_until("Z", 20)) == "EZ"
    c.send(rest)
    c.send(wire.COPY_DONE)
    assert c.query("select 5", 5) == [["5"]]

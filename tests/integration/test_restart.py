"""PostgreSQL restarts under clients that go on: what they keep, what they are told, and how soon all is well again. (make bench-failures does more of it.)"""
import os
import signal
import struct
import threading
import time

import pytest
import wire
from crowd import TABLE, Crowd
from postgres import Postgres
from scripted_server import ScriptedServer, error, parameter
from wire import SLOW, is_ready, message, wait_until

WEIR = {"server_login_retry": 1, "query_wait_timeout": 60, "default_pool_size": 8}
EXCUSED = {"57P01", "57P02", "57P03", "08006", "25P02"}  # of what was under way


@pytest.fixture
def own_postgres():
    p = Postgres()
    p.sql("alter system set synchronous_commit = on", "select pg_reload_conf()")  # what was acknowledged outlives an immediate shutdown
    p.sql(TABLE, database="test")
    yield p
    p.destroy()


def soon(crowd, since, seconds):
    """Transactions are through again, all of them."""
    wait_until(lambda: crowd.failure or crowd.last_done > since, seconds, "a transaction after PostgreSQL's return")
    crowd.wait_done(2 * len(crowd.members), seconds)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
@pytest.mark.timeout(120 * SLOW)
def test_restart_under_load(new_pooler, own_postgres, how, workers):
    """Nobody loses his connection, only statements under way fail, and what was acknowledged is there, once."""
    p = new_pooler(dict(WEIR, worker_threads=workers), server=own_postgres)
    with Crowd(p, 30) as c:
        c.wait_done(100)
        for _ in range(2):
            own_postgres.stop(how)
            down = time.monotonic()
            time.sleep(0.5)  # an outage, as long as it is
            own_postgres.start()
            back = time.monotonic()
            soon(c, back, 2 * SLOW)
            assert not c.unexcused(down, back), c.unexcused(down, back)[:3]
    assert not c.lost(), c.lost()[:3]
    assert {code for _, code in c.counts()} <= EXCUSED, c.counts()
    acked, unknown, there = c.check(own_postgres)
    assert acked > 100


@pytest.mark.timeout(120 * SLOW)
def test_single_servers_die(new_pooler, own_postgres):
    """pg_terminate_backend on one after the other: only who had it notices."""
    p = new_pooler(WEIR, server=own_postgres)
    with Crowd(p, 30) as c:
        c.wait_done(100)
        for _ in range(20):
            own_postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'test' order by random() limit 1")
            c.wait_done(30)
    assert not c.lost() and len(c.troubles) <= 20 * 2, c.troubles[:3]
    c.check(own_postgres)


@pytest.mark.timeout(120 * SLOW)
def test_frozen_postgresql(new_pooler, own_postgres):
    """SIGSTOP of all of PostgreSQL: clients wait, and go on when it does."""
    p = new_pooler(dict(WEIR, server_connect_timeout=15), server=own_postgres)
    with Crowd(p, 30) as c:
        c.wait_done(100)
        pids = [own_postgres.process.pid] + [s["pid"] for s in own_postgres.sessions()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        soon(c, time.monotonic(), 2 * SLOW)
    assert not c.troubles, c.troubles[:3]
    c.check(own_postgres)


def test_SF_04_back_soon_in_spite_of_many_cancels(new_pooler, own_postgres):
    """SF-04: PostgreSQL restarts with 20 cancels on their way: back within one retry interval."""
    p = new_pooler(dict(WEIR, default_pool_size=20), server=own_postgres)
    clients = [p.connect() for _ in range(20)]
    for c in clients:
        c.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: len(own_postgres.sessions("state = 'active'")) == 20, what="20 sleepers")
    own_postgres.process.send_signal(signal.SIGSTOP)  # the postmaster: cancels connect, and nobody answers them
    cancels = [p.raw() for _ in clients]
    for c, cancel in zip(clients, cancels):
        cancel.send(wire.cancel_request(c.pid, c.secret))
    wait_until(lambda: p.column("cl_active_cancel_req") == 20, what="20 cancels under way")
    own_postgres.process.send_signal(signal.SIGCONT)
    own_postgres.stop(signal.SIGQUIT)
    own_postgres.start()
    start = time.monotonic()
    assert p.connect().query("select 1") == [["1"]]
    assert time.monotonic() - start < 2 * SLOW


def test_SF_07_the_first_success_ends_the_backoff(new_pooler):
    """SF-07: Ten failures make pauses of up to server_login_retry; one success, and the next failure's pause is short again."""
    def script(c):
        times.append(time.monotonic())
        if state["down"]:
            c.send(error("FATAL", "57P03", "the database system is starting up"))
            return
        c.login()
        c.polite()
    times, state = [], {"down": True}
    with ScriptedServer(script) as server:
        p = new_pooler(dict(WEIR, server_login_retry=0.8 * SLOW, default_pool_size=1), server=server)
        result = []
        t = threading.Thread(target=lambda: result.append(p.connect().query("select 1")))
        t.start()
        wait_until(lambda: len(times) >= 7, what="pauses that have grown")
        pauses = [b - a for a, b in zip(times, times[1:])]
        assert pauses[0] < 0.4 * SLOW < pauses[5], pauses
        state["down"] = False
        t.join(10 * SLOW)
        assert result == [[["1"]]]
        state["down"] = True
        server.connections[-1].close()
        times.clear()
        t = threading.Thread(target=lambda: result.append(p.connect().query("select 1")))
        t.start()
        wait_until(lambda: len(times) >= 2, what="two tries")
        state["down"] = False
        t.join(10 * SLOW)
        assert times[1] - times[0] < 0.4 * SLOW and len(result) == 2, times


def test_SF_07_a_login_that_reconnect_ends_is_no_failure(new_pooler):
    """SF-07: RECONNECT and KILL close a login in progress: the next one starts at once, and the host isn't on hold."""
    def script(c):
        if c.number == 0:
            c.hang()
            return
        c.login()
        c.polite()
    with ScriptedServer(script) as server:
        p = new_pooler(dict(WEIR, default_pool_size=1, server_connect_timeout=60), server=server)
        result = []
        t = threading.Thread(target=lambda: result.append(p.connect().query("select 1")))
        t.start()
        wait_until(lambda: server.connections, what="the first login")
        p.ask("RECONNECT")
        t.join(5 * SLOW)
        assert result == [[["1"]]]
        host, = p.ask("SHOW HOSTS")
        assert host["state"] == "up" and host["failures_total"] == 0, host


def test_one_probe_for_all_pools(new_pooler):
    """While a host is on hold, one login at a time tries it, whatever pools and workers have clients that wait."""
    def script(c):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)  # that others would be seen beside it
        with lock:
            now[0] -= 1
        if state["down"]:
            c.send(error("FATAL", "57P03", "the database system is starting up"))
            return
        c.login()
        c.polite()
    lock, now, most, state = threading.Lock(), [0], [0], {"down": True}
    with ScriptedServer(script) as server:
        p = new_pooler(dict(WEIR, worker_threads=2, server_login_retry=0.2), server=server)
        results = []

        def work(user, database):
            results.append(p.connect(user=user, database=database).query("select 1"))
        threads = [threading.Thread(target=work, args=(u, d)) for u in ("app", "other", "postgres") for d in ("test", "test2") for _ in range(3)]
        for t in threads:
            t.start()
        wait_until(lambda: len(server.connections) >= 3 and p.ask("SHOW HOSTS")[0]["failures"] >= 2 and now[0] <= 1, what="the host is on hold")
        most[0] = 0
        seen = len(server.connections)
        wait_until(lambda: len(server.connections) >= seen + 5, what="probes")
        assert most[0] == 1, most
        host, = p.ask("SHOW HOSTS")
        assert host["state"] in ("hold", "probing") and host["sqlstate"] == "57P03" and host["failures"] >= 2, host
        queue = p.ask("SHOW QUEUE")
        assert queue and all(r["detail"].endswith("the database system is starting up") for r in queue), queue
        state["down"] = False
        for t in threads:
            t.join(10 * SLOW)
        assert len(results) == len(threads)
        events = [r["event"] for r in p.ask("SHOW EVENTS") if r["kind"] == "hold"]
        where = "127.0.0.1:%d " % server.port
        assert events[0].startswith(where + "is on hold: the database system is starting up (57P03)") and events[-1].startswith(where + "is back after "), events


def test_SF_06_a_silent_pool_doesnt_hold_up_others(new_pooler):
    """SF-06, TO-05: One database's login gets no answer (it is locked, say): those of others on the same host are served meanwhile."""
    def script(c):
        if c.params["database"] == "test2":
            c.hang()
            return
        c.login()
        c.polite()
    with ScriptedServer(script) as server:
        p = new_pooler(dict(WEIR, server_connect_timeout=30, server_connect_concurrency=1), server=server)
        stuck = p.raw()
        stuck.send(wire.startup({"user": "app", "database": "test2"}))
        wait_until(lambda: server.connections, what="a login that hangs")
        assert p.connect().query("select 1") == [["1"]]


def test_TO_05_one_deadline(new_pooler):
    """TO-05: A server that answers each step of the login late, but never in time for all of them."""
    def script(c):
        c.send(message("R", struct.pack("!i", 0)))
        for _ in range(100):
            c.send(parameter("server_version", "15"))
            time.sleep(0.1)  # a step in time; all of them take too long
            if c.sock.fileno() < 0 or is_ready(c.sock, 0):
                ended.append(time.monotonic() - start)
                return
    ended = []
    with ScriptedServer(script) as server:
        start = time.monotonic()
        p = new_pooler(dict(WEIR, server_connect_timeout=1 * SLOW, default_pool_size=1), server=server)
        c = p.raw()
        c.send(wire.startup({"user": "app", "database": "test"}))
        wait_until(lambda: ended, 20 * SLOW, "the login was given up")
        assert ended[0] < 6 * SLOW


@pytest.mark.parametrize("how", ["simple", "extended", "pipeline"])
@pytest.mark.parametrize("word", ["commit", "END", "rollback work"])
def test_server_dies_at_commit(new_pooler, how, word):
    """A COMMIT that fails leaves no transaction, as in PostgreSQL: psycopg2, for one, couldn't even say ROLLBACK afterwards."""
    def script(c):
        c.login()
        if c.polite(until=lambda m: word.encode() in m.body and m.kind in "QP") is not None:
            c.send(error("FATAL", "57P01", "going"))
    with ScriptedServer(script) as server:
        p = new_pooler(dict(WEIR, default_pool_size=1), server=server)
        c = p.connect()
        c.query("begin")
        batch = wire.parse("", word) + wire.bind() + wire.execute() + wire.SYNC
        c.send({"simple": wire.query(word), "extended": batch, "pipeline": wire.parse("", "insert") + wire.bind() + wire.execute() + wire.SYNC + batch}[how])
        statuses, errors = [], 0
        while len(statuses) < (2 if how == "pipeline" else 1):
            m = c.recv()
            errors += m.kind == "E"
            if m.kind == "Z":
                statuses.append(m.body.decode())
        assert statuses[-1] == "I" and errors >= 1, statuses
        assert c.query("select 1") == [["1"]]

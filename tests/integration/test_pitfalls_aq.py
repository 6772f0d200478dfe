"""AQ: the admission queue, limits and storms; TH: threads."""
import threading

import pytest
import wire
from wire import LoginFailed, QueryFailed, wait_until

WORKERS = pytest.mark.parametrize("workers", [1, 4])


def in_threads(n, fn):
    """Runs fn(0..n-1) at once; raises the first error."""
    errors = []

    def run(i):
        try:
            fn(i)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


@pytest.mark.pooler_only
def test_AQ_01_first_come_first_served(via):
    """AQ-01: The queue's order is the order of arrival, and who just released goes behind those who wait."""
    t = via.table("id serial, who int")
    holder = via.connect()
    holder.query("begin")
    waiting = []
    for n in range(10):
        c = via.connect()
        c.send(wire.query("insert into %s (who) values (%d)" % (t, n)))
        waiting.append(c)
        wait_until(lambda: via.pooler.column("cl_waiting") == n + 1, what="%d wait" % (n + 1))
    assert holder.query("commit") == []
    holder.query("insert into %s (who) values (99)" % t)
    for c in waiting:
        assert c.recv_until("Z")[-1].body == b"I"
    order = [r[0] for r in via.postgres.sql("select who from %s order by id" % t, database="test")]
    assert sorted(order[:-1] if order[-1] == 99 else [n for n in order if n != 99]) == list(range(10))
    assert [n for n in order if n != 99] == list(range(10)), order
    assert order[0] != 99


@pytest.mark.pooler_only
@pytest.mark.two_workers
def test_AQ_03_grant_races_with_leaving(via):
    """AQ-03: A waiter that leaves while its server comes free: the next is served, and nothing is lost after hundreds of it."""
    holder = via.connect()
    for turn in range(100):
        holder.query("begin")
        gone, stays = via.raw(), via.connect()
        gone.login("app", "test")
        gone.send(wire.query("select 'gone'"))
        stays.send(wire.query("select 'stays %d'" % turn))
        holder.send(wire.query("commit"))
        (gone.fin, gone.rst, gone.close)[turn % 3]()
        assert holder.recv_until("Z")[-1].body == b"I"
        assert [m.row for m in stays.recv_until("Z") if m.kind == "D"] == [["stays %d" % turn]]
        stays.close()


@WORKERS
def test_AQ_04_wait_exceeds_its_limit(new_pooler, workers):
    """AQ-04: 53300 as PostgreSQL would refuse: ERROR, Z, and the client lives; extended messages are skipped to Sync."""
    p = new_pooler({"query_wait_timeout": 0.3, "query_wait_timeout_action": "error", "worker_threads": workers})
    holder, c = p.connect(), p.connect()
    holder.query("begin")
    for status in ("first", "second"):
        c.send(wire.query("select 1"))
        e, z = c.recv_until("Z")
        assert (e.kind, e.severity, e.sqlstate, z.body) == ("E", "ERROR", "53300", b"I"), status
        assert "query_wait_timeout" in " ".join(e.fields.values())
    batch = wire.parse("", "select 2") + wire.bind() + wire.execute()
    c.send(batch + wire.FLUSH)
    e = c.recv()
    assert (e.kind, e.severity, e.sqlstate) == ("E", "ERROR", "53300")
    c.send(batch)
    assert not c.readable(0.1)
    c.send(wire.SYNC)
    assert [str(m) for m in c.recv_until("Z")] == ["Z(I)"]
    c.send(batch + wire.SYNC + batch + wire.SYNC)  # the second batch queues anew
    for _ in range(2):
        assert [m.kind for m in c.recv_until("Z")] == ["E", "Z"]
    c.send(batch + wire.SYNC + wire.parse("", "select 'served'") + wire.bind() + wire.execute() + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["E", "Z"]
    holder.query("commit")
    got = c.recv_until("Z")
    assert [m.kind for m in got] == ["1", "2", "D", "C", "Z"] and got[2].row == ["served"]
    assert c.query("select 3") == [["3"]]  # and nothing thrown away is replayed: ER-09


def test_AQ_04_disconnect_as_pgbouncer(new_pooler):
    """AQ-04: query_wait_timeout_action = disconnect: FATAL, and the end."""
    p = new_pooler({"query_wait_timeout": 0.3, "query_wait_timeout_action": "disconnect"})
    holder, c = p.connect(), p.connect()
    holder.query("begin")
    c.send(wire.query("select 1"))
    e = c.recv()
    assert e.severity == "FATAL" and "query_wait_timeout" in " ".join(e.fields.values())
    c.expect_close()
    holder.query("commit")
    p.wait_rest()


@WORKERS
def test_max_waiting_clients(new_pooler, workers):
    """A full queue refuses at once with 53300; the connection lives."""
    p = new_pooler({"max_waiting_clients": 2, "query_wait_timeout_action": "error", "worker_threads": workers})
    holder = p.connect()
    holder.query("begin")
    waiting = [p.connect() for _ in range(2)]
    for n, c in enumerate(waiting):
        c.send(wire.query("select 1"))
        wait_until(lambda: p.column("cl_waiting") == n + 1)
    c = p.connect()
    with pytest.raises(QueryFailed) as failed:
        c.query("select 1")
    assert failed.value.sqlstate == "53300" and failed.value.error.severity == "ERROR"
    holder.query("commit")
    for w in waiting:
        assert w.recv_until("Z")[-1].body == b"I"
    assert c.query("select 1") == [["1"]]


@WORKERS
def test_TH_01_the_pool_size_is_exact(new_pooler, postgres, workers):
    """TH-01: Many clients over all workers: never more servers than the pool's size, and all of them are used."""
    p = new_pooler({"default_pool_size": 5, "worker_threads": workers})
    stop, most = threading.Event(), [0]

    def watch():
        while not stop.is_set():
            most[0] = max(most[0], len(postgres.sessions()))

    watcher = threading.Thread(target=watch)
    watcher.start()

    def work(n):
        c = p.connect()
        for _ in range(10):
            assert c.query("select pg_sleep(0.002), %d" % n)[0][1] == str(n)
        c.close()
    try:
        in_threads(60, work)
    finally:
        stop.set()
        watcher.join()
    assert 1 < most[0] <= 5
    p.wait_rest()


def test_TH_01_an_idle_server_serves_another_worker(new_pooler, postgres):
    """TH-01: With one server and many workers no client waits while the server is idle, wherever it lies."""
    p = new_pooler({"worker_threads": 8})
    clients = [p.connect() for _ in range(16)]
    pids = {c.value("select pg_backend_pid()") for c in clients for _ in range(3)}
    assert len(pids) == 1 and len(postgres.sessions()) == 1


def test_AQ_06_cold_pool_and_a_herd(new_pooler, postgres):
    """AQ-06: 200 clients at once on a cold pool of 20: all served, never more than 20 servers, and all 20 come."""
    p = new_pooler({"default_pool_size": 20, "worker_threads": 2})

    def work(n):
        c = p.connect()
        assert c.query("select %d, pg_sleep(0.05)" % n)[0][0] == str(n)
        c.close()
    stop, most = threading.Event(), [0]

    def watch():
        while not stop.is_set():
            most[0] = max(most[0], len(postgres.sessions()))
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        in_threads(200, work)
    finally:
        stop.set()
        watcher.join()
    assert 10 <= most[0] <= 20


def test_AQ_07_connects_do_not_hurt_those_at_work(new_pooler):
    """AQ-07: Hundreds of connects in a moment; an established client's queries go on and are all right."""
    p = new_pooler({"default_pool_size": 5, "auth_type": "scram-sha-256", "worker_threads": 2})
    worker = p.connect("scram_user", password="scram secret")
    done = threading.Event()
    errors = []

    def storm(n):
        for _ in range(10):
            c = p.connect("scram_user", password="scram secret")
            c.close()

    def run():
        try:
            in_threads(20, storm)
        except BaseException as e:
            errors.append(e)
        finally:
            done.set()
    threading.Thread(target=run).start()
    n = 0
    while not done.is_set():
        n += 1
        assert worker.query("select %d" % n) == [[str(n)]]
    assert not errors, errors
    assert n > 5


@WORKERS
def test_AQ_08_client_limit(new_pooler, postgres, workers):
    """AQ-08: Over max_client_conn: FATAL 53300 after the startup message; cancels and the console still get in."""
    p = new_pooler({"max_client_conn": 5, "worker_threads": workers, "default_pool_size": 5})
    clients = [p.connect() for _ in range(5)]
    for _ in range(3):
        with pytest.raises(LoginFailed) as failed:
            p.connect()
        assert failed.value.sqlstate == "53300" and failed.value.error.severity == "FATAL"
        assert "max_client_conn" in " ".join(failed.value.error.fields.values())
    assert p.ask("SHOW VERSION")
    clients[0].send(wire.query("select pg_sleep(100)"))
    wait_until(lambda: postgres.sessions("state = 'active'"), what="PostgreSQL has begun: it ignores an earlier cancel")
    clients[0].cancel()
    assert [m.sqlstate for m in clients[0].recv_until("Z") if m.kind == "E"] == ["57014"]
    for round_ in range(3):  # every way out gives its place back
        (clients.pop().close, clients.pop().fin, clients.pop().rst)[round_]() if len(clients) > 4 else clients.pop().close()
        clients.append(wait_until(lambda: _connect(p), what="a free place"))
    for _ in range(20):
        c = p.raw()
        c.send(wire.startup({"user": "app", "database": "test"})[:10])
        c.fin()
    clients.pop().close()
    clients.append(wait_until(lambda: _connect(p), what="a free place after failed logins"))


def _connect(p, *args, **kw):
    try:
        return p.connect(*args, **kw)
    except LoginFailed:
        return None


def test_AQ_08_client_limits_of_database_and_user(new_pooler):
    """AQ-08: max_db_client_connections and max_user_client_connections."""
    p = new_pooler({"max_db_client_connections": 3, "max_user_client_connections": 2, "default_pool_size": 5})
    a = [p.connect(), p.connect()]
    with pytest.raises(LoginFailed) as failed:
        p.connect()
    assert failed.value.sqlstate == "53300" and "max_user_client_connections" in " ".join(failed.value.error.fields.values())
    b = p.connect("other")
    with pytest.raises(LoginFailed) as failed:
        p.connect("postgres")
    assert failed.value.sqlstate == "53300" and "max_db_client_connections" in " ".join(failed.value.error.fields.values())
    a[0].close()
    wait_until(lambda: _connect(p), what="a free place")
    assert b.query("select 1") == [["1"]]


@WORKERS
@pytest.mark.parametrize("limit,users,database", [("max_db_connections", ("app", "other"), "test"), ("max_user_connections", ("app", "app"), "test2")])
def test_AQ_09_pools_under_one_limit(new_pooler, postgres, workers, limit, users, database):
    """AQ-09: Two pools under one limit of 1: an idle server of one is closed for a waiter of the other."""
    p = new_pooler({limit: 1, "default_pool_size": 5, "worker_threads": workers})
    a, b = p.connect(users[0]), p.connect(users[1], database)
    for _ in range(5):
        assert a.query("select 'a'") == [["a"]]
        assert b.query("select 'b'") == [["b"]]
    a.query("begin")
    b.send(wire.query("select 'b waited'"))
    wait_until(lambda: p.column("cl_waiting", database, users[1]) == 1)
    total = len(postgres.sessions()) + len(postgres.sessions(database="test2"))
    assert total == 1
    a.query("commit")
    assert [m.row for m in b.recv_until("Z") if m.kind == "D"] == [["b waited"]]


def test_min_pool_size_is_kept_warm(new_pooler, postgres):
    """With a forced user min_pool_size servers are there from the start, and again after they were killed."""
    p = new_pooler({"min_pool_size": 3, "default_pool_size": 5}, databases={"warm": "host=127.0.0.1 port=%d dbname=test user=app" % postgres.port})
    wait_until(lambda: len(postgres.sessions()) == 3, what="three servers without a client")
    for s in postgres.sessions():
        postgres.terminate(s["pid"])
    wait_until(lambda: len(postgres.sessions()) == 3, what="three servers again")
    assert p.connect(database="warm").value("select 1") == "1"


def test_reserve_pool(new_pooler, postgres):
    """Who waits longer than reserve_pool_timeout gets one of the reserve."""
    p = new_pooler({"default_pool_size": 1, "reserve_pool_size": 1, "reserve_pool_timeout": 0.3})
    a, b, c = p.connect(), p.connect(), p.connect()
    a.query("begin")
    assert b.query("begin") == []
    c.send(wire.query("select 'c'"))
    wait_until(lambda: p.column("cl_waiting") == 1)
    assert not c.readable(0.6) and len(postgres.sessions()) == 2
    b.query("commit")
    assert c.recv_until("Z")[-1].body == b"I"


def test_pool_size_of_database_and_user(new_pooler, postgres):
    """The user's pool_size comes before the database's, that before the default."""
    address = "host=127.0.0.1 port=%d" % postgres.port
    p = new_pooler({"default_pool_size": 1}, databases={"test": address + " pool_size=2", "*": address}, users={"other": "pool_size=3"})
    for user, size in (("app", 2), ("other", 3), ("postgres", 2)):
        clients = [p.connect(user) for _ in range(size + 1)]
        for c in clients[:size]:
            c.query("begin")
        clients[size].send(wire.query("select 1"))
        wait_until(lambda: p.column("cl_waiting", "test", user) == 1)
        assert p.column("sv_active", "test", user) == size
        for c in clients:
            c.close()


def test_pool_mode_session(new_pooler):
    """In session mode a client keeps its server; what it left is discarded for the next."""
    p = new_pooler({"pool_mode": "session", "default_pool_size": 1})
    a, b = p.connect(), None
    pid = a.value("select pg_backend_pid()")
    a.query("set work_mem = '7MB'; create temp table kept (i int); prepare s as select 1")
    a.send(wire.parse("named", "select 'named'") + wire.SYNC)
    assert [m.kind for m in a.recv_until("Z")] == ["1", "Z"]
    b = p.raw()
    b.send(wire.startup({"user": "app", "database": "test"}))
    b.send(wire.query("select current_setting('work_mem'), pg_backend_pid(), (select count(*) from pg_prepared_statements), to_regclass('kept') is null"))
    for _ in range(3):
        assert a.value("show work_mem") == "7MB" and a.query("table kept") == []
    a.send(wire.bind("named") + wire.execute() + wire.SYNC)
    assert [m.row for m in a.recv_until("Z") if m.kind == "D"] == [["named"]]
    a.close()
    got = b.recv_until("Z")
    if got[0].kind == "R":
        got = b.recv_until("Z")
    assert [m.row for m in got if m.kind == "D"] == [["4MB", pid, "0", "t"]]


def test_pool_mode_statement(new_pooler):
    """In statement mode a transaction block is refused."""
    p = new_pooler({"pool_mode": "statement", "default_pool_size": 1})
    a, b = p.connect(), p.connect()
    assert a.query("select 1") == [["1"]] and b.query("select 2") == [["2"]]
    a.send(wire.query("begin"))
    got = a.recv_until("ZE")
    if got[-1] is not None and got[-1].kind == "Z":
        got += a.recv_until("E")
    assert any(m is not None and m.kind == "E" and "transaction blocks not allowed" in m.text for m in got), [str(m) for m in got]
    assert b.query("select 3") == [["3"]]


def test_TH_03_console_reaches_all_workers(new_pooler, postgres):
    """TH-03: SHOW, PAUSE, RELOAD and the end, with clients on each of eight workers and load on all."""
    p = new_pooler({"worker_threads": 8, "default_pool_size": 8})
    clients = [p.connect() for _ in range(32)]
    assert len(p.ask("SHOW CLIENTS")) >= 32
    stop = threading.Event()

    def work(n):
        while not stop.is_set():
            assert clients[n].query("select %d" % n) == [[str(n)]]

    def admin(n):
        try:
            for turn in range(10):
                p.ask("SHOW POOLS"), p.ask("SHOW CLIENTS"), p.ask("SHOW SERVERS"), p.ask("SHOW STATS")
                if n == 0:
                    p.settings["default_pool_size"] = 8 - turn % 4
                    p.reload()
                    p.ask("PAUSE test")
                    p.ask("RESUME test")
        finally:
            if n == 0:
                stop.set()
    try:
        in_threads(34, lambda n: work(n) if n < 32 else admin(n - 32))
    finally:
        stop.set()
    p.wait_rest()


@pytest.mark.parametrize("how", [2, 3, 15])
def test_TH_06_the_end_under_load(new_pooler, how):
    """TH-06: SIGINT, SIGQUIT and SIGTERM under load: it ends, with status 0, and every client reads a clean end."""
    for turn in range(3):
        p = new_pooler({"worker_threads": 4, "default_pool_size": 4})
        clients = [p.connect() for _ in range(20)]
        stop, errors = threading.Event(), []

        def work(c):
            try:
                while not stop.is_set():
                    c.query("select pg_sleep(0.001)")
            except (QueryFailed, OSError, wire.Timeout):
                pass
            except BaseException as e:
                errors.append(e)
            finally:
                c.sock.close()
        threads = [threading.Thread(target=work, args=(c,)) for c in clients]
        for t in threads:
            t.start()
        wait_until(lambda: p.column("sv_active") > 0)
        p.process.send_signal(how)
        if how == 15:  # waits for clients
            stop.set()
        assert p.process.wait(30 * wire.SLOW) == 0
        stop.set()
        for t in threads:
            t.join()
        assert not errors, errors


def test_query_wait_notify(new_pooler):
    """Who waits long is told by a NOTICE, once, and is served afterwards."""
    p = new_pooler({"query_wait_notify": 1})
    holder, c = p.connect(), p.connect()
    holder.query("begin")
    c.send(wire.query("select 'served'"))
    n = c.recv()
    assert n.kind == "N" and b"No server connection available" in n.body
    assert not c.readable(1.2)
    holder.query("commit")
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["served"]]


@WORKERS
def test_AQ_02_no_lost_wake_up(new_pooler, workers):
    """AQ-02: A server that comes free while somebody is just about to wait is found: hundreds of hand-overs, none gets stuck."""
    p = new_pooler({"default_pool_size": 1, "worker_threads": workers})
    clients = [p.connect() for _ in range(9)]
    for _ in range(60):
        for c in clients:
            c.send(wire.query("select 1"))
        for c in clients:
            assert c.recv_until("Z")[-1].body == b"I"


@pytest.mark.parametrize("leave", ["fin", "rst", "close"])
def test_AQ_05_client_leaves_the_queue(new_pooler, postgres, leave):
    """AQ-05: Its query never reaches PostgreSQL, and the place in the queue is free."""
    postgres.sql("drop table if exists aq05", "create table aq05 (i int)", database="test")
    p = new_pooler()
    holder, c, after = p.connect(), p.connect(), p.connect()
    holder.query("begin")
    c.send(wire.query("insert into aq05 values (1)"))
    wait_until(lambda: p.column("cl_waiting") == 1, what="it waits")
    getattr(c, leave)()
    wait_until(lambda: p.column("cl_waiting") == 0, what="its leaving was noticed")
    holder.query("commit")
    assert after.value("select count(*) from aq05") == "0"


def test_CA_12_TH_02_cancels_and_workers(new_pooler, postgres):
    """CA-12, TH-02: A cancel reaches the worker that owns the client, or nobody; one for a client that has gone hits no other."""
    p = new_pooler({"default_pool_size": 6, "worker_threads": 3})
    clients = [p.connect() for _ in range(6)]
    gone = [p.connect() for _ in range(3)]
    for c in gone:
        c.close()
    for c in clients:
        c.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: len(postgres.sessions("state = 'active'")) == 6, what="all six run")
    for c in gone:
        c.cancel()
    assert len(postgres.sessions("state = 'active'")) == 6
    for i, c in enumerate(clients):
        c.cancel()
        assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["57014"]
        assert len(postgres.sessions("state = 'active'")) == 5 - i


def test_TH_04_a_name_that_does_not_resolve(new_pooler, postgres):
    """TH-04: While one database's host is looked up, others are served."""
    p = new_pooler(databases={"bad": "host=no-such-host.invalid dbname=test", "test": "host=127.0.0.1 port=%d" % postgres.port})
    lost = p.raw()
    lost.send(wire.startup({"user": "app", "database": "bad"}))
    assert p.connect().query("select 1") == [["1"]]


def test_TH_05_bytes_that_come_while_nobody_reads(new_pooler):
    """TH-05: What a waiting client goes on sending is answered after the grant, in order."""
    p = new_pooler()
    holder, c = p.connect(), p.connect()
    holder.query("begin")
    for i in range(5):
        c.send(wire.query("select %d" % i))
        wait_until(lambda: p.column("cl_waiting") == 1, what="it waits")
    holder.query("commit")
    rows = []
    for _ in range(5):
        rows += [m.row for m in c.recv_until("Z") if m.kind == "D"]
    assert rows == [[str(i)] for i in range(5)]


def test_ML_03_unused_pools_are_collected(new_pooler):
    """ML-03: A pool that nobody uses goes, and comes back with the next client."""
    p = new_pooler({"autodb_idle_timeout": 0.2, "server_idle_timeout": 0.2})
    for _ in range(2):
        c = p.connect("other")
        assert c.query("select 1") == [["1"]]
        assert p.pool("test", "other")
        c.close()
        wait_until(lambda: not p.pool("test", "other"), what="its pool is gone")

"""The queue beyond its pitfalls: a client's own deadline, what pgweir tells it, forecasts, fairness, priority."""
import threading
import time

import psycopg2
import pytest
import wire
from wire import SLOW, LoginFailed, QueryFailed, wait_until

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def address(server):
    return "host=%s port=%d" % (server.host, server.port)


def extended(sql, name="", close=False):
    return wire.parse(name, sql) + wire.describe("S", name) + wire.bind(name) + wire.describe("P", "") + wire.execute() + wire.SYNC


@pytest.mark.parametrize("options", ["-c pgweir.query_wait=300ms", "-cpgweir.query_wait=300", "--pgweir.query-wait=0.3s"])
def test_own_deadline_at_startup(new_pooler, options):
    """options=-c pgweir.query_wait: ERROR 53300 after that time, the connection stays, and the query is never sent."""
    p = new_pooler({"query_wait_timeout": 60})
    holder, c = p.connect(), p.connect(params={"options": options})
    holder.query("begin")
    assert c.query("show pgweir.query_wait") == [["300ms"]]
    with pytest.raises(QueryFailed) as failed:
        c.query("select 1")
    assert failed.value.sqlstate == "53300" and failed.value.error.severity == "ERROR"
    assert failed.value.error.fields["M"].startswith("pgweir.query_wait")
    assert "1 are busy, of these" in failed.value.error.fields["D"]
    holder.query("commit")
    assert c.query("select 2") == [["2"]]
    assert c.query("select current_setting('pgweir.query_wait', true) is null or current_setting('pgweir.query_wait', true) = ''") == [["t"]]


@pytest.mark.parametrize("value,sqlstate", [("2 parsecs", "22023"), ("-1", "22023"), ("", "22023")])
def test_bad_deadline_fails_the_login(new_pooler, value, sqlstate):
    p = new_pooler()
    with pytest.raises(LoginFailed) as failed:
        p.connect(params={"pgweir.query_wait": value})
    assert failed.value.sqlstate == sqlstate and "pgweir.query_wait" in failed.value.error.fields["M"]
    with pytest.raises(LoginFailed) as failed:
        p.connect(params={"pgweir.server": "mine"})
    assert failed.value.sqlstate == "55P02"


@pytest.mark.parametrize("ask", ["query", "extended"])
@pytest.mark.parametrize("settings", [{}, {"pool_mode": "session"}, {"max_prepared_statements": 0}], ids=["transaction", "session", "untracked"])
def test_set_and_show(new_pooler, ask, settings):
    """SET, SHOW and RESET by both protocols, outside and inside of a transaction, without a word to PostgreSQL."""
    p = new_pooler(dict(settings, query_wait_timeout=60))
    c = p.connect(params={"pgweir.query_wait": "1min"})

    def say(sql):
        if ask == "query":
            return c.query(sql)
        c.send(extended(sql))
        got = c.recv_until("Z")
        errors = [m for m in got if m.kind == "E"]
        if errors:
            raise QueryFailed(errors[0])
        assert [m.kind for m in got if m.kind in "12tCZ"] == ["1", "t", "2", "C", "Z"]
        return [m.row for m in got if m.kind == "D"]

    for begin, end in (("", ""), ("begin", "commit"), ("begin", "rollback")):
        if begin:
            c.query(begin)
        assert say("SHOW pgweir.query_wait") == [["1min"]]
        assert say("set pgweir.query_wait = '2s'") == []
        assert say("show pgweir.query_wait;") == [["2s"]]
        assert say("set session pgweir.query_wait to 250") == []
        assert say("show pgweir.query_wait") == [["250ms"]]
        assert say("reset pgweir.query_wait") == []
        assert say("set pgweir.query_wait = default") == []
        assert say("show pgweir.query_wait") == [["1min"]]
        if begin:
            c.query(end)
        for wrong, sqlstate in (("set pgweir.query_wait = 'soon'", "22023"), ("set pgweir.server = 'x'", "55P02"), ("reset pgweir.last_wait", "55P02")):
            with pytest.raises(QueryFailed) as failed:
                say(wrong)
            assert failed.value.sqlstate == sqlstate
        assert say("show pgweir.query_wait") == [["1min"]]
    c.query("begin")
    with pytest.raises(QueryFailed):
        say("set pgweir.query_wait = 'soon'")
    with pytest.raises(QueryFailed) as failed:  # it has failed the transaction, as PostgreSQL's own would have
        c.query("select 1")
    assert failed.value.sqlstate == "25P02"
    c.query("rollback")
    assert c.query("select 1") == [["1"]]


def test_set_by_other_ways_is_taken_too(new_pooler, postgres):
    """set_config() and a text of several statements set it, and PostgreSQL's sessions don't keep it."""
    p = new_pooler({"query_wait_timeout": 60})
    c, other = p.connect(), p.connect()
    for sql in ("select set_config('pgweir.query_wait', '3s', false)", "set pgweir.query_wait = '3s'; select 1"):
        c.query(sql)
        assert c.query("show pgweir.query_wait") == [["3s"]]
        assert other.query("select coalesce(current_setting('pgweir.query_wait', true), '')") == [[""]]
        c.query("reset all")
        assert c.query("show pgweir.query_wait") == [["0"]]
    c.query("set pgweir.query_wait = '3s'")
    c.query("discard all")
    assert c.query("show pgweir.query_wait") == [["0"]]


def test_show_needs_no_server(new_pooler):
    """While all servers are taken, who is asked about the queue must not have to wait in it."""
    p = new_pooler()
    holder, c = p.connect(), p.connect()
    holder.query("begin")
    assert c.query("show pgweir.server") == [["none"]]
    c.send(wire.query("select 'waited'"))
    wait_until(lambda: p.column("cl_waiting") == 1, what="it waits")
    assert holder.query("select pg_backend_pid()") == [[p.server.sql("select pid from pg_stat_activity where datname = 'test' and state like 'idle in%'")[0][0].__str__()]]
    holder.query("commit")
    assert c.recv_until("Z")[1].row == ["waited"]
    waited = c.query("show pgweir.last_wait")[0][0]
    assert waited.endswith("ms") and float(waited[:-2]) > 0
    server = c.query("show pgweir.server")[0][0]
    assert server.startswith("127.0.0.1:%d pid=" % p.server.port)
    assert "pid=%s " % c.query("select pg_backend_pid()")[0][0] in server
    holder.query("select 1")
    assert holder.query("show pgweir.last_wait") == [["0.000ms"]]


def test_pipeline_of_both(new_pooler):
    """pgweir's answers come in their place, also where others in the batch are PostgreSQL's or fail."""
    p = new_pooler()
    c = p.connect()

    def run(sql, name=""):
        return wire.parse(name, sql) + wire.bind(name) + wire.execute()

    for in_block in (False, True):
        c.send(run("show pgweir.query_wait") + run("select 'a'") + run("show pgweir.query_wait") + run("select 'b'") + wire.SYNC)
        got = c.recv_until("Z")
        assert [m.row for m in got if m.kind == "D"] == [["0"], ["a"], ["0"], ["b"]]
        assert "".join(m.kind for m in got) == "12DC" * 4 + "Z"
        if in_block:
            c.query("savepoint a")
        c.send(run("select 1/0") + run("set pgweir.query_wait = '9s'") + wire.SYNC + (run("rollback to a") if in_block else b"") + run("show pgweir.query_wait") + wire.SYNC)
        assert [m.kind for m in c.recv_until("Z")][-2:] == ["E", "Z"]
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["0"]]
        c.send(run("set pgweir.query_wait = 'soon'") + run("select 'never'") + wire.SYNC + run("select 'next'") + wire.SYNC)
        assert "D" not in [m.kind for m in c.recv_until("Z")]
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == ([] if in_block else [["next"]])
        c.query("begin") if not in_block else None
    c.query("rollback")
    c.send(wire.parse("mine", "show pgweir.query_wait") + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["1", "Z"]
    for _ in range(2):
        c.send(wire.bind("mine") + wire.execute() + wire.SYNC)
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["0"]]
    c.send(wire.close("S", "mine") + wire.bind("mine") + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")][0] == "3"
    c.send(wire.parse("", "show pgweir.query_wait") + wire.parse("", "select 'other'") + wire.bind() + wire.execute() + wire.SYNC)
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["other"]]


def test_libpq_asks(new_pooler):
    p = new_pooler()
    c = psycopg2.connect(host=p.host, port=p.port, user="app", dbname="test", options="-c pgweir.query_wait=2s")
    cur = c.cursor()
    cur.execute("show pgweir.query_wait")
    assert cur.fetchall() == [("2s",)] and cur.description[0].name == "pgweir.query_wait"
    cur.execute("show pgweir.last_wait")
    assert cur.fetchone()[0].endswith("ms")
    c.commit()
    c.close()


class Steady:
    """A client in a thread of its own that runs one statement after another until it's told to stop. waits: of each, in seconds."""

    def __init__(self, pooler, sql, **kw):
        self.client, self.sql, self.waits, self.errors, self.stopping = pooler.connect(**kw), sql, [], [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping:
                began = time.monotonic()
                self.client.query(self.sql)
                self.waits.append(time.monotonic() - began)
        except BaseException as e:
            self.errors.append(e)

    def stop(self):
        self.stopping = True
        self.thread.join()
        assert not self.errors, self.errors
        return self.waits


def run_all(steady, done):
    try:
        wait_until(done, 30 * SLOW, what="enough was served")
    finally:
        for s in steady:
            s.stopping = True
        for s in steady:
            s.thread.join()
    return [len(s.stop()) for s in steady]


@pytest.mark.parametrize("fairness,crowd,lone", [
    ("application_name", {"params": {"application_name": "crowd"}}, {"params": {"application_name": "lone"}}),
    ("client_addr", {}, {"source": "127.0.0.2"}),
    ("user", {}, {"user": "other"}),
])
def test_a_crowd_does_not_hold_up_a_lone_client(new_pooler, postgres, fairness, crowd, lone):
    """12 clients of one flow and one of another share a server: the one gets about half of it."""
    p = new_pooler({"queue_fairness": fairness, "query_wait_timeout": 60}, databases={"*": "%s user=app" % address(postgres)})
    steady = [Steady(p, "select pg_sleep(0.002)", **crowd) for _ in range(12)]
    steady.append(Steady(p, "select pg_sleep(0.002)", **lone))
    served = run_all(steady, lambda: len(steady[-1].waits) >= 100)
    assert sum(served[:-1]) < 3 * served[-1], served
    assert min(served[:-1]) > 0, served


def test_weights(new_pooler, postgres):
    """weight of [users]: three times the weight, three times the servers' time."""
    p = new_pooler({"queue_fairness": "user", "query_wait_timeout": 60}, databases={"*": "%s user=app" % address(postgres)},
                   users={"other": "weight=3"})
    steady = [Steady(p, "select pg_sleep(0.002)", user=u) for u in ("app", "other") for _ in range(6)]
    served = run_all(steady, lambda: sum(len(s.waits) for s in steady) >= 600)
    light, heavy = sum(served[:6]), sum(served[6:])
    assert 2 < heavy / light < 4, served


@WORKERS
def test_users_share_a_database_limit(new_pooler, workers):
    """queue_fairness = user: a pool that came later gets its share of max_db_connections from one that never rests."""
    p = new_pooler({"queue_fairness": "user", "max_db_connections": 4, "default_pool_size": 4, "query_wait_timeout": 60, "worker_threads": workers})
    first = [Steady(p, "select pg_sleep(0.005)") for _ in range(8)]
    wait_until(lambda: p.column("sv_active") == 4, what="it has all")
    second = [Steady(p, "select pg_sleep(0.005)", user="other") for _ in range(8)]
    try:
        wait_until(lambda: p.column("sv_active", user="other") == 2 == p.column("sv_active"), 10 * SLOW, what="two and two")
    finally:
        served = run_all(first + second, lambda: all(s.waits for s in first + second))
    assert min(served) > 0


@WORKERS
def test_first_login_of_a_user_has_its_share(new_pooler, workers):
    """queue_fairness = user: who logs in for the first time needs a server for that, too, while none of the others' is ever idle."""
    p = new_pooler({"queue_fairness": "user", "max_db_connections": 4, "default_pool_size": 4, "query_wait_timeout": 60, "worker_threads": workers})
    busy = [p.connect() for _ in range(60)]  # three seconds of work
    for c in busy:
        c.send(wire.query("select pg_sleep(0.2)"))
    wait_until(lambda: p.column("sv_active") == 4 and p.column("cl_waiting") > 0, what="it has all")
    assert p.connect("other").query("select 1") == [["1"]]
    assert p.column("cl_waiting") > 0, "it had to wait until the others had done"


@WORKERS
def test_more_users_than_servers(new_pooler, postgres, workers):
    """queue_fairness = user, and a server for one of two: it changes hands, but never before it has served somebody."""
    p = new_pooler({"queue_fairness": "user", "max_db_connections": 1, "query_wait_timeout": 60, "log_connections": 1, "worker_threads": workers},
                   databases={"*": "%s connect_query='select pg_sleep(0.2)'" % address(postgres)})
    both = [Steady(p, "select pg_sleep(0.001)", user=user) for user in ("app", "other") * 4]
    served = run_all(both, lambda: sum(len(s.waits) for s in both) >= 20)
    logins = p.log().count("new connection to server")
    assert min(served) > 0 and logins <= sum(served), (served, logins)


@WORKERS
def test_priority_users_go_first(new_pooler, postgres, workers):
    """priority_users are in front of the queue, and get into it when it is full."""
    p = new_pooler({"priority_users": "nobody, other", "max_waiting_clients": 3, "query_wait_timeout_action": "error", "query_wait_timeout": 60,
                    "worker_threads": workers}, databases={"*": "%s user=app" % address(postgres)})
    holder = p.connect()
    holder.query("begin")
    waiting = []
    for n, user in enumerate(("app", "app", "app", "other", "other")):
        c = p.connect(user)
        c.send(wire.query("select clock_timestamp(), pg_sleep(0.02)"))
        waiting.append(c)
        wait_until(lambda: p.column("cl_waiting") == n + 1, what="%d wait" % (n + 1))
    with pytest.raises(QueryFailed) as failed:
        p.connect().query("select 1")
    assert failed.value.sqlstate == "53300"
    holder.query("commit")
    times = [c.recv_until("Z")[1].row[0] for c in waiting]
    order = sorted(range(5), key=lambda n: times[n])
    assert order[:2] in ([3, 4], [4, 3]), order
    if workers == 1:
        assert order == [3, 4, 0, 1, 2]

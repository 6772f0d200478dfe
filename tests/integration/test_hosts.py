"""Several hosts: which one is used, what becomes of one that is away, and of one that isn't any more what target_session_attrs wants."""
import shutil
import signal
import subprocess
import tempfile
import threading

import pytest
from postgres import Postgres, dies_with_us, free_port, own, unprivileged
from scripted_server import ScriptedServer, error, has, parameter, ready, result
from wire import SLOW, QueryFailed, wait_until

WEIR = {"server_login_retry": 1, "query_wait_timeout": 30, "default_pool_size": 1}


def serve(name, **parameters):
    """A script whose SELECTs all give the server's name."""
    def script(c):
        c.login(**parameters)
        while True:
            m = c.polite(until=has("select"))
            if m is None:
                return
            c.send(result(name, status=c.status))
    return script


class Hosts:
    """Scripted servers, and the connection string that names them all."""

    def __init__(self, *scripts):
        self.servers = [ScriptedServer(s) for s in scripts]

    def line(self, more=""):
        return "host=%s port=%s %s" % (",".join(s.host for s in self.servers), ",".join(str(s.port) for s in self.servers), more)

    def used(self):
        return [len(s.connections) for s in self.servers]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        for s in self.servers:
            s.__exit__(kind, value, tb)


def test_round_robin(new_pooler):
    """Servers are opened on one host after the other."""
    with Hosts(serve("a"), serve("b"), serve("c")) as hosts:
        p = new_pooler(dict(WEIR, default_pool_size=6), server=hosts.servers[0], databases={"test": hosts.line()})
        clients = [p.connect() for _ in range(6)]
        for c in clients:
            assert c.query("begin") == []
        assert hosts.used() == [2, 2, 2]
        assert p.pool()["load_balance_hosts"] == "round-robin"
        row, = [r for r in p.ask("SHOW DATABASES") if r["name"] == "test"]
        assert row["load_balance_hosts"] == "round-robin" and row["host"].count(",") == 2 and row["port"] == hosts.servers[0].port, row


def test_in_order(new_pooler):
    """load_balance_hosts=disable: the first, as long as it is there."""
    with Hosts(serve("a"), serve("b")) as hosts:
        p = new_pooler(dict(WEIR, default_pool_size=4, server_connect_concurrency=1), server=hosts.servers[0], databases={"test": hosts.line("load_balance_hosts=disable")})
        clients = [p.connect() for _ in range(4)]
        for c in clients:
            c.query("begin")
        assert hosts.used() == [4, 0]
        hosts.servers[0].stop()
        wait_until(lambda: p.column("sv_active") == 0, what="its servers are gone")
        c = p.connect()
        assert c.query("select") == [["b"]]


@pytest.mark.parametrize("how", ["refused", "starting up", "silent"])
def test_one_host_is_away(new_pooler, how):
    """The others are used meanwhile, and it again when it is back."""
    def away(c):
        if state["away"]:
            if how == "silent":
                c.hang()
            else:
                c.send(error("FATAL", "57P03", "the database system is starting up"))
            return
        serve("a")(c)
    state = {"away": True}
    with Hosts(away, serve("b")) as hosts:
        line = hosts.line() if how != "refused" else "host=127.0.0.1,127.0.0.1 port=%d,%d" % (free_port(), hosts.servers[1].port)
        p = new_pooler(dict(WEIR, default_pool_size=4, server_connect_timeout=1), server=hosts.servers[1], databases={"test": line})
        clients = [p.connect() for _ in range(4)]
        for c in clients:
            assert c.query("select") == [["b"]]
            c.query("begin")
        rows = {r["port"]: r for r in p.ask("SHOW HOSTS")}
        assert rows[hosts.servers[1].port]["state"] == "up", rows
        if how != "refused":
            state["away"] = False
            for c in clients:
                c.query("rollback")
            p.ask("RECONNECT")

            def names():
                for c in clients:
                    c.query("begin")
                seen = {c.query("select")[0][0] for c in clients}
                for c in clients:
                    c.query("rollback")
                p.ask("RECONNECT")
                return seen == {"a", "b"}
            wait_until(names, 20 * SLOW, "both are used")


ATTRS = [  # target_session_attrs, (in_hot_standby, default_transaction_read_only) of a and b, who is used
    ("any", ("on", "on"), ("on", "on"), "ab"),
    ("read-write", ("on", "off"), ("off", "off"), "b"),
    ("read-write", ("off", "on"), ("off", "off"), "b"),
    ("read-only", ("off", "off"), ("off", "on"), "b"),
    ("read-only", ("off", "off"), ("on", "off"), "b"),
    ("primary", ("on", "off"), ("off", "on"), "b"),
    ("standby", ("off", "on"), ("on", "off"), "b"),
    ("prefer-standby", ("off", "off"), ("on", "off"), "b"),
    ("prefer-standby", ("off", "off"), ("off", "off"), "ab"),
]


def role(standby, read_only):
    return {"in_hot_standby": standby, "default_transaction_read_only": read_only}


@pytest.mark.parametrize("attrs, a, b, used", ATTRS)
@pytest.mark.parametrize("balance", ["round-robin", "disable"])
def test_target_session_attrs(new_pooler, attrs, a, b, used, balance):
    """As libpq: what a server reports decides."""
    with Hosts(serve("a", **role(*a)), serve("b", **role(*b))) as hosts:
        line = hosts.line("load_balance_hosts=%s target_session_attrs=%s" % (balance, attrs))
        p = new_pooler(dict(WEIR, default_pool_size=2), server=hosts.servers[0], databases={"test": line})
        clients = [p.connect() for _ in range(2)]
        for c in clients:
            c.query("begin")
        names = {c.query("select")[0][0] for c in clients}
        assert names <= set(used) and (used == "ab" or names == set(used)), names


@pytest.mark.parametrize("is_unfit", [False, True])
def test_older_postgresql_is_asked(new_pooler, is_unfit):
    """Before version 14 nothing is reported: a query asks."""
    def old(name, answer):
        def script(c):
            c.login(in_hot_standby=None, default_transaction_read_only=None)
            while True:
                m = c.polite(until=lambda m: has("select")(m) or has("SELECT")(m))
                if m is None:
                    return
                c.send(result(answer if b"pg_is_in_recovery" in m.body else name, status=c.status))
        return script
    with Hosts(old("a", "t"), old("b", "f")) as hosts:
        p = new_pooler(WEIR, server=hosts.servers[0], databases={"test": hosts.line("target_session_attrs=" + ("read-only" if is_unfit else "read-write"))})
        assert p.connect().query("select") == [["a" if is_unfit else "b"]]


def test_read_only_server_is_left(new_pooler):
    """A server that answers 25006 is asked, and left if it is read-only now; another host is sought. A client's own READ ONLY changes nothing."""
    def first(c):
        c.login()
        while True:
            m = c.polite(until=lambda m: has("select")(m) or has("insert")(m) or has("SELECT")(m))
            if m is None:
                return
            if b"insert" in m.body:
                c.send(error("ERROR", "25006", "cannot execute INSERT in a read-only transaction") + ready(c.status))
            else:
                c.send(result(state["answer"] if b"pg_is_in_recovery" in m.body else "a", status=c.status))
    state = {"answer": "f"}
    with Hosts(first, serve("b")) as hosts:
        p = new_pooler(WEIR, server=hosts.servers[0], databases={"test": hosts.line("target_session_attrs=read-write load_balance_hosts=disable")})
        c = p.connect()
        for answer, name in (("f", "a"), ("t", "b")):
            state["answer"] = answer
            with pytest.raises(QueryFailed) as failed:
                c.query("insert")
            assert failed.value.sqlstate == "25006"
            assert c.query("select") == [[name]]


def test_promoted_standby_is_left(new_pooler):
    """A standby pool's server says that it isn't one any more: closed when its transaction is over, and another standby is used."""
    def first(c):
        c.login(in_hot_standby="on")
        while True:
            m = c.polite(until=lambda m: has("select")(m) or has("SELECT")(m))
            if m is None:
                return
            c.send((b"" if b"pg_is" in m.body else parameter("in_hot_standby", "off")) + result("f" if b"pg_is" in m.body else "a", status=c.status))
    with Hosts(first, serve("b", in_hot_standby="on")) as hosts:
        p = new_pooler(WEIR, server=hosts.servers[0], databases={"test": hosts.line("target_session_attrs=standby load_balance_hosts=disable")})
        c = p.connect()
        c.query("begin")
        assert c.query("select") == [["a"]] and c.query("select") == [["a"]]
        c.query("commit")
        assert c.query("select") == [["b"]]


def test_nothing_fits_yet(new_pooler):
    """No host is what is wanted: clients wait, and are served when one is."""
    def script(c):
        serve("a", in_hot_standby=state["standby"])(c)
    state = {"standby": "on"}
    with Hosts(script) as hosts:
        p = new_pooler(WEIR, server=hosts.servers[0], databases={"test": hosts.line("target_session_attrs=read-write")})
        got = []
        t = threading.Thread(target=lambda: got.append(p.connect().query("select")))
        t.start()
        wait_until(lambda: hosts.used()[0] >= 4, what="it is asked again and again")
        row, = [r for r in p.ask("SHOW LIMITS") if r["user"] == "app"]
        assert row["role"] == "unfit", row
        state["standby"] = "off"
        t.join(5 * SLOW)
        assert got == [[["a"]]]


def test_uri_with_several_hosts(new_pooler):
    """In a URI hosts are tried in their order, as by libpq."""
    with Hosts(serve("a", in_hot_standby="on"), serve("b"), serve("c")) as hosts:
        line = "postgresql://" + ",".join("%s:%d" % (s.host, s.port) for s in hosts.servers) + "/x?target_session_attrs=read-write"
        p = new_pooler(dict(WEIR, default_pool_size=2), server=hosts.servers[0], databases={"test": line})
        for c in [p.connect() for _ in range(2)]:
            c.query("begin")
            assert c.query("select") == [["b"]]


def test_all_addresses_of_a_name(new_pooler, postgres):
    """"localhost" is ::1 and 127.0.0.1 on many machines, and PostgreSQL listens on the latter only."""
    p = new_pooler(WEIR, databases={"test": "host=localhost port=%d" % postgres.port})
    for _ in range(4):
        assert p.connect().query("select 1") == [["1"]]
        p.ask("RECONNECT")
    assert [r["failures_total"] for r in p.ask("SHOW HOSTS")] == [0]


class Standby:
    """A hot standby of a PostgreSQL."""

    host = "127.0.0.1"

    def __init__(self, primary):
        self.dir = tempfile.mkdtemp(prefix="pgweir-pg.")
        own(self.dir)
        self.port, self.data = free_port(), self.dir + "/data"
        subprocess.run([Postgres.bindir() + "/pg_basebackup", "-D", self.data, "-h", primary.host, "-p", str(primary.port), "-U", "postgres",
                        "-R", "-X", "stream", "-c", "fast"], check=True, cwd=self.dir, **unprivileged())
        with open(self.dir + "/log", "a") as log:
            self.process = subprocess.Popen([*dies_with_us("QUIT"), Postgres.bindir() + "/postgres", "-D", self.data, "-p", str(self.port), "-k", self.dir],
                                            stdout=log, stderr=log, cwd=self.dir, **unprivileged())
        wait_until(self.is_up, 60 * SLOW, "the standby accepts connections")

    def is_up(self):
        return subprocess.run([Postgres.bindir() + "/pg_isready", "-q", "-h", self.dir, "-p", str(self.port)], check=False).returncode == 0

    def promote(self):
        subprocess.run([Postgres.bindir() + "/pg_ctl", "promote", "-D", self.data], check=True, stdout=subprocess.DEVNULL, cwd=self.dir, **unprivileged())

    def destroy(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.mark.timeout(120 * SLOW)
def test_failover(new_pooler):
    """A real pair: writes go to the primary, reads to the standby; the primary dies, the standby is promoted, and both pools go on."""
    primary = Postgres()
    standby = Standby(primary)
    try:
        primary.sql("create table t (i int)", database="test")
        both = "host=127.0.0.1,127.0.0.1 port=%d,%d dbname=test" % (primary.port, standby.port)
        p = new_pooler(dict(WEIR, default_pool_size=3, query_wait_timeout=60), server=primary,
                       databases={"write": both + " target_session_attrs=read-write", "read": both + " target_session_attrs=prefer-standby"})
        writer, reader = p.connect(database="write"), p.connect(database="read")
        writer.query("insert into t values (1)")
        assert writer.query("show port") == [[str(primary.port)]]
        assert reader.query("show port") == [[str(standby.port)]]
        wait_until(lambda: primary.value("select count(*) from pg_stat_replication where replay_lsn >= pg_current_wal_insert_lsn()"), what="the standby has it")
        primary.stop(signal.SIGQUIT)
        got = []
        t = threading.Thread(target=lambda: got.append(writer.query("insert into t values (2) returning i")))
        t.start()
        standby.promote()
        t.join(20 * SLOW)
        assert got == [[["2"]]], p.log()
        assert writer.query("show port") == [[str(standby.port)]]
        assert reader.query("show port") == [[str(standby.port)]]
        hosts = {r["port"]: r["state"] for r in p.ask("SHOW HOSTS")}
        assert hosts[standby.port] == "up", hosts
    finally:
        standby.destroy()
        primary.destroy()

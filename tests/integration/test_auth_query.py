"""auth_query: users whom auth_file doesn't know are looked up in PostgreSQL. The pitfalls of SE that concern it have their IDs."""
import os
import signal
import threading
import time

import psycopg2
import psycopg2.extras
import pytest
from postgres import Postgres
from wire import SLOW, Client, LoginFailed, startup, wait_until

QUERY = "select usename, passwd from pg_catalog.pg_shadow where usename = $1"


@pytest.fixture(scope="module")
def cluster():
    """A PostgreSQL of its own: roles, log_statement and restarts would disturb others."""
    p = Postgres()
    p.sql("alter system set log_statement = 'all'", "select pg_reload_conf()")
    p.sql("create role asker login superuser password 'askers'")
    yield p
    p.destroy()


@pytest.fixture
def role(cluster):
    """Makes roles: role(name, password=.., encryption=..); all of them go at the end."""
    made = []

    def make(name, password="t0p-s3cr3t", encryption="scram-sha-256", extra=""):
        made.append(name)
        cluster.sql("drop role if exists " + name, "set password_encryption = '%s'; create role %s login %s %s" %
                    (encryption, name, "password '%s'" % password if password else "", extra))
        return name

    yield make
    cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = any(array[%s]::name[])" %
                ",".join("'%s'" % n for n in made))
    for name in made:
        cluster.sql("drop role if exists " + name)


@pytest.fixture
def asking(new_pooler, cluster):
    def make(settings=None, **kw):
        settings = dict({"auth_type": "scram-sha-256", "auth_user": "asker", "worker_threads": 2}, **(settings or {}))
        return new_pooler(settings, server=cluster, userlist=dict({"admin": "admins"}, **kw.pop("userlist", {"asker": "askers"})), **kw)
    return make


def statements(cluster, text, since=0):
    """How often PostgreSQL has begun to execute a statement with this text."""
    with open(cluster.log) as f:
        f.seek(since)
        return sum(1 for line in f if "execute <unnamed>: " in line and text in line)


def log_end(cluster):
    with open(cluster.log) as f:
        return f.seek(0, 2)


def lookups(cluster, since):
    return statements(cluster, "rolname=$1", since) + statements(cluster, "usename = $1", since)


def try_login(pooler, user, password, database="test"):
    """None, or the SQLSTATE of the refusal."""
    try:
        pooler.connect(user, database, password=password).close()
        return None
    except LoginFailed as e:
        return e.sqlstate


@pytest.mark.parametrize("encryption", ["md5", "scram-sha-256"])
@pytest.mark.parametrize("auth_type", ["plain", "md5", "scram-sha-256"])
def test_users_of_postgresql_get_in(asking, cluster, role, auth_type, encryption):
    user = role("far", encryption=encryption)
    p = asking({"auth_type": auth_type})
    fits = not (auth_type == "scram-sha-256" and encryption == "md5")
    assert try_login(p, user, "wrong") == "28P01"
    assert try_login(p, user, "t0p-s3cr3t") == (None if fits else "28P01")
    if fits:  # and with these keys they get to PostgreSQL
        assert p.connect(user, "test", password="t0p-s3cr3t").value("select current_user") == user


def test_SE_08_a_herd_asks_once(asking, cluster, role):
    """SE-08: 500 logins of one user on a cold pooler are one query, and none more while the answer is fresh."""
    user = role("herd")
    p = asking({"auth_query_cache_ttl": 60, "listen_backlog": 1000, "max_client_conn": 2000, "login_threads": 2})
    since = log_end(cluster)
    clients = []
    for _ in range(500):
        c = Client(p.host, p.port, timeout=60)
        c.send(startup({"user": user, "database": "test"}))
        clients.append(c)
    for c in clients:
        c.login(user, "test", password="t0p-s3cr3t", send_startup=False)
    assert lookups(cluster, since) == 1
    assert clients[499].value("select 1") == "1"
    assert len(cluster.sessions("application_name = 'pgweir auth_query'")) == 1
    for c in clients:
        c.fin()


def test_SE_01_unknown_users_are_nobody(asking, cluster):
    """SE-01: An unknown user isn't logged in as auth_user, whatever he says."""
    p = asking()
    for password in ("", "askers", "t0p-s3cr3t"):
        assert try_login(p, "nobody_at_all", password) == "28P01"
    wait_until(lambda: "no such user, says auth_query" in p.log(), what="the cause in the log")
    assert try_login(p, "nobody_at_all", "x", "no_such_database") == "28P01"
    assert try_login(p, "asker", "askers") is None


@pytest.mark.parametrize("name", ["x" * 63, "x" * 64, "x" * 127, "x" * 128, "x" * 5000, "'; drop role asker; --", "\\", "$1", "\u00e9", "a b"])
def test_SE_04_names_from_the_network(asking, cluster, name):
    """SE-04: Whatever a client says that it's called: refused like anybody who isn't there, and nothing else happens."""
    p = asking()
    assert try_login(p, name, "x") == "28P01"
    assert try_login(p, "asker", "askers") is None


def test_SE_02_search_path_and_options_of_others(asking, cluster, role):
    """SE-02: Neither the client's parameters nor the role's own search_path decide what the query means."""
    user = role("far")
    cluster.sql("create schema if not exists trap", "create or replace function trap.now() returns timestamptz language sql as "
                "$$ select timestamptz '1970-01-01' $$", "drop table if exists trap.pg_shadow, trap.pg_authid",
                "create table trap.pg_shadow as select 'mallory'::name usename, 'mallorys'::text passwd",
                "create table trap.pg_authid as select 'mallory'::name rolname, 'mallorys'::text rolpassword, "
                "null::timestamptz rolvaliduntil, true rolcanlogin", database="test")
    cluster.sql("alter role asker set search_path = trap, pg_catalog")
    try:
        for query in ({}, {"auth_query": "select usename, passwd from pg_shadow where usename = $1"}):
            p = asking(query)
            with pytest.raises(LoginFailed):
                p.connect("mallory", "test", password="mallorys", params={"options": "-c search_path=trap,pg_catalog"})
            with pytest.raises(LoginFailed):
                p.connect("mallory", "test", password="mallorys", params={"search_path": "trap,pg_catalog"})
            assert try_login(p, user, "t0p-s3cr3t") is None
            c = p.connect(user, "test", password="t0p-s3cr3t", params={"search_path": "trap"})
            assert c.value("show search_path") == "trap"
            assert cluster.sessions("application_name = 'pgweir auth_query' and usename = 'asker'")
    finally:
        cluster.sql("alter role asker reset search_path")
        cluster.sql("drop schema trap cascade", database="test")


def test_SE_02_nobody_gets_the_connection(asking, cluster):
    """SE-02: A client of auth_user's name has servers of his own."""
    p = asking()
    assert try_login(p, "nobody_at_all", "x") == "28P01"
    c = p.connect("asker", "test", password="askers")
    assert c.value("select application_name from pg_stat_activity where pid = pg_backend_pid()") == ""
    c.query("set search_path = public")
    assert len(cluster.sessions("usename = 'asker'")) == 2


def test_SE_03_valid_until_and_nologin(asking, cluster, role):
    """SE-03: Roles that have expired or may not log in are refused; so are those that expire while the answer is known."""
    p = asking({"auth_query_cache_ttl": 0.1})
    expired, until, without = role("expired", extra="valid until '2000-01-01'"), role("later", extra="valid until '2100-01-01'"), role("without")
    cluster.sql("alter role %s nologin" % without)
    assert try_login(p, expired, "t0p-s3cr3t") == "28P01"
    assert try_login(p, without, "t0p-s3cr3t") == "28P01"
    assert try_login(p, until, "t0p-s3cr3t") is None
    cluster.sql("alter role %s valid until '2000-01-01'" % until)
    wait_until(lambda: try_login(p, until, "t0p-s3cr3t") == "28P01", what="an expired role is refused")


BAD_QUERIES = {
    "no row": ("select usename, passwd from pg_shadow where false and usename = $1", "no such user"),
    "two rows": ("select $1::text, 't0p-' || 's3cr3t' from generate_series(1, 2)", "more than one row"),
    "a million rows": ("select $1::text, 't0p-' || 's3cr3t' from generate_series(1, 1000000)", "more than one row"),
    "NULL": ("select $1::text, null::text", "has no password"),
    "empty": ("select $1::text, ''", "has no password"),
    "one column": ("select $1::text", "did not return two columns"),
    "three columns": ("select $1::text, 't0p-' || 's3cr3t', 1", "did not return two columns"),
    "another user's secret": ("select 'asker', 't0p-' || 's3cr3t' where $1::text is not null", "another user"),
    "NULL as name": ("select null::text, 't0p-' || 's3cr3t' where $1::text is not null", "another user"),
    "an error": ("select 1/0, $1::text", "division by zero (22012)"),
    "no SQL": ("say $1", "syntax error"),
    "two parameters": ("select $1::text, $2::text", "auth_query failed"),
    "no parameter": ("select 'a', 'b'", "auth_query failed"),
    "no permission": ("select lo_export(1, '/nowhere')::text, $1::text", "auth_query failed"),
    "70 kB": ("select $1::text, repeat('x', 70000)", "too long"),
    "10 MB": ("select $1::text, repeat('x', 10000000)", "too long a row"),
    "a transaction": ("begin", "auth_query failed"),
    "a COPY": ("copy pg_class to stdout", "auth_query failed"),
}


@pytest.mark.parametrize("what", BAD_QUERIES)
def test_SE_07_queries_that_are_not_fit(asking, cluster, role, what):
    """SE-07: 28P01, and the cause in the log; the connection serves the next question."""
    user = role("far")
    query, cause = BAD_QUERIES[what]
    p = asking({"auth_query": query, "auth_query_cache_ttl": 0, "auth_type": "plain"},
               databases={"test": "host=%s port=%d" % (cluster.host, cluster.port),
                          "good": "host=%s port=%d dbname=test auth_query='%s'" % (cluster.host, cluster.port, QUERY)})
    assert try_login(p, user, "t0p-s3cr3t") == "28P01"
    wait_until(lambda: cause in p.log(), what="the cause in the log")
    assert try_login(p, user, "") == "28P01"
    assert try_login(p, user, "t0p-s3cr3t", "good") is None
    assert len(cluster.sessions("application_name = 'pgweir auth_query'")) <= 2


def test_SE_07_a_notice_and_an_auditing_function(asking, cluster, role):
    """SE-07: Functions are what administrators use: they may say something, and write."""
    user = role("far")
    cluster.sql("create table audit(who text)", "create function public.lookup(inout who text, out secret text) language plpgsql "
                "security definer as $$ begin raise notice 'looking up %', who; insert into public.audit values (who); "
                "select passwd into secret from pg_catalog.pg_shadow where usename = who; end $$", database="test")
    try:
        p = asking({"auth_query": "select who, secret from public.lookup($1)"})
        assert try_login(p, user, "t0p-s3cr3t") is None
        assert cluster.sql("select who from audit", database="test") == [(user,)]
    finally:
        cluster.sql("drop function public.lookup", "drop table audit", database="test")


def test_SE_08_a_full_pool_keeps_nobody_out(asking, cluster, role):
    """SE-08: Own connections: neither a full pool nor a database's or a user's limit is in the way."""
    user = role("far")
    p = asking({"max_db_connections": 1, "max_user_connections": 1, "default_pool_size": 1, "max_client_conn": 10, "auth_query_cache_ttl": 0})
    holder = p.connect(user, "test", password="t0p-s3cr3t")
    holder.query("begin")
    since = log_end(cluster)
    assert try_login(p, user, "t0p-s3cr3t") is None
    assert lookups(cluster, since) == 1
    assert holder.query("select 1") == [["1"]]
    assert len(cluster.sessions("usename = '%s'" % user)) == 1


def admin(p, command):
    c = psycopg2.connect(host=p.host, port=p.port, user="admin", password="admins", dbname="pgweir")
    c.autocommit = True
    try:
        cur = c.cursor(cursor_factory=psycopg2.extras.DictCursor)
        cur.execute(command)
        return [dict(r) for r in cur.fetchall()] if cur.description else []
    finally:
        c.close()


def test_views_do_not_show_them(asking, cluster, role):
    """SHOW is about clients' pools: own connections and what they know aren't in it, nor does anything tell a secret."""
    user = role("far", password="the-secret-of-far")
    p = asking()
    assert try_login(p, user, "the-secret-of-far") is None
    assert cluster.sessions("application_name = 'pgweir auth_query'")
    assert [r["user"] for r in admin(p, "SHOW POOLS") if r["database"] == "test"] in ([user], [user, user])
    assert not [r for r in admin(p, "SHOW SERVERS") if r["user"] == "asker"]
    secret = cluster.value("select rolpassword from pg_authid where rolname = '%s'" % user)
    everything = p.log() + "".join(str(admin(p, "SHOW " + v)) for v in
                                   ("USERS", "DATABASES", "CLIENTS", "SERVERS", "SOCKETS", "CONFIG", "STATS", "POOLS", "LISTS"))
    for word in ("the-secret-of-far", "askers", "admins", secret, secret.split("$")[2]):
        assert word not in everything
    assert all(int(r["current_connections"]) <= 1 for r in admin(p, "SHOW DATABASES"))


@pytest.mark.parametrize("auth_type", ["plain", "md5", "scram-sha-256"])
def test_SE_10_a_changed_password(asking, cluster, role, auth_type):
    """SE-10: The new one works at once where the client's answer can be checked against it, the old one ends within the ttl."""
    user = role("far", encryption="md5" if auth_type == "md5" else "scram-sha-256")
    p = asking({"auth_type": auth_type, "auth_query_cache_ttl": 60})
    stays = p.connect(user, "test", password="t0p-s3cr3t")
    cluster.sql("set password_encryption = '%s'; alter role %s password 'other'" % ("md5" if auth_type == "md5" else "scram-sha-256", user))
    first = try_login(p, user, "other")
    assert first is None or auth_type == "scram-sha-256"  # its proof was over the old secret
    assert try_login(p, user, "other") is None
    assert try_login(p, user, "t0p-s3cr3t") == "28P01"
    assert stays.query("select current_user") == [[user]]


def test_SE_10_within_the_default_ttl(asking, cluster, role):
    """SE-10: By default even SCRAM's first try works, once a second has passed."""
    user = role("far")
    p = asking()
    assert try_login(p, user, "t0p-s3cr3t") is None
    since = time.monotonic()
    cluster.sql("alter role %s password 'other'" % user)
    wait_until(lambda: time.monotonic() - since > 1.05, what="the ttl")
    assert try_login(p, user, "other") is None
    assert try_login(p, user, "t0p-s3cr3t") == "28P01"


def test_SE_10_wrong_passwords_are_no_flood(asking, cluster, role):
    """SE-10: A hundred wrong passwords a second are a query or two a second, for users that exist and for those that don't."""
    user = role("far")
    p = asking({"auth_query_cache_ttl": 3600})
    for name in (user, "nobody_at_all"):
        since, begin = log_end(cluster), time.monotonic()
        for i in range(60):
            assert try_login(p, name, "wrong%d" % i) == "28P01"
        assert lookups(cluster, since) <= 2 + (time.monotonic() - begin)


def test_a_dropped_role(asking, cluster, role):
    user = role("far")
    p = asking({"auth_query_cache_ttl": 0.2})
    assert try_login(p, user, "t0p-s3cr3t") is None
    cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'" % user, "drop role " + user)
    wait_until(lambda: try_login(p, user, "t0p-s3cr3t") == "28P01", what="a role that is gone is refused")
    role("far", password="again")
    wait_until(lambda: try_login(p, user, "again") is None, what="and a new one gets in")


def test_who_is_asked_where(asking, cluster, role):
    """auth_user and auth_dbname, for all and for a database; a database without auth_user has auth_file alone."""
    user = role("far")
    cluster.sql("drop database if exists vault", "create database vault")
    server = "host=%s port=%d dbname=test" % (cluster.host, cluster.port)
    p = asking({"auth_user": "", "log_connections": 0}, databases={
        "alone": server, "asks": server + " auth_user=asker", "vaulted": server + " auth_user=asker auth_dbname=vault",
        "vault": "host=%s port=%d" % (cluster.host, cluster.port)})
    try:
        assert try_login(p, user, "t0p-s3cr3t", "alone") == "28P01"
        assert not cluster.sessions("application_name = 'pgweir auth_query'")
        assert try_login(p, user, "t0p-s3cr3t", "asks") is None
        assert len(cluster.sessions("application_name = 'pgweir auth_query'")) == 1
        assert not cluster.sessions("application_name = 'pgweir auth_query'", "vault")
        assert try_login(p, user, "t0p-s3cr3t", "vaulted") is None
        assert len(cluster.sessions("application_name = 'pgweir auth_query'", "vault")) == 1
    finally:
        p.end(signal.SIGQUIT)
        cluster.sql("drop database vault with (force)")


def test_ST_16_only_the_right_password_learns_what_databases_there_are(asking, cluster, role):
    """ST-16: A database that PostgreSQL doesn't have is told by nothing but an error after the login."""
    user = role("far")
    p = asking({"auth_dbname": "test"}, databases={"test": "host=%s port=%d" % (cluster.host, cluster.port)})
    assert try_login(p, user, "wrong", "nowhere") == "28P01"
    assert try_login(p, user, "t0p-s3cr3t", "nowhere") == "3D000"
    assert try_login(p, user, "t0p-s3cr3t") is None


def test_console_users_by_auth_dbname(asking, cluster, role):
    user = role("operator")
    p = asking({"auth_dbname": "test", "admin_users": "admin," + user},
               databases={"test": "host=%s port=%d" % (cluster.host, cluster.port)})
    assert try_login(p, user, "wrong", "pgbouncer") == "28P01"
    assert try_login(p, user, "t0p-s3cr3t", "pgbouncer") is None


def test_auth_user_with_a_wrong_password(asking, cluster, role):
    """Nobody gets in, the log has the cause, and a new auth_file mends it by itself."""
    cluster.sql("create role asker2 login superuser password 'askers2'")
    with open(cluster.data + "/pg_hba.conf") as f:
        hba = f.read()
    with open(cluster.data + "/pg_hba.conf", "w") as f:
        f.write("host all asker2 127.0.0.1/32 scram-sha-256\n" + hba)
    cluster.sql("select pg_reload_conf()")
    user = role("far")
    try:
        p = asking({"auth_user": "asker2", "server_login_retry": 1}, userlist={"asker2": "wrong"})
        assert try_login(p, user, "t0p-s3cr3t") == "28P01"
        wait_until(lambda: "auth_query cannot be asked" in p.log(), what="the cause in the log")
        assert "wrong" not in p.log()
        p.userlist["asker2"] = "askers2"
        p.write()
        wait_until(lambda: try_login(p, user, "t0p-s3cr3t") is None, what="auth_file has been read again")
        p.end(signal.SIGQUIT)
    finally:
        with open(cluster.data + "/pg_hba.conf", "w") as f:
            f.write(hba)
        cluster.sql("select pg_reload_conf()", "drop role asker2")


def test_SE_08_postgresql_is_away(asking, cluster, role):
    """SE-08: What is known serves; who isn't known waits until shortly before the login's time is up, and is told why."""
    user, unknown = role("far"), role("unknown")
    p = asking({"auth_query_cache_ttl": 0, "client_login_timeout": 3 * SLOW, "auth_type": "plain", "server_login_retry": 0.2}, userlist={"asker": "askers", "known": "k"})
    assert try_login(p, user, "t0p-s3cr3t") is None
    cluster.stop()
    try:
        # logging in needs no server once the pool's parameters are known
        assert try_login(p, user, "t0p-s3cr3t") is None
        assert try_login(p, user, "wrong") == "28P01"
        begin = time.monotonic()
        assert try_login(p, unknown, "t0p-s3cr3t") == "57P03"
        assert time.monotonic() - begin < 3 * SLOW
        waiting = Client(p.host, p.port)
        waiting.send(startup({"user": unknown, "database": "test"}))
    finally:
        cluster.start()
    waiting.login(unknown, "test", password="t0p-s3cr3t", send_startup=False)  # it comes back in time


def test_SE_08_postgresql_is_frozen(asking, cluster, role):
    """SE-08: A server that doesn't answer holds up nobody whose answer is known, nor another database."""
    user = role("far")
    p = asking({"auth_query_cache_ttl": 0, "auth_type": "plain"})
    assert try_login(p, user, "t0p-s3cr3t") is None
    pid = cluster.sessions("application_name = 'pgweir auth_query'")[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        assert try_login(p, user, "t0p-s3cr3t") is None
        assert 1 < time.monotonic() - begin < 8 * SLOW
        assert try_login(p, user, "t0p-s3cr3t", "test2") is None
    finally:
        os.kill(pid, signal.SIGCONT)
    assert try_login(p, user, "t0p-s3cr3t") is None


def test_PAUSE_and_RESUME(asking, cluster, role):
    """Nothing of ours is left at a database that is paused; who isn't known waits for RESUME."""
    user, unknown = role("far"), role("unknown")
    p = asking({"auth_query_cache_ttl": 3600})
    assert try_login(p, user, "t0p-s3cr3t") is None
    admin(p, "PAUSE test")
    wait_until(lambda: not cluster.sessions(), what="all connections ended")
    waiting = Client(p.host, p.port)
    waiting.send(startup({"user": unknown, "database": "test"}))
    assert try_login(p, user, "wrong", "test2") == "28P01"
    assert not cluster.sessions()
    admin(p, "RESUME test")
    waiting.login(unknown, "test", password="t0p-s3cr3t", send_startup=False)
    assert try_login(p, user, "t0p-s3cr3t") is None


def test_its_connection_is_ended(asking, cluster, role):
    """The next question gets another one, and the login doesn't notice."""
    user = role("far")
    p = asking({"auth_query_cache_ttl": 0})
    for _ in range(5):
        assert try_login(p, user, "t0p-s3cr3t") is None
        cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgweir auth_query'")


def test_RL_04_reloads_while_logins_ask(asking, cluster, role):
    """RL-04: The database goes and comes back while its logins wait for auth_query."""
    user = role("far")
    server = "host=%s port=%d" % (cluster.host, cluster.port)
    p = asking({"auth_query": "select usename, passwd from pg_catalog.pg_shadow, pg_catalog.pg_sleep(0.05) where usename = $1",
                "auth_query_cache_ttl": 0}, databases={"test": server, "test2": server})
    stop, outcomes = threading.Event(), set()

    def log_in():
        while not stop.is_set():
            try:
                outcomes.add(try_login(p, user, "t0p-s3cr3t"))
            except (ConnectionError, AssertionError) as e:
                outcomes.add(repr(e))

    threads = [threading.Thread(target=log_in) for _ in range(8)]
    for t in threads:
        t.start()
    for i in range(30):
        p.databases = {"test2": server} if i % 2 else {"test": server + " connect_query='select %d'" % i, "test2": server}
        p.write()
        admin(p, "RELOAD")
    stop.set()
    for t in threads:
        t.join()
    assert outcomes <= {None, "28P01", "3D000", "57P03", "08006", "57P01"}, outcomes
    p.databases = {"test": server}
    p.write()
    admin(p, "RELOAD")
    assert try_login(p, user, "t0p-s3cr3t") is None


def test_clients_leave_while_they_wait(asking, cluster, role):
    """Answers for those who are gone are for nobody; ended processes leave no question behind."""
    user = role("far")
    p = asking({"auth_query": "select usename, passwd from pg_catalog.pg_shadow, pg_catalog.pg_sleep(0.3) where usename = $1"})
    gone = []
    for i in range(50):
        c = Client(p.host, p.port)
        c.send(startup({"user": user if i % 2 else "other%d" % i, "database": "test"}))
        gone.append(c)
    for i, c in enumerate(gone):
        c.rst() if i % 3 else c.fin()
    assert try_login(p, user, "t0p-s3cr3t") is None
    c = Client(p.host, p.port)
    c.send(startup({"user": "yet_another", "database": "test"}))
    assert p.end(signal.SIGQUIT) == 0


def test_SE_08_many_users_few_connections(asking, cluster):
    """SE-08: Three hundred users at one instant: all get in, over no more than four connections."""
    names = ["many%d" % i for i in range(300)]
    cluster.sql("do $$ begin for i in 0..299 loop execute format('create role many%s login password ''secret''', i); end loop; end $$")
    try:
        p = asking({"auth_type": "md5", "default_pool_size": 1, "max_db_connections": 10, "listen_backlog": 1000})
        since, clients = log_end(cluster), []
        for name in names:
            c = Client(p.host, p.port, timeout=60)
            c.send(startup({"user": name, "database": "test"}))
            clients.append(c)
        for c in clients:
            assert c.recv().kind == "R"  # its secret is known
        assert lookups(cluster, since) == len(names)
        assert 1 <= len(cluster.sessions("application_name = 'pgweir auth_query'")) <= 4
        for c in clients:
            c.fin()
    finally:
        cluster.sql("do $$ begin for i in 0..299 loop execute format('drop role many%s', i); end loop; end $$")

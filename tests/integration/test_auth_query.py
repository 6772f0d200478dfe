"""auth_query: users whom auth_file doesn't know are looked up in PostgreSQL. The pitfalls of SE that concern it have their IDs."""
import signal
import threading
import time

import pytest
from postgres import Postgres
from wire import SLOW, Client, LoginFailed, wait_until

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

    def make(name, password="secret", encryption="scram-sha-256", extra=""):
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
    assert try_login(p, user, "secret") == (None if fits else "28P01")
    if fits:  # and with these keys they get to PostgreSQL
        assert p.connect(user, "test", password="secret").value("select current_user") == user


def test_SE_08_a_herd_asks_once(asking, cluster, role):
    """SE-08: 500 logins of one user on a cold pooler are one query, and none more while the answer is fresh."""
    user = role("herd")
    p = asking({"auth_query_cache_ttl": 60, "listen_backlog": 1000, "max_client_conn": 2000, "login_threads": 2})
    since = log_end(cluster)
    clients = []
    for _ in range(500):
        c = Client(p.host, p.port, timeout=60)
        c.send(__import__("wire").startup({"user": user, "database": "test"}))
        clients.append(c)
    for c in clients:
        c.login(user, "test", password="secret", send_startup=False)
    assert lookups(cluster, since) == 1
    assert clients[499].value("select 1") == "1"
    assert len(cluster.sessions("application_name = 'pgweir auth_query'")) == 1
    for c in clients:
        c.fin()

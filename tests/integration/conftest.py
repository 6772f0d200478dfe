"""Fixtures: one PostgreSQL for the session, poolers on demand, and `via`, which runs a trace test on both paths."""
import os
import sys
import uuid

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import pooler as pooler_module  # noqa: E402
import secrets_seen as secrets  # noqa: E402
import traces
from postgres import Postgres  # noqa: E402
from wire import SLOW, Client, wait_until  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "two_workers: also through a pgweir with two workers")
    config.addinivalue_line("markers", "pooler_only: says nothing about a direct connection")
    config.addinivalue_line("markers", "settings(**kw): settings for the pgweir of this test")


def pytest_collection_modifyitems(items):
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(60 * SLOW))


def pytest_generate_tests(metafunc):
    if "via" in metafunc.fixturenames:
        marks = {m.name for m in metafunc.definition.iter_markers()}
        paths = ["pgweir"] if "pooler_only" in marks else ["direct", "pgweir"]
        if "two_workers" in marks:
            paths.append("pgweir2")
        metafunc.parametrize("via", paths, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_errors():
    """SE-11: No client of the whole suite was told a secret. (Logs and console are looked through as each pgweir ends.)"""
    yield
    secrets.check_overheard()


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    yield server
    server.destroy()


def need_pooler():
    if not pooler_module.exists():
        pytest.skip("there is no " + pooler_module.binary())


class Cache:
    """Poolers that tests may share, by their settings: a start costs more than a trace. One that died is told to its test."""

    def __init__(self, server):
        self.server, self.running = server, {}

    def get(self, settings):
        key = tuple(sorted(settings.items()))
        if key not in self.running:
            self.running[key] = pooler_module.Pooler(self.server, settings)
        return self.running[key]

    def check(self, p):
        """After each test: alive and without complaints, or it is put away."""
        if p.is_running() and not p.complaints():
            return
        self.running = {k: v for k, v in self.running.items() if v is not p}
        p.destroy()
        pytest.fail("pgweir ended: " + p.log()[-4000:])

    def forget(self, p):
        self.running = {k: v for k, v in self.running.items() if v is not p}
        p.destroy()

    def destroy(self):
        errors = []
        for p in self.running.values():
            try:
                p.destroy()
            except AssertionError as e:
                errors.append(str(e))
        self.running = {}
        assert not errors, "\n".join(errors)


@pytest.fixture(scope="session")
def poolers(postgres):
    cache = Cache(postgres)
    yield cache
    cache.destroy()


class Via:
    """A path to PostgreSQL: direct, or through pgweir with a pool of one."""

    def __init__(self, name, server, pooler, login):
        self.name, self.postgres, self.pooler, self.login = name, server, pooler, login
        self.is_pooler = pooler is not None
        self.clients, self.tables = [], []

    @property
    def address(self):
        end = self.pooler or self.postgres
        return end.host, end.port

    def raw(self, **kw):
        c = Client(*self.address, **kw)
        self.clients.append(c)
        return c

    def connect(self, user="app", database="test", rcvbuf=None, **kw):
        return self.raw(rcvbuf=rcvbuf).login(user, database, **dict(self.login, **kw))

    def table(self, columns="i int"):
        """A new table, made behind the pooler's back."""
        name = "t_" + uuid.uuid4().hex[:12]
        self.postgres.sql("create table %s (%s)" % (name, columns), database="test")
        self.tables.append(name)
        return name

    def rows(self, table):
        """What others see in it now, read directly."""
        return [r[0] for r in self.postgres.sql("select * from %s order by 1" % table, database="test")]

    def run(self, text, **kw):
        return traces.run(self, text, **kw)

    def choose(self, direct, pgweir):
        return pgweir if self.is_pooler else direct

    def sessions_idle(self):
        """No backend of the test database works or holds a transaction open."""
        return not self.postgres.sessions("state is distinct from 'idle'")

    def leave(self):
        for c in self.clients:
            c.sock.close()
        self.clients = []

    def finish(self):
        """Everybody has left: the pool must come to rest, and its server serve the next one."""
        self.leave()
        wait_until(self.sessions_idle, what="no transaction is left behind")
        if self.is_pooler:
            self.pooler.wait_rest(everybody_left=True)
            c = self.connect()
            assert c.query("select 'next'") == [["next"]]
            c.close()
        for name in self.tables:
            self.postgres.sql("drop table if exists " + name, database="test")


SETTINGS = {"pgweir": {"worker_threads": 1}, "pgweir2": {"worker_threads": 2}}


@pytest.fixture
def via(request, postgres):
    pooler, cache = None, None
    if request.param != "direct":
        need_pooler()
        cache = request.getfixturevalue("poolers")
        settings = dict(SETTINGS[request.param])
        marker = request.node.get_closest_marker("settings")
        settings.update(marker.kwargs if marker else {})
        pooler = cache.get(settings)
    path = Via(request.param, postgres, pooler, {})
    yield path
    try:
        path.finish()
    except BaseException:
        path.leave()
        if pooler:
            cache.forget(pooler)  # a wedged pooler must not fail the tests after this one
        raise
    if pooler:
        cache.check(pooler)


@pytest.fixture
def new_pooler(postgres, poolers):
    """Makes poolers for one test: new_pooler(settings, databases=.., users=.., server=..). No other one has servers meanwhile."""
    need_pooler()
    poolers.destroy()
    postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname in ('test', 'test2') and pid <> pg_backend_pid()")
    wait_until(lambda: not postgres.sessions() and not postgres.sessions(database="test2"), what="servers of the tests before ended")
    made = []

    def make(settings=None, server=None, **kw):
        p = pooler_module.Pooler(server or postgres, settings, **kw)
        made.append(p)
        return p

    yield make
    errors = []
    for p in made:
        try:
            p.destroy()
        except AssertionError as e:
            errors.append(str(e))
    assert not errors, "\n".join(errors)


def pytest_make_parametrize_id(config, val, argname):
    """Bytes and long texts make unreadable names."""
    if isinstance(val, (bytes, str)) and len(val) > 12:
        return "".join(c if c.isalnum() else "." for c in repr(val)[:28]).strip(".") + ".%d" % len(val)
    return "".join(c if c.isalnum() else "." for c in repr(val)[2:-1]) if isinstance(val, bytes) else None

"""PostgreSQL has fewer places than pgweir would take: its 53300 reaches no client, and poolers that share it come to the same number."""
import threading
import time

import pytest
from crowd import TABLE, Crowd
from postgres import Postgres
from scripted_server import ScriptedServer, error
from wire import SLOW, LoginFailed, QueryFailed, wait_until

USER = "trust_user"  # no superuser, for whom places are reserved
WEIR = {"server_login_retry": 1, "server_census": 10, "query_wait_timeout": 60}


@pytest.fixture
def small():
    """small(n): a PostgreSQL of its own with n places for others than superusers."""
    made = []

    def make(places):
        p = Postgres()
        made.append(p)
        p.sql("alter system set max_connections = %d" % (places + 3))
        p.restart()
        p.sql(TABLE, "grant all on crowd to public", database="test")
        return p

    yield make
    for p in made:
        p.destroy()


def places(postgres, application="pooled"):
    return len(postgres.sessions("usename = '%s' and application_name = '%s'" % (USER, application)))


def crowd(pooler, n, name="pooled"):
    return Crowd(pooler, n, think=0.001, work="select pg_sleep(0.02)", user=USER, login={"params": {"application_name": name}})


def no_trouble(c):
    assert not c.troubles, c.troubles[:3]
    assert c.done


@pytest.mark.parametrize("workers", [1, 2])
def test_full_but_for_five_places(new_pooler, small, workers):
    """PostgreSQL is full but for 5 places: no client error, the 5 are used at once and fully, and more when more come."""
    postgres = small(17)
    others = [postgres.client(user=USER) for _ in range(12)]
    p = new_pooler(dict(WEIR, default_pool_size=20, worker_threads=workers), server=postgres)
    with crowd(p, 40) as c:
        wait_until(lambda: places(postgres) == 5, 3 * SLOW, "the 5 places are used")
        seen = []
        for _ in range(20):
            seen.append(places(postgres))
            time.sleep(0.1)  # a sample of a time is what is wanted
        assert max(seen) == 5 and sum(seen) >= 4.5 * len(seen), seen
        row, = [r for r in p.ask("SHOW LIMITS") if r["user"] == USER]
        assert row["limit"] in (4, 5) and row["pool_size"] == 20 and row["sqlstate"] == "53300", row
        host, = p.ask("SHOW HOSTS")
        assert host["state"] == "up" and host["limits"].startswith("test/%s " % USER), host
        events = [r["event"] for r in p.ask("SHOW EVENTS") if r["kind"] == "limit"]
        assert len(events) == 1 and events[0].startswith("test/%s at 127.0.0.1:%d: no place for more than " % (USER, postgres.port)), events
        for o in others:
            o.sock.close()
        wait_until(lambda: places(postgres) >= 16, 8 * SLOW, "the pool grows when places come")
        c.wait_done(50)
    no_trouble(c)


def test_no_place_at_all(new_pooler, small):
    """Not one place: clients wait; the one that comes free is used within a second or so."""
    postgres = small(5)
    others = [postgres.client(user=USER) for _ in range(5)]
    p = new_pooler(dict(WEIR, default_pool_size=20), server=postgres)
    result = []
    t = threading.Thread(target=lambda: result.append(p.connect(user=USER).query("select 1")))
    t.start()
    wait_until(lambda: [r for r in p.ask("SHOW LIMITS") if r["user"] == USER and r["sqlstate"] == "53300"], what="a refusal")
    others[0].sock.close()
    t.join(10 * SLOW)
    assert result == [[["1"]]]


@pytest.mark.parametrize("workers", [1, 2])
def test_idle_servers_of_another_pool_are_in_nobodys_way(new_pooler, small, workers):
    """A pool without any server gets the place of another one's that is idle, though PostgreSQL is full and no limit of ours is reached."""
    postgres = small(4)
    p = new_pooler(dict(WEIR, default_pool_size=4, worker_threads=workers), server=postgres)
    clients = [p.connect(user=USER) for _ in range(4)]
    for sql in ("begin", "commit"):
        for c in clients:
            c.query(sql)
    assert places(postgres, "") == 4
    assert p.connect(user=USER, database="test2").query("select 1") == [["1"]]


@pytest.mark.parametrize("limit", ["role", "database"])
def test_too_many_connections_for_role_or_database(new_pooler, small, limit):
    """53300 of a role or a database limits that pool, and no other one."""
    postgres = small(40)
    postgres.sql("alter %s %s connection limit 3" % (limit, USER if limit == "role" else "test"))
    p = new_pooler(dict(WEIR, default_pool_size=10), server=postgres)
    with crowd(p, 20) as c:
        wait_until(lambda: places(postgres) == 3, 3 * SLOW, "3 servers")
        c.wait_done(50)
        assert p.connect(user="other", database="test2").query("select 1") == [["1"]]
    no_trouble(c)


@pytest.mark.timeout(180 * SLOW)
def test_two_poolers_share(new_pooler, small):
    """Two pgweir with pools of 30 before 37 places: no error, both settle near 18; when one stops the other takes over."""
    postgres = small(37)
    a, b = (new_pooler(dict(WEIR, default_pool_size=30), server=postgres) for _ in range(2))
    with crowd(a, 60, "a") as first:
        wait_until(lambda: places(postgres, "a") == 30, 10 * SLOW, "the first has all it may have")
        second = crowd(b, 60, "b").start()
        wait_until(lambda: places(postgres, "b") >= 13, 60 * SLOW, "the second gets its share")
        second.wait_done(100)
    no_trouble(first)
    a.end()
    wait_until(lambda: places(postgres, "b") >= 29, 10 * SLOW, "the other takes over the rest")
    second.stop()
    no_trouble(second)


def test_pool_without_servers_says_why(new_pooler):
    """Whose time is up while PostgreSQL is full is told so."""
    def script(c):
        c.send(error("FATAL", "53300", "sorry, too many clients already"))
    with ScriptedServer(script) as server:
        p = new_pooler(dict(WEIR, query_wait_timeout=1 * SLOW, client_login_timeout=3 * SLOW), server=server)
        with pytest.raises((LoginFailed, QueryFailed)) as failed:
            p.connect().query("select 1")
        assert failed.value.sqlstate in ("53300", "08P01", "57014"), failed.value

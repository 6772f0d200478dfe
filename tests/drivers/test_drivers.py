"""Each driver with its default settings: what it sees through pgweir is what it sees on a direct connection.

Its program runs once directly and once through pgweir with a pool of two servers, while two bystanders open and close short
transactions on the same pool with settings and statements of their own, so that servers change hands all the time. Both runs work on
databases of their own and so can go side by side.
"""
import subprocess
import threading

import pytest

import drivers
from wire import Client, bind, describe, execute, parse, SYNC

LIMIT = 150


class Bystander(threading.Thread):
    """Names and settings such as the drivers use, with other meanings: whoever met them would see it."""

    NAMES = ("d_stmt", "plus", "s1", "S_1", "__asyncpg_stmt_1__", "_pg3_0", "stmtcache_1", "1")

    def __init__(self, address, database):
        super().__init__(daemon=True)
        self.address, self.database, self.ends, self.error = address, database, threading.Event(), None

    def run(self):
        try:
            c = Client(*self.address, timeout=60).login("app", self.database, params={"application_name": "bystander"})
            c.query("set search_path to bystander; set timezone to 'America/Lima'; set app.user_id to 'bystander'")
            n = 0
            while not self.ends.wait(0.003):
                n += 1
                name = self.NAMES[n % len(self.NAMES)] if n <= len(self.NAMES) else ""
                c.query("begin")
                c.send(parse(name, "select 'bystander', %d" % n) + bind(name) + describe("P") + execute() + SYNC)
                got = [m.row for m in c.recv_until("Z") if m.kind == "D"]
                assert got == [["bystander", str(n)]], got
                assert c.query("select current_setting('app.user_id'), current_setting('timezone')") == [["bystander", "America/Lima"]]
                c.query("commit")
            c.close()
        except Exception as e:
            self.error = e


def run_program(argv, env, address, database):
    bystanders = [Bystander(address, database) for _ in range(2)]
    for b in bystanders:
        b.start()
    try:
        p = subprocess.run(argv, env=env, input=drivers.line(host=address[0], port=address[1], user="app", dbname=database), text=True,
                           encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        out, err = p.stdout, "exit status %d\n%s" % (p.returncode, p.stderr[-3000:])
    except subprocess.TimeoutExpired as e:
        out, err = (e.stdout or b"").decode(), "not finished after %d s" % LIMIT
    for b in bystanders:
        b.ends.set()
    for b in bystanders:
        b.join(60)
        assert b.error is None, "a bystander at %s: %r" % (database, b.error)
    results = {}
    for line in out.splitlines():
        words = line.split("\t")
        ok, _, scenario = words[0].rpartition("ok ")
        results[scenario] = (not ok, words[1:])
    return results, err


class Runs:
    """Both runs of each driver, when the first of its tests wants them."""

    def __init__(self, postgres, weir):
        self.ends = {"direct": ((postgres.host, postgres.port), "test2"), "pgweir": ((weir.host, weir.port), "test")}
        self.done = {}

    def of(self, name):
        if name not in self.done:
            program = drivers.start(name, "scenarios")  # missing: raises here
            results = {}

            def go(path):
                try:
                    results[path] = run_program(*program, *self.ends[path])
                except Exception as e:
                    results[path] = ({}, repr(e))
            threads = [threading.Thread(target=go, args=(path,)) for path in self.ends]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.done[name] = results
        return self.done[name]


@pytest.fixture(scope="module")
def runs(postgres, new_weir):
    return Runs(postgres, new_weir({"default_pool_size": 2, "max_pinned": 2, "query_wait_timeout": 25}))


@pytest.mark.parametrize("name, scenario", [(n, s) for n, all_of_them in drivers.SCENARIOS.items() for s in all_of_them])
def test_driver_sees_what_it_sees_directly(runs, name, scenario):
    try:
        both = runs.of(name)
    except drivers.Missing as e:
        pytest.skip("%s: %s" % (name, e))
    for path in ("direct", "pgweir"):
        results, err = both[path]
        assert scenario in results, "%s: the program didn't come to it: %s" % (path, err)
        assert results[scenario][0], "%s: %s" % (path, results[scenario][1])
    assert both["pgweir"][0][scenario] == both["direct"][0][scenario]


def test_nothing_is_left(runs, postgres):
    """After all of them: no server pinned or in a transaction, no lock, nobody waits; a newcomer finds defaults on both servers."""
    runs.of("libpq")
    weir = runs.ends["pgweir"][0]
    clients = [Client(*weir).login("app", "test") for _ in range(2)]
    for c in clients:  # both at once, so each has another server
        c.query("begin")
    for c in clients:
        assert c.value("select count(*) from pg_settings where source = 'session'") == "0"
        assert c.value("select (select count(*) from pg_listening_channels()) + (select count(*) from pg_cursors where is_holdable) +"
                       " (select count(*) from pg_class where relnamespace = pg_my_temp_schema())") == "0"
        c.query("commit")
        c.close()
    assert postgres.value("select count(*) from pg_locks where locktype = 'advisory'") == 0
    assert not postgres.sessions("state <> 'idle'")

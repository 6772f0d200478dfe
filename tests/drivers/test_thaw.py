"""Functions frozen in a transaction with each driver's default settings: somebody else is served in time, and thawed they go on."""
import os
import signal
import subprocess
import time

import pytest

import drivers
import wire
from wire import SLOW

POOL = 3
PROGRAMS = {
    "psycopg2": lambda: (["/usr/bin/python3", str(drivers.HERE / "python/thaw.py")], {"PYTHONDONTWRITEBYTECODE": "1"}),
    "psycopg3": lambda: drivers.python(str(drivers.HERE / "python/thaw.py")),
    "asyncpg": lambda: drivers.python(str(drivers.HERE / "python/thaw.py")),
    "pg": lambda: drivers.node(str(drivers.HERE / "node/thaw.js")),
    "postgresjs": lambda: drivers.node(str(drivers.HERE / "node/thaw.js")),
}


@pytest.fixture(scope="module")
def weir(new_weir):
    return new_weir({"default_pool_size": POOL})


def start(name, weir):
    try:
        argv, env = PROGRAMS[name]()
    except drivers.Missing as e:
        pytest.skip("%s: %s" % (name, e))
    return [subprocess.Popen([*argv, name, weir.host, str(weir.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env=dict(os.environ, **env)) for _ in range(POOL)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_thawed_functions_go_on(weir, name):
    """Each gets 25P03 (IdleInTransactionSessionTimeout) for its next statement, rolls back, and works over the same connection."""
    functions = start(name, weir)
    try:
        for f in functions:
            assert f.stdout.readline() == "ready\n"
            os.kill(f.pid, signal.SIGSTOP)
        time.sleep(1 * SLOW)
        live = [weir.connect() for _ in range(POOL)]
        begin = time.monotonic()
        live[0].query("select 'served'", timeout=30 * SLOW)
        assert time.monotonic() - begin < 1.1 * SLOW + 0.3  # the last: a busy machine
        for c in live:  # all at once, so that each of the frozen has its turn
            c.send(wire.query("select pg_sleep(%f)" % (2 * SLOW)))
        for c in live:
            assert c.recv_until("Z", timeout=30 * SLOW)[-1].body == b"I"
            c.close()
        for f in functions:
            os.kill(f.pid, signal.SIGCONT)
        assert [f.communicate("go\n", timeout=60)[0].splitlines() for f in functions] == [["25P03", "3 True"]] * POOL
    finally:
        for f in functions:
            f.kill()
            f.wait()

"""Monitoring tools as Debian has them read the console: prometheus-pgbouncer-exporter, check_postgres. They skip where not installed."""
import re
import shutil
import subprocess

import pytest


def tool(name):
    path = shutil.which(name)
    if not path:
        pytest.skip("%s isn't installed" % name)
    return path


@pytest.fixture
def console(new_pooler, postgres):
    return new_pooler({"worker_threads": 2, "default_pool_size": 3}, databases={
        "test": "host=%s port=%d" % (postgres.host, postgres.port)})


COLLECT = """
import sys
from prometheus_pgbouncer_exporter import collectors, utils
db = utils.get_connection("stats", int(sys.argv[2]), sys.argv[1])
for name in ("PoolsCollector", "ListsCollector", "StatsCollector", "DatabasesCollector"):
    options = {} if name == "ListsCollector" else {"databases": None}
    try:
        for family in getattr(collectors, name)(connection=db, **options).collect():
            for sample in family.samples:
                print("ok", name, sample.name, sample.labels.get("database", ""), sample.value, sep="|")
    except KeyError as e:
        print("missing", name, e.args[0], sep="|")
"""


def test_prometheus_pgbouncer_exporter(console):
    """Its collectors read the console as they read PgBouncer's: Debian's asks for two columns that no PgBouncer of today has.

    total_requests went with 1.8, so that the program as a whole starts with none; reserve_pool was renamed by 1.24. Everything else is there.
    """
    tool("prometheus-pgbouncer-exporter")
    c = console.connect()
    c.query("begin")
    p = subprocess.run(["/usr/bin/python3", "-c", COLLECT, console.host, str(console.port)], text=True,
                       capture_output=True, timeout=60, check=False)
    assert p.returncode == 0, p.stderr
    lines = [line.split("|") for line in p.stdout.splitlines()]
    assert [m[1:] for m in lines if m[0] == "missing"] == [["StatsCollector", "total_requests"], ["DatabasesCollector", "reserve_pool"]], p.stdout
    samples = {(name, database): float(value) for ok, _, name, database, value in (m for m in lines if m[0] == "ok")}
    assert samples["pgbouncer_active_clients", "test"] == 1.0 and samples["pgbouncer_waiting_clients", "test"] == 0.0
    assert samples["pgbouncer_used_servers", ""] == 1.0 and samples["pgbouncer_databases", ""] == 2.0


CHECKS = ("pgb_pool_cl_active", "pgb_pool_cl_waiting", "pgb_pool_sv_active", "pgb_pool_sv_idle", "pgb_pool_sv_used", "pgb_pool_sv_tested",
          "pgb_pool_sv_login", "pgb_pool_maxwait")


def check_postgres(p, action, *args):
    return subprocess.run([tool("check_postgres"), "--action=" + action, "--host=" + p.host, "--port=%d" % p.port, "--dbuser=stats",
                           "--dbname=pgbouncer", *args], text=True, capture_output=True, timeout=60, check=False)


def test_check_postgres(console):
    """Its actions for PgBouncer say OK, with the pool's numbers; the checksum of SHOW CONFIG is the same twice."""
    c = console.connect()
    c.query("begin")
    for action in CHECKS:
        p = check_postgres(console, action, "--warning=50", "--critical=100")
        assert p.returncode == 0 and " OK" in p.stdout, (action, p.stdout, p.stderr)
        want = {"pgb_pool_cl_active": 1, "pgb_pool_sv_active": 1}.get(action, 0)
        assert re.search(r"\btest=%d\b" % want, p.stdout), (action, p.stdout)
    sums = [re.findall(r"\b[0-9a-f]{32}\b", check_postgres(console, "pgbouncer_checksum", "--critical=0").stdout) for _ in range(2)]
    assert len(sums[0]) == 1 and sums[0] == sums[1]
    out = check_postgres(console, "pgbouncer_backends", "--warning=90%", "--critical=95%").stdout
    assert " OK" in out and "of 1000" in out, out

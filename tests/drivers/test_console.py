"""The console through each driver with its default settings: SHOW, SELECT, errors, and on it goes.

Monitoring reads it with whatever its language has: node-postgres and lib/pq by simple queries, psycopg 3, asyncpg, pgx and pgjdbc by extended
ones with binary results. What each of them sees is compared with what libpq's simple queries see.
"""
import os
import subprocess

import psycopg2
import pytest

import drivers

QUERIES = {
    "SHOW POOLS": None, "SHOW CLIENTS": None, "SHOW STATS": None, "SHOW CONFIG": None, "SHOW LISTS": None, "SHOW DATABASES": None, "SHOW USERS": None,
    "SHOW VERSION": None, "SHOW FDS": None, "SHOW QUEUE": None, "SHOW LATENCY": None, "SHOW EVENTS": None,
    "SELECT key, value FROM config WHERE key = 'default_pool_size'": "default_pool_size|2",
    "SELECT count(*) AS n FROM databases WHERE name = 'pgbouncer'": "1",
    "SELECT list, items FROM lists WHERE items >= 0 ORDER BY list DESC LIMIT 1": "users|",
    "SELECT 1": "1", "SELECT oid, typname FROM pg_catalog.pg_type WHERE typname = 'hstore'": None,
}
ERRORS = {"SHOW NOSUCH": "08P01", "SELECT nosuch FROM pools": "42703", "SELECT * FROM pg_class": "0A000"}


def console_python(name):
    def start():
        if name == "psycopg2":
            return ["/usr/bin/python3", str(drivers.HERE / "python/console.py"), name], {"PYTHONDONTWRITEBYTECODE": "1"}
        return drivers.python(str(drivers.HERE / "python/console.py"), name)
    return start


def console_node(name):
    return lambda: drivers.node(str(drivers.HERE / "node/console.js"), name)


def console_go(name):
    def start():
        folder = drivers.GO.need()
        drivers.run([drivers.tool("go"), "build", "-o", str(folder / "console"), "./console"], "go can't build tests/drivers/go/console",
                    cwd=drivers.HERE / "go", env=drivers.go_environment(False))
        return [str(folder / "console"), name], {}
    return start


def console_java():
    argv, env = drivers.java()
    classpath = argv[argv.index("-cp") + 1]
    jar, classes = classpath.rsplit(":", 1)
    drivers.run([drivers.tool("javac"), "-cp", jar, "-d", classes, str(drivers.HERE / "java/Console.java")], "javac can't compile Console.java", 60)
    return [argv[0], "-cp", classpath, "Console"], env


PROGRAMS = {"psycopg2": console_python("psycopg2"), "psycopg3": console_python("psycopg"), "asyncpg": console_python("asyncpg"),
            "pg": console_node("pg"), "postgresjs": console_node("postgresjs"), "pq": console_go("pq"), "pgx": console_go("pgx"), "pgjdbc": console_java}


@pytest.fixture(scope="module")
def weir(new_weir):
    return new_weir({"default_pool_size": 2, "worker_threads": 2, "stats_users": "stats"})


@pytest.fixture(scope="module")
def columns(weir):
    """As libpq sees them."""
    db = psycopg2.connect(host=weir.host, port=weir.port, user="admin", dbname="pgbouncer")
    db.autocommit = True
    out = {}
    for query in QUERIES:
        cur = db.cursor()
        cur.execute(query)
        out[query] = ",".join(d.name for d in cur.description)
    db.close()
    return out


@pytest.mark.parametrize("database", ["pgweir", "pgbouncer"])
@pytest.mark.parametrize("driver", PROGRAMS)
def test_console_through(weir, columns, driver, database):
    """Each view and each refusal, by the driver's own way, without special settings."""
    try:
        argv, env = PROGRAMS[driver]()
    except drivers.Missing as why:
        pytest.skip(str(why))
    queries = [*QUERIES, *ERRORS, "SHOW VERSION"]
    lines = drivers.line(host=weir.host, port=weir.port, user="admin", dbname=database) + "".join(q + "\n" for q in queries)
    p = subprocess.run(argv, env=dict(os.environ, LC_ALL="C.UTF-8", **env), input=lines, text=True, capture_output=True, timeout=120, check=False)
    got = [line.split("\t") for line in p.stdout.splitlines()]
    assert p.returncode == 0 and len(got) == len(queries), (p.stdout[-2000:], p.stderr[-3000:])
    for query, words in zip(queries, got):
        if query in ERRORS:
            assert words == ["error", ERRORS[query]], query
            continue
        assert words[0] == "ok" and words[1] == columns[query], (query, words)
        assert QUERIES[query] is None or words[3].startswith(QUERIES[query]), (query, words)
        assert int(words[2]) > 0 or query in ("SHOW QUEUE", "SHOW FDS", "SHOW LATENCY") or "pg_catalog" in query, query

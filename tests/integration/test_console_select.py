"""SELECT on the console: conditions over any view, over both protocols; what psql and drivers send is answered."""
import subprocess

import psycopg2
import pytest
import wire
from wire import QueryFailed

VIEWS = ("POOLS", "CLIENTS", "SERVERS", "SOCKETS", "DATABASES", "USERS", "STATS", "STATS_TOTALS", "TOTALS", "CONFIG", "LISTS", "MEM", "STATE",
         "VERSION", "QUEUE", "HOLDERS", "PREPARED", "LATENCY", "EVENTS", "PINS", "PIN_COUNTS", "WORKERS", "PEERS", "DNS_HOSTS", "FDS")


@pytest.fixture
def console(new_pooler, postgres):
    return new_pooler({"worker_threads": 2, "default_pool_size": 2},
                      databases={n: "host=%s port=%d dbname=test" % (postgres.host, postgres.port) for n in ("test", "other")})


@pytest.mark.parametrize("view", VIEWS)
def test_select_all_is_show(console, view):
    """SELECT * FROM view has SHOW's columns, types and number of rows."""
    c, d = console.connect(), console.connect(database="other")
    c.query("begin"), d.query("select 1")
    db = console.console()
    shown, selected = db.cursor(), db.cursor()
    shown.execute("SHOW " + view)
    selected.execute("SELECT * FROM %s" % view.lower())
    assert [(x.name, x.type_code) for x in shown.description] == [(x.name, x.type_code) for x in selected.description]
    assert selected.statusmessage == "SELECT %d" % selected.rowcount and selected.rowcount == shown.rowcount
    selected.execute("SELECT count(*) FROM " + view)
    assert selected.fetchall() == [(shown.rowcount,)]
    db.close()


def test_conditions_and_order(console):
    """What a WHERE, ORDER BY and LIMIT give is what they would of the same rows in Python."""
    a, b, d = console.connect(), console.connect(), console.connect(database="other")
    a.query("begin"), b.query("begin"), d.query("select 1")
    rows = console.ask("SELECT database, sv_active FROM pools WHERE database <> 'pgbouncer' ORDER BY sv_active DESC, database")
    assert rows == [{"database": "test", "sv_active": 2}, {"database": "other", "sv_active": 0}]
    assert console.ask("select count(*) n from clients where database = 'test' and state = 'active'") == [{"n": 2}]
    assert [r["key"] for r in console.ask("select key from config where key like 'default_pool%'")] == ["default_pool_size"]
    keys = sorted(r["key"] for r in console.ask("SHOW CONFIG"))
    assert [r["key"] for r in console.ask("select key from config order by key limit 5 offset 3")] == keys[3:8]


def test_select_by_the_extended_protocol(console):
    """Describe has the columns before it runs; binary results; a portal in pieces."""
    c = console.raw().login("admin", console.console_database)
    c.send(wire.parse("s", "SELECT key, value FROM config ORDER BY key LIMIT 4") + wire.describe("S", "s") + wire.bind("s") +
           wire.execute(limit=3) + wire.execute(limit=3) + wire.SYNC)
    kinds = "".join(m.kind for m in c.recv_until("Z"))
    assert kinds == "1tT2DDDsDCZ"
    c.send(wire.parse("", "SELECT count(*) FROM config WHERE key = 'verbose'") + wire.bind("", result_formats=[1]) + wire.describe("P") + wire.execute() + wire.SYNC)
    got = c.recv_until("Z")
    assert [m for m in got if m.kind == "D"][0].body[-8:] == (1).to_bytes(8, "big")
    c.send(wire.parse("", "SELECT nosuch FROM config") + wire.describe("S") + wire.SYNC + wire.query("SELECT 1"))
    got = c.recv_until("Z")
    assert [m.kind for m in got] == ["E", "Z"] and got[0].sqlstate == "42703" and got[0].fields["P"] == "8"
    assert c.recv_until("Z")[1].row == ["1"]


def test_stats_users_may_select_what_they_may_show(console):
    """SELECT is no way around the rights: FDS is for admins."""
    assert console.ask("SELECT count(*) FROM pools", user="stats")
    with pytest.raises(psycopg2.Error) as refused:
        console.ask("SELECT fd FROM fds", user="stats")
    assert "admin access needed" in str(refused.value)


STARTUP = {  # what drivers, pools and people send first: a row, or a clean refusal, and the console lives
    "select 1": True, "SELECT version()": True, "select current_database(), current_user": True, "select pg_backend_pid()": True,
    "select pg_catalog.version()": True, "show standard_conforming_strings": True, "show server_version": False,
    "set extra_float_digits = 3": True, "SET application_name = 'x'": True, "SET client_encoding TO 'UTF8'": True, "show transaction isolation level": False,
    "SELECT b.oid, b.typarray FROM pg_catalog.pg_type a LEFT JOIN pg_catalog.pg_type b ON b.oid = a.typelem": True,
    "SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid WHERE typname = 'hstore'": False,
    "SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r') AND substring(pg_catalog.quote_ident(c.relname),1,2)='po'": True,
    "SELECT n.nspname FROM information_schema.tables": True,
    "select set_config('search_path', '', false)": False, "DISCARD ALL": True, "RESET ALL": True, "SELECT pg_advisory_unlock_all()": False,
}


@pytest.mark.parametrize("query", STARTUP)
def test_AD_01_what_drivers_begin_with(console, query):
    """AD-01: answered or refused with an ERROR, over both protocols, and the next command works."""
    c = console.raw().login("admin", console.console_database)
    c.send(wire.query(query) + wire.query("SHOW VERSION"))
    got = c.recv_until("Z")
    assert ("E" not in [m.kind for m in got]) == STARTUP[query], [str(m) for m in got]
    assert c.recv_until("Z")[0].kind == "T"
    c.send(wire.parse("", query) + wire.describe("S") + wire.bind() + wire.execute() + wire.SYNC + wire.query("SHOW VERSION"))
    got = c.recv_until("Z")
    assert ("E" not in [m.kind for m in got]) == STARTUP[query]
    for m in got:
        if m.kind == "E":
            assert m.severity == "ERROR" and m.sqlstate in ("0A000", "08P01", "42601", "42883", "42703", "42P01")
    assert c.recv_until("Z")[0].kind == "T"


def psql(p, *args, stdin=None, **env):
    out = subprocess.run(["psql", "-X", "-h", p.host, "-p", str(p.port), "-U", "admin", "-d", "pgbouncer", "-v", "ON_ERROR_STOP=0", *args],
                         input=stdin, text=True, capture_output=True, timeout=60, env=dict(PATH="/usr/bin:/bin", PGCONNECT_TIMEOUT="20", **env))
    return out.stdout, out.stderr, out.returncode


def test_psql_shows_selects_and_survives_d(console):
    """psql: SHOW, SELECT with \\gx; \\d, \\dt and \\l find nothing, and it goes on."""
    out, err, status = psql(console, "-A", stdin="SHOW VERSION;\n\\d\n\\l\n\\dt *.*\n\\conninfo\nSELECT 1 AS one \\gx\nselect name from databases order by 1;\n\\q\n")
    assert status == 0 and "PgBouncer 1.25.2" in out and "one|1" in out and "other\npgbouncer\ntest\n" in out, (out, err)
    assert "Did not find any relations." in out + err and "ERROR" not in err, (out, err)
    out, err, status = psql(console, "-At", "-c", "SHOW POOLS", "-c", "SHOW HELP", "-c", "SELECT count(*) FROM pools WHERE nosuch = 1")
    assert "Console usage" in err and "pgbouncer" in out
    assert "LINE 1: SELECT count(*) FROM pools WHERE nosuch = 1" in err and "^" in err, err


def test_catalogs_are_empty_for_programs_and_refused_to_people(console):
    """What psql's completion asks by full names has no rows, over both protocols; pg_stat_activity as a person types it is refused."""
    c = console.raw().login("admin", console.console_database)
    query = "SELECT pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_namespace WHERE substring(pg_catalog.quote_ident(nspname),1,1)='p'" + " " * 2000
    c.send(wire.query(query))
    got = c.recv_until("Z")
    assert [m.kind for m in got] == ["T", "C", "Z"] and got[0].body == b"\0\0" and got[1].tag == "SELECT 0"
    c.send(wire.parse("", query) + wire.describe("S") + wire.bind() + wire.execute() + wire.SYNC)
    assert "".join(m.kind for m in c.recv_until("Z")) == "1tT2CZ"
    with pytest.raises(QueryFailed) as refused:
        c.query("select * from pg_stat_activity")
    assert refused.value.sqlstate == "0A000" and "SHOW HELP" in refused.value.error.fields["M"]

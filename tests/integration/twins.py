"""twins - random sequences of statements that concern session state, on pgweir and directly, compared step by step.

Several clients share a pool of one or two servers. Each has a twin: a direct connection to another database of the same PostgreSQL, which gets
exactly what the client gets. After every step answers, ParameterStatus, notifications and the client's view of its session must equal the
twin's. What a seed does depends on nothing but the seed. A sequence that fails is made shorter (shrink()) and printed in the notation of traces.py.

    /usr/bin/python3 tests/integration/twins.py [--seed N] [--steps N] [--pool N]     # a long run, or one again
"""
import argparse
import collections
import os
import random
import re
import sys
import time

import wire
from wire import SLOW, Client, Timeout, wait_until

SETUP = """
drop schema if exists s1, s2 cascade
create schema s1
create schema s2
create table s1.same as select 'one'::text as x
create table s2.same as select 'two'::text as x
grant usage on schema s1, s2 to public
grant all on schema public to public
grant select on s1.same, s2.same to public
create or replace function public.prop_set(n text, v text) returns text language plpgsql as $$ begin perform set_config(n, v, false); return v; end $$
create or replace function public.prop_fail(n text, v text) returns text language plpgsql as $$ begin perform set_config(n, v, false); raise 'no'; end $$
create or replace function public.prop_try(n text, v text) returns text language plpgsql as $$ begin begin perform set_config(n, v, false); raise 'no'; exception when others then return 'caught'; end; end $$
create or replace function public.prop_local() returns text language plpgsql set work_mem = '1111kB' as $$ begin return current_setting('work_mem'); end $$
drop procedure if exists public.prop_proc(text, text)
create procedure public.prop_proc(n text, v text) language plpgsql as $$ begin perform set_config(n, v, false); commit; perform set_config(n, v || '2', false); rollback; end $$
"""
CLIENT_SETUP = """
drop table if exists public.own{i}, public.ddl{i}
create table public.own{i} (id serial, x text)
create table public.ddl{i} as select 1 as i
"""
ROLES = ("prop_r1", "prop_r2")
PLAIN = {  # name -> values, the last one is wrong
    "work_mem": ("'5MB'", "6144", "default", "'nonsense'"),
    "search_path": ("s1", "s2, public", "'s2'", "default", "''"),
    "application_name": ("'a'", "'it''s'", "default"),
    "statement_timeout": ("'40s'", "0", "default", "-7"),
    "lock_timeout": ("'7s'", "default", "'x'"),
    "datestyle": ("'German'", "'SQL, DMY'", "default", "'no style'"),
    "timezone": ("'Asia/Tokyo'", "'utc'", "default", "'Nowhere/Town'"),
    "standard_conforming_strings": ("off", "on", "default"),
    "client_encoding": ("'LATIN1'", "'UTF8'", "default", "'KLINGON'"),
    "default_transaction_read_only": ("on", "off", "default"),
    "default_transaction_isolation": ("'serializable'", "default"),
    "extra_float_digits": ("0", "2", "default"),
    "bytea_output": ("'escape'", "default"),
    "row_security": ("off", "default"),
    "app.user_id": ("'42'", "'7'", "default"),
    "app.other": ("'x'", "''", "default"),
}
STARTUPS = [{}, {}, {"options": "-c search_path=s1 -c work_mem=7MB"}, {"application_name": "startup", "DateStyle": "SQL, MDY"}]
STARTUP_NAMES = [(), (), ("search_path", "work_mem"), ("application_name", "DateStyle")]
LOOKED_AT = [n for n in PLAIN if not n.startswith("app.")] + ["intervalstyle"]
CUSTOM = ["app.user_id", "app.other", "app.proc"]
VIEW = """select concat_ws('|', current_user, session_user, current_setting('role'),
 (select string_agg(name || '=' || setting, ',' order by name collate "C") from pg_settings
   where source = 'session' and not name = any ($1::text[]) and name !~ '^transaction_'),
 %s,
 (select string_agg(relname || relkind::text, ',' order by relname collate "C") from pg_class where relnamespace = pg_my_temp_schema()),
 (select string_agg(objid || mode, ',' order by objid, mode collate "C") from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
 (select string_agg(name || is_holdable::text, ',' order by name collate "C") from pg_cursors where name <> 'vp' and name <> ''),
 (select string_agg(name || statement, ',' order by name collate "C") from pg_prepared_statements where from_sql),
 (select string_agg(c, ',' order by c collate "C") from pg_listening_channels() as c))""" % ",\n ".join(
    "coalesce(current_setting('%s', true), '')" % n for n in LOOKED_AT + CUSTOM)
STATE = """select concat_ws('|', %s)""" % ", ".join("coalesce(current_setting('%s', true), '')" % n for n in
                                                   ("role", "work_mem", "search_path", "application_name", "app.user_id", "lock_timeout"))
HOLDS = """select (select count(*) from pg_class where relnamespace = pg_my_temp_schema()) + (select count(*) from pg_cursors where is_holdable) +
 (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) +
 (select count(*) from pg_prepared_statements where from_sql) + (select count(*) from pg_listening_channels())"""


RESETS = re.compile(r"\b(reset|discard all|default|set time zone local)\b")


class Mismatch(AssertionError):
    pass


# ---- what a step sends: a list of operations, each a tuple ---------------------------------------------------------------

BUILD = {
    "Q": lambda sql: wire.query(sql),
    "P": lambda name, sql: wire.parse(name, sql),
    "B": lambda portal, name, values: wire.bind(name, portal, values),
    "D": lambda kind, name: wire.describe(kind, name),
    "E": lambda portal, limit: wire.execute(portal, limit),
    "C": lambda kind, name: wire.close(kind, name),
    "S": lambda: wire.SYNC,
}


def shown(op):
    kind, args = op[0], op[1:]

    def q(s):
        return '"%s"' % s.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    if kind == "S":
        return "S"
    if kind == "Q":
        return "Q(%s)" % q(args[0])
    if kind == "P":
        return "P(%s%s)" % (args[0] + "," if args[0] else "", q(args[1]))
    if kind == "B":
        return "B(%s%s)" % ("%s←%s" % args[:2] if args[0] else args[1] or '""', "".join("," + q(v) for v in args[2]))
    if kind == "E":
        return "E(%s)%s" % (args[0], "/%d" % args[1] if args[1] else "")
    return "%s(%s,%s)" % (kind, args[0], args[1] or '""')


class Generator:
    """Steps for one client. Names are such that clients never wait for each other's locks."""

    def __init__(self, rng, i):
        self.rng, self.i, self.has_startup = rng, i, bool(STARTUPS[i % len(STARTUPS)])

    def pick(self, *choices):
        return self.rng.choice(choices)

    def value(self, name):
        values = PLAIN[name]
        return self.rng.choice(values)

    def setting(self):
        name = self.rng.choice(list(PLAIN))
        if "." in name and self.rng.random() < .2:
            return "select coalesce(current_setting('%s', true), '')" % name  # one that was set once is '', never again NULL
        value = self.value(name)
        if name == "datestyle" and value == "default" and self.has_startup:
            value = "'German'"
        plain = value if value[0] == "'" else "'%s'" % value
        return self.pick(
            "set %s = %s" % (name, value), "set %s to %s" % (name, value), "SET SESSION %s = %s" % (name, value),
            "set local %s = %s" % (name, value), "reset %s" % name, "reset %s" % name, "/* c */ set -- x\n %s = %s" % (name, value),
            "select set_config('%s', %s, false)" % (name, plain), "select set_config('%s', %s, true)" % (name, plain),
            "do $d$ begin perform set_config('%s', %s, false); end $d$" % (name, plain),
            "do $d$ begin set %s = %s; raise 'no'; end $d$" % (name, value),
            "select prop_set('%s', %s)" % (name, plain), "select prop_fail('%s', %s)" % (name, plain),
            "select prop_try('%s', %s)" % (name, plain), "set %s = %s; select 1/0" % (name, value),
            "set %s = %s; set %s = %s" % (name, value, name, self.value(name)), "show %s" % name if "." not in name else "select 1")

    def other_setting(self):
        return self.pick(
            "set time zone 'America/New_York'", "set time zone -3", "set time zone local", "set names 'LATIN1'", "set names default",
            "set session characteristics as transaction read only", "set session characteristics as transaction read write",
            "set session characteristics as transaction isolation level repeatable read", "set xml option document",
            "reset all", "reset all", "discard all", "discard all", "discard temp", "discard plans", "discard sequences",
            "set role prop_r1", "set role prop_r2", "set role none", "reset role", "set local role prop_r1", "set role nobody_there",
            "set session authorization prop_r1", "set session authorization default", "reset session authorization",
            "set transaction isolation level serializable", "set schema 's1'", "select prop_local()",
            "call prop_proc('app.proc', 'p')", "select x from same", "select '\\', current_user", "select '2024-02-03'::date, 1.1::float8, '\\x41'::bytea",
            "alter system set nonsense = 1", "select coalesce(current_setting('app.user_id', true), ''), current_setting('search_path')",
            "select * from s1.same for update" if self.rng.random() < .1 else "select 1 as one")

    def transaction(self):
        return self.pick("begin", "begin", "start transaction read only", "begin isolation level serializable", "commit", "commit", "end",
                         "rollback", "rollback", "abort", "savepoint a", "savepoint b", "rollback to a", "rollback to b", "release a",
                         "commit and chain", "rollback and chain", "select 1/0", "selekt", "", ";", "select 1; select 2",
                         "begin; set lock_timeout = '3s'; commit", "begin; set work_mem = '9MB'; rollback",
                         "savepoint a; set search_path = s2; rollback to a", "select 1; begin", "commit; select 1")

    def temporary(self):
        n = self.pick("t1", "t2")
        return self.pick("create temp table %s (x int)" % n, "create temp table %s as select 7 as x" % n, "drop table if exists %s" % n, "insert into %s values (1)" % n, "select x from %s" % n, "select 3 as x into temp %s" % n,
                         "create temp table %s (x int) on commit drop" % n, "create temp view v%s as select 1 as y" % n,
                         "drop view if exists v%s" % n, "do $d$ begin create temp table if not exists %s (x int); end $d$" % n,
                         "discard temp", "create temp sequence q%s" % n, "drop sequence if exists q%s" % n)

    def lock(self):
        own, shared = 1000 + self.i, self.pick(1, 2)
        return self.pick("select pg_advisory_lock(%d)" % own, "select pg_try_advisory_lock(%d)" % shared,
                         "select pg_try_advisory_lock_shared(%d)" % shared, "select pg_advisory_unlock(%d)" % own,
                         "select pg_advisory_unlock(%d)" % shared, "select pg_advisory_unlock_shared(%d)" % shared,
                         "select pg_advisory_unlock_all()", "select pg_advisory_unlock_all()", "select pg_try_advisory_xact_lock(%d)" % shared,
                         "select pg_advisory_xact_lock(%d)" % own)

    def cursor(self):
        n = self.pick("h1", "h2")
        return self.pick("declare %s cursor with hold for select generate_series(1,5)" % n, "declare %s cursor for select 1" % n,
                         "fetch 2 from %s" % n, "fetch %s" % n, "move %s" % n, "close %s" % n, "close all",
                         "begin; declare %s cursor with hold for select 9; commit" % n)

    def sql_prepared(self):
        n = self.pick("q1", "q2")
        return self.pick("prepare %s as select 'sql %s', current_user" % (n, n), "prepare %s(int) as select $1 + 1" % n, "execute %s" % n,
                         "execute %s(4)" % n, "deallocate %s" % n, "deallocate all", "deallocate prepare %s" % n)

    def listen(self):
        n = self.pick("ch1", "ch2")
        return self.pick("listen %s" % n, "unlisten %s" % n, "unlisten *", "notify %s, 'from %d'" % (n, self.i), "notify %s" % n,
                         "select pg_notify('%s', 'x')" % n)

    def table(self):
        return self.pick("insert into public.own%d (x) values ('a') returning id" % self.i, "select count(*) from public.own%d" % self.i,
                         "alter table public.ddl{0} add column j{1} int default {1}".format(self.i, self.rng.randrange(3)),
                         "alter table public.ddl%d drop column if exists j%d" % (self.i, self.rng.randrange(3)), "select * from public.ddl%d" % self.i,
                         "create or replace view public.pv%d as select 1" % self.i, "delete from public.own%d" % self.i,
                         "select lo_unlink(lo_create(0)) > 0", "begin; select lo_open(lo_create({0}), 131072) >= 0; select lo_unlink({0}); rollback".format(4000 + self.i))

    def texts(self):
        return self.pick("select 'p', $1::text", "select x from same", "select current_user, $1::text", "select * from public.ddl%d" % self.i, "selekt",
                         "select 1/$1::int", "insert into public.own%d (x) values ($1) returning id" % self.i, "select '\\', $1::text", "begin", "commit",
                         "rollback", "set work_mem = '3MB'", "select set_config($1, '4MB', false)", "select set_config('app.user_id', $1, false)",
                         "deallocate a", "deallocate all", "select * from nowhere", "set local lock_timeout = 5", "discard all", "show search_path",
                         "create temp table t1 (x int)", "drop table t1", "select pg_try_advisory_lock(1)", "select pg_advisory_unlock_all()",
                         "select 1; select 2", "reset all", "set search_path = s2", "select generate_series(1,3)", "savepoint a", "rollback to a")

    def bind(self, name, portal=""):
        v = self.pick("1", "0", "x", "work_mem", "lock_timeout")
        return ("B", portal, name, (v,) if self.rng.random() < .8 else ())

    def statement(self):
        kinds = [(self.setting, 30), (self.other_setting, 20), (self.transaction, 22), (self.temporary, 8), (self.lock, 7), (self.cursor, 6),
                 (self.sql_prepared, 6), (self.listen, 6), (self.table, 10)]
        return self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0]()

    def extended(self):
        """A few extended messages, in any order, with Syncs in between; mostly sensible ones."""
        ops, rng = [], self.rng
        for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
            name = self.pick("", "", "a", "b", "c")
            what = rng.random()
            if what < .45:
                sql = self.texts() if rng.random() < .8 else self.statement()
                if name and rng.random() < .5:
                    ops.append(("C", "S", name))
                ops += [("P", name, sql), ("B", "", name, ("1",) if "$1" in sql else ()), ("E", "", 0)]
            elif what < .6:
                ops += [self.bind(name), ("E", "", self.pick(0, 0, 1))]
            elif what < .7:
                ops.append(("P", name, self.texts()))
            elif what < .78:
                ops.append(("C", "S", name))
            elif what < .86:
                ops.append(("D", "S", name))
            elif what < .9:
                portal = self.pick("p1", "p2")
                ops += [self.bind(name, portal), ("E", portal, self.pick(0, 1)), ("C", "P", portal)]
            elif what < .94:
                ops.append(("Q", self.statement()))
            else:
                ops.append(self.bind(name))
            if rng.random() < .4:
                ops.append(("S",))
        return [*ops, ("S",)]

    def step(self, status, is_holding):
        """A client with startup settings resets nothing inside a transaction: there, RESET leads to the server's own value."""
        while True:
            ops = self.any_step(status, is_holding)
            if status != "I" or "begin" in str(ops) or "start" in str(ops):
                # In a failed transaction PostgreSQL describes statements without a result, but prepares none that its server lacks. (Of the
                # unnamed one we may just not know that the server has it still: the Parse behind it was skipped.)
                ops = [op for op in ops if op[:2] != ("D", "S")] or [("S",)]
            texts = " ".join(str(op) for op in ops).lower()
            if not self.has_startup or (status == "I" and len(ops) == 1 and ";" not in texts) or not RESETS.search(texts):
                return ops

    def any_step(self, status, is_holding):
        if status != "I" and self.rng.random() < .3 or status == "E" and self.rng.random() < .4:
            return [("Q", self.pick("commit", "rollback", "rollback", "rollback to a"))]
        if is_holding and self.rng.random() < .2:
            return [("Q", self.pick("discard all", "select pg_advisory_unlock_all()", "unlisten *", "deallocate all", "discard temp", "close all"))]
        if self.rng.random() < .35:
            return self.extended()
        if self.rng.random() < .06:
            return [("Q", self.statement()), ("Q", self.statement()), ("Q", self.statement())]
        return [("Q", self.statement())]


# ---- both sides ----------------------------------------------------------------------------------------------------------

def is_ours(m):
    return m.kind == "N" and "pgweir" in (m.fields.get("H") or "") + (m.text or "")


def outline(m, failed=False):
    """What must be equal of a message. In a failed transaction that a statement is refused, not which of its mistakes comes first."""
    if m is None:
        return "closed"
    if m.kind == "E" and failed:
        return "E"
    if m.kind in "EN":
        f = m.fields
        return (m.kind, f.get("V"), f.get("C"), f.get("M"), f.get("D"), f.get("H"), f.get("P"))
    if m.kind == "D":
        return ("D", *m.row)
    if m.kind in "CZ":
        return (m.kind, m.tag)
    if m.kind == "T":
        return ("T", *m.columns)
    return m.kind


def outlines(messages, status):
    out = []
    for m in messages:
        out.append(outline(m, status == "E"))
        if m is not None and m.kind == "Z":
            status = m.tag
    return out


def same_mistake(pooled, direct):
    """A statement that has to be prepared anew for a Bind with too few values: that its table is out of sight now comes first."""
    if pooled[0] == direct[0] == "E" and len(pooled) > 2 and pooled[2] in ("42P01", "42883") and direct[2] == "08P01":
        return direct
    return pooled


class Side:
    """One connection and what has come over it besides answers."""

    def __init__(self, connection):
        self.connection, self.status = connection, "I"
        self.notified = collections.Counter()
        self.parameters = dict(connection.parameters)

    def take_async(self, m):
        if m is not None and m.kind == "A":
            self.notified[m.body[4:]] += 1
        elif m is not None and m.kind == "S":
            name, value = m.parameter
            self.parameters[name] = value
        elif m is None or not is_ours(m):
            return False
        return True

    def drain(self):
        """What may come at any time."""
        while self.connection.readable(0):
            m = self.connection.recv()
            if not self.take_async(m):
                raise Mismatch("nobody asked for %s" % (m,))

    def exchange(self, ops):
        """Sends all in one write; gives the answers to each, by what PostgreSQL answers, skips or ends with an error."""
        self.connection.send(b"".join(BUILD[op[0]](*op[1:]) for op in ops))
        kinds, pos, got = [op[0] for op in ops], 0, []
        while pos < len(kinds):
            m = self.connection.recv()
            if self.take_async(m):
                continue
            got.append(m)
            if m is None:
                return got
            kind = kinds[pos]
            if m.kind == "E" and kind in "PBDEC":
                pos = kinds.index("S", pos)
            elif m.kind == "Z":
                pos += 1
                self.status = m.tag
            elif m.kind in "123ns" or (kind == "E" and m.kind in "CI") or (kind == "D" and m.kind == "T"):
                pos += 1
        return got

    def ask(self, sql, *values):
        """Without touching the unnamed statement. None: not now."""
        if self.status == "E":
            return None
        ops = [("P", "vs", sql), ("B", "vp", "vs", values), ("E", "vp", 0), ("C", "P", "vp"), ("C", "S", "vs"), ("S",)]
        got = self.exchange(ops)
        rows = [m.row[0] for m in got if m is not None and m.kind == "D"]
        return rows[0] if rows else [outline(m) for m in got]


class Pair:
    def __init__(self, i, pooled, direct, startup):
        self.i, self.pooled, self.direct = i, pooled, direct
        self.startup = "{%s}" % ",".join(startup)
        self.is_holding = False

    def blocks(self):
        """It keeps a server."""
        return self.is_holding or self.direct.status != "I"


class World:
    """A pooler, its clients and their twins."""

    def __init__(self, pooler, postgres, n_clients, n_servers):
        self.pooler, self.n_servers = pooler, n_servers
        for database in ("test", "test2"):
            postgres.sql(";".join(line for i in range(n_clients) for line in CLIENT_SETUP.format(i=i).strip().split("\n")), database=database)
        self.pairs = []
        for i in range(n_clients):
            params = STARTUPS[i % len(STARTUPS)]
            direct = Client(postgres.host, postgres.port).login("app", "test2", params=params)
            self.pairs.append(Pair(i, Side(pooler.connect(params=params)), Side(direct), STARTUP_NAMES[i % len(STARTUPS)]))

    def may_act(self, pair):
        return pair.blocks() or sum(p.blocks() for p in self.pairs) < self.n_servers

    def compare(self, pair, what, pooled, direct):
        if pooled != direct:
            raise Mismatch("client %d, %s\n  pgweir %s\n  direct %s" % (pair.i, what, pooled, direct))

    def act(self, pair, ops, look):
        before = pair.direct.status
        direct = outlines(pair.direct.exchange(ops), before)
        try:
            pooled = outlines(pair.pooled.exchange(ops), before)
        except (Timeout, OSError) as e:
            raise Mismatch("client %d: %s\n  direct %s" % (pair.i, e, direct)) from None
        self.compare(pair, "answers", [same_mistake(p, d) for p, d in zip(pooled, direct)] + pooled[len(direct):], direct)
        self.look(pair, look)

    def look(self, pair, how):
        if pair.direct.status == "I":  # in a transaction the question would be its first query
            pair.is_holding = pair.direct.ask(HOLDS) != "0"
        if how == "view" and pair.direct.status != "E":
            self.compare(pair, "view", pair.pooled.ask(VIEW, pair.startup), pair.direct.ask(VIEW, pair.startup))
        elif how == "state" and pair.direct.status == "I":
            self.compare(pair, "state", pair.pooled.ask(STATE), pair.direct.ask(STATE))
        if pair.direct.status == "I":
            self.settle(pair, "ParameterStatus", self.parameters)

    def settle(self, pair, what, of):
        """What comes by itself may come a little later."""

        def same():
            pair.direct.drain()
            pair.pooled.drain()
            return of(pair.pooled) == of(pair.direct)

        try:
            wait_until(same, 2 * SLOW, what)
        except Timeout:
            self.compare(pair, what, of(pair.pooled), of(pair.direct))

    @staticmethod
    def parameters(side):
        return {k: v for k, v in side.parameters.items() if k not in ("is_superuser",)}

    def notifications(self):
        """They come when the sender has committed and the receiver is out of its transaction."""
        for pair in self.pairs:
            if pair.direct.status != "I":
                continue
            self.settle(pair, "notifications", lambda side: side.notified)

    def close(self):
        for pair in self.pairs:
            pair.pooled.connection.sock.close()
            pair.direct.connection.sock.close()


LEAK = """select concat_ws('|', current_user, session_user, current_setting('role'),
 (select string_agg(name || '=' || setting, ',') from pg_settings where source = 'session' and name !~ '^transaction_'),
 %s,
 (select string_agg(relname, ',') from pg_class where relnamespace = pg_my_temp_schema()),
 (select string_agg(objid::text, ',') from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
 (select string_agg(name, ',') from pg_cursors), (select string_agg(name, ',') from pg_prepared_statements where from_sql),
 (select string_agg(c, ',') from pg_listening_channels() as c))""" % ",\n ".join("coalesce(current_setting('%s', true), '')" % n for n in CUSTOM)


def leaks(pooler, n_servers):
    """Fresh clients, one on every server of the pool, see defaults and nothing else."""
    clients = [pooler.connect() for _ in range(n_servers)]
    try:
        for c in clients:
            c.query("begin")
        seen = [c.value(LEAK) for c in clients]
        wanted = "app|app|none|" + "|" * (len(CUSTOM) - 1)
        assert seen == [wanted] * n_servers, "left behind: %s" % seen
        for c in clients:
            c.query("commit")
        for c in clients:
            c.send(wire.query("select lastval()"))
            assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["55000"], "a value of lastval() was left behind"
            c.query("discard all")
    finally:
        for c in clients:
            c.close()


# ---- a run: what a seed does, and again with fewer steps -------------------------------------------------------------------

Step = collections.namedtuple("Step", "client ops look all notify")


class Runner:
    def __init__(self, pooler, postgres, n_servers, n_clients=4, log=None):
        self.pooler, self.postgres, self.n_servers, self.n_clients, self.log = pooler, postgres, n_servers, n_clients, log or (lambda s: None)
        for role in ROLES:
            if not postgres.sql("select 1 from pg_roles where rolname = '%s'" % role):
                postgres.sql("create role %s" % role)
        for database in ("test", "test2"):
            postgres.sql(";".join(SETUP.strip().split("\n")), database=database)

    def world(self):
        return World(self.pooler, self.postgres, self.n_clients, self.n_servers)

    def play(self, world, step):
        """False: it can't be done now, since it would wait for a server."""
        pair = world.pairs[step.client]
        if not world.may_act(pair):
            return False
        world.act(pair, step.ops, step.look)
        if step.all:
            for other in world.pairs:
                if other is not pair and world.may_act(other):
                    world.look(other, "view")
        if step.notify:
            world.notifications()
        return True

    def random(self, seed, n_steps, deadline=None):
        """n_steps random steps; gives how many were done. Raises Mismatch with .steps."""
        rng, world, done = random.Random(seed), self.world(), []
        generators = [Generator(rng, i) for i in range(self.n_clients)]
        try:
            while len(done) < n_steps and not (deadline and time.monotonic() > deadline):
                pair = rng.choice([p for p in world.pairs if world.may_act(p)])
                ops = generators[pair.i].step(pair.direct.status, pair.is_holding)
                look = rng.choices(("view", "state", "none"), (20, 40, 40))[0]
                step = Step(pair.i, ops, look, rng.random() < .03, any("notify" in str(op) for op in ops))
                done.append(step)
                try:
                    self.play(world, step)
                except Mismatch as e:
                    e.steps = done
                    raise
        finally:
            world.close()
        self.pooler.wait_rest(everybody_left=True)
        leaks(self.pooler, self.n_servers)
        return len(done)

    def fails(self, steps):
        world = self.world()
        try:
            for step in steps:
                self.play(world, step)
        except (Mismatch, Timeout, AssertionError, OSError) as e:
            return str(e)
        finally:
            world.close()
            try:
                self.pooler.wait_rest(everybody_left=True)
            except Timeout:
                pass
        return None

    def shrink(self, steps, seconds=60):
        """Fewer steps that still fail: halves, quarters .. and single ones are left out as long as that helps."""
        deadline, size = time.monotonic() + seconds, len(steps) // 2
        if not self.fails(steps):
            return steps, "(it doesn't fail again when it is repeated)"
        while size:
            at = 0
            while at < len(steps) and time.monotonic() < deadline:
                fewer = steps[:at] + steps[at + size:]
                if fewer and self.fails(fewer):
                    steps = fewer
                else:
                    at += size
            size //= 2
        for i, step in enumerate(steps):
            for k in range(len(step.ops) - 1, -1, -1):
                ops = step.ops[:k] + step.ops[k + 1:]
                if not ops or ops[-1][0] not in "QS" or time.monotonic() > deadline:
                    continue
                fewer = steps[:i] + [step._replace(ops=ops)] + steps[i + 1:]
                if self.fails(fewer):
                    step, steps = fewer[i], fewer
        return steps, self.fails(steps)


def describe(steps):
    return "\n".join("  c%d: %s%s" % (s.client, " ".join(shown(op) for op in s.ops), "   # and all look" if s.all else "") for s in steps)


def run(pooler, postgres, n_servers, seed, n_steps, deadline=None):
    """Gives the number of steps done; AssertionError with the shortened sequence if something differs."""
    runner = Runner(pooler, postgres, n_servers)
    try:
        return runner.random(seed, n_steps, deadline)
    except Mismatch as e:
        steps, why = runner.shrink(e.steps)
        raise AssertionError("seed %s, pool of %d, step %d: %s\nshortened to %d steps:\n%s\n%s" %
                             (seed, n_servers, len(e.steps), e, len(steps), describe(steps), why)) from None


def main():
    from pooler import Pooler
    from postgres import Postgres
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    p.add_argument("--steps", type=int, default=100000)
    p.add_argument("--pool", type=int, default=0, help="servers; 0: 1 and 2 in turn")
    p.add_argument("--chunk", type=int, default=1000, help="steps with the same clients")
    args = p.parse_args()
    postgres = Postgres()
    poolers = {n: own_pooler(Pooler(postgres, settings(n), start=False)) for n in ([args.pool] if args.pool else [1, 2])}
    done, seed = 0, args.seed
    try:
        while done < args.steps:
            for n, pooler in poolers.items():
                print("seed %d, pool of %d, %d steps so far" % (seed, n, done), flush=True)
                done += run(pooler, postgres, n, seed, min(args.chunk, args.steps))
            seed += 1
    finally:
        for pooler in poolers.values():
            pooler.destroy()
        postgres.destroy()


def settings(n_servers):
    return {"default_pool_size": n_servers, "worker_threads": 1, "client_login_timeout": 60,
            "max_pinned": 100, "suspect_functions": "public.prop_set, prop_fail,prop_try, pg_temp.none"}


def own_pooler(pooler):
    """[pgweir] instead of [pgbouncer]: session features pin."""
    pooler.section = "pgweir"
    with open(pooler.ini) as f:
        text = f.read()
    with open(pooler.ini, "w") as f:
        f.write(text.replace("[pgbouncer]", "[pgweir]"))
    pooler.start()
    return pooler


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main()

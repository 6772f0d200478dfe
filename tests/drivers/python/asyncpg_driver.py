"""asyncpg with its defaults: every query is a named statement, binary values, its own reset at the end of a pool's use."""
import asyncio
import datetime
import ssl
import uuid

import asyncpg

import report


def arguments(how):
    out = {"host": how["host"], "port": int(how["port"]), "user": how["user"], "database": how["dbname"]}
    if "password" in how:
        out["password"] = how["password"]
    mode = how.get("sslmode", "disable")
    if mode in ("disable", "prefer") or "sslrootcert" not in how:
        out["ssl"] = mode if mode != "disable" else False
    else:
        context = ssl.create_default_context(cafile=how["sslrootcert"])
        context.check_hostname = mode == "verify-full"
        if "sslcert" in how:
            context.load_cert_chain(how["sslcert"], how["sslkey"])
        out["ssl"] = context
    return out


opened = []


async def connect(how, **kw):
    c = await asyncpg.connect(**{**arguments(how), **kw})
    opened.append(c)
    return c


def close_all():
    for c in opened:
        if not c.is_closed():
            c.terminate()
    opened.clear()


async def many(how, n, **kw):
    return [await connect(how, **kw) for _ in range(n)]


async def error(awaitable):
    try:
        await awaitable
        return "none"
    except asyncpg.PostgresError as e:
        return e.sqlstate
    except Exception as e:
        return type(e).__name__


async def connect_and_look(how):
    c = await connect(how)
    s = c.get_settings()
    out = [await c.fetchval("select current_user"), c.get_server_version(), s.server_encoding, s.client_encoding, s.TimeZone, s.DateStyle,
           s.application_name, s.is_superuser, s.session_authorization]
    await c.close()
    return out


async def prepare(how):
    """It prepares by Parse, Describe and Flush, and so holds a server until the statement's first use."""
    conns = await many(how, 4)
    stmts = []
    for n, c in enumerate(conns):
        stmts.append(await c.prepare("select $1::int + %d as sum" % (n % 2)))
        await stmts[n].fetchval(0)
    out = [str(stmts[0].get_parameters()), str(stmts[0].get_attributes())]
    for i in range(8):
        for s, c in zip(stmts, conns):
            out += [await s.fetchval(i), await c.fetchval("select $1::text || 'x'", str(i))]
    out.append(await asyncio.gather(*[s.fetchval(100) for s in stmts]))
    return out


async def schema_change(how):
    a, b = await many(how, 2)
    await a.execute("drop table if exists d_schema")
    await a.execute("create table d_schema as select 1 as i")
    for _ in range(6):
        await a.fetch("select * from d_schema")
    await b.execute("alter table d_schema add column j int default 2")
    out = [await b.fetch("select * from d_schema"), await a.fetch("select i, j from d_schema")]
    async with b.transaction():
        await b.execute("alter table d_schema add column k int default 3")
        out.append(await b.fetch("select i, k from d_schema"))
    await b.execute("drop table d_schema")
    return out


async def batch(how):
    a, b = await many(how, 2)
    await a.execute("create table d_batch (i int primary key); insert into d_batch values (-1)")
    await a.executemany("insert into d_batch values ($1)", [(i,) for i in range(500)])
    out = [await b.fetch("select count(*), sum(i) from d_batch")]
    out.append(await a.fetchmany("insert into d_batch values ($1) returning i", [(i,) for i in range(1000, 1010)]))
    return out


async def batch_error(how):
    a, b = await many(how, 2)
    out = [await error(a.executemany("insert into d_batch values ($1)", [(2000,), (1,), (2001,)])), await b.fetch("select count(*) from d_batch")]
    out.append(await error(a.execute("insert into d_batch values (3000); select 1/0")))
    out += await b.fetch("select count(*) from d_batch")
    await b.execute("drop table d_batch")
    return out


async def settings(how):
    conns = await many(how, 3)
    out = []
    for i, c in enumerate(conns):
        await c.fetch("select set_config('app.user_id', $1, false)", "user %d" % i)
        await c.execute("set timezone to '%s'" % ("Asia/Tokyo", "Europe/Paris", "UTC")[i])
        await c.execute("set search_path to s%d, public" % i)
    for _ in range(4):
        for c in conns:
            out += await c.fetch("select current_setting('app.user_id'), current_setting('timezone'), current_setting('search_path')")
            out.append(c.get_settings().TimeZone)
    for c in conns:
        await c.reset()
        out += await c.fetch("select current_setting('app.user_id', true), current_setting('timezone'), current_setting('search_path')")
    return out


async def startup_options(how):
    a = await connect(how, server_settings={"search_path": "one,two", "statement_timeout": "54321", "application_name": "über", "app.x": "y"})
    b = await connect(how)
    out = []
    for c in (a, b, a, b):
        out += await c.fetch("select current_setting('search_path'), current_setting('statement_timeout'), current_setting('application_name'),"
                             " coalesce(current_setting('app.x', true), '')")
    await a.execute("set search_path to three; reset all")
    return out + await a.fetch("select current_setting('search_path'), current_setting('app.x')")


async def transaction(how):
    a, b = await many(how, 2)
    await b.execute("drop table if exists d_tx; create table d_tx (i int primary key)")
    out = []
    tx = a.transaction(isolation="repeatable_read")
    await tx.start()
    await a.execute("insert into d_tx values (1)")
    out.append(await b.fetch("select * from d_tx"))
    out.append(await a.fetchval("show transaction_isolation"))
    await tx.commit()
    try:
        async with a.transaction():
            await a.execute("insert into d_tx values (2)")
            try:
                async with a.transaction():
                    await a.execute("insert into d_tx values (1)")
            except asyncpg.UniqueViolationError as e:
                out.append(e.constraint_name)
            await a.execute("insert into d_tx values (3)")
            raise ValueError
    except ValueError:
        out.append(await b.fetch("select * from d_tx"))
    async with a.transaction():
        await a.execute("insert into d_tx values (4)")
    out.append(await b.fetch("select * from d_tx order by 1"))
    await b.execute("drop table d_tx")
    return out


async def error_in_transaction(how):
    a = await connect(how)
    tx = a.transaction()
    await tx.start()
    out = [await error(a.fetch("select 1/$1::int", 0)), await error(a.fetch("select 1")), await error(a.execute("select 2"))]
    await tx.rollback()
    return out + [await a.fetchval("select 3"), await error(a.fetch("selec")), await error(a.fetch("select $1::int", "text"))]


async def types(how):
    c = await connect(how)
    values = [2 ** 62, "grüße \U0001f418", b"\0\1\xff", [1, 2, 3], uuid.UUID(int=7), datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
              datetime.timedelta(days=1, hours=2), True, None]
    row = await c.fetchrow("select $1::int8, $2::text, $3::bytea, $4::int[], $5::uuid, $6::timestamp, $7::interval, $8::bool, $9::text", *values)
    await c.execute("drop type if exists d_enum; create type d_enum as enum ('a', 'b')")
    await c.execute("drop type if exists d_pair; create type d_pair as (x int, y text)")
    out = [list(row) == values, await c.fetchval("select $1::d_enum", "b"), await c.fetchval("select row(1, 'z')::d_pair"),
           await c.fetchval("select array['a', 'b']::d_enum[]")]
    await c.execute("drop type d_enum; drop type d_pair")
    return out


async def large_result(how):
    c = await connect(how)
    rows = await c.fetch("select i, repeat(md5(i::text), 8) from generate_series(1, 40000) i")
    return [len(rows), sum(r[0] for r in rows), sum(len(r[1]) for r in rows), rows[31415], len(await c.fetchval("select repeat('x', 5000000)"))]


async def cursor(how):
    a, b = await many(how, 2)
    out = []
    async with a.transaction():
        cur = await a.cursor("select i from generate_series(1, 1000) i where i > $1", 10)
        out += [await cur.fetchrow(), await cur.fetch(3), await cur.forward(5), await b.fetchval("select 'b'"), await cur.fetchrow()]
        n = 0
        async for row in a.cursor("select i from generate_series(1, 1000) i", prefetch=70):
            n += row[0]
        out.append(n)
    return out


async def copy(how):
    a, b = await many(how, 2)
    await a.execute("create table d_copy (i int, t text)")
    out = [await a.copy_records_to_table("d_copy", records=[(i, "line %d" % i) for i in range(20000)])]
    out += await b.fetch("select count(*), sum(i) from d_copy")
    size = 0

    async def sink(data):
        nonlocal size
        size += len(data)
    out.append(await b.copy_from_query("select * from d_copy where i < $1", 15000, output=sink, format="csv"))
    out.append(size)

    async def bad():
        yield b"1\ta\n"
        yield b"x\tb\n"
    out.append(await error(a.copy_to_table("d_copy", source=bad())))

    async def gives_up():
        yield b"1\ta\n"
        raise KeyError
    out.append(await error(a.copy_to_table("d_copy", source=gives_up())))
    out += await a.fetch("select count(*) from d_copy")
    await b.execute("drop table d_copy")
    return out


async def is_running(watch, mark):
    for _ in range(400):
        if await watch.fetchval("select count(*) from pg_stat_activity where query like 'select ''' || $1 || '''%' and state = 'active'"
                                " and datname = current_database()", mark):
            return
        await asyncio.sleep(0.01)


async def cancel(how):
    a, watch = await many(how, 2)
    out = []
    for _ in range(2):
        task = asyncio.ensure_future(a.fetch("select 'cancel me', pg_sleep(20)"))
        await is_running(watch, "cancel me")
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            out.append("cancelled")
        out.append(await a.fetchval("select 'alive'"))
    return out


async def timeout(how):
    a, b = await many(how, 2)
    await a.execute("set statement_timeout = '80ms'")
    out = [await error(a.fetch("select pg_sleep(5)")), await b.fetchval("show statement_timeout"), await a.fetchval("show statement_timeout")]
    out += [await error(b.fetch("select pg_sleep(5)", timeout=0.1)), await b.fetchval("select 'alive'")]
    out += [await error(b.fetchval("select pg_sleep($1)", 5, timeout=0.1)), await b.fetchval("select 'alive'")]
    return out


async def reconnect(how):
    out = 0
    for i in range(15):
        c = await connect(how)
        tx = c.transaction()
        await tx.start()
        out += await c.fetchval("select $1::int", i)
        if i % 3 == 0:
            await tx.commit()
            await c.close()
        elif i % 3 == 1:
            await c.close()
        else:
            c.terminate()
    return [out]


async def listen(how):
    a, b = await many(how, 2)
    got = asyncio.Queue()
    await a.add_listener("d_channel", lambda _c, _pid, channel, payload: got.put_nowait((channel, payload)))
    await b.execute("notify d_channel, 'one'")
    await b.execute("select pg_notify('d_channel', 'two')")
    out = [await asyncio.wait_for(got.get(), 10) for _ in range(2)]
    await a.close()
    return out


async def temp_table(how):
    a, b = await many(how, 2)
    await a.execute("create temp table d_temp as select 42 as answer")
    out = [await error(b.fetch("select * from d_temp")), await a.fetchval("select answer from d_temp"), await b.fetchval("select 1")]
    await a.execute("drop table d_temp")
    return out + [await error(a.fetch("select * from d_temp"))]


async def advisory_lock(how):
    a, b = await many(how, 2)
    out = []
    for _ in range(2):
        for c, sql in ((a, "try_advisory_lock"), (b, "try_advisory_lock"), (a, "advisory_unlock"), (b, "try_advisory_lock"), (b, "advisory_unlock")):
            out.append(await c.fetchval("select pg_%s(4711)" % sql))
    return out


async def prepared_unused(how):
    """prepare() ends with Flush: more of them than there are servers, and nobody uses his."""
    conns = await many(how, 5)
    plans = [await asyncio.wait_for(c.prepare("select $1::int + %d" % i), 10) for i, c in enumerate(conns)]
    return [await p.fetchval(10) for p in plans] + [[a.type.name for a in p.get_attributes()] for p in plans]


async def pool(how):
    """Its own pool in front of ours; each release runs its reset query."""
    async with asyncpg.create_pool(min_size=2, max_size=6, **arguments(how)) as p:
        await p.execute("drop table if exists d_accounts; create table d_accounts (i int primary key, n int)")
        await p.execute("insert into d_accounts select i, 0 from generate_series(0, 4) i")

        async def teller(n):
            for i in range(15):
                async with p.acquire() as c:
                    assert await c.fetchval("show application_name") == "", "somebody else's application_name"
                    await c.execute("set application_name = 'teller %d'" % n)
                    tx = c.transaction()
                    await tx.start()
                    await c.execute("update d_accounts set n = n + $1 where i = $2", 1, (n + i) % 5)
                    assert await c.fetchval("show application_name") == "teller %d" % n
                    await (tx.rollback() if i % 5 == 4 else tx.commit())
        await asyncio.gather(*[teller(n) for n in range(10)])
        out = await p.fetch("select i, n from d_accounts order by i")
        await p.execute("drop table d_accounts")
    return out


async def concurrent(how):
    conns = await many(how, 8)
    await conns[0].execute("drop table if exists d_accounts; create table d_accounts (i int primary key, n int)")
    await conns[0].execute("insert into d_accounts select i, 0 from generate_series(0, 4) i")

    async def teller(n, c):
        for i in range(25):
            async with c.transaction():
                await c.execute("update d_accounts set n = n + $1 where i = $2", 1, (n + i) % 5)
    await asyncio.gather(*[teller(n, c) for n, c in enumerate(conns)])
    out = await conns[0].fetch("select i, n from d_accounts order by i")
    await conns[0].execute("drop table d_accounts")
    return out


async def login(how):
    try:
        c = await connect(how)
        user = await c.fetchval("select current_user")
        await c.close()
        return True, user
    except asyncpg.PostgresError as e:
        return False, e.sqlstate
    except Exception as e:
        return False, "%s: %s" % (type(e).__name__, e)


if __name__ == "__main__":
    report.main([connect_and_look, prepare, schema_change, batch, batch_error, settings, startup_options, transaction,
                 error_in_transaction, types, large_result, cursor, copy, cancel, timeout, reconnect, listen, temp_table, advisory_lock, prepared_unused, pool,
                 concurrent], login, close_all)

"""thaw.py DRIVER HOST PORT: begins a transaction, says "ready", is frozen, and says what it meets when it goes on.

A line for each: the SQLSTATE of its next statement; what SELECT gives after a ROLLBACK, and if that was over the same connection.
"""
import asyncio
import sys


def dbapi(module, error_code, host, port):
    c = module.connect(host=host, port=port, user="app", dbname="test")
    cur = c.cursor()
    cur.execute("select %s::int", (1,))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        cur.execute("select %s::int", (2,))
        print("none")
    except module.Error as e:
        print(error_code(e))
    c.rollback()
    cur.execute("select %s::int", (3,))
    print(cur.fetchone()[0], not c.closed)
    c.commit()


async def run_asyncpg(host, port):
    import asyncpg

    c = await asyncpg.connect(host=host, port=port, user="app", database="test", ssl=False)
    t = c.transaction()
    await t.start()
    await c.fetchval("select $1::int", 1)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    try:
        await c.fetchval("select $1::int", 2)
        print("none")
    except asyncpg.PostgresError as e:
        print(e.sqlstate)
    await t.rollback()
    print(await c.fetchval("select $1::int", 3), not c.is_closed())
    await c.close()


def main():
    driver, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if driver == "psycopg2":
        import psycopg2

        dbapi(psycopg2, lambda e: e.pgcode, host, port)
    elif driver == "psycopg3":
        import psycopg

        dbapi(psycopg, lambda e: e.sqlstate, host, port)
    else:
        asyncio.run(run_asyncpg(host, port))


main()

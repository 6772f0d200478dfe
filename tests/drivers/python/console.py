"""The console as monitoring in Python sees it: console.py DRIVER, and on its input a connection, then a query a line.

Prints a line for each query, with tabs: "ok", the columns' names with commas, how many rows, the first row's values with bars; or "error" and
the SQLSTATE.
"""
import asyncio
import importlib
import sys

from report import connection


def text(value):
    return "NULL" if value is None else str(value)


def told(names, rows):
    print("\t".join(["ok", ",".join(names), str(len(rows)), "|".join(text(v) for v in rows[0]) if rows else ""]), flush=True)


def by_dbapi(driver, how, queries):
    module = importlib.import_module(driver)
    db = module.connect(**how)
    db.autocommit = True
    for query in queries:
        try:
            cur = db.cursor()
            cur.execute(query)
            told([d[0] for d in cur.description or []], cur.fetchall() if cur.description else [])
        except module.Error as e:
            print("error\t%s" % (getattr(e, "sqlstate", None) or getattr(e, "pgcode", None)), flush=True)
    db.close()


async def by_asyncpg(how, queries):
    import asyncpg
    db = await asyncpg.connect(host=how["host"], port=int(how["port"]), user=how["user"], database=how["dbname"])
    for query in queries:
        try:
            statement = await db.prepare(query)
            told([a.name for a in statement.get_attributes()], await statement.fetch())
        except asyncpg.PostgresError as e:
            print("error\t%s" % e.sqlstate, flush=True)
    await db.close()


def main():
    lines = sys.stdin.read().splitlines()
    if sys.argv[1] == "asyncpg":
        asyncio.run(by_asyncpg(connection(lines[0]), lines[1:]))
    else:
        by_dbapi(sys.argv[1], connection(lines[0]), lines[1:])


main()

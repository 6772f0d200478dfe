"""report - how a driver's program is told what to do, and how it says what it saw.

    PROGRAM scenarios    reads one line, the connection, and runs every scenario over connections like it
    PROGRAM logins       reads a line for each login to try

A connection is a line of key=value with tabs between them; keys are libpq's: host, port, user, password, dbname, sslmode,
sslrootcert, sslcert, sslkey. What comes back is a line each: "ok NAME", or "not ok NAME", and with tabs between them what was
seen. A login's line is "ok user" or "not ok SQLSTATE"; where a driver keeps that to itself, its message.
"""
import asyncio
import inspect
import sys
import time

SCENARIO_LIMIT = 30


def connection(line):
    return dict(part.split("=", 1) for part in line.rstrip("\n").split("\t"))


def say(ok, name, seen):
    clean = [str(s).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") for s in seen]
    print("\t".join([("ok " if ok else "not ok ") + name, *clean]), flush=True)


async def run_one(scenario, how, close_all):
    try:
        seen = scenario(how)
        if inspect.isawaitable(seen):
            seen = await asyncio.wait_for(seen, SCENARIO_LIMIT)
        return seen
    finally:
        close_all()


def main(scenarios, login, close_all=lambda: None):
    """scenarios: functions of a connection's dict that give a list of what they saw; login: gives whether and as whom, or why not."""
    if sys.argv[1] == "scenarios":
        how = connection(sys.stdin.readline())
        for scenario in scenarios:
            began = time.monotonic()
            try:
                ok, seen = True, asyncio.run(run_one(scenario, how, close_all))
            except Exception as e:  # whatever a driver raises is what its user would see
                ok, seen = False, ["%s: %s" % (type(e).__name__, e)]
            say(ok, scenario.__name__, seen)
            print("%s: %.2f s" % (scenario.__name__, time.monotonic() - began), file=sys.stderr)
        return
    for line in sys.stdin:
        ok, seen = asyncio.run(run_one(login, connection(line), close_all))
        say(ok, seen, [])

#!/usr/bin/env python3
"""A herd of functions against a PostgreSQL with 50 connections: directly, and through pgweir.

Starts a PostgreSQL of its own in a temporary directory, a pooler before it, lets the herd loose on both, shows what
came of it, then runs the usual function code (handlers.py) through the pooler. Everything is on 127.0.0.1, and everything
is gone afterwards.
"""

import argparse
import json
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import psycopg2

import handlers

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATABASE, USER, ADMIN = "shop", "app", "admin"
MAX_CONNECTIONS, POOL_SIZE = 50, 20
START_SECONDS = 20
SERVER_USER = "postgres" # whom root becomes: PostgreSQL refuses to run as root


class Trouble(Exception):
    """Something that ends the demo, with a text for people."""


class Look:
    """What the terminal can show."""

    def __init__(self, out):
        unicode = (out.encoding or "").lower().replace("-", "") == "utf8"
        self.levels = " ▁▂▃▄▅▆▇█" if unicode else " .:-=+*%#"
        self.full, self.rest = ("█", "░") if unicode else ("#", ".")
        self.yes, self.no = ("✓", "✗") if unicode else ("ok", "FAILED")
        self.has_colours = out.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ

    def colour(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.has_colours else text

    def good(self, text):
        return self.colour("32", text)

    def bad(self, text):
        return self.colour("31", text)

    def title(self, text):
        return self.colour("1", text)


def say(text=""):
    print(text, flush=True)


def server_programs():
    """The directory with initdb and postgres."""
    found = []
    try:
        asked = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        found.append(pathlib.Path(asked.stdout.strip()))
    except (OSError, subprocess.CalledProcessError):
        pass
    debian = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda p: int(p.parent.name) if p.parent.name.isdigit() else 0, reverse=True)
    for path in found:
        if (path / "initdb").exists() and (path / "postgres").exists():
            return path
    raise Trouble("PostgreSQL's server programs aren't installed: run 'make deps'")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tail(path, lines=15):
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


class Stage:
    """The temporary directory, the processes in it, and how they end."""

    def __init__(self):
        self.run_as = {}
        self.owner = None
        if os.geteuid() == 0:
            try:
                self.owner = pwd.getpwnam(SERVER_USER)
            except KeyError:
                raise Trouble(f"there is no user {SERVER_USER}, and PostgreSQL refuses to run as root") from None
            self.run_as = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="pgweir-demo-"))
        self.give(self.dir)
        self.processes = []

    def give(self, path):
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)

    def write(self, name, text):
        path = self.dir / name
        path.touch(mode=0o600)
        path.write_text(text)
        self.give(path)
        return path

    def can_execute(self, program):
        return subprocess.run(["test", "-x", program], cwd=self.dir, **self.run_as).returncode == 0

    def start(self, name, command, stop_signal, as_owner=True):
        log = self.write(f"{name}.log", "")
        with log.open("a") as out:
            process = subprocess.Popen(command, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       start_new_session=True, **(self.run_as if as_owner else {}))
        self.processes.append((process, stop_signal))
        return process, log

    def end(self):
        for process, stop_signal in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(stop_signal)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.processes = []
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_until(what, process, log, is_ready):
    ends = time.monotonic() + START_SECONDS
    while True:
        why = is_ready()
        if not why:
            return
        if process.poll() is not None:
            raise Trouble(f"{what} ended with status {process.returncode}:\n{tail(log)}")
        if time.monotonic() > ends:
            raise Trouble(f"{what} isn't ready after {START_SECONDS} s: {why}\n{tail(log)}")
        time.sleep(0.05)


def cannot_connect(**params):
    """None when it can; else why not."""
    try:
        psycopg2.connect(connect_timeout=5, **params).close()
        return None
    except psycopg2.OperationalError as e:
        return str(e).strip()


class PostgreSQL:
    def __init__(self, stage):
        self.stage = stage
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.superuser = f"host={stage.dir} port={self.port} user=postgres dbname={DATABASE}"

    def start(self):
        programs, data = server_programs(), self.stage.dir / "data"
        made = subprocess.run([programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
                              cwd=self.stage.dir, capture_output=True, text=True, **self.stage.run_as)
        if made.returncode:
            raise Trouble(f"initdb failed:\n{made.stderr}")
        self.stage.write("data/pg_hba.conf", "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.stage.dir,
                    "max_connections": MAX_CONNECTIONS, "password_encryption": "scram-sha-256", "fsync": "off"}
        command = [str(programs / "postgres"), "-D", str(data)]
        for name, setting in settings.items():
            command += ["-c", f"{name}={setting}"]
        process, log = self.stage.start("postgresql", command, signal.SIGINT)
        wait_until("PostgreSQL", process, log,
                   lambda: cannot_connect(host=str(self.stage.dir), port=self.port, user="postgres", dbname="postgres"))
        self.fill()

    def fill(self):
        connection = psycopg2.connect(host=str(self.stage.dir), port=self.port, user="postgres", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {USER} LOGIN PASSWORD %s", (self.password,))
            cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        connection.close()
        with psycopg2.connect(self.superuser) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {USER};"
                           " CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));"
                           " INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 100) n;"
                           " CREATE TABLE log (id bigserial PRIMARY KEY, line text NOT NULL)")
        connection.close()

    def wait_until_quiet(self):
        """The herd's connections end a moment after the herd itself."""
        connection = psycopg2.connect(self.superuser)
        connection.autocommit = True
        ends = time.monotonic() + START_SECONDS
        while handlers.value(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") > 1:
            if time.monotonic() > ends:
                raise Trouble("PostgreSQL still has connections of the direct herd")
            time.sleep(0.05)
        connection.close()


class Pooler:
    def __init__(self, stage, server, program, functions):
        self.stage, self.server, self.program, self.functions = stage, server, program, functions
        self.port = free_port()
        self.admin_password = secrets.token_hex(8)
        self.name = program.name
        self.section = "pgbouncer" if "pgbouncer" in self.name else "pgweir"

    def start(self):
        as_owner = self.stage.can_execute(self.program)
        userlist = self.stage.write("userlist.txt", f'"{USER}" "{self.server.password}"\n"{ADMIN}" "{self.admin_password}"\n')
        ini = self.stage.write(f"{self.section}.ini", "\n".join([
            "[databases]",
            f"{DATABASE} = host=127.0.0.1 port={self.server.port} dbname={DATABASE}",
            "",
            f"[{self.section}]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = scram-sha-256",
            f"auth_file = {userlist}",
            f"admin_users = {ADMIN}",
            "pool_mode = transaction",
            f"default_pool_size = {POOL_SIZE}",
            f"max_client_conn = {self.functions + 100}",
            # where only root may read the program, it starts as root and becomes this user itself
            "" if as_owner else f"user = {SERVER_USER}",
            ""]))
        process, log = self.stage.start(self.section, [str(self.program), str(ini)], signal.SIGTERM, as_owner)
        wait_until(self.name, process, log,
                   lambda: cannot_connect(host="127.0.0.1", port=self.port, user=USER, password=self.server.password, dbname=DATABASE))


class Storm:
    def __init__(self, program, server, functions):
        self.program, self.server, self.functions = program, server, functions

    def run(self, port):
        """The result as pgweir-storm's JSON. The functions stay connected when they're done, as warm functions do."""
        command = [str(self.program), f"--functions={self.functions}", "--after=idle", "--hold=0.5", "--timeout=30", "--json=-",
                   f"--watch={self.server.superuser}", f"host=127.0.0.1 port={port} user={USER} dbname={DATABASE} sslmode=disable"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                              env={**os.environ, "PGPASSWORD": self.server.password})
        if done.returncode not in (0, 1):
            raise Trouble(f"{self.program.name} ended with status {done.returncode}")
        return json.loads(done.stdout)


# Showing.

def milliseconds(number):
    return "-" if number is None else f"{number:.1f} ms"


def table(results):
    """Lines of two columns side by side; results is [(name, result)]."""
    rows = [("", [name for name, _ in results])]
    for title, key in (("functions", "functions"), ("served", "served"), ("failed", "failed")):
        rows.append((title, [str(r[key]) for _, r in results]))
    for key in sorted({e["key"] for _, r in results for e in r["errors"]}):
        counts = [sum(e["count"] for e in r["errors"] if e["key"] == key) for _, r in results]
        rows.append((f"  error {key}", [str(c) for c in counts]))
    for title, key in (("connect and log in", "connect"), ("wait and transaction", "transaction"), ("wake until served", "total")):
        for rank in ("p50", "p99", "max"):
            rows.append((f"{title}, {rank}", [milliseconds(r["ms"][key][rank]) for _, r in results]))
    rows.append(("until all was over", [f"{r['wall_s']:.2f} s" for _, r in results]))
    rows.append(("PostgreSQL's connections", [connections(r) for _, r in results]))
    return ["  " + title.ljust(30) + "".join(c.rjust(20) for c in columns) for title, columns in rows]


def connections(result):
    seen = result["server_connections"]
    return f"{seen['max']} of {seen['limit']}" if seen else "not counted"


def served_until(result, ms):
    histogram = result["histogram"]
    whole = int(ms / histogram["bucket_ms"])
    return sum(histogram["served"][:whole + 1])


def curve(result, look, span_ms, columns=60, height=5):
    """How many were served at each moment, as columns of blocks; from the top line down."""
    steps = len(look.levels) - 1
    heights = [served_until(result, span_ms * (c + 1) / columns) / result["functions"] * height * steps for c in range(columns)]
    lines = []
    for row in reversed(range(height)):
        filled = [min(max(round(h) - row * steps, 0), steps) for h in heights]
        lines.append("".join(look.levels[f] for f in filled))
    return lines


def plot(results, look):
    span = max(r["wall_s"] for _, r in results) * 1000
    yield look.title(f"served over time: from 0 to {span / 1000:.2f} s, full height {results[0][1]['functions']} functions")
    for name, r in results:
        paint = look.bad if r["failed"] else look.good
        for i, line in enumerate(curve(r, look, span)):
            yield f"  {name if i == 4 else '':18}|{paint(line)}|{' ' + str(r['served']) if i == 4 else ''}"
        yield ""
    yield look.title(f"connections that PostgreSQL saw: full width max_connections = {MAX_CONNECTIONS}")
    for name, r in results:
        seen = min(r["server_connections"]["max"], MAX_CONNECTIONS) if r["server_connections"] else 0
        paint = look.good if seen <= POOL_SIZE else look.bad
        yield f"  {name:18}|{paint(look.full * seen)}{look.rest * (MAX_CONNECTIONS - seen)}| {connections(r)}"


def judge(result, name):
    """What is wrong with the run through the pooler."""
    wrong = []
    if result["served"] != result["functions"]:
        wrong.append(f"{name} served {result['served']} of {result['functions']} functions")
    if not result["server_connections"]:
        wrong.append("nobody counted PostgreSQL's connections")
    elif result["server_connections"]["max"] > POOL_SIZE:
        wrong.append(f"PostgreSQL saw {result['server_connections']['max']} connections, and default_pool_size is {POOL_SIZE}")
    if result["lost"]:
        wrong.append(f"{result['lost']} idle functions lost their connection")
    return wrong


def run_handlers(place, look):
    failed = 0
    for claim, check in handlers.CHECKS:
        try:
            detail = check(place)
            say(f"  {look.good(look.yes)} {claim}: {detail}")
        except (AssertionError, psycopg2.Error) as e:
            failed += 1
            reason = " ".join(str(e).split()) or type(e).__name__
            say(f"  {look.bad(look.no)} {claim}: {reason}")
    return failed


def stay(server, pooler):
    say("Both go on running until Ctrl-C:")
    say(f"  PostgreSQL      postgresql://{USER}:{server.password}@127.0.0.1:{server.port}/{DATABASE}")
    say(f"  {pooler.name:15} postgresql://{USER}:{server.password}@127.0.0.1:{pooler.port}/{DATABASE}")
    say(f"  its console     postgresql://{ADMIN}:{pooler.admin_password}@127.0.0.1:{pooler.port}/{pooler.section}")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        say()


def demo(stage, options, look):
    server = PostgreSQL(stage)
    say(f"Starting a PostgreSQL of our own with max_connections = {MAX_CONNECTIONS} ...")
    server.start()
    storm = Storm(options.storm, server, options.functions)

    say(f"{options.functions} functions wake within 0.1 s and go to PostgreSQL directly ...")
    direct = storm.run(server.port)
    server.wait_until_quiet()
    pooler = Pooler(stage, server, options.pooler, options.functions)
    say(f"Starting {pooler.name} with a pool of {POOL_SIZE}; {options.functions} functions wake within 0.1 s and go through it ...")
    pooler.start()
    pooled = storm.run(pooler.port)

    results = [("direct", direct), (f"through {pooler.name}", pooled)]
    say()
    for line in [*table(results), "", *plot(results, look)]:
        say(line)
    wrong = judge(pooled, pooler.name)
    say()
    for line in wrong:
        say(look.bad(f"{look.no} {line}"))
    if not wrong:
        say(look.good(f"{look.yes} {pooler.name} served {pooled['served']} of {pooled['functions']} functions with "
                      f"{pooled['server_connections']['max']} connections to PostgreSQL"))

    say()
    say(look.title(f"The usual function code (Python, psycopg2) through {pooler.name}:"))
    place = handlers.Place("127.0.0.1", pooler.port, DATABASE, USER, server.password, server.superuser)
    failed = run_handlers(place, look)
    say()
    if sys.stdin.isatty():
        stay(server, pooler)
    return 1 if wrong or failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description="A herd of functions, directly against PostgreSQL and through pgweir.")
    parser.add_argument("--functions", type=int, default=1000, metavar="N", help="size of the herd (default 1000)")
    parser.add_argument("--pooler", type=pathlib.Path, default=ROOT / "pgweir", metavar="PATH",
                        help="another program that reads the same ini, to compare with: /usr/sbin/pgbouncer (default ./pgweir)")
    parser.add_argument("--storm", type=pathlib.Path, default=ROOT / "pgweir-storm", metavar="PATH",
                        help="the load generator (default ./pgweir-storm)")
    options = parser.parse_args()
    if not 1 <= options.functions <= 10000:
        parser.error("--functions is a number from 1 to 10000")
    for name in ("pooler", "storm"):
        path = getattr(options, name).resolve()
        if not path.exists():
            parser.error(f"{path} isn't there: run make")
        setattr(options, name, path)
    return options


def main():
    sys.stdout.reconfigure(errors="replace") # an error text may hold what this terminal can't show
    options, look = parse_arguments(), Look(sys.stdout)

    def leave(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    stage = None
    try:
        stage = Stage()
        return demo(stage, options, look)
    except Trouble as e:
        say(look.bad(f"{look.no} {e}"))
        return 1
    except KeyboardInterrupt:
        say()
        return 130
    finally:
        if stage:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN) # tidying up is short, and half of it would be worse
            stage.end()


if __name__ == "__main__":
    sys.exit(main())

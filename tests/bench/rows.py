"""rows - what `make bench` measures. A row is one figure of every contestant, or several that come out of one measurement.

A row's session is set up for each contestant, then asked for its figure round by round. Rows of one group share their rounds, so that
what disturbs the machine disturbs all that is compared alike: A B C A B C …
"""
import collections
import contextlib
import json
import os
import signal
import subprocess
import threading
import time

import contestants
from contestants import PgBouncer, Relay, bindir
from figures import parse_progress, transactions_between
from postgres import PASSWORDS
from wire import wait_until

Load = collections.namedtuple("Load", "rounds seconds clients")
ENV = dict(os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", LC_ALL="C")


class Row:
    """session(start, load) is a context manager; it starts contestants with start() and gives a function that measures.

    That function gives one figure, or a dict of them by the units' keys. most_rounds: for slow rows. settings, database, users,
    tls: as contestants.Pooler takes them.
    """

    def __init__(self, name, title, units, session, can=lambda kind, database: True, group=None, most_rounds=1000,
                 **configuration):
        self.most_rounds = most_rounds
        self.name, self.title, self.session, self.can, self.group = name, title, session, can, group or name
        self.units = units if isinstance(units, dict) else {"": units}
        self.configuration = configuration

    def figures(self):
        """Name and unit of each figure."""
        return {self.name + ("." + key if key else ""): unit for key, unit in self.units.items()}

    @contextlib.contextmanager
    def open(self, kind, database, load):
        """Everything that the session started ends with it."""
        with contextlib.ExitStack() as stack:
            def start():
                c = kind(database, **self.configuration)
                stack.callback(c.stop)
                return c.start()

            yield stack.enter_context(self.session(start, load))


def measure_group(group, database, kinds, load):
    """Figures of some rows, figure -> contestant -> rounds, and what went wrong, as texts. Who fails is left out from then on."""
    values = collections.defaultdict(lambda: collections.defaultdict(list))
    failures, running = [], []

    def attempt(row, kind, what):
        try:
            return what()
        except (ArithmeticError, AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as e:
            failures.append("%s, %s: %s" % (row.name, kind.name, str(e)[-1000:]))
            return None

    with contextlib.ExitStack() as stack:
        for row in group:
            for kind in kinds:
                if row.can(kind, database):
                    session = row.open(kind, database, load)
                    running.append((row, kind, attempt(row, kind, lambda: stack.enter_context(session))))
        for n in range(load.rounds):
            for i, (row, kind, measure) in enumerate(running):
                if n >= row.most_rounds:
                    continue
                got = measure and attempt(row, kind, measure)
                if got is None:
                    running[i] = (row, kind, None)
                    continue
                for key, value in got.items() if isinstance(got, dict) else [("", got)]:
                    values[row.name + ("." + key if key else "")][kind.name].append(value)
    return {figure: dict(by) for figure, by in values.items()}, failures


def in_groups(chosen):
    groups = collections.OrderedDict()
    for row in chosen:
        groups.setdefault(row.group, []).append(row)
    return list(groups.values())


def all_contestants(ours, without):
    kinds = [Relay] + ([PgBouncer] if PgBouncer.version() else []) + ours
    return [k for k in kinds if k.name not in without.split(",")]


def choose(names):
    """Rows with these names or beginnings of names; all of them for None."""
    if not names:
        return ROWS
    chosen = []
    for wanted in names.split(","):
        exact = [r for r in ROWS if r.name == wanted] or [r for r in ROWS if r.name.startswith(wanted)]
        if not exact:
            raise SystemExit("no such row: %s (--rows list lists them)" % wanted)
        chosen += [r for r in exact if r not in chosen]
    return chosen


def is_chosen(name, names):
    """Whether a row of this name is among the beginnings of names; everything is for None."""
    return not names or any(name.startswith(wanted) for wanted in names.split(","))


def poolers_only(kind, _):
    return kind is not Relay


def with_tls(kind, database):
    return kind is not Relay and kind.can_tls(database)


# ---- pgbench -S ----------------------------------------------------------------------------------------------------

class Pgbench:
    """A pgbench that stands still (SIGSTOP) but for its turns, so that many can be there at once, logged in and warm."""

    def __init__(self, c, mode, clients):
        self.c, self.lines, self.clients = c, [], clients
        command = [bindir() + "/pgbench", "-h", c.host, "-p", str(c.port), "-U", "app", "-n", "-S", "-M", mode, "-c", str(clients), "-j", "2",
                   "-T", "36000", "-P", "1", "--progress-timestamp", "test"]
        self.process = subprocess.Popen([*contestants.dies_with_us("KILL"), *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, env=ENV)
        self.next_line()  # all logged in and a second has passed
        self.process.send_signal(signal.SIGSTOP)

    def next_line(self):
        """The next progress line, and our contestant's CPU clock when it came."""
        for line in self.process.stderr:
            progress = parse_progress(line)
            if progress:
                return progress, self.c.cpu()
            if "error" in line and "already exists" not in line:  # that one the relay lets through, see relay.c
                break
        raise RuntimeError("pgbench through %s: %s; %s" % (self.c.name, line, self.c.log()))

    def turn(self, seconds, counts_messages=False):
        """CPU µs per transaction, over about so many seconds. Under `messages` those between its threads, where there are some."""
        before = self.c.crossed() if counts_messages else None
        self.process.send_signal(signal.SIGCONT)
        began = self.next_line()  # at once: it's overdue
        taken = [began]
        while taken[-1][0][0] - began[0][0] < seconds / 2:  # lines come at whole seconds of its own
            taken.append(self.next_line())
        self.process.send_signal(signal.SIGSTOP)
        figures = {"": 1e6 * (taken[-1][1] - began[1]) / transactions_between([line for line, _ in taken])}
        if before:
            messages, transactions = (b - a for a, b in zip(before, self.c.crossed()))
            figures["messages"] = messages / transactions
        return figures

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def pgbench_session(mode, clients, counts_messages=False):
    @contextlib.contextmanager
    def session(start, load):
        p = Pgbench(start(), mode, clients)
        try:
            yield lambda: p.turn(load.seconds, counts_messages)
        finally:
            p.stop()
    return session


COUNTED = (20, 64)  # numbers of clients with which messages between threads are counted, too


def pgbench_row(mode, clients):
    def can(kind, _):
        return mode != "prepared" or kind is Relay or kind.can_prepare()

    counts_messages = clients in COUNTED
    units = {"": "µs/tx", **({"messages": "1/tx"} if counts_messages else {})}
    return Row("%s%d" % (mode, clients), "pgbench -S -M %s, %d clients on %d servers" % (mode, clients, contestants.SERVERS), units,
               pgbench_session(mode, clients, counts_messages), can, "pgbench " + mode)


@contextlib.contextmanager
def beside_idle(start, load):
    """simple20 beside many idle clients."""
    c = start()
    with holding(c, int(10000 * load.clients)), pgbench_session("simple", 20)(lambda: c, load) as measure:
        yield measure


# ---- the load generator --------------------------------------------------------------------------------------------

SCRAM_USER, SCRAM_PASSWORD = "scram_user", PASSWORDS["scram_user"]
Login = collections.namedtuple("Login", "user password tls", defaults=("app", None, False))
TRUST, SCRAM, TLS_SCRAM, TLS = Login(), Login(SCRAM_USER, SCRAM_PASSWORD), Login(SCRAM_USER, SCRAM_PASSWORD, True), Login(tls=True)


def command(port, login, mode, *options):
    return [contestants.program("loadgen"), mode, "-p", str(port), "-u", login.user, "-d", "test", *(["-w", login.password] if login.password
            else []), *(["-s"] if login.tls else []), *map(str, options)]


def loadgen(c, login, mode, *options, may_fail=False):
    """The load generator's report, and under `used` the CPU seconds that the contestant needed meanwhile."""
    before = c.cpu()
    out = subprocess.run(command(c.port, login, mode, "-P", c.pid, *options), capture_output=True, text=True, check=True, timeout=LIMIT).stdout
    return dict(report_of(c, out, may_fail), used=c.cpu() - before)


def report_of(c, out, may_fail=False):
    report = json.loads(out)
    if (report["lost"] or report["errors"]) and not may_fail:
        raise RuntimeError("through %s: %d lost, %d errors, %s; %s" % (c.name, report["lost"], report["errors"], report["why"], c.log()))
    return report


@contextlib.contextmanager
def holding(c, clients, login=TRUST):
    """So many clients that have done one query each and stay."""
    with subprocess.Popen(command(c.port, login, "hold", "-c", clients), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            if p.stdout.readline() != "ready\n":
                raise RuntimeError("idle clients through %s: %s" % (c.name, c.log()))
            yield
        finally:
            p.stdin.close()
            report = json.loads(p.stdout.read() or "{}")
    if report.get("lost"):
        raise RuntimeError("idle clients through %s: %d lost, %s" % (c.name, report["lost"], report["why"]))


def each_round(measure):
    """A session with one contestant for all rounds; measure(contestant, load) gives the figure."""
    @contextlib.contextmanager
    def session(start, load):
        c = start()
        yield lambda: measure(c, load)
    return session


def cold_each_round(measure):
    """A session with a fresh contestant in each round."""
    @contextlib.contextmanager
    def session(start, load):
        def once():
            c = start()
            try:
                return measure(c, load)
            finally:
                c.stop()
        yield once
    return session


def logins(login, count):
    def measure(c, load):
        n = max(20, int(count * min(1, load.clients)))
        report = loadgen(c, login, "login", "-n", n, "-c", 4)
        if login.tls:
            return {"cpu": 1e3 * report["used"] / n, "bytes": report["handshake_bytes"]}
        return 1e3 * report["used"] / n
    return each_round(measure)


def server_logins(c, load):
    """Every transaction needs a new server: server_lifetime is 0. The first one, which derives the keys, is left out."""
    loadgen(c, TRUST, "run", "-n", 2)
    n = 40
    return 1e3 * loadgen(c, TRUST, "run", "-n", n)["used"] / n


def closed(c, clients, seconds, *options):
    return loadgen(c, TRUST, "run", "-c", clients, "-T", seconds, *options)


def pipeline(c, load):
    report = closed(c, 20, load.seconds, "-m", "extended", "-k", 10)
    return 1e6 * report["cpu"] / report["done"]


def latency(c, load):
    report = closed(c, int(2000 * min(1, load.clients)), 2 * load.seconds)["latency"]
    if not report["n"]:
        raise RuntimeError("nobody was served in %g s" % (2 * load.seconds))
    return {"p50": 1e3 * report["p50"], "p99": 1e3 * report["p99"], "p99/p50": report["p99"] / report["p50"]}


WIDE = "select repeat('x', 1000) from generate_series(1, %d)"
NARROW = "select i from generate_series(1, %d) i"


def bulk(sql, login=TRUST):
    def measure(c, load):
        report = loadgen(c, login, "bulk", "-q", sql)
        return 1e9 * report["used"] / report["received"]
    return each_round(measure)


def copy_in(line):
    """Nothing is stored: PostgreSQL reads the lines and drops them."""
    def measure(c, load):
        report = loadgen(c, TRUST, "bulk", "-q", "copy copied from stdin where false", "-i", 64, "-l", line)
        return 1e9 * report["used"] / report["copied"]
    return each_round(measure)


def idle_memory(login, clients):
    def measure(c, load):
        n = max(100, int(clients * load.clients))
        loadgen(c, login, "login", "-n", 20, "-c", 4)  # what is there once for all
        with holding(c, 4 * contestants.SERVERS, login):
            pass
        time.sleep(0.5)
        files, before = c.descriptors(), c.memory()
        with holding(c, n, login):
            time.sleep(1)  # logins' buffers go back
            during = c.memory()
        wait_until(lambda: c.descriptors() <= files + contestants.SERVERS, 20, "clients have gone")
        time.sleep(REST)
        return {"idle": (during - before) / n / 1024, "left": (c.memory() - before) / n / 1024}
    return cold_each_round(measure)


LIMIT = 60  # seconds that no single load needs
REST = 3  # seconds after which memory should have been given back


class PoolWatch(threading.Thread):
    """When PostgreSQL had all servers of the pool."""

    def __init__(self, database):
        super().__init__(daemon=True)
        self.connection = database.connect()
        self.full_at, self.is_over, self.before = None, False, 0
        self.before = self.count()

    def count(self):
        cur = self.connection.cursor()
        cur.execute("select count(*) from pg_stat_activity where datname = 'test'")
        return cur.fetchone()[0]

    def run(self):
        while not self.is_over and self.full_at is None:
            if self.count() - self.before >= contestants.SERVERS:
                self.full_at = time.monotonic()
            time.sleep(0.004)
        self.connection.close()


def storm(login, clients):
    """Logins at one instant on a cold pool, one query of 2 ms each."""
    def measure(c, load):
        n = max(100, int(clients * load.clients))
        watch = PoolWatch(c.server)
        before = c.resident()
        watch.start()
        report = loadgen(c, login, "storm", "-c", n, "-q", "select pg_sleep(0.002)", may_fail=True)
        watch.is_over = True
        watch.join()
        time.sleep(REST)
        peak, after = c.resident(peak=True), c.resident()
        served = report["served_at"]
        return {"first": 1e3 * served["p0"], "median": 1e3 * served["p50"], "last": 1e3 * served["p100"],
                "pool": 1e3 * (watch.full_at - report["began"]) if watch.full_at else float("nan"),
                "failed": n - served["n"], "given": 100 * (peak - after) / (peak - before) if peak > before else 100.0,
                "median/last": served["p50"] / served["p100"] if served["n"] else float("nan")}
    return cold_each_round(measure)


def steady_beside(login, clients):
    """20 clients with 100 transactions a second each, and 20 directly at PostgreSQL, while a herd logs in."""
    def measure(c, load):
        n = max(100, int(clients * load.clients))
        loadgen(c, login, "login", "-n", 20, "-c", 4)
        steady = ["run", "-c", 20, "-r", 100, "-T"]
        alone = loadgen(c, login, *steady, 1)
        seconds = 4
        through = subprocess.Popen(command(c.port, login, *steady, seconds), stdout=subprocess.PIPE, text=True)
        direct = subprocess.Popen(command(c.server.port, TRUST, *steady, seconds), stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        loadgen(c, login, "storm", "-c", n, "-q", "select 1", may_fail=True)
        a, b = json.loads(through.communicate()[0]), json.loads(direct.communicate()[0])
        return {"p99": 1e3 * a["latency"]["p99"], "direct": 1e3 * b["latency"]["p99"], "alone": 1e3 * alone["latency"]["p99"],
                "p99/direct": a["latency"]["p99"] / b["latency"]["p99"], "done": 100 * a["done"] / (20 * 100 * seconds)}
    return each_round(measure)


STORM = {"first": "ms", "median": "ms", "last": "ms", "pool": "ms", "failed": "clients", "given": "%", "median/last": ""}
STEADY = {"p99": "ms", "direct": "ms", "alone": "ms", "p99/direct": "", "done": "%"}
TO_APP = "user=app"  # so that server logins cost nothing
SECRET = {"settings": {"auth_type": "scram-sha-256"}, "database": TO_APP, "users": lambda server: {SCRAM_USER: server.secret(SCRAM_USER)}}
PLAIN = dict(SECRET, users={SCRAM_USER: SCRAM_PASSWORD})
ECDSA, RSA = dict(SECRET, tls="ecdsa"), dict(SECRET, tls="rsa")

ROWS = [
    *(pgbench_row(mode, clients) for mode in ("simple", "extended", "prepared") for clients in (20, 64, 2000)),
    Row("idle10000", "pgbench -S, 20 clients beside 10,000 idle ones", "µs/tx", beside_idle, group="pgbench simple"),
    Row("login_trust", "logins, auth_type = trust", "ms", logins(TRUST, 2000)),
    Row("login_secret", "logins by SCRAM, the pooler has a secret", "ms", logins(SCRAM, 1000), poolers_only, **SECRET),
    Row("login_plain", "logins by SCRAM, the pooler has the password", "ms", logins(SCRAM, 200), poolers_only, **PLAIN),
    Row("server_login", "logins to PostgreSQL by SCRAM with a password, after the first", "ms", each_round(server_logins), poolers_only,
        settings={"server_lifetime": 0}, database="user=%s password='%s'" % (SCRAM_USER, SCRAM_PASSWORD)),
    Row("memory", "memory per idle client, and what is left of it %d s after they went" % REST, {"idle": "KiB", "left": "KiB"},
        idle_memory(TRUST, 5000), most_rounds=3),
    Row("select_wide", "SELECT of rows with 1,000 bytes", "s/GB", bulk(WIDE % 150000)),
    Row("select_narrow", "SELECT of rows with one int", "s/GB", bulk(NARROW % 1500000)),
    Row("copy_out", "COPY TO STDOUT of lines of 1,000 bytes", "s/GB", bulk("copy (%s) to stdout" % (WIDE % 150000))),
    Row("copy_in", "COPY FROM STDIN of lines of 1,000 bytes", "s/GB", copy_in(1000)),
    Row("pipeline", "20 clients, 10 queries before each Sync", "µs/query", each_round(pipeline)),
    Row("latency", "2,000 clients in a closed loop", {"p50": "ms", "p99": "ms", "p99/p50": ""}, each_round(latency)),
    Row("storm", "5,000 SCRAM logins at one instant, cold pool, queries of 2 ms", STORM, storm(SCRAM, 5000), poolers_only,
        most_rounds=3, **SECRET),
    Row("tls_login_ecdsa", "logins by TLS 1.3 and SCRAM, ECDSA P-256", {"cpu": "ms", "bytes": "bytes"}, logins(TLS_SCRAM, 400), with_tls, **ECDSA),
    Row("tls_login_rsa", "logins by TLS 1.3 and SCRAM, RSA 2048", {"cpu": "ms", "bytes": "bytes"}, logins(TLS_SCRAM, 400), with_tls, **RSA),
    Row("tls_memory", "memory per idle TLS client", {"idle": "KiB", "left": "KiB"}, idle_memory(TLS, 2000), with_tls, most_rounds=2,
        tls="ecdsa"),
    Row("tls_select", "SELECT of rows with 1,000 bytes over client TLS", "s/GB", bulk(WIDE % 150000, TLS), with_tls, tls="ecdsa"),
    Row("tls_storm", "5,000 TLS and SCRAM logins at one instant, cold pool, queries of 2 ms", STORM, storm(TLS_SCRAM, 5000), with_tls,
        most_rounds=2, **ECDSA),
    Row("tls_steady", "20 clients at steady work while 5,000 TLS and SCRAM logins arrive", STEADY, steady_beside(TLS_SCRAM, 5000), with_tls,
        most_rounds=3, **ECDSA),
]

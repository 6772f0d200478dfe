"""storms - a herd that arrives cold at one instant, by SCRAM and by TLS, and one that arrives beside clients at work.

pgweir-storm makes the load; what PostgreSQL saw of it is in PostgreSQL's log, to the millisecond: when a connection came, when it was
logged in, when it ended. So nothing that asks PostgreSQL meanwhile takes part in what is measured.
"""
import json
import os
import re
import resource
import signal
import subprocess
import time

import contestants
import rows
from contestants import ROOT

CLIENTS = 5000
STEADY, PACE = 20, 100
WAIT_SQL = "select pg_sleep(0.002)"
LOG_LINE = re.compile(r"^(\d+\.\d+) \[(\d+)\] LOG: +(connection received|connection authorized|disconnection)")
UNITS = {"first": "ms", "median": "ms", "last": "ms", "median/last": "", "bound": "ms", "last/bound": "", "floor": "ms", "last/floor": "", "failed": "clients",
         "servers": "", "logins": "at once", "cpu": "s", "load cpu": "s", "others": "%"}
STEADY_UNITS = {"p50": "ms", "p99": "ms", "direct p99": "ms", "p99/direct": "", "on time": "%", "direct on time": "%", "herd": "ms",
                "herd failed": "clients", "others": "%"}


class Direct:
    """No pooler: PostgreSQL itself, which has max_connections = 400 here."""

    name, pid = "direct", None

    def __init__(self, server, **_):
        self.host, self.port = server.host, server.port

    def start(self):
        return self

    def stop(self):
        pass

    def cpu(self):
        return 0.0


def program():
    return os.environ.get("PGWEIR_STORM") or os.path.join(ROOT, "pgweir-storm")


def command(end, login, *options):
    where = "host=%s port=%d user=%s dbname=test sslmode=%s" % (end.host, end.port, login.user, "require" if login.tls else "disable")
    return [program(), "--json=-", "--hold=0", "--timeout=60", "--work=query", *options, where]


def environment(login):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return dict(env, PGPASSWORD=login.password) if login.password else env


def begin(end, login, *options):
    return subprocess.Popen(command(end, login, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(login))


def finish(process, stop=False):
    if stop:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode in (0, 1), "pgweir-storm ended with status %d: %s" % (process.returncode, err)
    return json.loads(out)


def busy_elsewhere(seconds=0.5):
    """Percent of the machine's cores that others take: measured while nothing of ours works."""
    def stat():
        with open("/proc/stat") as f:
            ticks = [int(n) for n in f.readline().split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    before = stat()
    time.sleep(seconds)
    after = stat()
    return 100 * (after[0] - before[0]) / max(1, after[1] - before[1])


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# ---- what PostgreSQL saw ------------------------------------------------------------------------------------------------

def parse_log(text):
    """(time, process, what) of each line about a connection."""
    found = (LOG_LINE.match(line) for line in text.splitlines())
    return [(float(m[1]), int(m[2]), m[3].split()[-1]) for m in found if m]


def most_at_once(events, begins, ends):
    """How many processes were at most between an event of the one kind and the first of the others."""
    inside, most = set(), 0
    for _, pid, what in sorted(events, key=lambda e: e[0]):  # stable: of one millisecond's lines, the log's order counts
        if what == begins:
            inside.add(pid)
        elif what in ends:
            inside.discard(pid)
        most = max(most, len(inside))
    return most


class Log:
    """What PostgreSQL writes from now on."""

    def __init__(self, server):
        self.path, self.start = server.log, os.path.getsize(server.log)

    def events(self):
        with open(self.path, errors="replace") as f:
            f.seek(self.start)
            return parse_log(f.read())


def log_connections(server):
    server.sql("alter system set log_connections = on", "alter system set log_disconnections = on",
               "alter system set log_line_prefix = '%n [%p] '", "select pg_reload_conf()")


# ---- rows --------------------------------------------------------------------------------------------------------------

def median_served(reports):
    """When half of all functions were served, out of the reports' buckets of time."""
    ends = sorted((h["bucket_ms"] * (i + 1), n) for h in (r["histogram"] for r in reports) for i, n in enumerate(h["served"]))
    left = sum(n for _, n in ends) / 2
    for end, n in ends:
        left -= n
        if left <= 0:
            return end
    return float("nan")


def direct_floor(server, clients):
    """What the same queries take over as many direct connections as the pool has, at this moment and on this machine."""
    per_connection = max(1, clients // contestants.SERVERS)
    r = finish(begin(Direct(server), rows.TRUST, "-n", str(contestants.SERVERS), "-k", str(per_connection), "-w", "0", "-s", WAIT_SQL))
    return r["served_at_ms"]["last"]


def cold(login, clients):
    """The herd is as many processes as there are cores: TLS costs a client more than the server, and one core would be all we measure."""
    def measure(c, server):
        floor = direct_floor(server, clients)
        log, cores = Log(server), len(os.sched_getaffinity(0))
        parts = min(cores, 4)
        own, others = c.cpu(), children_cpu()
        herd = [begin(c, login, "-n", str(clients // parts), "-w", "0", "-s", WAIT_SQL) for _ in range(parts)]
        reports = [finish(process) for process in herd]
        own, others = c.cpu() - own, children_cpu() - others
        events = log.events()
        nothing = float("nan")
        served = [r["served_at_ms"] for r in reports if r["served"]]
        first, last = min((s["first"] for s in served), default=nothing), max((s["last"] for s in served), default=nothing)
        half = median_served(reports)
        bound = max(clients * 2 / contestants.SERVERS, 1e3 * (own + others) / cores)
        return {"first": first, "median": half, "last": last, "median/last": half / last, "bound": bound, "last/bound": last / bound,
                "floor": floor, "last/floor": last / floor,
                "failed": sum(r["failed"] for r in reports),
                "servers": most_at_once(events, "received", ("disconnection",)),
                "logins": most_at_once(events, "received", ("authorized", "disconnection")), "cpu": own, "load cpu": others}
    return measure


def beside(login, clients):
    """Steady clients through the pooler and directly, each in a process of its own, until the herd is done."""
    def measure(c, server):
        steady = ["-n", str(STEADY), "--pace=%d" % PACE, "--duration=60", "-s", "select 1", "--deadline=90"]
        finish(begin(c, login, "-n", str(STEADY), "-w", "0.2", "-s", "select 1"))  # the pool is warm
        through, direct = begin(c, login, *steady), begin(Direct(server), rows.TRUST, *steady)
        time.sleep(1)
        herd = finish(begin(c, login, "-n", str(clients), "-w", "0", "--work=login"))
        ours, theirs = finish(through, stop=True), finish(direct, stop=True)
        p99, base = ours["ms"]["total"]["p99"], theirs["ms"]["total"]["p99"]
        return {"p50": ours["ms"]["total"]["p50"], "p99": p99, "direct p99": base, "p99/direct": p99 / base,
                "on time": 100 * ours["on_time"] / ours["due"], "direct on time": 100 * theirs["on_time"] / theirs["due"],
                "herd": herd["served_at_ms"]["last"] or float("nan"), "herd failed": herd["failed"]}
    return measure


class Row:
    def __init__(self, name, title, units, measure, options, has_direct=True):
        self.name, self.title, self.units, self.measure, self.options, self.has_direct = name, title, units, measure, options, has_direct

    def figures(self):
        return {"%s.%s" % (self.name, figure): unit for figure, unit in self.units.items()}


def all_rows(clients=CLIENTS):
    return [
        Row("storms.scram", "%d SCRAM logins at one instant, cold pool, queries of 2 ms" % clients, UNITS, cold(rows.SCRAM, clients), rows.SECRET),
        Row("storms.tls", "the same by TLS", UNITS, cold(rows.TLS_SCRAM, clients), rows.ECDSA, has_direct=False),
        Row("storms.beside", "20 clients with 100 transactions/s each while %d TLS logins arrive" % clients, STEADY_UNITS,
            beside(rows.TLS_SCRAM, clients), rows.ECDSA, has_direct=False),
    ]


def choose(names, clients=CLIENTS):
    everything = all_rows(clients)
    if not names:
        return everything
    wanted = ["storms." + n.removeprefix("storms.") for n in names.split(",")]
    chosen = [r for r in everything if any(r.name.startswith(w) for w in wanted)]
    if any(not any(r.name.startswith(w) for r in everything) for w in wanted):
        raise SystemExit("no such row; there are " + ", ".join(r.name for r in everything))
    return chosen


def measure_row(row, server, kinds, rounds):
    """(figures, failures): a fresh pooler each time, taking turns."""
    figures, failures = {}, []
    for n in range(rounds):
        for kind in kinds:
            if kind is Direct and (n > 0 or not row.has_direct):
                continue  # thousands of processes for a figure that nobody doubts
            c = kind(server, **row.options)
            try:
                c.start()
                others = busy_elsewhere()
                values = dict(row.measure(c, server), others=others)
            except (AssertionError, OSError, RuntimeError, ValueError) as e:
                failures.append("%s of %s: %s" % (row.name, kind.name, e))
                continue
            finally:
                c.stop()
            for name, value in values.items():
                figures.setdefault("%s.%s" % (row.name, name), {}).setdefault(kind.name, []).append(value)
    return figures, failures


def run(args, server, ours):
    """Figures by row and contestant, and what failed."""
    pgbouncer = [contestants.PgBouncer] if contestants.PgBouncer.version() and "pgbouncer" not in args.without else []
    kinds = [Direct] * ("direct" not in args.without) + pgbouncer + ours
    rounds = min(args.rounds, 3)
    results, failures = {}, []
    log_connections(server)
    for row in choose(args.rows, max(100, int(CLIENTS * args.clients))):
        figures, failed = measure_row(row, server, kinds, rounds)
        failures += failed
        results.update((name, {"title": row.title, "unit": unit, "values": figures.get(name, {})}) for name, unit in row.figures().items())
    return {"names": [k.name for k in kinds], "results": results, "failures": failures}


"""rows - what `make bench` measures: each row is one figure of every contestant, in several interleaved rounds."""
import collections
import contextlib
import os
import subprocess

import contestants
from contestants import PgBouncer, Relay, bindir
from figures import parse_progress, transactions_between

Load = collections.namedtuple("Load", "rounds seconds clients")
ENV = dict(os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", LC_ALL="C")


class Skip(Exception):
    """This contestant can't do this row."""


class Row:
    """measure(contestant, load) gives one figure, or a dict of figures for several rows. settings: of the poolers."""

    def __init__(self, name, title, unit, measure, can=lambda kind: True, settings=None, **more):
        self.name, self.title, self.unit, self.measure, self.can = name, title, unit, measure, can
        self.settings, self.more = settings, more

    def run(self, database, kinds, load):
        """Rounds go A B C A B C …, so that what disturbs the machine disturbs all alike."""
        values = collections.defaultdict(list)
        with contextlib.ExitStack() as stack:
            running = []
            for kind in kinds:
                if not self.can(kind):
                    continue
                c = kind(database) if kind is Relay else kind(database, self.settings, **self.more)
                stack.callback(c.stop)
                running.append(c.start())
            for _ in range(load.rounds):
                for c in running:
                    values[c.name].append(self.measure(c, load))
        return dict(values)


def all_contestants(ours, without):
    kinds = [Relay] + ([PgBouncer] if PgBouncer.version() else []) + ours
    return [k for k in kinds if k.name not in without.split(",")]


def choose(names):
    """Rows whose names are, or begin with, one of these."""
    if not names:
        return ROWS
    wanted = names.split(",")
    chosen = [r for r in ROWS if any(r.name == w or r.name.startswith(w) and r.name[len(w):].isdigit() for w in wanted)] or [
        r for r in ROWS if any(r.name.startswith(w) for w in wanted)]
    if not chosen:
        raise SystemExit("no such row: %s (--rows list lists them)" % names)
    return chosen


# ---- pgbench -S ----------------------------------------------------------------------------------------------------

def pgbench(c, mode, clients, seconds):
    """CPU µs per transaction. Logins and a first second are left out: counting begins at pgbench's first progress line."""
    command = [bindir() + "/pgbench", "-h", c.host, "-p", str(c.port), "-U", "app", "-n", "-S", "-M", mode, "-c", str(clients), "-j", "2",
               "-T", "600", "-P", "1", "--progress-timestamp", "test"]
    lines, cpu, errors = [], [], []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENV) as p:
        try:
            for line in p.stderr:
                progress = parse_progress(line)
                if progress:
                    lines.append(progress)
                    cpu.append(c.cpu())
                elif "error" in line and "already exists" not in line:  # what the relay lets through, see relay.c
                    errors.append(line)
                if len(lines) == seconds + 1 or errors:
                    break
        finally:
            p.terminate()
    if errors or len(lines) <= seconds:
        raise RuntimeError("pgbench through %s: %s" % (c.name, "".join(errors) or "no progress; " + c.log()))
    return 1e6 * (cpu[-1] - cpu[0]) / transactions_between(lines)


def pgbench_row(mode, clients):
    def can(kind):
        return mode != "prepared" or kind is not PgBouncer or PgBouncer.can_prepare()

    return Row("%s%d" % (mode, clients), "pgbench -S -M %s, %d clients on %d servers" % (mode, clients, contestants.SERVERS), "µs/tx",
               lambda c, load: pgbench(c, mode, clients, load.seconds), can)


ROWS = [pgbench_row(mode, clients) for clients in (20, 64, 2000) for mode in ("simple", "extended", "prepared")]

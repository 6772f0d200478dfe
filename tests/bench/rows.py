"""rows - what `make bench` measures. A row is one figure of every contestant, or several that come out of one measurement.

A row's session is set up for each contestant, then asked for its figure round by round. Rows of one group share their rounds, so that
what disturbs the machine disturbs all that is compared alike: A B C A B C …
"""
import collections
import contextlib
import os
import signal
import subprocess

import contestants
from contestants import PgBouncer, Relay, bindir
from figures import parse_progress, transactions_between

Load = collections.namedtuple("Load", "rounds seconds clients")
ENV = dict(os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", LC_ALL="C")


class Row:
    """session(start, load) is a context manager; it starts contestants with start() and gives a function that measures.

    That function gives one figure, or a dict of them by the units' keys. settings, database, users: as contestants.Pooler takes them.
    """

    def __init__(self, name, title, units, session, can=lambda kind: True, group=None, **configuration):
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
    """Figures of some rows: figure -> contestant -> rounds."""
    values = collections.defaultdict(lambda: collections.defaultdict(list))
    with contextlib.ExitStack() as stack:
        running = [(row, kind.name, stack.enter_context(row.open(kind, database, load)))
                   for row in group for kind in kinds if row.can(kind)]
        for _ in range(load.rounds):
            for row, name, measure in running:
                got = measure()
                for key, value in got.items() if isinstance(got, dict) else [("", got)]:
                    values[row.name + ("." + key if key else "")][name].append(value)
    return {figure: dict(by) for figure, by in values.items()}


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


def poolers_only(kind):
    return kind is not Relay


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

    def turn(self, seconds):
        """CPU µs per transaction, over about so many seconds."""
        self.process.send_signal(signal.SIGCONT)
        began = self.next_line()  # at once: it's overdue
        taken = [began]
        while taken[-1][0][0] - began[0][0] < seconds / 2:  # lines come at whole seconds of its own
            taken.append(self.next_line())
        self.process.send_signal(signal.SIGSTOP)
        return 1e6 * (taken[-1][1] - began[1]) / transactions_between([line for line, _ in taken])

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def pgbench_session(mode, clients):
    @contextlib.contextmanager
    def session(start, load):
        p = Pgbench(start(), mode, clients)
        try:
            yield lambda: p.turn(load.seconds)
        finally:
            p.stop()
    return session


def pgbench_row(mode, clients):
    def can(kind):
        return mode != "prepared" or kind is not PgBouncer or PgBouncer.can_prepare()

    return Row("%s%d" % (mode, clients), "pgbench -S -M %s, %d clients on %d servers" % (mode, clients, contestants.SERVERS), "µs/tx",
               pgbench_session(mode, clients), can, "pgbench " + mode)


ROWS = [pgbench_row(mode, clients) for mode in ("simple", "extended", "prepared") for clients in (20, 64, 2000)]

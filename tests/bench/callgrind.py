"""callgrind - instructions per transaction, and in which functions. Counts don't depend on what else the machine does.

The trace is fixed: pgbench -S with so many clients and transactions. Two runs of different length are subtracted, function by function,
so logins are not in it. Nor is the kernel's time: `make bench` and `make bench-syscalls` show that.
"""
import os
import re
import shutil
import subprocess

import rows
from contestants import ROOT, unprivileged
from figures import parse_callgrind, table
from syscalls import MODES, run_pgbench

CLIENTS, SHORT, LONG = 64, 10, 60  # transactions of each client


class Grinded:
    """Mixed into a contestant: runs it under callgrind."""

    def command(self):
        return ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + self.dir + "/out", *super().command()]

    def dump(self):
        """What was executed since the last dump."""
        subprocess.run(["callgrind_control", "--dump", str(self.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       **unprivileged())
        last = max((f for f in os.listdir(self.dir) if re.fullmatch(r"out\.\d+", f)), key=lambda f: int(f.split(".")[1]))
        return os.path.join(self.dir, last)


def counted(c, mode, transactions):
    run_pgbench(c, mode, CLIENTS, transactions)
    path = c.dump()
    with open(path) as f:
        return parse_callgrind(f.read()), path


def measure(c, mode):
    """Instructions per transaction by function, and the file of the longer run."""
    run_pgbench(c, mode, CLIENTS, SHORT)  # servers are there, statements prepared
    c.dump()
    short, _ = counted(c, mode, SHORT)
    long, path = counted(c, mode, LONG)
    n = CLIENTS * (LONG - SHORT)
    return {name: (long[name] - short[name]) / n for name in long}, path


def keep(path, mode):
    folder = os.path.join(ROOT, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    shutil.copyfile(path, os.path.join(folder, "callgrind.%s.out" % mode))


def run(args, database, ours):
    kinds = rows.all_contestants(ours[:1], args.without)
    results = {}
    for mode in MODES:
        for kind in kinds:
            if not rows.is_chosen("%s%d" % (mode, CLIENTS), args.rows) or not rows.pgbench_row(mode, CLIENTS).can(kind, database):
                continue
            c = type("Grinded" + kind.__name__, (Grinded, kind), {})(database)
            try:
                functions, path = measure(c.start(), mode)
                if kind in ours:
                    keep(path, mode)
            finally:
                c.stop()
            results.setdefault(mode, {})[c.name] = functions
    print_all(results, kinds, [k.name for k in ours], args.top)
    return {"results": results}


def print_all(results, kinds, ours, top):
    names = [k.name for k in kinds]
    print(table(["instructions/tx"] + names, [[mode] + ["%.0f" % sum(by[n].values()) if n in by else "-" for n in names]
                                              for mode, by in results.items()]))
    for mode, by in results.items():
        for name in ours:
            if name in by:
                largest = sorted(by[name].items(), key=lambda kv: -kv[1])[:top]
                print("\n%s, %s" % (mode, name))
                print(table(["function's own", "instructions/tx"], [[f, "%.0f" % n] for f, n in largest]))

"""callgrind - instructions per transaction, and in which functions. Counts don't depend on what else the machine does.

The trace is fixed: pgbench -S with so many clients and transactions. Two runs of different length are subtracted, function by function,
so logins are not in it. Nor is the kernel's time: `make bench` and `make bench-syscalls` show that.

The lexer can't be switched off (it also tells what a transaction and a DEALLOCATE are), so what it costs is counted: the instructions in calls
of sqlscan(), times what an instruction of ours takes, which a run without callgrind tells.
"""
import os
import re
import shutil
import subprocess

import rows
from contestants import ROOT, unprivileged
from figures import number, parse_callgrind, parse_callgrind_calls, table
from syscalls import MODES, run_pgbench

CLIENTS, SHORT, LONG = 64, 10, 60  # transactions of each client
TIMED = 3000  # .. of the run without callgrind: the kernel samples what is user time, so many samples are needed
LEXER = "sqlscan"
TICK = os.sysconf("SC_CLK_TCK")


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
        text = f.read()
    return parse_callgrind(text), parse_callgrind_calls(text, LEXER), path


def measure(c, mode):
    """Instructions per transaction by function, those of the lexer, and the file of the longer run."""
    run_pgbench(c, mode, CLIENTS, SHORT)  # servers are there, statements prepared
    c.dump()
    short, short_lexer, _ = counted(c, mode, SHORT)
    long, long_lexer, path = counted(c, mode, LONG)
    n = CLIENTS * (LONG - SHORT)
    return {name: (long[name] - short[name]) / n for name in long}, (long_lexer - short_lexer) / n, path


def cpu_times(c):
    """User and system seconds of the process."""
    with open("/proc/%d/stat" % c.pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return [int(t) / TICK for t in fields[11:13]]


def user_part(kind, database, mode):
    """The part of user time in the CPU time that transactions take without callgrind."""
    c = kind(database)
    try:
        c.start()
        run_pgbench(c, mode, CLIENTS, SHORT)
        before = cpu_times(c)
        run_pgbench(c, mode, CLIENTS, TIMED)
        user, system = (b - a for a, b in zip(before, cpu_times(c)))
    finally:
        c.stop()
    return user / (user + system)


def keep(path, mode):
    folder = os.path.join(ROOT, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    shutil.copyfile(path, os.path.join(folder, "callgrind.%s.out" % mode))


def run(args, database, ours):
    kinds = rows.all_contestants(ours[:1], args.without)
    results, lexer = {}, {}
    for mode in MODES:
        for kind in kinds:
            if not rows.is_chosen("%s%d" % (mode, CLIENTS), args.rows) or not rows.pgbench_row(mode, CLIENTS).can(kind, database):
                continue
            c = type("Grinded" + kind.__name__, (Grinded, kind), {})(database)
            try:
                functions, instructions, path = measure(c.start(), mode)
                if kind in ours:
                    keep(path, mode)
            finally:
                c.stop()
            results.setdefault(mode, {})[c.name] = functions
            if kind in ours:
                part = instructions / sum(functions.values())
                of_cpu = part and part * user_part(kind, database, mode)
                lexer[mode] = {c.name: {"instructions": instructions, "of_ours": 100 * part, "of_cpu": 100 * of_cpu}}
    print_all(results, kinds, [k.name for k in ours], args.top)
    print_lexer(lexer)
    figures = {"lexer." + mode: {name: [of["of_cpu"]] for name, of in by.items()} for mode, by in lexer.items()}
    return {"results": results, "lexer": lexer, "figures": figures}


def print_lexer(lexer):
    print("\nthe lexer, statements that aren't suspect")
    print(table(["", "of", "instructions/tx", "% of ours", "% of CPU"],
                [[mode, name, *map(number, of.values())] for mode, by in lexer.items() for name, of in by.items()]))


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

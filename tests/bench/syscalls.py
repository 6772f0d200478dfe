"""syscalls - system calls per transaction, counted by strace -c, which slows its subject down: the counts are right, times aren't.

Two runs of different length are subtracted, so logins are not in it.
"""
import os
import signal
import subprocess

import rows
from contestants import bindir
from figures import number, parse_strace, table
from wire import wait_until

MODES = ("simple", "extended", "prepared")
SHORT, LONG = 20, 220  # transactions of each client


def run_pgbench(c, mode, clients, transactions):
    out = subprocess.run([bindir() + "/pgbench", "-h", c.host, "-p", str(c.port), "-U", "app", "-n", "-S", "-M", mode, "-c", str(clients),
                          "-j", "2", "-t", str(transactions), "test"], capture_output=True, text=True, env=rows.ENV, check=True).stdout
    wanted = clients * transactions
    assert "transactions actually processed: %d/%d" % (wanted, wanted) in out, out


def is_traced(pid):
    with open("/proc/%d/status" % pid) as f:
        return "TracerPid:\t0\n" not in f.read()


def count(c, mode, clients, transactions):
    path = c.dir + "/strace"
    with subprocess.Popen(["strace", "-q", "-c", "-f", "-p", str(c.pid), "-o", path], stderr=subprocess.DEVNULL) as strace:
        try:
            wait_until(lambda: all(is_traced(int(t)) for t in os.listdir("/proc/%d/task" % c.pid)), 10, "strace is attached")
            run_pgbench(c, mode, clients, transactions)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()
    with open(path) as f:
        return parse_strace(f.read())


def per_transaction(c, mode, clients):
    run_pgbench(c, mode, clients, SHORT)  # servers are there, statements prepared
    short, long = count(c, mode, clients, SHORT), count(c, mode, clients, LONG)
    n = clients * (LONG - SHORT)
    return {name: (long.get(name, 0) - short.get(name, 0)) / n for name in set(short) | set(long)}


def measure(database, kinds, chosen):
    results, lines = {}, []
    for clients in (20, 64):
        for mode in MODES:
            row = "%s%d" % (mode, clients)
            for kind in kinds:
                if not rows.is_chosen(row, chosen) or not rows.pgbench_row(mode, clients).can(kind, database):
                    continue
                c = kind(database)
                try:
                    calls = per_transaction(c.start(), mode, clients)
                finally:
                    c.stop()
                calls = {name: n for name, n in sorted(calls.items(), key=lambda kv: -kv[1]) if n >= 0.005}
                results.setdefault(row, {})[c.name] = calls
                lines.append([row, c.name, number(sum(calls.values())), ", ".join("%s %.2f" % kv for kv in calls.items())])
    print(table(["row", "of", "calls/tx", ""], lines))
    return results


def marks(results):
    """The sums, as rows for marks.judge()."""
    return {"syscalls." + row: {name: [sum(calls.values())] for name, calls in by.items()} for row, by in results.items()}


def run(args, database, ours):
    kinds = rows.all_contestants(ours, args.without)
    results = measure(database, kinds, args.rows)
    return {"results": results, "figures": marks(results)}

"""scale - throughput with 1, 2, 4, 8 … workers, as far as the machine's cores go.

Load generator and scripted servers are the bench's own and have half of the cores between them, pgweir the other half. Where there
are enough cores each of the three has its own (taskset), so that nobody takes another's.
"""
import os
import shutil
import signal
import subprocess
import tempfile

import contestants
import rows
from contestants import dies_with_us, free_port, own, program, unprivileged
from figures import median, number, table

SERVERS, CLIENTS = 64, 256


class FakeServers:
    """Servers that answer at once: they look like a contestants.Database to the poolers."""

    host = "127.0.0.1"

    def __init__(self, threads, cores):
        self.dir, self.port, self.certificates = tempfile.mkdtemp(prefix="pgweir-bench."), free_port(), {}
        own(self.dir)
        shutil.copy(program("fakepg"), self.dir)
        self.process = subprocess.Popen([*dies_with_us("KILL"), *pinned(cores), self.dir + "/fakepg", str(self.port), str(threads)], **unprivileged())

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def pinned(cores):
    return ["taskset", "-c", ",".join(map(str, cores))] if cores else []


def division(workers, cores):
    """Cores of pgweir, of the servers and of the load: a list each, empty where they must share."""
    rest = len(cores) - workers
    if rest < 2:
        return [], [], []
    servers = min(max(1, workers // 2), rest // 2)
    return cores[:workers], cores[workers:workers + servers], cores[workers + servers:]


def sweep(cores):
    """Workers to try: powers of two that leave as many cores to the rest, and always 1 and 2."""
    n, out = 4, [1, 2]
    while 2 * n <= len(cores):
        out.append(n)
        n *= 2
    return out


def measure(workers, cores, mode, seconds, rounds):
    """Rounds of (transactions per second, CPU µs per transaction)."""
    ours, theirs, load = division(workers, cores)
    servers = FakeServers(max(1, len(theirs)), theirs)
    base = contestants.Pgweir.with_workers(workers)
    kind = type(base.__name__, (base,), {"command": lambda self: [*pinned(ours), *base.command(self)]})
    c = kind(servers, {"default_pool_size": SERVERS})
    try:
        c.start()
        command = rows.command(c.port, rows.TRUST, "run", "-c", CLIENTS, "-t", max(1, len(load)), "-T", seconds, "-m", mode, "-P", c.pid)
        reports = [rows.report_of(c, subprocess.run([*pinned(load), *command], capture_output=True, text=True, check=True).stdout)
                   for _ in range(rounds)]
        return [(r["done"] / r["seconds"], 1e6 * r["cpu"] / r["done"]) for r in reports]
    finally:
        c.stop()
        servers.stop()


def run(args, modes=("simple", "prepared")):
    cores = sorted(os.sched_getaffinity(0))
    results, lines = {}, []
    for mode in modes:
        one = None
        for workers in sweep(cores):
            got = measure(workers, cores, mode, args.seconds, args.rounds)
            rate, cpu = median([r for r, _ in got]), median([u for _, u in got])
            one = one or rate
            results["%s.%d" % (mode, workers)] = {"rate": [r for r, _ in got], "cpu": [u for _, u in got]}
            lines.append([mode, str(workers), "%.0f" % rate, number(rate / one), number(cpu)])
    print(table(["mode", "workers", "transactions/s", "over 1", "CPU µs/tx"], lines))
    if len(cores) < 4:
        print("\n%d cores, which load generator and servers need, too: this says what workers cost, not how they scale" % len(cores))
    figures = {}
    if "simple.8" in results:
        figures["scale.8/1"] = {"pgweir/8": median(results["simple.8"]["rate"]) / median(results["simple.1"]["rate"])}
    return {"results": results, "figures": figures}

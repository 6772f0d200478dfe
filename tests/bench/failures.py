"""failures - what clients notice when PostgreSQL restarts, freezes, loses backends, is full or can't be reached: a table of counts.

    make bench-failures                        # all scenes, pgweir with one worker and with two
    make bench-failures SCENES=fast,full       # some of them; PGBOUNCER=/path/to/pgbouncer adds a PgBouncer beside it
    python3 tests/bench/failures.py --quick    # each scene once or twice

200 clients work on and on (tests/integration/crowd.py), and 20 with psycopg2 and libpq, while a scene does something to PostgreSQL, several times. The exit status says whether this holds for pgweir:
    lost        connections that the protocol allows to keep: none
    unexcused   errors to statements that were first sent while PostgreSQL was away: none
    other       errors of other kinds than those of statements under way (57P01, 57P02, 57P03, 08006, 25P02): none
    missing     acknowledged transactions that aren't there, or are twice, or rows that can't be there: none
    back        the longest time from PostgreSQL's return until every kind of client has had an answer: at most 2 s
Who is idle in a block when its server dies is told at once and closed, as on a direct connection; those are counted apart.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import crowd as crowds  # noqa: E402
from pooler import Pooler  # noqa: E402
from postgres import Postgres, bindir  # noqa: E402
from wire import wait_until  # noqa: E402

CLIENTS, LIBPQ, SERVERS, BACK = 200, 20, 20, 2.0
EXCUSED = {"57P01", "57P02", "57P03", "08006", "25P02"}
SETTINGS = {"default_pool_size": SERVERS, "max_client_conn": 1000, "server_login_retry": 1, "server_census": 10, "query_wait_timeout": 60,
            "query_wait_prediction": 1}


class Disaster:
    """What a scene has at hand, and what it has noted: times when PostgreSQL was away, and how long it took after each return."""

    def __init__(self, postgres, crowd):
        self.postgres, self.crowd, self.away, self.back = postgres, crowd, [], []

    def returned(self, since, away_from=None):
        """PostgreSQL is there again since then: how long until each kind of client has been answered?"""
        if away_from is not None:
            self.away.append((away_from, since))
        self.crowd.wait_all_kinds()
        self.back.append(time.monotonic() - since)

    def rest(self, n=400):
        self.crowd.wait_done(n)


# ---- scenes ------------------------------------------------------------------------------------------------------------

def restart(d, how):
    d.postgres.stop(how)
    down = time.monotonic()
    time.sleep(0.3)
    d.postgres.start()
    d.returned(time.monotonic(), down)
    d.rest()


def scene_fast(d, times):
    for _ in range(times):
        restart(d, signal.SIGINT)


def scene_immediate(d, times):
    for _ in range(times):
        restart(d, signal.SIGQUIT)


def pids(d):
    return [d.postgres.process.pid] + [int(p) for p in subprocess.run(["pgrep", "-P", str(d.postgres.process.pid)], capture_output=True, text=True, check=False).stdout.split()]


def scene_freeze(d, times):
    """SIGSTOP of the postmaster and all that it started, for 5 s."""
    for _ in range(times):
        stopped = pids(d)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        down = time.monotonic()
        time.sleep(5)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        d.returned(time.monotonic(), down)
        d.rest()


def scene_terminate(d, times):
    """SIGTERM of single backends."""
    for _ in range(times):
        d.postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'test' and application_name <> 'harness' order by random() limit 1")
        d.rest(50)
    d.returned(time.monotonic())


def scene_kill(d, times):
    """SIGKILL of a backend: PostgreSQL ends all others and recovers."""
    for _ in range(times):
        victim = d.postgres.value("select pid from pg_stat_activity where datname = 'test' and application_name <> 'harness' order by random() limit 1")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not os.path.exists("/proc/%d" % victim), 10, "it is dead")
        wait_until(d.postgres._accepts, 60, "PostgreSQL has recovered")
        d.returned(time.monotonic())
        d.rest()


def scene_full(d, times):
    """Others take all places but five, and give them back."""
    for _ in range(times):
        others = []
        try:
            while True:
                others.append(d.postgres.client(user="trust_user"))
        except Exception:  # full: pgweir has the rest
            pass
        d.postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app' order by random() limit %d" % (SERVERS - 5))
        try:
            while len(others) < 200:
                others.append(d.postgres.client(user="trust_user"))
        except Exception:
            pass
        d.rest()
        for o in others:
            o.sock.close()
        d.returned(time.monotonic())
        d.rest()


# ---- the network -------------------------------------------------------------------------------------------------------

class Namespace:
    """PostgreSQL behind a pair of virtual interfaces in a network namespace: its cable can be pulled."""

    def __init__(self):
        self.name = "pgweir%d" % (os.getpid() % 10000)
        self.near, self.far = "10.213.%d.1" % (os.getpid() % 250), "10.213.%d.2" % (os.getpid() % 250)
        self.link = "pw%d" % (os.getpid() % 10000)
        run = self.run
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.link + "a", "type", "veth", "peer", "name", self.link + "b", "netns", self.name)
        run("ip", "addr", "add", self.near + "/24", "dev", self.link + "a")
        run("ip", "link", "set", self.link + "a", "up")
        for command in (["addr", "add", self.far + "/24", "dev", self.link + "b"], ["link", "set", self.link + "b", "up"], ["link", "set", "lo", "up"]):
            run("ip", "-n", self.name, *command)

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def cable(self, state):
        self.run("ip", "-n", self.name, "link", "set", self.link + "b", state)

    def destroy(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False)


def scene_network(d, times):
    """The cable is pulled for 3 s: nothing is refused, packets just vanish."""
    for _ in range(times):
        d.namespace.cable("down")
        down = time.monotonic()
        time.sleep(3)
        d.namespace.cable("up")
        d.returned(time.monotonic(), down)
        d.rest()


SCENES = {  # name: (function, times, times of --quick)
    "fast": (scene_fast, 20, 2), "immediate": (scene_immediate, 5, 1), "freeze": (scene_freeze, 1, 1),
    "terminate": (scene_terminate, 100, 10), "kill": (scene_kill, 3, 1), "full": (scene_full, 3, 1),
    "network": (scene_network, 3, 1),
}


# ---- one run -----------------------------------------------------------------------------------------------------------

class LibpqMember:
    """psycopg2, as applications use it: a connection that is kept, and made anew only when the driver says that it is closed."""

    kind = "libpq"

    def __init__(self, crowd, number):
        self.crowd, self.number, self.n, self.sent, self.sock, self.stage = crowd, number, 0, 0, None, "first"
        self.thread = threading.Thread(target=self.main, daemon=True)

    def main(self):
        c = None
        while not self.crowd.is_stopping:
            try:
                if c is None or c.closed:
                    c = psycopg2.connect(host=self.crowd.end.host, port=self.crowd.end.port, user="app", dbname="test")
                self.work(c)
            except psycopg2.Error as e:
                self.fail(c, e)
            time.sleep(0.1)
        if c:
            c.close()

    def work(self, c):
        """Every second one lets the driver say BEGIN and COMMIT: then a BEGIN of its own stands in front of the first statement."""
        self.n += 1
        self.stage, self.sent, c.autocommit = "begin", time.monotonic(), self.number % 2 == 0
        with c.cursor() as cur:
            if c.autocommit:
                self.stage = "first"
                cur.execute("begin")
                self.stage = "later"
            cur.execute("insert into crowd values (%s, %s)", [self.number, self.n])
            self.stage = "commit"
            if c.autocommit:
                cur.execute("commit")
            else:
                c.commit()
        self.crowd.acked.append((self.number, self.n))
        self.crowd.count(self)
        self.sent = 0

    def fail(self, c, e):
        is_lost = c is not None and c.closed
        stage = ("lost" if self.stage == "first" else "lost in a block") if is_lost else self.stage
        self.crowd.troubles.append(crowds.Trouble(time.monotonic(), self.sent, self.number, stage, e.pgcode or "08006", str(e)))
        if self.stage == "commit":
            self.crowd.unknown.add((self.number, self.n))
        self.sent = 0
        if c is not None and not c.closed:
            if c.autocommit and self.stage == "later":
                with c.cursor() as cur:
                    cur.execute("rollback")
            elif not c.autocommit:
                c.rollback()


class Crowd(crowds.Crowd):
    """200 clients with raw sockets, and 20 with libpq."""

    def __init__(self, end):
        super().__init__(end, CLIENTS, think=0.1)
        self.with_libpq = [LibpqMember(self, CLIENTS + i) for i in range(LIBPQ)]

    def start(self):
        super().start()
        for m in self.with_libpq:
            m.thread.start()
        return self

    def kinds(self):
        return super().kinds() | {"libpq"}

    def stop(self, timeout=60):
        self.is_stopping = True
        for m in self.with_libpq:
            m.thread.join(timeout)
        super().stop(timeout)


def run_scene(name, fn, times, postgres, pooler, namespace=None):
    postgres.sql("drop table if exists crowd", crowds.TABLE, database="test")
    crowd = Crowd(pooler)
    with crowd:
        crowd.wait_done(1000)
        d = Disaster(postgres, crowd)
        d.namespace = namespace
        fn(d, times)
    row = {"scene": name, "times": times, "transactions": crowd.done, "errors": len(crowd.troubles),
           "lost": len(crowd.lost()), "lost in a block": crowd.counts()[("lost in a block", "57P01")] + sum(
               n for (stage, code), n in crowd.counts().items() if stage == "lost in a block" and code != "57P01"),
           "unexcused": sum(len(crowd.unexcused(a, b)) for a, b in d.away),
           "other": sum(n for (stage, code), n in crowd.counts().items() if code not in EXCUSED and not stage.startswith("lost")),
           "back": round(max(d.back), 2), "codes": {"%s %s" % k: n for k, n in sorted(crowd.counts().items())}}
    try:
        row["acknowledged"], row["unknown"], row["unknown but there"] = crowd.check(postgres)
        row["missing"] = 0
    except AssertionError as e:
        row["missing"], row["complaint"] = 1, str(e)
    row["holds"] = not (row["lost"] or row["unexcused"] or row["other"] or row["missing"]) and row["back"] <= BACK
    return row


COLUMNS = ("scene", "times", "transactions", "errors", "lost", "lost in a block", "unexcused", "other", "acknowledged", "unknown", "missing", "back", "holds")


def print_rows(title, rows):
    print("\n%s: %d clients on %d servers" % (title, CLIENTS, SERVERS))
    widths = [max(len(c), 9) for c in COLUMNS]
    print("  ".join(c.rjust(w) for c, w in zip(COLUMNS, widths)))
    for r in rows:
        print("  ".join(str({True: "yes", False: "NO"}.get(r.get(c), r.get(c, "")) if c == "holds" else r.get(c, "")).rjust(w) for c, w in zip(COLUMNS, widths)))
        if r.get("complaint"):
            print("    " + r["complaint"])


class PostgresInside(Postgres):
    """In a namespace. The harness comes by the Unix socket, which no cable is needed for."""

    def __init__(self, namespace):
        self.namespace, self.host, self.is_ready = namespace, namespace.far, False
        super().__init__()

    def start(self):
        if not self.is_ready:
            with open(self.data + "/postgresql.conf", "a") as f:
                f.write("listen_addresses = '*'\n")
            with open(self.data + "/pg_hba.conf", "a") as f:
                f.write("host all all all trust\n")
            self.is_ready = True
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace.name, "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                                             "--pdeathsig", "QUIT", bindir() + "/postgres", "-D", self.data], stdout=log, stderr=log, cwd=self.dir)
        wait_until(self._accepts, 60, "PostgreSQL accepts connections")


def can_make_namespaces():
    if os.getuid() != 0 or not shutil.which("ip"):
        return False
    try:
        Namespace().destroy()
        return True
    except (OSError, subprocess.CalledProcessError):
        return False


def make_postgres(namespace):
    p = PostgresInside(namespace) if namespace else Postgres()
    p.sql("alter system set synchronous_commit = on", "alter system set max_connections = 60", "alter system set restart_after_crash = on")
    p.restart()
    return p


def one_scene(name, settings, quick):
    fn, many, few = SCENES[name]
    namespace = Namespace() if fn is scene_network else None
    postgres = make_postgres(namespace)
    pooler = Pooler(postgres, settings)
    try:
        return run_scene(name, fn, few if quick else many, postgres, pooler, namespace)
    except AssertionError as e:  # something that was waited for never came
        return {"scene": name, "complaint": str(e), "holds": False}
    finally:
        pooler.end()
        postgres.destroy()
        if namespace:
            namespace.destroy()


def with_pooler(title, settings, scenes, quick, binary=None):
    if binary:
        os.environ["PGWEIR"] = binary
    rows = [one_scene(name, settings, quick) for name in scenes]
    print_rows(title, rows)
    sys.stdout.flush()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--scenes", default=",".join(SCENES), help="some of " + ", ".join(SCENES))
    parser.add_argument("--quick", action="store_true", help="each scene only once or twice")
    parser.add_argument("--workers", default="1 2")
    parser.add_argument("--pgbouncer", help="a PgBouncer beside it, whose counts don't decide anything")
    parser.add_argument("--json", help="write the rows there")
    options = parser.parse_args()
    scenes = [s for s in options.scenes.split(",") if s in SCENES]
    if "network" in scenes and not can_make_namespaces():
        print("network: skipped, since it needs root, iproute2 and the right to make network namespaces")
        scenes.remove("network")
    results = {}
    for workers in options.workers.split():
        title = "pgweir with %s worker%s" % (workers, "s" * (workers != "1"))
        results[title] = with_pooler(title, dict(SETTINGS, worker_threads=int(workers)), scenes, options.quick)
    good = all(r["holds"] for rows in results.values() for r in rows)
    if options.pgbouncer:
        ours = ("worker_threads", "server_census", "query_wait_prediction")
        results["pgbouncer"] = with_pooler("pgbouncer", {k: v for k, v in SETTINGS.items() if k not in ours}, scenes, options.quick, options.pgbouncer)
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f, indent=1)
    print("\nit holds" if good else "\nit does NOT hold")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

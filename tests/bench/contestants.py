"""contestants - what is measured: pgweir with some number of workers, PgBouncer, a byte relay, and PostgreSQL behind them.

All have the same configuration, listen on 127.0.0.1 and speak TCP with PostgreSQL. As root they run as user postgres.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

from postgres import Postgres, bindir, dies_with_us, free_port, own, unprivileged  # noqa: E402
from wire import wait_until  # noqa: E402

SERVERS = 20
FILES = 65536  # descriptors that we'd like to have
PGBENCH_PREPARED = re.compile(r"LOG: +execute (P\w+): (SELECT .*)")


def program(name):
    """One of the bench's own, made by the Makefile."""
    return os.path.join(os.environ.get("BENCH_BIN") or os.path.join(ROOT, "build", "plain", "tests", "bench"), name)


def raise_file_limit():
    """Returns what there is now; as root the hard limit goes up, too."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in ((FILES, max(FILES, hard)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, wanted)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Database(Postgres):
    """A PostgreSQL with pgbench's tables, and room for the servers of all contestants at once."""

    def __init__(self):
        super().__init__()
        try:
            self.sql("alter system set max_connections = 400")
            self.sql("alter system set max_wal_size = '4GB'")
            self.restart()
            subprocess.run([bindir() + "/pgbench", "-i", "-q", "-h", self.host, "-p", str(self.port), "-U", "app", "test"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.sql("vacuum analyze", "checkpoint", database="test")
            self.statement = self.pgbench_statement()
            self.sql("create table copied (line text)", database="test")
            self.sql("grant all on all tables in schema public to public", database="test")
            self.certificates = {kind: Certificate(self.dir, kind) for kind in Certificate.KINDS}
        except BaseException:
            self.destroy()
            raise

    def version(self):
        return self.value("show server_version")

    def pgbench_statement(self):
        """What pgbench -S -M prepared prepares, as NAME=SQL. Its versions differ; PostgreSQL's log tells."""
        env = dict(os.environ, PGOPTIONS="-c log_statement=all", PGSSLMODE="disable", LC_ALL="C")
        subprocess.run([bindir() + "/pgbench", "-n", "-S", "-M", "prepared", "-t", "1", "-h", self.host, "-p", str(self.port), "-U", "app",
                        "test"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        with open(self.log) as f:
            return "=".join(PGBENCH_PREPARED.search(f.read()).groups())

    def secret(self, user):
        return self.value("select rolpassword from pg_authid where rolname = '%s'" % user)


class Certificate:
    """A key and a certificate that it signed itself, readable by the contestants. kind: as `openssl req -newkey` takes it."""

    KINDS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}

    def __init__(self, folder, kind):
        self.key, self.certificate = folder + "/%s.key" % kind, folder + "/%s.crt" % kind
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-newkey", *self.KINDS[kind],
                        "-keyout", self.key, "-out", self.certificate], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        own(self.key)
        own(self.certificate)

    def settings(self):
        return {"client_tls_sslmode": "require", "client_tls_key_file": self.key, "client_tls_cert_file": self.certificate}


class Contestant:
    """A process that stands between clients and PostgreSQL."""

    name = None
    host = "127.0.0.1"

    def __init__(self, server):
        self.server, self.port, self.process = server, free_port(), None
        self.dir = tempfile.mkdtemp(prefix="pgweir-bench.")
        own(self.dir)
        self.stderr = self.dir + "/stderr"

    def command(self):
        raise NotImplementedError

    def start(self):
        with open(self.stderr, "a") as err:
            self.process = subprocess.Popen([*dies_with_us("KILL"), *self.command()], stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                            cwd=self.dir, **unprivileged())
        wait_until(self._listens, 20, self.name + " listens")
        return self

    def _listens(self):
        assert self.process.poll() is None, self.name + " ended: " + self.log()
        try:
            socket.create_connection((self.host, self.port)).close()
            return True
        except ConnectionRefusedError:
            return False

    def log(self):
        with open(self.stderr, errors="replace") as f:
            return f.read()[-4000:]

    @property
    def pid(self):
        return self.process.pid

    def cpu(self):
        """Seconds of user and system time of all its threads, in nanoseconds' resolution: the process's own CPU clock."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def memory(self):
        """Bytes of its own: private ones, and its part of those it shares."""
        with open("/proc/%d/smaps_rollup" % self.pid) as f:
            return int(re.search(r"^Pss: *(\d+) kB", f.read(), re.M)[1]) * 1024

    def resident(self, peak=False):
        """Bytes in memory, now or the most there ever were, without the pages of programs: they are the page cache's, and only grow."""
        with open("/proc/%d/status" % self.pid) as f:
            status = f.read()

        def kib(name):
            return int(re.search(r"^%s:\s*(\d+) kB" % name, status, re.M)[1])

        return 1024 * (kib("VmHWM" if peak else "VmRSS") - kib("RssFile"))

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def crossed(self):
        """Since the start: messages that its workers got from other threads, and transactions. None: it has no such workers."""
        return None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Relay(Contestant):
    name = "relay"

    def __init__(self, server, **_):
        super().__init__(server)

    def command(self):
        shutil.copy(program("relay"), self.dir)
        return [self.dir + "/relay", str(self.port), str(self.server.port), str(SERVERS), "app", "test", self.server.statement]

    def stop(self):
        self.process.kill()
        super().stop()


class Pooler(Contestant):
    """pgweir or PgBouncer. settings: of section [pgbouncer] on top of the common ones; database: more for the line of `test`;

    users: passwords by name, or a function of the server that gives them; tls: the kind of certificate to show to clients.
    """

    binary = None

    def __init__(self, server, settings=None, database="", users=None, tls=None):
        super().__init__(server)
        self.settings = {
            "listen_addr": self.host, "listen_port": self.port, "unix_socket_dir": self.dir, "pool_mode": "transaction",
            "auth_type": "trust", "auth_file": self.dir + "/userlist.txt", "admin_users": "admin", "default_pool_size": SERVERS,
            "max_client_conn": 20000, "listen_backlog": 4096, "log_connections": 0, "log_disconnections": 0, "log_stats": 0,
            "query_wait_timeout": 600, "server_tls_sslmode": "disable",
        }
        self.settings.update(settings or {})
        if tls:
            self.settings.update(server.certificates[tls].settings())
        if callable(users):
            users = users(server)
        self.database = "test = host=%s port=%d dbname=test %s" % (server.host, server.port, database)
        self.users = dict({"app": "", "admin": ""}, **(users or {}))

    def own_settings(self):
        return {}

    def command(self):
        with open(self.dir + "/ini", "w") as f:
            f.write("[databases]\n%s\n[pgbouncer]\n" % self.database)
            f.writelines("%s = %s\n" % kv for kv in dict(self.own_settings(), **self.settings).items())
        with open(self.dir + "/userlist.txt", "w") as f:
            f.writelines('"%s" "%s"\n' % kv for kv in self.users.items())
        return [self.binary, "-q", self.dir + "/ini"] if self.name == "pgbouncer" else [self.binary, self.dir + "/ini"]

    def ask(self, command):
        """One console command's rows, by their columns' names."""
        import psycopg2
        try:
            c = psycopg2.connect(host=self.host, port=self.port, user="admin", dbname="pgbouncer", sslmode="disable")
            try:
                c.autocommit = True
                cur = c.cursor()
                cur.execute(command)
                names = [column[0] for column in cur.description or []]
                return [dict(zip(names, row)) for row in cur.fetchall()] if names else []
            finally:
                c.close()
        except psycopg2.Error as e:
            raise RuntimeError("%s at %s's console: %s" % (command, self.name, e)) from e


class PgBouncer(Pooler):
    name = "pgbouncer"
    binary = "/usr/sbin/pgbouncer"

    @classmethod
    def version(cls):
        """(1, 18, 0), or None without one."""
        try:
            out = subprocess.run([cls.binary, "--version"], capture_output=True, text=True, check=False).stdout
        except OSError:
            return None
        m = re.search(r"(\d+)\.(\d+)\.(\d+)", out)
        return tuple(int(n) for n in m.groups()) if m else None

    def own_settings(self):
        return {"max_prepared_statements": 200} if self.can_prepare() else {}

    @classmethod
    def can_tls(cls, _):
        return True

    @classmethod
    def can_prepare(cls):
        return (cls.version() or (0,)) >= (1, 21, 0)


class Pgweir(Pooler):
    workers = 1

    @staticmethod
    def with_workers(n):
        return type("Pgweir%d" % n, (Pgweir,), {"workers": n, "name": "pgweir/%d" % n})

    @classmethod
    def can_tls(cls, server):
        """Whether this pgweir takes the setting."""
        c = cls(server, tls="ecdsa")
        try:
            program, ini = c.command()
            return subprocess.run([program, "-t", ini], cwd=c.dir, capture_output=True, check=False, **unprivileged()).returncode == 0
        finally:
            c.stop()

    @staticmethod
    def can_prepare():
        return True

    def crossed(self):
        """What the console's own questions cost is in it: a message for each worker and question."""
        if self.workers == 1:
            return None
        return [sum(int(row[name]) for row in self.ask(command)) for command, name in (("SHOW WORKERS", "messages"),
                                                                                       ("SHOW STATS_TOTALS", "xact_count"))]

    def own_settings(self):
        return {"max_prepared_statements": 200, "worker_threads": self.workers}

    def command(self):
        self.binary = shutil.copy(os.environ.get("PGWEIR") or os.path.join(ROOT, "pgweir"), self.dir + "/pgweir")
        return super().command()

"""postgres - a real PostgreSQL for the tests: a free port, a temporary folder, gone afterwards."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

import psycopg2

from wire import SLOW, Client, wait_until

PASSWORDS = {"scram_user": "scram secret", "md5_user": "md5 secret", "plain_user": "plain secret"}
HBA = """
local all all trust
host all scram_user 127.0.0.1/32 scram-sha-256
host all md5_user 127.0.0.1/32 md5
host all plain_user 127.0.0.1/32 password
host all reject_user 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
"""
SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 100
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
max_prepared_transactions = 4
wal_level = logical
shared_buffers = 64MB
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
log_min_messages = warning
logging_collector = off
"""


def bindir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    assert found, "PostgreSQL isn't installed"
    return found[-1]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def dies_with_us(sig):
    """Puts a command in front of another, so that a test run that is killed leaves no server behind."""
    return ["setpriv", "--pdeathsig", sig]


def unprivileged():
    """Arguments for Popen: PostgreSQL refuses root, so as root the tests' servers run as user postgres."""
    if os.getuid() != 0:
        return {}
    p = pwd.getpwnam("postgres")
    return {"user": p.pw_uid, "group": p.pw_gid, "extra_groups": []}


def own(path):
    if os.getuid() == 0:
        p = pwd.getpwnam("postgres")
        os.chown(path, p.pw_uid, p.pw_gid)


class Postgres:
    bindir = staticmethod(bindir)
    host = "127.0.0.1"
    database = "test"
    user = "app"

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="pgweir-pg.")
        own(self.dir)
        self.data = self.dir + "/data"
        self.log = self.dir + "/log"
        self.port = free_port()
        self.process = None
        env = dict(os.environ, LC_ALL="C")
        subprocess.run([self.bindir() + "/initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"],
                       check=True, stdout=subprocess.DEVNULL, cwd=self.dir, env=env, **unprivileged())
        with open(self.data + "/pg_hba.conf", "w") as f:
            f.write(HBA)
        with open(self.data + "/postgresql.conf", "a") as f:
            f.write(SETTINGS + "port = %d\nunix_socket_directories = '%s'\n" % (self.port, self.dir))
        self.start()
        self.sql("create role app login superuser")
        for user, password in PASSWORDS.items():
            self.sql("set password_encryption = '%s'; create role %s login password '%s'" %
                     ("md5" if user == "md5_user" else "scram-sha-256", user, password))
        self.sql("create role trust_user login", "create role reject_user login", "create role other login superuser",
                 "create database test owner app", "create database test2 owner app")
        self.sql("grant all on schema public to public", database="test")

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([*dies_with_us("QUIT"), self.bindir() + "/postgres", "-D", self.data], stdout=log, stderr=log,
                                            cwd=self.dir, **unprivileged())
        wait_until(self._accepts, 60 * SLOW, "PostgreSQL accepts connections")

    def _accepts(self):
        assert self.process.poll() is None, "PostgreSQL ended: " + open(self.log).read()
        try:
            psycopg2.connect(host=self.dir, port=self.port, user="postgres", dbname="postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast shutdown; SIGQUIT: immediate."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(60 * SLOW)
            self.process = None

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        self.start()

    def destroy(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.dir, ignore_errors=True)

    def connect(self, database="postgres", user="postgres"):
        c = psycopg2.connect(host=self.dir, port=self.port, user=user, dbname=database, application_name="harness")
        c.autocommit = True
        return c

    def sql(self, *statements, database="postgres"):
        """Runs statements on a connection of their own, never through the pooler; rows of the last one."""
        c = self.connect(database)
        try:
            cur = c.cursor()
            for s in statements:
                cur.execute(s)
            return cur.fetchall() if cur.description else None
        finally:
            c.close()

    def value(self, statement, database="postgres"):
        return self.sql(statement, database=database)[0][0]

    def sessions(self, where="true", database="test"):
        """pg_stat_activity of clients of this database, the harness's own left out: list of dicts."""
        c = self.connect()
        try:
            cur = c.cursor()
            cur.execute("select pid, usename, application_name, state, query, wait_event_type, wait_event, client_port"
                        " from pg_stat_activity where backend_type = 'client backend' and application_name <> 'harness'"
                        " and datname = %s and (" + where.replace("%", "%%") + ") order by backend_start", [database])
            names = [d[0] for d in cur.description]
            return [dict(zip(names, row)) for row in cur.fetchall()]
        finally:
            c.close()

    def terminate(self, pid):
        self.sql("select pg_terminate_backend(%d)" % pid)

    def client(self, database="test", user="app", **kw):
        return Client(self.host, self.port).login(user, database, **kw)

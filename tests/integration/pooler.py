"""pooler - starts pgweir with a generated configuration, looks into it through its console, ends it and checks its end.

The binary is $PGWEIR, ./pgweir by default. (A pgbouncer works too, as far as it goes: it shows what the tests would find in it.)
"""
import os
import shutil
import signal
import subprocess
import tempfile

import psycopg2
import psycopg2.extras
import secrets_seen as secrets
from postgres import PASSWORDS, dies_with_us, free_port, own, unprivileged
from wire import SLOW, Client, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USERS = dict({"app": "", "other": "", "admin": "admin secret", "stats": "stats secret", "trust_user": "", "reject_user": "", "postgres": ""}, **PASSWORDS)
REPORTS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "assertion failed", "Assertion")
OURS = ("worker_threads", "login_threads", "max_waiting_clients", "query_wait_timeout_action", "client_write_timeout",
        "server_connect_concurrency", "login_concurrency", "handoff_tolerance", "max_db_client_connections", "max_prepared_statements")


def binary():
    return os.environ.get("PGWEIR") or os.path.join(ROOT, "pgweir")


def is_pgbouncer():
    return os.path.basename(binary()) == "pgbouncer"


def exists():
    path = binary()
    return os.access(path, os.X_OK) or bool(shutil.which(path))


class Pooler:
    """One pgweir. settings: of section [pgbouncer]; databases and users: lines of these sections, name -> value."""

    host = "127.0.0.1"
    database = "test"
    user = "app"
    console_database = "pgbouncer" if is_pgbouncer() else "pgweir"

    def __init__(self, server, settings=None, databases=None, users=None, userlist=None, start=True, max_files=None, files=None, env=None):
        """files: name -> text, in the folder that is pgweir's working directory. env: more of its environment."""
        self.server = server
        self.files, self.env = files or {}, env or {}
        self.dir = tempfile.mkdtemp(prefix="pgweir-it.")
        own(self.dir)
        self.port = free_port()
        self.ini, self.stderr = self.dir + "/pgweir.ini", self.dir + "/stderr"
        self.settings = {
            "listen_addr": self.host, "listen_port": self.port, "unix_socket_dir": self.dir, "pool_mode": "transaction",
            "auth_type": "trust", "auth_file": self.dir + "/userlist.txt", "admin_users": "admin", "stats_users": "stats",
            "default_pool_size": 1, "max_client_conn": 1000, "worker_threads": 1, "max_prepared_statements": 200,
        }
        self.settings.update(settings or {})
        self.databases = databases if databases is not None else {"*": self.server_address()}
        self.users = users or {}
        self.userlist = dict(USERS, **(userlist or {}))
        self.process, self.max_files = None, max_files
        self.write()
        if start:
            self.start()

    def server_address(self):
        return "host=%s port=%d" % (self.server.host, self.server.port)

    def write(self):
        """The files, as the attributes say now."""
        skip = OURS if is_pgbouncer() else ()
        with open(self.ini, "w") as f:
            f.write("[databases]\n")
            f.writelines("%s = %s\n" % kv for kv in self.databases.items())
            f.write("[users]\n")
            f.writelines("%s = %s\n" % kv for kv in self.users.items())
            f.write("[pgbouncer]\n")
            f.writelines("%s = %s\n" % kv for kv in self.settings.items() if kv[0] not in skip)
        with open(self.settings["auth_file"], "w") as f:
            f.writelines('"%s" "%s"\n' % (u, p.replace('"', '""')) for u, p in self.userlist.items())
        for name, text in self.files.items():
            with open(self.dir + "/" + name, "w") as f:
                f.write(text)
        self._tell_secrets()

    def _tell_secrets(self):
        for user, secret in self.userlist.items():
            secrets.learn_user(user, secret)
        for where, texts in (("[databases]", self.databases), ("the settings", self.settings), ("a file", self.files)):
            for text in texts.values():
                secrets.learn_options(str(text), where)
        for text in self.files.values():
            secrets.learn_key(text)
        for key, path in self.settings.items():
            if key.endswith("_tls_key_file") and os.path.isfile(str(path)):
                with open(path) as f:
                    secrets.learn_key(f.read())

    def start(self):
        program = shutil.which(binary()) or os.path.abspath(binary())
        if os.getuid() == 0:  # it runs as another user, who may not be able to reach the build folder
            copy = self.dir + "/" + os.path.basename(program)
            program = copy if os.path.exists(copy) else shutil.copy(program, copy)
        self.program = program
        env = dict(os.environ, TSAN_OPTIONS="second_deadlock_stack=1 " + os.environ.get("TSAN_OPTIONS", ""), **self.env)
        with open(self.stderr, "a") as err:
            command = dies_with_us("KILL")
            if self.max_files:
                command += ["prlimit", "--nofile=%d:%d" % (self.max_files, self.max_files)]
            self.process = subprocess.Popen([*command, program, self.ini], stdin=subprocess.DEVNULL, stdout=err, stderr=err, cwd=self.dir,
                                            env=env, **unprivileged())
        try:
            wait_until(self._listens, 20 * SLOW, "pgweir listens")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _listens(self):
        assert self.process.poll() is None, "pgweir ended at once: " + self.log()
        try:
            Client(self.host, self.port).fin()
            return True
        except ConnectionRefusedError:
            return False

    def log(self):
        with open(self.stderr, errors="replace") as f:
            return f.read()

    def logged(self, text):
        """Waits for the line: a thread of its own writes it."""
        wait_until(lambda: text in self.log(), what="the log says: " + text)
        return True

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    # -- clients

    def connect(self, user=None, database=None, **kw):
        return Client(self.host, self.port).login(user or self.user, database or self.database, **kw)

    def raw(self):
        return Client(self.host, self.port)

    # -- the console

    def console(self, user="admin"):
        c = psycopg2.connect(host=self.host, port=self.port, user=user, password=self.userlist.get(user) or None, dbname=self.console_database)
        c.autocommit = True
        return c

    def ask(self, command, user="admin"):
        """One console command on a connection of its own: list of dicts."""
        c = self.console(user)
        try:
            cur = c.cursor(cursor_factory=psycopg2.extras.DictCursor)
            cur.execute(command)
            return [dict(r) for r in cur.fetchall()] if cur.description else []
        finally:
            c.close()

    def pool(self, database="test", user="app"):
        for row in self.ask("SHOW POOLS"):
            if row["database"] == database and row["user"] == user:
                return row
        return {}

    def column(self, name, database="test", user="app"):
        return self.pool(database, user).get(name, 0)

    def at_rest(self, database="test", user="app", everybody_left=False):
        """Nobody waits and no server is busy. (cl_active counts idle clients, too.)"""
        p = self.pool(database, user)
        busy = ["cl_waiting", "sv_active", "sv_tested", "sv_login", "sv_active_cancel", "sv_being_canceled", "cl_active_cancel_req",
                "cl_waiting_cancel_req"] + ["cl_active"] * everybody_left
        return not any(p.get(c) for c in busy)

    def wait_rest(self, **kw):
        wait_until(lambda: self.at_rest(**kw), what="the pool at rest")

    def reload(self):
        self.write()
        self.ask("RELOAD")

    # -- the process

    def rss(self):
        with open("/proc/%d/statm" % self.process.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.process.pid))

    def end(self, how=signal.SIGINT, patience=10 * SLOW):
        """Asks it to end and gives its exit status; SIGQUIT if it still waits for somebody, SIGKILL if that didn't end it.

        SIGINT waits for transactions; SIGTERM would also wait for clients, whom most tests leave connected.
        """
        if self.process is None:
            return 0
        for sig, seconds in ((how, patience), (signal.SIGQUIT, 10 * SLOW)):
            if self.process.poll() is None:
                self.process.send_signal(sig)
            try:
                return self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self.process.kill()
        return self.process.wait()

    SHOWS = ("CONFIG", "DATABASES", "CLIENTS", "SERVERS", "POOLS", "STATS", "LISTS", "USERS", "SOCKETS", "FDS", "MEM", "STATE", "DNS_HOSTS",
             "EVENTS", "PINS", "LATENCY", "QUEUE", "HOLDERS", "PREPARED")

    def all_shown(self):
        """What the console shows, as text; "" where it can't be asked."""
        try:
            c = self.console()
        except psycopg2.Error:
            return ""
        shown = []
        for view in self.SHOWS:
            try:
                cur = c.cursor()
                cur.execute("SHOW " + view)
                shown += [" ".join(str(v) for v in row) for row in cur.fetchall()]
            except psycopg2.Error as e:
                shown.append(str(e))
        c.close()
        return "\n".join(shown)

    def show_no_secret(self):
        """Neither the log nor the console has one of the suite's secrets in it."""
        if is_pgbouncer():
            return
        if self.is_running():
            secrets.check(self.all_shown(), "the console")
        secrets.check(self.log(), "the log")
        logfile = self.settings.get("logfile")
        if logfile and os.path.exists(logfile):
            with open(logfile, errors="replace") as f:
                secrets.check(f.read(), "the log")

    def complaints(self):
        return [line for line in self.log().splitlines() if any(r in line for r in REPORTS)]

    def destroy(self):
        """Ends it; asserts that it ended well and that no sanitizer and no assertion spoke.

        Not much patience: what a test leaves behind may be a transaction that nobody will end.
        """
        try:
            self.show_no_secret()
        finally:
            status = self.end(patience=0.5 * SLOW)
        log, complaints = self.log(), self.complaints()
        if not is_pgbouncer():
            assert status == 0, "exit status %d\n%s" % (status, log[-4000:])
            assert not complaints, "\n".join(complaints) + "\n" + log[-20000:]
        shutil.rmtree(self.dir, ignore_errors=True)

"""TO: timeouts. (TO-01 to TO-06 are in test_pitfalls_lb.py and test_pitfalls_rl.py.)"""
import os
import shutil
import signal
import subprocess
import sys
import time

import psycopg2
import pytest
import wire
from wire import SLOW, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
OURS, THEIRS = "10.231.%d.1", "10.231.%d.2"


class Network:
    """A network of two hosts, this one and another, which can be cut off without a FIN: a namespace and a pair of virtual cables."""

    def __init__(self):
        if os.getuid() != 0 or not shutil.which("ip"):
            pytest.skip("needs root and ip (Debian's iproute2)")
        n = os.getpid() % 250
        self.name, self.cable = "pgweir%d" % os.getpid(), "pgw%d" % (os.getpid() % 100000)
        self.ours, self.theirs = OURS % n, THEIRS % n
        if subprocess.run(["ip", "netns", "add", self.name], capture_output=True, check=False).returncode:
            pytest.skip("no network namespaces here")
        try:
            self.ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            self.ip("addr", "add", self.ours + "/30", "dev", self.cable)
            self.ip("link", "set", self.cable, "up")
            self.ip("-n", self.name, "addr", "add", self.theirs + "/30", "dev", "eth0")
            self.ip("-n", self.name, "link", "set", "eth0", "up")
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def ip(*args):
        subprocess.run(["ip", *args], check=True, capture_output=True)

    def run(self, program, *args):
        """A Python program at the other host."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, "-c", program, *args], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, cwd=HERE)

    def cut(self):
        """From now on what is sent there is lost, and nothing comes back."""
        self.ip("-n", self.name, "addr", "del", self.theirs + "/30", "dev", "eth0")

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.cable], capture_output=True, check=False)


@pytest.fixture
def network():
    n = Network()
    yield n
    n.remove()


CUT_OFF = """
import sys
import time
import wire
c = wire.Client(sys.argv[1], int(sys.argv[2])).login("app", "test")
for sql in sys.argv[3:-1]:
    c.query(sql)
c.send(wire.query(sys.argv[-1]))
if sys.argv[-1] == "select 1":
    c.recv_until("Z")
c.drained()
time.sleep(0.3)  # the last answer's acknowledgement has left, too: keepalive is for connections at rest
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("settings, statements", [
    ({"tcp_keepidle": 1, "tcp_keepintvl": 1, "tcp_keepcnt": 2}, ("begin", "select 1")),
    ({"tcp_keepalive": 0, "tcp_user_timeout": 2000}, ("select repeat('x', 100000) from pg_sleep(2)",)),
], ids=["idle in a transaction, by keepalive", "with an answer on its way, by tcp_user_timeout"])
def test_TO_07_a_host_that_is_cut_off(new_pooler, postgres, network, settings, statements):
    """TO-07: A client's host vanishes without a FIN: noticed in seconds, not in fifteen minutes; its server is rolled back and reused."""
    p = new_pooler(dict(settings, listen_addr="127.0.0.1,%s" % network.ours))
    client = network.run(CUT_OFF, network.ours, str(p.port), *statements)
    try:
        assert client.stdout.readline() == "ready\n"
        pids = {s["pid"] for s in postgres.sessions()}
        network.cut()
        wait_until(lambda: p.column("cl_active") == 0, 20 * SLOW, "pgweir notices")
        wait_until(lambda: not postgres.sessions("state <> 'idle'"), what="no transaction is left")
        assert p.connect().query("select 1") == [["1"]]
        assert {s["pid"] for s in postgres.sessions()} == pids
    finally:
        client.kill()
        client.wait()


THAWED = """
import sys
import psycopg2
c = psycopg2.connect(sys.argv[1] + " application_name=thawed options='-c work_mem=5MB'")
cur = c.cursor()
cur.execute("select 1")
c.commit()
print("ready", flush=True)
sys.stdin.readline()
cur.execute("select current_setting('application_name'), current_setting('work_mem')")
print(*cur.fetchone(), flush=True)
"""


def test_TO_08_frozen_while_idle(new_pooler, postgres):
    """TO-08: A function that is frozen between transactions costs no server; thawed, its connection works and is the same session."""
    p = new_pooler({"server_idle_timeout": 1, "idle_transaction_timeout": 1, "client_write_timeout": 1, "query_timeout": 1})
    dsn = "host=%s port=%d user=app dbname=test" % (p.host, p.port)
    f = subprocess.Popen([sys.executable, "-c", THAWED, dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert f.stdout.readline() == "ready\n"
        os.kill(f.pid, signal.SIGSTOP)
        wait_until(lambda: not postgres.sessions(), 20 * SLOW, "its server isn't needed any more")
        before = p.rss()
        for _ in range(50):
            c = p.connect()
            c.query("select 1")
            c.close()
        time.sleep(2 * SLOW)
        if SLOW == 1:  # AddressSanitizer keeps what was freed for a while
            assert p.rss() - before < 4 << 20
        os.kill(f.pid, signal.SIGCONT)
        assert f.communicate("go\n", timeout=30 * SLOW)[0] == "thawed 5MB\n"
    finally:
        f.kill()
        f.wait()


def test_TO_08_closed_while_frozen(new_pooler):
    """TO-08: If it was closed meanwhile, the FATAL that says so is what it reads first, also when it asks before it reads."""
    p = new_pooler({"client_idle_timeout": 1})
    raw = p.connect()
    c = psycopg2.connect(host=p.host, port=p.port, user="app", dbname="test")
    c.autocommit = True
    cur = c.cursor()
    cur.execute("select 1")
    raw.query("select 1")
    wait_until(lambda: p.column("cl_active") == 0, 20 * SLOW, "both are closed")
    time.sleep(1.5 * SLOW)  # longer than a goodbye is waited for
    raw.sock.send(wire.query("select 2"))
    e = raw.recv()
    assert (e.kind, e.severity, e.sqlstate) == ("E", "FATAL", "57P05")
    with pytest.raises(psycopg2.OperationalError):
        cur.execute("select 2")

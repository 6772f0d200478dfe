"""The process: systemd, draining with a limit, signals."""
import os
import signal
import socket
import subprocess

import pytest
from postgres import dies_with_us, unprivileged
from wire import SLOW, Client, query, wait_until


class Systemd:
    """The end of NOTIFY_SOCKET at which systemd listens."""

    def __init__(self, folder):
        self.path = folder + "/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o777)
        self.sock.settimeout(20 * SLOW)
        self.heard = []

    def hear(self, line):
        """Waits until it is told this."""
        while not any(line in h.split("\n") for h in self.heard):
            self.heard.append(self.sock.recv(4096).decode())
        return True

    def forget(self):
        self.heard = []


@pytest.fixture
def systemd(tmp_path):
    os.chmod(tmp_path, 0o755)
    for folder in tmp_path.parents[:2]:
        os.chmod(folder, 0o755)
    s = Systemd(str(tmp_path))
    yield s
    s.sock.close()


def test_systemd_is_told(new_pooler, systemd):
    """READY, RELOADING with its time and READY again, WATCHDOG, STATUS, STOPPING."""
    p = new_pooler(env={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": str(int(3000000 * SLOW))})
    assert systemd.hear("READY=1") and systemd.hear("MAINPID=%d" % p.process.pid)
    assert systemd.hear("WATCHDOG=1")
    assert systemd.hear("STATUS=0 clients, 0 of them waiting for a server")
    systemd.forget()
    p.process.send_signal(signal.SIGHUP)
    systemd.hear("RELOADING=1")
    reload = systemd.heard[-1].split("\n")
    assert reload[1].startswith("MONOTONIC_USEC=") and int(reload[1].split("=")[1]) > 0
    assert systemd.hear("READY=1")
    p.process.send_signal(signal.SIGINT)
    assert systemd.hear("STOPPING=1")


def start_activated(p, listener, env=None):
    """As systemd does: the socket is descriptor 3, and LISTEN_PID the new process."""
    script = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=pgweir.socket; exec "$0" "$1" 3<&%d' % listener.fileno()
    with open(p.stderr, "a") as err:
        p.process = subprocess.Popen([*dies_with_us("KILL"), "bash", "-c", script, p.program, p.ini], stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                     cwd=p.dir, pass_fds=[listener.fileno()], env=dict(os.environ, **(env or {})), **unprivileged())


def test_socket_activation(new_pooler, postgres):
    """Clients that come while nobody runs are served by who starts, and by who starts after that; nothing else is listened on."""
    p = new_pooler()
    assert p.end() == 0
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    configured, p.port = p.port, listener.getsockname()[1]
    for _ in range(2):
        early = socket.create_connection(("127.0.0.1", p.port))
        start_activated(p, listener)
        c = p.connect()
        assert c.query("select 1") == [["1"]]
        with pytest.raises(ConnectionRefusedError):
            Client("127.0.0.1", configured)
        early.close()
        c.close()
        assert p.end() == 0
    with open(p.stderr) as f:
        assert "LISTEN_FDS" not in f.read()
    listener.close()


def test_activation_with_something_else_is_refused(new_pooler, tmp_path):
    """A descriptor that is no listening socket: an error that says so, and no start."""
    p = new_pooler()
    assert p.end() == 0
    with open("/dev/null") as nothing:
        start_activated(p, nothing)
        assert p.process.wait(20 * SLOW) == 1
    assert "no listening stream socket" in p.log()
    p.process = None


def test_RL_06_a_drain_has_an_end(new_pooler, postgres):
    """RL-06: When drain_timeout is over, a statement that runs is cancelled in PostgreSQL, and its client told 57P01."""
    p = new_pooler({"drain_timeout": 1})
    c = p.connect()
    c.send(query("select pg_sleep(300)"))
    wait_until(lambda: postgres.sessions("query like '%pg_sleep(300)%' and state = 'active' and pid <> pg_backend_pid()"), what="it runs")
    p.process.send_signal(signal.SIGINT)
    e = c.recv()
    assert (e.kind, e.severity, e.sqlstate) == ("E", "FATAL", "57P01")
    assert p.process.wait(20 * SLOW) == 0
    p.process = None
    wait_until(lambda: not postgres.sessions("query like '%pg_sleep(300)%' and state = 'active' and pid <> pg_backend_pid()"), what="it was cancelled")
    assert "drain_timeout" in p.log()


def test_RL_06_a_drain_that_needs_no_limit_ends_early(new_pooler):
    """RL-06: Idle clients are told at once; nobody waits for the limit."""
    p = new_pooler({"drain_timeout": 600})
    c = p.connect()
    p.process.send_signal(signal.SIGINT)
    assert c.recv().sqlstate == "57P01"
    assert p.process.wait(20 * SLOW) == 0
    p.process = None

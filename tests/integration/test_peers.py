"""Several processes on one port: a cancel request that reaches another one than its client's finds its way."""
import socket
import struct

import pytest
from postgres import free_port
from wire import SLOW, Client, cancel_request, query, wait_until


@pytest.fixture
def new_peers(new_pooler, postgres):
    """n processes on one port; the first connects to the others by its Unix sockets, the others by TCP addresses of their own."""
    def make(n, **settings):
        port, made = free_port(), []
        for i in range(n):
            p = new_pooler(dict({"so_reuseport": 1, "peer_id": 100 * (i + 1) + 7, "listen_port": port, "worker_threads": 2, "default_pool_size": 4}, **settings), start=False)
            p.port = port
            p.start()
            p.logged("process up")  # another one listens on that port already
            made.append(p)
        for p in made:
            with open(p.ini, "a") as f:
                f.write("[peers]\n")
                f.writelines("%d = host=%s port=%d pool_size=3\n" % (q.settings["peer_id"], q.dir, port) for q in made)
            by_unix(p).query("reload")
        return made
    return make


def by_unix(p, user="admin", database="pgweir"):
    return Client(p.dir, p.port).login(user, database)


def ask(p, command):
    c = by_unix(p)
    c.send(query(command))
    names, rows = [], []
    for m in c.recv_until("Z"):
        if m.kind == "T":
            names = [name for name, *_ in m.columns] if isinstance(m.columns[0], tuple) else list(m.columns)
        if m.kind == "D":
            rows.append(dict(zip(names, m.row)))
    c.close()
    return rows


def sleeping(postgres, n):
    return len(postgres.sessions("query like 'select pg_sleep%' and state = 'active'")) == n


def send_cancel(p, pid, secret):
    """By the Unix socket, which is this process's alone."""
    c = Client(p.dir, p.port)
    c.send(cancel_request(pid, secret))
    c.expect_close(20 * SLOW)
    c.sock.close()


def test_a_cancel_finds_its_process(new_peers, postgres):
    """CA: From each process to each: the right query is cancelled and no other one, over all of 3.0's and 3.2's keys."""
    made = new_peers(3)
    for n, p in enumerate(made):
        victim, other = by_unix(p, "app", "test"), by_unix(p, "app", "test")
        pid = struct.pack("!I", victim.pid)
        assert pid[1] | pid[2] << 8 == p.settings["peer_id"] and victim.secret[3] & 3 == 3
        for asked in made:
            for c in (victim, other):
                c.send(query("select pg_sleep(300)"))
            wait_until(lambda: sleeping(postgres, 2), what="both run")
            send_cancel(asked, victim.pid, victim.secret)
            assert [m.sqlstate for m in victim.recv_until("Z") if m.kind == "E"] == ["57014"]
            assert sleeping(postgres, 1)
            send_cancel(asked, other.pid, other.secret)
            assert [m.sqlstate for m in other.recv_until("Z") if m.kind == "E"] == ["57014"]
        victim.close(), other.close()


def test_over_the_shared_port(new_peers, postgres):
    """As clients see it: whichever process the kernel gives them."""
    made = new_peers(2, default_pool_size=8)
    clients = [made[0].connect() for _ in range(8)]
    for c in clients:
        c.send(query("select pg_sleep(300)"))
    wait_until(lambda: sleeping(postgres, 8), what="all run")
    for c in clients:
        c.cancel()
        assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["57014"]


def test_a_wrong_secret_cancels_nothing(new_peers, postgres):
    """CA: The peer id is right, the rest is guessed."""
    first, second = new_peers(2)
    victim = by_unix(second, "app", "test")
    victim.send(query("select pg_sleep(300)"))
    wait_until(lambda: sleeping(postgres, 1), what="it runs")
    wrong = bytes([victim.secret[0] ^ 1]) + victim.secret[1:]
    for asked in (first, second):
        send_cancel(asked, victim.pid, wrong)
        assert sleeping(postgres, 1)
    send_cancel(first, victim.pid, victim.secret)
    assert [m.sqlstate for m in victim.recv_until("Z") if m.kind == "E"] == ["57014"]


def test_peers_that_point_in_a_circle(new_pooler, postgres):
    """A request is passed on three times at most: two processes that each take the other for peer 9 don't play ball for ever."""
    a, b = (new_pooler({"peer_id": i}) for i in (1, 2))
    for p, q in ((a, b), (b, a)):
        with open(p.ini, "a") as f:
            f.write("[peers]\n9 = host=%s port=%d\n" % (q.dir, q.port))
        p.ask("RELOAD")
        assert p.ask("SHOW PEERS") == [{"peer_id": 9, "host": q.dir, "port": q.port, "pool_size": 1}]
    send_cancel(a, 9 << 16 | 5, b"abc\xff")
    for p in (a, b):
        assert p.ask("SHOW PEER_POOLS") == [{"peer_id": 9, "cl_active_cancel_req": 0, "cl_waiting_cancel_req": 0, "sv_active_cancel": 0, "sv_login": 0}]


def test_a_peer_that_hangs_holds_up_nobody(new_pooler, postgres):
    """pool_size connections to it at a time, the rest waits, all until cancel_wait_timeout; a name that can't be found ends at once."""
    p = new_pooler({"peer_id": 1, "cancel_wait_timeout": 2})
    silent = socket.create_server(("127.0.0.1", 0))
    with open(p.ini, "a") as f:
        f.write("[peers]\n5 = host=127.0.0.1 port=%d pool_size=2\n6 = host=no.such.host.invalid\n" % silent.getsockname()[1])
    p.ask("RELOAD")
    callers = [Client(p.host, p.port) for _ in range(5)]
    for c in callers:
        c.send(cancel_request(5 << 16 | 1, b"abcd"[:3] + b"\xff"))
    pool = wait_until(lambda: next(r for r in p.ask("SHOW PEER_POOLS") if r["peer_id"] == 5 and r["cl_waiting_cancel_req"] == 3), what="three wait")
    assert (pool["cl_active_cancel_req"], pool["sv_active_cancel"]) == (2, 2)
    assert p.connect().query("select 1") == [["1"]]
    send_cancel(p, 6 << 16 | 1, b"abc\xff")
    for c in callers:
        c.expect_close(20 * SLOW)
    silent.close()


def test_mistakes_in_the_configuration(new_pooler):
    p = new_pooler()
    with open(p.ini) as f:
        text = f.read()
    import subprocess
    for line, says in (("0 = host=h", "a number from 1 to 16383"), ("x = host=h", "a number from 1 to 16383"), ("16384 = host=h", "a number from 1 to 16383"),
                       ("3 = port=1", "peer 3 has no host"), ("3 = host=h colour=red", "colour"), ("3 = host=h port=0", "port")):
        with open(p.dir + "/bad.ini", "w") as f:
            f.write(text + "[peers]\n%s\n" % line)
        run = subprocess.run([p.program, "-t", p.dir + "/bad.ini"], capture_output=True, text=True)
        assert run.returncode == 1 and says in run.stderr, run.stderr

"""LB: large messages and backpressure; ML: memory and descriptors; TO: timeouts."""
import os
import struct
import threading
import time

import pytest
import wire
from wire import SLOW, LoginFailed, QueryFailed, wait_until

MB = 1 << 20
measured = pytest.mark.skipif(SLOW > 1, reason="sanitizers keep memory")


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_LB_01_reset_in_a_huge_row(via, how):
    """LB-01: One DataRow of 300 MB, and the client is gone in the middle of it: the slot is soon back."""
    c = via.connect(rcvbuf=65536)
    c.send(wire.query("select repeat('x', 300000000)"))
    assert c.recv().kind == "T"
    c.skip_bytes(MB)
    waiting = via.connect()
    waiting.send(wire.query("select 'waited'"))
    (c.fin if how == "FIN" else c.rst)()
    assert [m.row for m in waiting.recv_until("Z") if m.kind == "D"] == [["waited"]]


@measured
def test_LB_01_a_gigabyte_through_bounded_memory(new_pooler):
    """LB-01: A row of 500 MB and a parameter of 300 MB pass, and the daemon hardly grows."""
    p = new_pooler()
    c = p.connect()
    c.query("select 1")
    before = p.rss()
    c.send(wire.query("select repeat('x', 500000000)"))
    assert c.recv().kind == "T"
    head = c.read_bytes(5)
    size, = struct.unpack("!i", head[1:])
    assert head[:1] == b"D" and size == 4 + 2 + 4 + 500000000
    most = 0
    left = size - 4
    while left:
        step = min(left, 20 * MB)
        c.skip_bytes(step)
        left -= step
        most = max(most, p.rss() - before)
    assert [str(m) for m in c.recv_until("Z")] == ["C(SELECT 1)", "Z(I)"]
    c.send(wire.parse("", "select length($1)", [25]) + wire.bind("", "", [b"y" * 300000000]) + wire.execute() + wire.SYNC)
    most = max(most, p.rss() - before)
    assert [m.row for m in c.recv_until("Z", 60) if m.kind == "D"] == [["300000000"]]
    most = max(most, p.rss() - before)
    assert most < 16 * MB, "grew by %d MB" % (most // MB)


@pytest.mark.parametrize("size", [4096, 8192, 16384, 32768, 65536])
def test_LB_03_messages_of_buffer_size(via, size):
    """LB-03: Messages of n times a buffer, a byte more and less, in both directions."""
    c = via.connect()
    for n in range(size - 7, size + 3):
        text = "select length('%s')" % ("x" * (n - len(wire.query("select length('')"))))
        c.send(wire.query(text) + wire.query("select repeat('y', %d)" % n))
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [[str(len(text) - len("select length('')"))]]
        assert [len(m.row[0]) for m in c.recv_until("Z") if m.kind == "D"] == [n]
        c.send(wire.query("select repeat('z', g) from generate_series(%d, %d) g" % (n // 2, n // 2 + 3)))
        assert [len(m.row[0]) for m in c.recv_until("Z") if m.kind == "D"] == [n // 2 + i for i in range(4)]


@pytest.mark.two_workers
def test_LB_03_requests_cut_anywhere(via):
    """LB-03: A batch cut at any single byte."""
    c = via.connect()
    batch = wire.parse("cut", "select $1::text") + wire.bind("cut", "", ["v"]) + wire.describe("P") + wire.execute() + wire.close("S", "cut") + wire.SYNC
    for cut in range(1, len(batch), 1 if SLOW == 1 else 5):
        c.send_cut(batch, cut)
        assert "".join(m.kind for m in c.recv_until("Z")) == "12TDC3Z", cut
    c.send_cut(batch, *range(1, len(batch)))
    assert "".join(m.kind for m in c.recv_until("Z")) == "12TDC3Z"


@measured
def test_LB_04_buffers_shrink(new_pooler):
    """LB-04: After fifty inserts of 8 MB at once and a thousand idle clients, memory is back near the start."""
    p = new_pooler({"default_pool_size": 10, "max_client_conn": 2000})
    p.connect().query("select 1")
    before = p.rss()
    clients = [p.connect() for _ in range(50)]
    big = wire.query("select length('%s')" % ("x" * 8 * MB))
    threads = [threading.Thread(target=c.send, args=(big,)) for c in clients]
    for t in threads:
        t.start()
    for c in clients:
        assert [m.row for m in c.recv_until("Z", 60) if m.kind == "D"] == [[str(8 * MB)]]
    for t in threads:
        t.join()
    assert p.rss() - before < 64 * MB
    idle = [p.connect() for _ in range(1000)]
    for c in idle[:20]:
        c.query("select 1")
    assert p.rss() - before < 64 * MB
    for c in clients + idle:
        c.sock.close()
    wait_until(lambda: p.column("cl_active") + p.column("cl_waiting") == 0)
    wait_until(lambda: p.rss() - before < 24 * MB, 20, "memory back")


@measured
def test_LB_05_no_allocation_on_trust(new_pooler):
    """LB-05: A length of 1 GiB with ten bytes behind it, from hundreds of clients, before login and after."""
    p = new_pooler({"max_client_conn": 1000, "default_pool_size": 5})
    p.connect().query("select 1")
    before = p.rss()
    clients = [p.connect() for _ in range(300)]
    for n, c in enumerate(clients):
        c.send(b"QPBdD"[n % 5:n % 5 + 1] + struct.pack("!i", 1 << 30) + b"0123456789")
    raw = [p.raw() for _ in range(300)]
    for c in raw:
        c.send(struct.pack("!i", 1 << 30) + b"0123456789")
    wait_until(lambda: p.column("cl_active") + p.column("cl_waiting") > 0 or True)
    assert p.rss() - before < 60 * MB
    for c in clients + raw:
        c.sock.close()
    assert p.connect().query("select 1") == [["1"]]


def test_LB_05_max_packet_size(new_pooler):
    """LB-05: A message above max_packet_size is refused with 54000 before its body is read."""
    p = new_pooler({"max_packet_size": 1000000})
    c = p.connect()
    assert c.value("select length('%s')" % ("x" * 900000)) == "900000"
    c.send(b"Q" + struct.pack("!i", 1000001 + 4) + b"select")
    e = c.recv_until("E")[-1]
    assert e is not None and e.sqlstate == "54000"


@pytest.mark.two_workers
@pytest.mark.parametrize("what,reply", [(wire.SYNC, b"Z\0\0\0\5I"), (wire.query(""), b"I\0\0\0\4Z\0\0\0\5I")])
def test_LB_06_a_flood_without_reading(via, what, reply):
    """LB-06: A client that sends a million requests and doesn't read is not read any more: bounded; and then all are answered."""
    c = via.connect(rcvbuf=16384)
    before = via.pooler.rss() if via.is_pooler else 0
    sent = [0]
    c.sock.setblocking(False)
    data = what * 2000
    deadline = time.monotonic() + 1.5
    while sent[0] < 1000000 * len(what) and time.monotonic() < deadline:
        try:
            offset = sent[0] % len(data)
            sent[0] += c.sock.send(data[offset:])
        except BlockingIOError:
            if not wire.is_ready(c.sock, 0.3, wire.select.POLLOUT):
                break
    if via.is_pooler and SLOW == 1:
        assert via.pooler.rss() - before < 40 * MB
    c.sock.setblocking(True)
    rest = -sent[0] % len(what)
    writer = threading.Thread(target=c.sock.sendall, args=(what[len(what) - rest:] if rest else b"",))
    writer.start()
    n = (sent[0] + rest) // len(what)
    got = c.read_bytes(n * len(reply))
    writer.join()
    assert got == reply * n
    assert not c.readable(0.05)


def test_LB_07_one_stream_does_not_starve_others(new_pooler):
    """LB-07: One client streams a large result, another on the same worker goes on with its queries."""
    p = new_pooler({"default_pool_size": 2, "worker_threads": 1})
    big, small = p.connect(), p.connect()
    big.send(wire.query("select repeat('x', 10000) from generate_series(1, 30000)"))
    done = threading.Event()

    def read():
        big.skip_bytes(290 * 1000 * 1000)
        done.set()
    threading.Thread(target=read, daemon=True).start()
    served, worst = 0, 0
    while not done.is_set():
        start = time.monotonic()
        assert small.query("select 1") == [["1"]]
        worst = max(worst, time.monotonic() - start)
        served += 1
    assert served >= 20 and worst < 1 * SLOW, (served, worst)


@measured
def test_ML_01_memory_and_descriptors_stay(new_pooler):
    """ML-01: Connections that end at each phase, and reloads: RSS and descriptors are flat."""
    p = new_pooler({"default_pool_size": 3, "max_client_conn": 500})

    def round_(n):
        for i in range(n):
            c = p.raw()
            phase = i % 8
            if phase == 1:
                c.send(b"\0\0")
            elif phase == 2:
                c.send(wire.startup({"user": "app", "database": "test"}))
            elif phase == 3:
                c.send(wire.special(wire.SSL_CODE))
            elif phase == 4:
                c.send(wire.cancel_request(i, b"abcd"))
            elif phase >= 5:
                c.login("app", "test", params={"application_name": "ml01 %d" % i})
                c.send(wire.parse("s", "select %d" % i) + wire.bind("s") + wire.execute() + (wire.SYNC if phase > 5 else b""))
                if phase > 6:
                    c.recv_until("Z")
            (c.fin, c.rst)[i % 2]()
        p.reload()
        p.wait_rest()

    round_(400)
    wait_until(lambda: p.ask("SHOW POOLS"))
    rss, files = p.rss(), p.descriptors()
    for _ in range(4):
        round_(400)
    wait_until(lambda: p.descriptors() <= files + 3, what="descriptors back at %d" % files)
    assert p.rss() - rss < 8 * MB, "grew by %d kB" % ((p.rss() - rss) // 1024)


def test_ML_02_out_of_descriptors(new_pooler):
    """ML-02: accept() gets EMFILE: no busy loop, those at work go on, and it recovers."""
    try:
        p = new_pooler({"default_pool_size": 2, "max_client_conn": 30, "worker_threads": 1, "min_pool_size": 0}, max_files=80)
    except AssertionError as e:
        assert "descriptor" in str(e) or "file" in str(e), e
        return  # it says at the start that the budget doesn't do
    c = p.connect()
    c.query("select 1")
    flood = []
    for _ in range(150):
        x = wire.Client(p.host, p.port, timeout=1)
        flood.append(x)
    before, start = _cpu(p), time.monotonic()
    while time.monotonic() - start < 0.5:
        assert c.query("select 1") == [["1"]]
        wire.select.select([], [], [], 0.02)
    assert _cpu(p) - before < 0.4 * SLOW, "busy loop"
    for x in flood:
        x.fin()
    wait_until(lambda: _works(p), what="new clients are served again")


def _cpu(p):
    with open("/proc/%d/stat" % p.process.pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _works(p):
    try:
        c = p.connect()
        ok = c.query("select 1") == [["1"]]
        c.close()
        return ok
    except (LoginFailed, OSError, AssertionError):
        return False


# ---- timeouts --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("block", ["begin", "begin; select 1/0"])
def test_TO_01_idle_transaction_timeout(new_pooler, postgres, block):
    """TO-01: Only while the client owes the next message: 25P03 to it, its server rolled back and free."""
    p = new_pooler({"idle_transaction_timeout": 0.5})
    c, other = p.connect(), p.connect()
    c.query("begin; select pg_sleep(1); commit")  # work isn't idleness
    try:
        c.query(block)
    except QueryFailed:
        pass
    other.send(wire.query("select 'other'"))
    e = c.recv()
    assert e.kind == "E" and e.severity == "FATAL" and e.sqlstate == "25P03"
    c.expect_close()
    assert [m.row for m in other.recv_until("Z") if m.kind == "D"] == [["other"]]
    wait_until(lambda: not postgres.sessions("state <> 'idle'"))


def test_TO_01_idle_transaction_timeout_of_a_user(new_pooler):
    """TO-01: A user's own value comes first."""
    p = new_pooler({"idle_transaction_timeout": 60}, users={"other": "idle_transaction_timeout=0.3"})
    c = p.connect("other")
    c.query("begin")
    assert c.recv().sqlstate == "25P03"


def test_TO_02_query_timeout(new_pooler, postgres):
    """TO-02: Ends a query that runs too long, and doesn't fire with nothing in flight."""
    p = new_pooler({"query_timeout": 0.5})
    c = p.connect()
    c.query("begin")
    assert not c.readable(0.8)
    c.query("commit")
    c.send(wire.query("select pg_sleep(100)"))
    got = c.recv_until("EZ")
    assert got[-1].kind == "E" and got[-1].severity in ("ERROR", "FATAL") and got[-1].sqlstate in ("57014", "08P01"), str(got[-1])
    wait_until(lambda: not postgres.sessions("state = 'active'"), what="PostgreSQL stopped, too")
    assert p.connect().query("select 1") == [["1"]]


def test_TO_02_transaction_timeout(new_pooler, postgres):
    """TO-02: Ends a transaction that lasts too long."""
    p = new_pooler({"transaction_timeout": 0.5})
    c = p.connect()
    c.query("begin")
    deadline = time.monotonic() + 10 * SLOW
    try:
        while time.monotonic() < deadline:
            c.query("select pg_sleep(0.05)")
        raise AssertionError("it never ended")
    except (QueryFailed, OSError) as e:
        assert isinstance(e, OSError) or e.sqlstate in ("25P04", "57014", "25P03", "08P01", None), str(e)
    wait_until(lambda: not postgres.sessions("state <> 'idle'"))
    assert p.connect().query("select 1") == [["1"]]


def test_TO_03_client_idle_timeout(new_pooler):
    """TO-03: Fires after a query, too, and not for one that is active or waits."""
    p = new_pooler({"client_idle_timeout": 0.7})
    c, waiting = p.connect(), p.connect()
    c.query("begin; select pg_sleep(0.1)")
    waiting.send(wire.query("select 'waited'"))
    c.query("select pg_sleep(1)")
    c.query("commit")
    assert [m.row for m in waiting.recv_until("Z") if m.kind == "D"] == [["waited"]]
    e = c.recv()
    assert e.kind == "E" and e.severity == "FATAL" and e.sqlstate in ("57P05", "08P01")
    c.expect_close()


def test_TO_04_zero_is_off(new_pooler):
    """TO-04: 0 means off, for each of them."""
    names = ("query_timeout", "query_wait_timeout", "client_idle_timeout", "idle_transaction_timeout", "transaction_timeout", "server_idle_timeout",
             "cancel_wait_timeout", "client_write_timeout", "reserve_pool_timeout")
    p = new_pooler({n: 0 for n in names})
    a, b = p.connect(), p.connect()
    a.query("begin")
    b.send(wire.query("select 'b'"))
    assert not a.readable(0.3) and not b.readable(0.3)
    a.query("commit")
    assert b.recv_until("Z")[-1].body == b"I"


def test_TO_06_server_lifetime_and_idle_timeout(new_pooler, postgres):
    """TO-06: A server past its lifetime is replaced at a boundary, one idle too long is closed."""
    p = new_pooler({"server_lifetime": 0.5, "default_pool_size": 1})
    c = p.connect()
    pid = c.value("select pg_backend_pid()")
    c.query("begin; select pg_sleep(0.8)")
    assert c.value("select pg_backend_pid()") == pid
    c.query("commit")
    wait_until(lambda: c.value("select pg_backend_pid()") != pid, what="a new server")
    q = new_pooler({"server_idle_timeout": 0.5, "default_pool_size": 1})
    q.connect().query("select 1")
    p.end()
    wait_until(lambda: not postgres.sessions(), what="the idle server closed")


@pytest.mark.parametrize("workers", [1, 2])
def test_TO_06_server_lifetime_of_zero(new_pooler, workers):
    """TO-06: server_lifetime = 0: each server is used once, by one client; not closed before anybody had it."""
    p = new_pooler({"server_lifetime": 0, "default_pool_size": 1, "worker_threads": workers})
    clients = [p.connect() for _ in range(3)]
    pids = [c.value("select pg_backend_pid()") for c in clients * 2]
    assert len(set(pids)) == len(pids)

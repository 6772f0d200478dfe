"""CA: cancel."""
import os
import struct
import threading

import pytest
import traces
import wire
from wire import SLOW, QueryFailed, wait_until


def running(via, what):
    """Waits until a query with this text runs in PostgreSQL."""
    wait_until(lambda: via.postgres.sessions("state = 'active' and query like '%" + what + "%'"), what=what + " runs")


@pytest.mark.two_workers
def test_CA_00_cancel_ends_the_query(via):
    """CA-00: A cancel ends the query of the client whose key it carries."""
    for _ in range(3):
        c1 = via.connect()
        c1.send(wire.query("select pg_sleep(100), 'ca00'"))
        running(via, "ca00")
        c1.cancel()
        e, z = [m for m in c1.recv_until("Z") if m.kind in "EZ"]
        assert e.sqlstate == "57014" and e.severity == "ERROR" and z.body == b"I"
        assert c1.query("select 1") == [["1"]]
        c1.close()


@pytest.mark.two_workers
def test_CA_01_late_cancel_hits_nobody(via):
    """CA-01: c1's query has ended and c2 has the server: c1's cancel is dropped."""
    c1, c2 = via.connect(), via.connect()
    for turn in range(5):
        c1.query("select 1")
        c2.send(wire.query("select 'ca01', pg_sleep(%f)" % (0.3 * SLOW)))
        running(via, "ca01")
        c1.cancel()
        assert [m.kind for m in c2.recv_until("Z")] == ["T", "D", "C", "Z"]
    assert c1.query("select 1") == [["1"]]


@pytest.mark.two_workers
def test_CA_01_cancels_racing_with_short_queries(via):
    """CA-01: Cancels of c1 at any moment: c2 on the same server never gets one, c1's replies stay in step."""
    c1, c2 = via.connect(), via.connect()
    stop, errors = threading.Event(), []

    def canceller():
        while not stop.is_set():
            c1.cancel()

    def other():
        n = 0
        while not stop.is_set():
            n += 1
            try:
                if c2.query("select %d" % n) != [[str(n)]]:
                    errors.append("wrong row")
            except QueryFailed as e:
                errors.append(str(e))
                return

    threads = [threading.Thread(target=canceller), threading.Thread(target=other)]
    for t in threads:
        t.start()
    cancelled = 0
    try:
        for n in range(150):
            try:
                assert c1.query("select pg_sleep(0.001), 'n%d'" % n)[0][1] == "n%d" % n
            except QueryFailed as e:
                assert e.sqlstate == "57014"
                cancelled += 1
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not errors, errors[:3]
    assert cancelled or via.is_pooler


@pytest.mark.two_workers
def test_CA_03_cancel_of_an_idle_client(via):
    """CA-03: Nothing happens to an idle client, outside a block or inside one."""
    sessions = via.run('c1: Q("select 1") → T D(1) C Z(I)')
    sessions["c1"].connection.cancel()
    via.run('''
        c1:                            → quiet
        c1: Q("select 2")              → T D(2) C Z(I)
        c1: Q("begin")                 → C(BEGIN) Z(T)
    ''', clients=sessions)
    sessions["c1"].connection.cancel()
    via.run('''
        c1:                            → quiet
        c1: Q("select 3")              → T D(3) C Z(T)
        c1: Q("commit")                → C(COMMIT) Z(I)
    ''', clients=sessions)


@pytest.mark.pooler_only
@pytest.mark.two_workers
def test_CA_04_cancel_in_the_queue(via):
    """CA-04: Who waits for a server and cancels gets 57014; the query never reaches PostgreSQL, the client lives."""
    t = via.table()
    c1, c2 = via.connect(), via.connect()
    c1.query("begin")
    c2.send(wire.query("insert into %s values (1)" % t))
    wait_until(lambda: via.pooler.column("cl_waiting") == 1, what="c2 waits")
    c2.cancel()
    e, z = c2.recv_until("Z")
    assert e.sqlstate == "57014" and e.severity == "ERROR" and z.body == b"I"
    c2.send(wire.parse("", "insert into %s values (2)" % t) + wire.bind() + wire.execute() + wire.FLUSH)
    wait_until(lambda: via.pooler.column("cl_waiting") == 1, what="c2 waits again")
    c2.cancel()
    e = c2.recv()
    assert e.kind == "E" and e.sqlstate == "57014"
    assert not c2.readable(traces.QUIET)
    c2.send(wire.parse("", "select 3") + wire.SYNC)
    assert c2.recv().kind == "Z"
    c1.query("commit")
    assert c2.query("select 4") == [["4"]]
    assert via.rows(t) == []


@pytest.mark.two_workers
def test_CA_05_cancel_of_the_first_of_two_batches(via):
    """CA-05: The first batch is cancelled, the second, already sent, runs."""
    c = via.connect()
    c.send(wire.parse("", "select pg_sleep(100), 'ca05'") + wire.bind() + wire.execute() + wire.SYNC +
           wire.parse("", "select 'second'") + wire.bind() + wire.execute() + wire.SYNC)
    running(via, "ca05")
    c.cancel()
    first, second = c.recv_until("Z"), c.recv_until("Z")
    assert [m.kind for m in first] == ["1", "2", "E", "Z"] and first[2].sqlstate == "57014"
    assert [m.kind for m in second] == ["1", "2", "D", "C", "Z"] and second[2].row == ["second"]


def test_CA_06_full_pool_cancelled(new_pooler, postgres):
    """CA-06: Cancels take no pool slot: a full pool of long queries, all cancelled many times over."""
    p = new_pooler({"default_pool_size": 5, "worker_threads": 2})
    clients = [p.connect() for _ in range(10)]
    for c in clients:
        c.send(wire.query("select pg_sleep(100), 'ca06'"))
    wait_until(lambda: p.column("sv_active") == 5 and p.column("cl_waiting") == 5, what="five run and five wait")
    wait_until(lambda: len(postgres.sessions("state = 'active'")) == 5, what="PostgreSQL has begun all five")
    threads = [threading.Thread(target=c.cancel) for c in clients for _ in range(10)]
    for t in threads:
        t.start()
    for c in clients:
        assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["57014"]
    for t in threads:
        t.join()
    for c in clients:
        assert c.query("select 'alive'") == [["alive"]]
        c.close()
    wait_until(lambda: not postgres.sessions("state = 'active'"))
    p.wait_rest()


@pytest.mark.two_workers
@pytest.mark.parametrize("version", [0x00030000, 0x00030002])
def test_CA_07_wrong_keys(via, version):
    """CA-07: A wrong pid, secret or length: closed without a byte, and the query goes on."""
    c = via.connect(version=version)
    c.send(wire.query("select pg_sleep(0.5), 'ca07'"))
    running(via, "ca07")
    wrong = bytes([c.secret[0] ^ 1]) + c.secret[1:]
    for request in (wire.cancel_request(c.pid, wrong), wire.cancel_request(c.pid, (c.secret * 8)[:32][:-1] + b"?"), wire.cancel_request(c.pid, c.secret[:-1]), wire.cancel_request(c.pid ^ 1, c.secret), wire.cancel_request(0, c.secret),
                    wire.cancel_request(0xffffffff, c.secret), wire.cancel_request(c.pid, b""), wire.cancel_request(c.pid, b"abc"),
                    wire.cancel_request(c.pid, os.urandom(300)), wire.special(wire.CANCEL_CODE), struct.pack("!iI", 12, wire.CANCEL_CODE) + b"abcd"):
        x = via.raw()
        x.send(request)
        got = x.recv_until("E")
        assert got == [None] or got[0].severity == "FATAL"
        x.fin()
    assert [m.kind for m in c.recv_until("Z")] == ["T", "D", "C", "Z"]


@pytest.mark.two_workers
def test_CA_09_odd_cancellers(via):
    """CA-09: Bytes after the request, byte by byte, gone at once: no crash, and it still works."""
    for style in ("bytes", "slow", "gone", "reset", "twice"):
        c = via.connect()
        c.send(wire.query("select pg_sleep(100), 'ca09 %s'" % style))
        running(via, "ca09 " + style)
        x = via.raw()
        request = wire.cancel_request(c.pid, c.secret)
        if style == "slow":
            x.send_cut(request, *range(1, 16))
        elif style == "bytes":
            x.send(request + wire.TERMINATE + b"more and more")
        elif style == "twice":
            x.send(request)
            c.cancel(wait=False)
        else:
            x.send(request)
            x.drained()
            x.shut() if style == "reset" else x.fin()
        assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["57014"], style
        c.close()


@pytest.mark.pooler_only
@pytest.mark.two_workers
def test_CA_13_keys_of_clients_that_left(via):
    """CA-13: The key of a client that left hits nobody, and keys don't come again soon."""
    keys = []
    for _ in range(100):
        c = via.connect()
        keys.append((c.pid, c.secret))
        c.close()
    assert len(set(keys)) == 100 and len({k[1] for k in keys}) == 100
    c = via.connect()
    c.send(wire.query("select pg_sleep(0.5), 'ca13'"))
    running(via, "ca13")
    for pid, secret in keys:
        x = via.raw()
        x.send(wire.cancel_request(pid, secret))
        x.expect_close()
        x.fin()
    assert [m.kind for m in c.recv_until("Z")] == ["T", "D", "C", "Z"]


@pytest.mark.two_workers
def test_CA_14_cancel_during_login_and_clean_up(via):
    """CA-14: Cancels before, between and after transactions with parameters of their own: no baffling error."""
    a = via.connect(params={"application_name": "ca14 a", "work_mem": "5MB"})
    b = via.connect(params={"application_name": "ca14 b", "search_path": "public"})
    stop = threading.Event()

    def canceller():
        while not stop.is_set():
            a.cancel()
            b.cancel()

    thread = threading.Thread(target=canceller)
    thread.start()
    try:
        for n in range(60):
            for c, name in ((a, "ca14 a"), (b, "ca14 b")):
                try:
                    assert c.value("show application_name") == name
                except QueryFailed as e:
                    assert e.sqlstate == "57014"
                except IndexError:
                    raise AssertionError("no row and no error")
    finally:
        stop.set()
        thread.join()
    assert a.value("show work_mem") == "5MB" and b.value("show work_mem") == "4MB"

"""What a real PostgreSQL won't do on cue: a scripted one behind pgweir. Entries of ER, TX, CA, ST, SE, SF, AQ."""
import signal
import struct
import threading

import pytest
import wire
from scripted_server import ScriptedServer, complete, data_row, error, has, notice, parameter, ready, result, row_description
from wire import SLOW, LoginFailed, QueryFailed, message, wait_until

CLOSE_WAYS = ["close", "rst"]


@pytest.fixture
def behind(new_pooler):
    """behind(script, settings) → (server, pooler)"""
    servers = []

    def make(script, settings=None, on_cancel=None, **kw):
        server = ScriptedServer(script, on_cancel)
        servers.append(server)
        return server, new_pooler(dict({"server_login_retry": 0.1}, **(settings or {})), server=server, **kw)

    yield make
    for server in servers:
        server.stop()
    for server in servers:
        assert not server.errors, server.errors


def serve(c):
    c.login()
    c.polite()


def test_a_polite_server_is_enough(behind):
    """The scripted server itself: a client, a query, a batch."""
    server, p = behind(serve)
    c = p.connect()
    assert c.query("select hello") == [["hello"]]
    c.send(wire.parse("a", "select 1") + wire.bind("a") + wire.execute() + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["1", "2", "C", "Z"]


@pytest.mark.parametrize("how", CLOSE_WAYS)
@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("kinds,sent", [("", b""), ("T", row_description("a")), ("TD", row_description("a") + data_row("1")), ("N", notice("n"))])
def test_ER_06_server_vanishes_at_a_message_boundary(behind, how, block, kinds, sent):
    """ER-06: 08006 and Z: I outside a block, E inside one; the client goes on."""
    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            c.send(sent)
            getattr(c, how)()
    server, p = behind(script)
    c = p.connect()
    if block:
        c.query("begin")
    c.send(wire.query("boom"))
    got = c.recv_until("Z")
    assert got[-1] is not None, [str(m) for m in got]
    e = [m for m in got if m.kind == "E"]
    assert [(m.severity, m.sqlstate, m.text) for m in e] == [("ERROR", "08006", "server closed the connection unexpectedly")]
    assert got[-1].body == (b"E" if block else b"I")
    if how == "close":
        assert "".join(m.kind for m in got[:-2]) == kinds
    if block:
        c.send(wire.query("select 1"))
        assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"][0] in ("25P02", "25P03")
        assert c.query("rollback") == []
    assert c.query("select again") == [["again"]]
    assert server.queries("boom") == 1, "a query that may have run was sent again"


@pytest.mark.parametrize("how", CLOSE_WAYS)
def test_ER_06_end_seen_together_with_the_data(behind, how):
    """ER-06: pgweir was busy elsewhere when data and end arrived: the kernel tells of both at once, and only once."""
    arrived, stopped = threading.Event(), threading.Event()

    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            arrived.set()
            c.wait_for(stopped)
            c.send(row_description("a") + data_row("1"))
            getattr(c, how)()
    server, p = behind(script)
    c = p.connect()
    c.send(wire.query("boom"))
    assert arrived.wait(wire.TIMEOUT)
    p.process.send_signal(signal.SIGSTOP)
    stopped.set()
    wait_until(lambda: server.connections[0].sock.fileno() < 0, what="the server's end is closed")
    p.process.send_signal(signal.SIGCONT)
    assert [m.sqlstate if m.kind == "E" else m.kind for m in c.recv_until("Z")][-2:] == ["08006", "Z"]
    assert c.query("select again") == [["again"]]


@pytest.mark.parametrize("how", CLOSE_WAYS)
@pytest.mark.parametrize("cut", [1, 4, 5, 6, 500])
def test_ER_06_server_vanishes_inside_a_message(behind, how, cut):
    """ER-06: In the middle of a message the client is closed without a word: it would read an error's bytes as data."""
    row = data_row("x" * 1000)

    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            c.send(row_description("a") + row + row[:cut])
            wait_until(lambda: wire.unsent(c.sock) == 0)
            getattr(c, how)()
    server, p = behind(script)
    c, other = p.connect(), p.connect()
    c.send(wire.query("boom"))
    if cut < 5:  # of that message nothing was passed on: this is a boundary to the client
        assert [m.sqlstate if m.kind == "E" else m.kind for m in c.recv_until("Z")] == ["T", "D", "08006", "Z"]
        assert c.query("select again") == [["again"]]
    else:
        whole = row_description("a") + row + row
        got = c.read_bytes(1 << 20)
        assert got == whole[:len(got)], got[-200:]
    assert other.query("select again") == [["again"]]


@pytest.mark.parametrize("extended", [False, True])
def test_ER_05_fatal_from_the_server(behind, extended):
    """ER-05: A FATAL in mid query comes unchanged but for its severity, once."""
    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            c.send(error("FATAL", "57P01", "terminating connection due to administrator command", D="the detail", H="the hint"))
            c.close()
    server, p = behind(script)
    c = p.connect()
    c.send(wire.parse("", "boom") + wire.bind() + wire.execute() + wire.SYNC if extended else wire.query("boom"))
    e, z = c.recv_until("Z")
    f = e.fields
    assert (f["S"], f["V"], f["C"], f["M"], f["D"], f["H"]) == ("ERROR", "ERROR", "57P01", "terminating connection due to administrator command", "the detail", "the hint")
    assert z.body == b"I"
    assert c.query("select again") == [["again"]]


def test_ER_05_dead_server_in_an_unsynced_batch(behind):
    """ER-05: The error comes at once, Z only at the client's Sync."""
    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            c.close()
    server, p = behind(script)
    c = p.connect()
    c.send(wire.parse("", "boom") + wire.FLUSH)
    e = c.recv()
    assert e.kind == "E" and e.severity == "ERROR" and e.sqlstate == "08006"
    assert not c.readable(0.1)
    c.send(wire.bind() + wire.execute() + wire.FLUSH)
    assert not c.readable(0.1)
    c.send(wire.SYNC)
    assert [str(m) for m in c.recv_until("Z")] == ["Z(I)"]
    assert c.query("select again") == [["again"]]


def test_ER_10_idle_server_speaks(behind):
    """ER-10: A notice or a ParameterStatus from an idle server is taken in; nobody is told it as an answer."""
    go = threading.Event()

    def script(c):
        c.login()
        c.polite(has("first"))
        c.send(result("first"))
        c.wait_for(go)
        c.send(notice("by the way") + parameter("TimeZone", "Asia/Tokyo"))
        c.polite()
    server, p = behind(script)
    c = p.connect()
    assert c.query("select first") == [["first"]]
    go.set()
    for n in range(3):
        assert c.query("select %d" % n) == [[str(n)]]
    assert len(server.connections) == 1


@pytest.mark.parametrize("what", [error("FATAL", "57P01", "bye"), error("ERROR", "XX000", "why"), ready(), data_row("1"), message("!"), complete("SELECT 1"),
                                  message("K", b"12345678"), b"Z\0\0\0\3", b"D\x7f\xff\xff\xff", b"E\0\0\0\4", b"\0" * 9])
def test_ER_10_idle_server_gone_mad(behind, what):
    """ER-10: An error or anything unasked from an idle server: it is closed, and the next query runs on another."""
    go, done = threading.Event(), threading.Event()

    def script(c):
        c.login()
        if c.number == 0:
            c.polite(has("first"))
            c.send(result("first"))
            c.wait_for(go)
            c.send(what)
            c.hang()
            done.set()
        else:
            c.polite()
    server, p = behind(script)
    c = p.connect()
    assert c.query("select first") == [["first"]]
    p.wait_rest()
    go.set()
    assert done.wait(wire.TIMEOUT), "the mad server wasn't closed"
    for x in (c, p.connect()):
        assert x.query("select again") == [["again"]]


@pytest.mark.parametrize("what", [message("Z", "X"), message("Z", "II"), message("Z"), message("!"), message("p"), b"D\0\0\0\3", b"D\xff\xff\xff\xff", b"Z\x7f\xff\xff\xffI", b"\0" * 9])
def test_TX_08_desync(behind, what):
    """TX-08: A reply that can't be: the server is closed, the client told 08P01, and nothing of it passed on as an answer."""
    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            c.send(what)
            c.hang()
    server, p = behind(script)
    c, other = p.connect(), p.connect()
    c.send(wire.query("boom"))
    got = c.recv_until("EZ")
    assert got[-1] is not None and got[-1].kind == "E" and got[-1].sqlstate in ("08P01", "08006"), [str(m) for m in got]
    assert other.query("select again") == [["again"]]


def test_TX_08_one_ready_too_many(behind):
    """TX-08: A Z that nobody waits for, right behind the one that was due."""
    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            c.send(result("boom") + ready() + ready())
            c.hang()
    server, p = behind(script)
    c = p.connect()
    try:
        assert c.query("boom") == [["boom"]]
        assert c.query("select then") == [["then"]]
    except QueryFailed as e:  # it came while the client was still linked: behind the answer
        assert e.sqlstate == "08P01"
        c = p.connect()
    for n in range(3):
        assert c.query("select %d" % n) == [[str(n)]]


def test_TX_03_failed_clean_up_closes_the_server(behind):
    """TX-03: Our ROLLBACK fails: the server is closed, the next client gets another one and no error."""
    def script(c):
        c.login()
        if c.polite(lambda m: m.kind == "Q" and b"rollback" in m.body.lower()) is not None:
            c.send(error("ERROR", "XX000", "no") + ready("T"))
            c.hang()
    server, p = behind(script)
    c = p.connect()
    c.query("begin")
    c.fin()
    assert p.connect().query("select again") == [["again"]]


def test_CA_02_server_is_held_back_while_a_cancel_is_under_way(behind):
    """CA-02: The query ends while PostgreSQL still works on the cancel: nobody gets that server before the cancel is over."""
    cancelled, let_go = threading.Event(), threading.Event()

    def script(c):
        c.login()
        if c.polite(has("slow")) is not None:
            c.wait_for(cancelled)
            c.send(result("slow"))
        c.polite()

    def on_cancel(c):
        cancelled.set()
        c.wait_for(let_go)
    server, p = behind(script, on_cancel=on_cancel)
    c1, c2 = p.connect(), p.connect()
    c1.send(wire.query("select slow"))
    wait_until(lambda: server.queries("slow") == 1)
    c1.cancel(wait=False)
    assert [m.kind for m in c1.recv_until("Z")] == ["T", "D", "C", "Z"]
    c2.send(wire.query("select innocent"))
    assert not c2.readable(0.3) and server.queries("innocent") == 0
    let_go.set()
    assert [m.kind for m in c2.recv_until("Z")] == ["T", "D", "C", "Z"]
    target = server.cancels[0]
    assert target.startup_rest == struct.pack("!I", server.connections[0].pid) + server.connections[0].secret


def test_CA_06_many_cancels_cost_few_connections(behind):
    """CA-06: A hundred cancels for one query cost one or two connections."""
    first, let_go = threading.Event(), threading.Event()

    def script(c):
        c.login()
        if c.polite(has("slow")) is not None:
            c.wait_for(let_go)
            c.send(error("ERROR", "57014", "canceling statement due to user request") + ready())
        c.polite()

    def on_cancel(c):
        first.set()
        c.wait_for(let_go)
    server, p = behind(script, on_cancel=on_cancel)
    c = p.connect()
    c.send(wire.query("select slow"))
    wait_until(lambda: server.queries("slow") == 1)
    for _ in range(100):
        c.cancel(wait=False)
    assert first.wait(wire.TIMEOUT)
    let_go.set()
    assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["57014"]
    assert c.query("select again") == [["again"]]
    assert len(server.cancels) <= 2


@pytest.mark.parametrize("reaction", ["error", "rst", "hang"])
def test_CA_10_cancel_that_goes_wrong(behind, reaction):
    """CA-10: PostgreSQL refuses the cancel's connection, drops it or never answers: the server isn't blocked for ever."""
    def script(c):
        c.login()
        if c.polite(has("slow")) is not None:
            wait_until(lambda: c.server.cancels)
            c.send(result("slow"))
        c.polite()

    def on_cancel(c):
        if reaction == "error":
            c.send(error("FATAL", "53300", "sorry, too many clients already"))
        elif reaction == "rst":
            c.rst()
        else:
            c.hang()
    server, p = behind(script, {"cancel_wait_timeout": 1}, on_cancel=on_cancel)
    c = p.connect()
    c.send(wire.query("select slow"))
    wait_until(lambda: server.queries("slow") == 1)
    c.cancel(wait=False)
    assert [m.kind for m in c.recv_until("Z")] == ["T", "D", "C", "Z"]
    assert p.connect().query("select again") == [["again"]]


def test_CA_11_server_without_a_key(behind):
    """CA-11: A server that gives no BackendKeyData works, and can't be cancelled."""
    def script(c):
        c.login(key=False)
        c.polite()
    server, p = behind(script)
    c = p.connect()
    assert c.query("select 1") == [["1"]]
    c.cancel()
    assert c.query("select 2") == [["2"]] and server.cancels == []


def test_CA_14_cancel_while_we_clean_up(behind):
    """CA-14: A cancel that comes while our own ROLLBACK runs is kept from the server."""
    go = threading.Event()

    def script(c):
        c.login()
        if c.polite(lambda m: m.kind == "Q" and b"rollback" in m.body.lower()) is not None:
            c.wait_for(go)
            c.send(complete("ROLLBACK") + ready())
        c.polite()
    server, p = behind(script)
    c = p.connect()
    c.query("begin")
    c.fin()
    wait_until(lambda: server.queries("ROLLBACK") + server.queries("rollback"))
    c.cancel()
    assert server.cancels == []
    go.set()
    assert p.connect().query("select again") == [["again"]]


@pytest.mark.parametrize("auth", ["trust", "password", "md5", "scram"])
@pytest.mark.parametrize("slowly", [False, True])
def test_ST_15_server_login(behind, auth, slowly):
    """ST-15: Login at the server: every method; notices and statuses in between; byte by byte."""
    def script(c):
        send = c.send_slowly if slowly else c.send
        c.login(auth, "our secret", before=notice("welcome " + "x" * 20000 * (not slowly)) + parameter("x.y", "z"), send=send)
        c.polite()
    server, p = behind(script, userlist={"app": "our secret"})
    assert p.connect().query("select 1") == [["1"]]


def test_ST_14_server_offers_plus_first(behind):
    """ST-14: SCRAM-SHA-256 is taken wherever it is in the list."""
    def script(c):
        c.login("scram", "our secret", mechanisms=("SCRAM-SHA-256-PLUS", "SOMETHING", "SCRAM-SHA-256"))
        c.polite()
    server, p = behind(script, userlist={"app": "our secret"})
    assert p.connect().query("select 1") == [["1"]]


SPOILED = {
    "nonce not ours": lambda d: b"r=abcdefgh,s=QSXCR+Q6sek8bf92,i=4096" if d.startswith(b"r=") else d,
    "wrong signature": lambda d: b"v=" + b"A" * 43 + b"=" if d.startswith(b"v=") else d,
    "no signature": lambda d: b"v=" if d.startswith(b"v=") else d,
    "error": lambda d: b"e=other-error" if d.startswith(b"v=") else d,
    "iterations": lambda d: d[:d.index(b",i=")] + b",i=2147483648" if d.startswith(b"r=") else d,
    "huge iterations": lambda d: d[:d.index(b",i=")] + b",i=2000000000" if d.startswith(b"r=") else d,
    "no iterations": lambda d: d[:d.index(b",i=")] + b",i=0" if d.startswith(b"r=") else d,
    "bad salt": lambda d: d[:d.index(b",s=")] + b",s=!!!!,i=4096" if d.startswith(b"r=") else d,
    "no salt": lambda d: d[:d.index(b",s=")] + b",s=,i=4096" if d.startswith(b"r=") else d,
    "long nonce": lambda d: d[:d.index(b",s=")] + b"x" * 65536 + d[d.index(b",s="):] if d.startswith(b"r=") else d,
    "empty": lambda d: b"",
    "nul": lambda d: b"\0\0\0",
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_SE_06_hostile_server_in_scram(behind, spoil):
    """SE-06: A server that breaks the exchange is never believed, and hurts nobody."""
    judged = threading.Event()

    def script(c):
        try:
            c.scram("our secret", spoil=SPOILED[spoil])
        except AssertionError:
            pass  # it saw a proof for another nonce
        c.send(message("R", struct.pack("!i", 0)) + ready())
        if c.polite(has("secret query")) is not None:
            raise AssertionError("a server that didn't prove itself got a query")
        judged.set()
    server, p = behind(script, userlist={"app": "our secret"})
    c = p.raw()
    c.send(wire.startup({"user": "app", "database": "test"}) + wire.query("secret query"))
    assert judged.wait(wire.TIMEOUT), "the server wasn't left"
    while c.readable(0) and (m := c.recv()):
        assert m.kind != "Z", "the client's login went on without a server"
    assert p.is_running()


@pytest.mark.parametrize("more", [10, 3, 5])
def test_SE_06_server_asks_again_after_scram(behind, more):
    """SE-06: Once SCRAM is done, only the OK may come: no second exchange, and no plain-text password for a server that has seen the proof."""
    judged = threading.Event()

    def script(c):
        c.scram("our secret")
        body = struct.pack("!i", more)
        c.send(message("R", body + {10: b"SCRAM-SHA-256\0\0", 3: b"", 5: b"salt"}[more]))
        assert c.recv() is None, "it answered"
        judged.set()
    server, p = behind(script, {"server_login_retry": 30, "client_login_timeout": 2 * SLOW}, userlist={"app": "our secret"})
    with pytest.raises((LoginFailed, QueryFailed)):
        p.connect().query("select 1")
    assert judged.wait(wire.TIMEOUT)
    assert p.is_running()


@pytest.mark.parametrize("reply", [b"E\0\0\0\5\0", b"E\0\0\0\4", b"E\0\0\0\x0cMno code", b"R\0\0\0\4", b"R\0\0\0\x08\0\0\0\x63", b"R\x7f\xff\xff\xff\0\0\0\5", b"v\0\0\0\4", b"junk",
                                   message("R", struct.pack("!i", 10)), message("R", struct.pack("!i", 5)), message("K", b"\1"), message("S", b"x"), b"S" * 100000])
def test_SE_06_hostile_server_in_login(behind, reply):
    """SE-06: Broken login messages from a server: a clean error to the client, no crash."""
    def script(c):
        c.send(reply)
        c.hang()
    server, p = behind(script, {"server_connect_timeout": 0.5 * SLOW, "query_wait_timeout": 2 * SLOW, "client_login_timeout": SLOW}, userlist={"app": "our secret"})
    with pytest.raises((LoginFailed, QueryFailed)):
        p.connect().query("select 1")
    assert p.is_running()


def test_SF_02_nothing_is_repeated(behind):
    """SF-02: A server that dies after it got the query: an error, and the query isn't sent again."""
    def script(c):
        c.login()
        if c.polite(has("insert")) is not None:
            c.rst()
    server, p = behind(script)
    c = p.connect()
    with pytest.raises(QueryFailed) as failed:
        c.query("insert once")
    assert failed.value.sqlstate == "08006"
    assert c.query("select again") == [["again"]]
    assert server.queries("insert once") == 1


def test_SF_03_server_is_starting_up(behind):
    """SF-03: 57P03 at login is for now: the client waits and is served."""
    def script(c):
        if c.number < 3:
            c.send(error("FATAL", "57P03", "the database system is starting up"))
            return
        c.login()
        c.polite()
    server, p = behind(script)
    assert p.connect().query("select 1") == [["1"]]
    assert len(server.connections) >= 4


def test_SF_03_server_refuses_for_good(behind):
    """SF-03: 28P01 and 3D000 are told to all who wait, at once, with PostgreSQL's own text."""
    def script(c):
        c.send(error("FATAL", "3D000", 'database "test" does not exist'))
    server, p = behind(script, {"query_wait_timeout": 60})
    with pytest.raises((LoginFailed, QueryFailed)) as failed:
        p.connect().query("select 1")
    assert failed.value.sqlstate == "3D000" and failed.value.error.text == 'database "test" does not exist'


@pytest.mark.parametrize("stage", ["silent", "half"])
def test_SF_06_server_never_answers_its_login(behind, stage):
    """SF-06: One deadline covers connect and login; then the next try, which works."""
    def script(c):
        if c.number == 0:
            if stage == "half":
                c.send(message("R", struct.pack("!i", 0)) + parameter("server_version", "15"))
            c.hang()
            return
        c.login()
        c.polite()
    server, p = behind(script, {"server_connect_timeout": 1})
    assert p.connect().query("select 1") == [["1"]]
    assert len(server.connections) == 2


def test_ST_12_client_waits_for_its_first_server(behind):
    """ST-12: client_login_timeout, also while it waits for a server that never comes."""
    def script(c):
        c.hang()
    server, p = behind(script, {"client_login_timeout": 1, "server_connect_timeout": 30, "query_wait_timeout": 2})
    with pytest.raises((LoginFailed, QueryFailed)):
        p.connect().query("select 1")


def test_ST_11_equal_settings_cost_nothing(behind):
    """ST-11: Two clients with the same settings, in any spelling, on one server: no SET between their transactions."""
    server, p = behind(serve)
    a, b = p.connect(params={"application_name": "same"}), p.connect(params={"application_name": "same"})
    for _ in range(5):
        a.query("select a")
        b.query("select b")
    kinds = [m for m in server.connections[0].received if b"application_name" in m.body or b"set_config" in m.body.lower()]
    assert len(kinds) <= 1, [str(m) for m in kinds]


def test_AQ_06_parallel_logins_are_bounded(behind):
    """AQ-06: A cold pool: never more logins at once than configured, never more servers than the pool's size."""
    lock, now, most = threading.Lock(), [0], [0]
    go = threading.Event()

    def script(c):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        if now[0] >= 3:
            go.set()
        go.wait(1)
        with lock:
            now[0] -= 1
        c.login()
        c.polite()
    server, p = behind(script, {"default_pool_size": 12, "server_connect_concurrency": 3, "max_client_conn": 300, "worker_threads": 2})
    clients = []
    threads = [threading.Thread(target=lambda: clients.append(p.connect())) for _ in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for c in clients:
        c.send(wire.query("select work"))
    for c in clients:
        assert c.recv_until("Z")[-1].kind == "Z"
    assert most[0] <= 3 and len(server.connections) <= 12


def test_LB_01_server_reset_in_a_huge_row(behind):
    """LB-01: A DataRow of 900 MB of which 1 MB came: the client is closed, and nobody reads the body as a header."""
    def script(c):
        c.login()
        if c.polite(has("boom")) is not None:
            c.send(row_description("a") + b"D" + struct.pack("!ihi", 900 << 20, 1, (900 << 20) - 10) + b"Z\0\0\0\5I" * 150000)
            c.rst()
    server, p = behind(script)
    c = p.connect()
    c.send(wire.query("boom"))
    assert c.recv().kind == "T"
    with pytest.raises(AssertionError, match="closed inside"):
        c.recv()
    assert p.connect().query("select again") == [["again"]]


def test_LB_02_client_that_never_reads(behind):
    """LB-02: A client that never reads is given up after client_write_timeout: its server is free for others, our memory flat."""
    chunk = data_row("x" * 60000) * 16

    def script(c):
        c.login()
        while c.polite(has("flood")) is not None:
            c.send(row_description("a"))
            for _ in range(2000):
                c.sock.sendall(chunk)
    server, p = behind(script, {"client_write_timeout": 1, "cancel_wait_timeout": 1})
    server.errors = _Forgiving()
    before = p.rss()
    c = p.connect()
    c.send(wire.query("flood"))
    wait_until(lambda: p.column("sv_active") == 1)
    assert p.connect().query("select again") == [["again"]]
    assert p.rss() - before < 60 << 20


class _Forgiving(list):
    """The flood's own socket breaks: that is what the test wants."""

    def append(self, e):
        if not isinstance(e, OSError):
            super().append(e)


def test_ER_11_what_the_server_says_before_it_closes(behind):
    """ER-11: The server says why before it closes an idle block: the client reads that text, not 08006."""
    said = threading.Event()

    def script(c):
        c.login()
        if c.polite(has("begin")) is not None:
            c.send(complete("BEGIN") + ready("T") + error("FATAL", "57P05", "terminating connection due to idle-session timeout"))
            c.close()
            said.set()
        c.polite()
    server, p = behind(script)
    c = p.connect()
    assert c.query("begin") == [] and said.wait(wire.TIMEOUT)
    e = c.recv()
    assert (e.severity, e.sqlstate, e.text) == ("FATAL", "57P05", "terminating connection due to idle-session timeout")
    c.expect_close()

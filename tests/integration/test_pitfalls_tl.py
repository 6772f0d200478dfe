"""TL: TLS, and what of ST, CA, SE and ML is about it."""
import os
import socket
import ssl
import struct
import threading
import time

import psycopg2
import pytest
import wire
from postgres import PASSWORDS
from scripted_server import ScriptedServer
from tls import Authority, TlsClient, TlsPostgres, client_context
from wire import SLOW, LoginFailed, QueryFailed, wait_until

USER, PASSWORD = "scram_user", PASSWORDS["scram_user"]


@pytest.fixture(scope="module")
def ca():
    a = Authority()
    yield a
    a.destroy()


@pytest.fixture(scope="module")
def pair(ca):
    return ca.issue("localhost", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def tls_postgres(ca, pair):
    server = TlsPostgres(ca, pair)
    yield server
    server.destroy()


@pytest.fixture
def pooler(new_pooler, pair):
    """A pgweir with TLS for clients; trust."""
    def make(settings=None, **kw):
        return new_pooler(dict({"client_tls_sslmode": "prefer", "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key},
                               **(settings or {})), **kw)
    return make


def connect(p, **kw):
    return TlsClient(p.host, p.port, **kw).start_tls().login("app", "test")


# ---- TL-01 -------------------------------------------------------------------------------------------------------------

def test_TL_01_bytes_behind_the_request(pooler):
    """TL-01: What is behind SSLRequest in the clear is refused, and never taken as if it had come by TLS."""
    p = pooler()
    c = TlsClient(p.host, p.port)
    c.send(wire.special(wire.SSL_CODE) + wire.startup({"user": "app", "database": "test"}))
    m = c.recv()
    assert (m.kind, m.severity, m.sqlstate, m.text) == ("E", "FATAL", "08P01", "received unencrypted data after SSL request")
    c.expect_close()


def test_TL_01_bytes_between_request_and_handshake(pooler):
    """TL-01: A segment of its own between S and the handshake isn't taken either."""
    p = pooler()
    c = TlsClient(p.host, p.port)
    assert c.ask() == b"S"
    c.send(wire.startup({"user": "app", "database": "test"}))
    with pytest.raises((ssl.SSLError, OSError)):
        c.start_tls(ask=False)
    wait_until(lambda: "TLS handshake failed" in p.log(), what="the reason in the log")


def test_TL_01_one_byte_of_a_request_and_more(pooler):
    """TL-01: however it is cut."""
    p = pooler()
    for cut in range(1, 8):
        c = TlsClient(p.host, p.port)
        c.send_cut(wire.special(wire.SSL_CODE) + b"x", cut)
        assert c.recv().sqlstate == "08P01"


@pytest.mark.parametrize("answer", [b"Sx", b"S" + wire.message("R", struct.pack("!i", 0)), b"Nx"])
def test_TL_01_bytes_behind_the_servers_answer(new_pooler, answer):
    """TL-01: The same from the server: closed, and its words aren't believed."""
    lines = socket.create_server(("127.0.0.1", 0))
    got = []

    def serve():
        while True:
            try:
                s, _ = lines.accept()
            except OSError:
                return
            got.append(s.recv(100))
            s.sendall(answer)
            try:
                got.append(s.recv(100))
            except ConnectionResetError:
                got.append(b"")
            s.close()

    threading.Thread(target=serve, daemon=True).start()
    p = new_pooler({"server_login_retry": 1, "query_wait_timeout": 3, "client_login_timeout": 3},
                   databases={"*": "host=127.0.0.1 port=%d" % lines.getsockname()[1]})
    try:
        c = p.raw()
        c.send(wire.startup({"user": "app", "database": "test"}))
        wait_until(lambda: "received unencrypted data after SSL response" in p.log(), what="the answer refused")
        wait_until(lambda: len(got) > 1, what="the end")
        assert got[:2] == [wire.special(wire.SSL_CODE), b""]
    finally:
        lines.shutdown(socket.SHUT_RDWR)
        lines.close()


# ---- TL-02 -------------------------------------------------------------------------------------------------------------

def test_TL_02_many_messages_in_one_record(pooler):
    """TL-02: One record with more than one query, several records in one segment, records cut anywhere: everything is answered."""
    p = pooler()
    c = connect(p)
    c.send(b"".join(wire.query("select %d" % i) for i in range(200)))
    for i in range(200):
        rows = [m.row for m in c.recv_until("Z") if m.kind == "D"]
        assert rows == [[str(i)]]
    sealed = b"".join(c.seal(wire.query("select %d" % i)) for i in range(50))
    c.sock.sendall(sealed)
    for i in range(50):
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [[str(i)]]
    c.close()


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
def test_TL_02_byte_by_byte(pooler, piece):
    """TL-02, ST-01: A whole session over TLS in segments of a few bytes."""
    p = pooler()
    c = connect(p, piece=piece)
    assert c.query("select length('%s')" % ("x" * 300)) == [["300"]]
    c.close()


def test_TL_02_a_message_larger_than_records_and_buffers(pooler):
    """TL-02: 5 MB up, 20 MB down, with a budget of reads a round in between."""
    p = pooler()
    c = connect(p)
    text = "x" * (5 << 20)
    assert c.query("select length('%s'), repeat('y', 20000000)" % text) == [[str(len(text)), "y" * 20000000]]
    c.close()


# ---- TL-03 -------------------------------------------------------------------------------------------------------------

def test_TL_03_large_both_ways_at_once(pooler):
    """TL-03: The result goes out while the client still sends; nobody waits for the other for ever."""
    p = pooler()
    c = connect(p)
    n = 30
    def send():
        for i in range(n):
            c.sock.sendall(sealed[i])
    sealed = [c.seal(wire.query("select repeat('z', 1000000), '%s'" % ("q" * 100000))) for i in range(n)]
    t = threading.Thread(target=send)
    t.start()
    for _ in range(n):
        assert [len(m.row[0]) for m in c.recv_until("Z") if m.kind == "D"] == [1000000]
    t.join()
    c.close()


# ---- TL-04, TL-05 --------------------------------------------------------------------------------------------------------

def test_TL_04_a_broken_connection_harms_no_other(pooler):
    """TL-04: OpenSSL's errors are per thread: those of a hundred broken handshakes and records don't reach others on it."""
    p = pooler()
    good = connect(p)
    for i in range(100):
        bad = connect(p) if i % 2 else TlsClient(p.host, p.port)
        if not bad.tls:
            assert bad.ask() == b"S"
            bad.sock.sendall(b"\x16\x03\x01\x00\x05hello")
        else:
            bad.sock.sendall(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        assert good.query("select %d" % i) == [[str(i)]]
        bad.sock.close()
    good.close()


@pytest.mark.parametrize("how", ["fin", "goodbye", "rst", "alert", "half"])
def test_TL_05_ends(pooler, how):
    """TL-05: Without a goodbye, with one, with a reset, with an alert: a normal end; the server is free again, nothing is logged as an error."""
    p = pooler()
    c = connect(p)
    c.query("select 1")
    c.send(wire.query("begin"))
    c.recv_until("Z")
    if how == "fin":
        c.sock.close()
    elif how == "goodbye":
        c.goodbye()
        c.expect_close()
    elif how == "rst":
        c.rst()
    elif how == "alert":
        c.sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
        with pytest.raises(ssl.SSLError):  # it is told so by an alert
            c.read_bytes(1)
    else:
        c.sock.shutdown(socket.SHUT_WR)
    p.wait_rest(everybody_left=True)
    assert " ERROR " not in p.log() and " WARNING " not in p.log()
    assert connect(p).query("select 1") == [["1"]]


def test_TL_05_the_last_word_arrives_with_a_goodbye(pooler):
    """TL-05: A FATAL is read whole, and the end is a close_notify."""
    p = pooler()
    c = TlsClient(p.host, p.port).start_tls()
    c.send(wire.startup({"user": "nobody", "database": "test"}))
    m = c.recv()
    assert m.kind == "E" and m.severity == "FATAL"
    while True:
        try:
            assert c.tls.read(1) == b""  # an end without a goodbye is an SSLEOFError
            break
        except ssl.SSLWantReadError:
            c._feed(wire.TIMEOUT)


# ---- TL-06 -------------------------------------------------------------------------------------------------------------

def stall(c, phase, hello):
    if phase == "request":
        c.send(wire.special(wire.SSL_CODE))
    elif phase == "half a request":
        c.send(wire.special(wire.SSL_CODE)[:5])
    elif phase == "half a hello":
        assert c.ask() == b"S"
        c.sock.sendall(hello[:50])
    elif phase == "hello":
        assert c.ask() == b"S"
        c.sock.sendall(hello)
    elif phase == "direct hello":
        c.sock.sendall(hello[:50])
    else:
        c.start_tls()


def client_hello(alpn=None):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(alpn=alpn).wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("phase", ["half a request", "request", "half a hello", "hello", "direct hello", "handshake"])
def test_ST_12_a_login_that_stops(pooler, phase):
    """ST-12: Closed at client_login_timeout, whatever it waits for; others log in meanwhile."""
    p = pooler({"client_login_timeout": 1})
    c = TlsClient(p.host, p.port)
    stall(c, phase, client_hello(alpn="postgresql"))
    assert connect(p).query("select 1") == [["1"]]
    wait_until(lambda: "canceling authentication due to timeout" in p.log(), what="the timeout")
    deadline = time.monotonic() + wire.TIMEOUT
    while c.sock.recv(4096):
        assert time.monotonic() < deadline


def test_TL_06_failed_handshakes_leave_nothing(pooler):
    """TL-06: Ten thousand handshakes that fail or stall: memory and descriptors are flat."""
    p = pooler({"max_client_conn": 2000})
    hello = client_hello()

    def storm(n):
        for at in range(0, n, 100):
            some = [TlsClient(p.host, p.port) for _ in range(100)]
            for i, c in enumerate(some):
                c.send(wire.special(wire.SSL_CODE))
                if i % 4 == 1:
                    c.sock.sendall(b"\x16\x03\x01\x00\x05hello")
            for i, c in enumerate(some):
                assert c.read_bytes(1)[:1] in (b"S", b"E", b"")
                try:
                    if i % 4 == 2:
                        c.sock.sendall(hello)
                    elif i % 4 == 3:
                        c.sock.sendall(hello[:100])
                except OSError:
                    pass
            for c in some:
                c.sock.close()

    storm(1000)
    wait_until(lambda: not [r for r in p.ask("SHOW LISTS") if r["list"] == "login_clients" and r["items"]], what="all are gone")
    before, descriptors = p.rss(), p.descriptors()
    storm(10000 if SLOW == 1 else 1000)
    wait_until(lambda: p.descriptors() <= descriptors, what="descriptors are given back")
    if SLOW == 1:  # AddressSanitizer keeps what was freed for a while
        assert p.rss() - before < 8 << 20
    assert connect(p).query("select 1") == [["1"]]


def test_TL_06_stalled_handshakes_shut_no_door(pooler):
    """TL-06: With one place for logins, twenty that stop half way lose it after a moment each; so does one that sends a byte now and then."""
    p = pooler({"login_concurrency": 1})
    hello = client_hello()
    some = [TlsClient(p.host, p.port) for _ in range(20)]
    for i, c in enumerate(some):
        c.send(wire.special(wire.SSL_CODE))
    done = threading.Event()

    def drip():
        at = 0
        while not done.wait(0.005) and at < len(hello):
            for c in some:
                c.sock.sendall(hello[at:at + 1])
            at += 1

    for c in some:
        assert c.read_bytes(1) == b"S"
    t = threading.Thread(target=drip)
    t.start()
    for _ in range(5):
        assert connect(p).query("select 1") == [["1"]]
    done.set()
    t.join()


# ---- TL-07 -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("piece", [None, 1])
def test_TL_07_direct_tls(pooler, piece):
    """TL-07: A client that begins with the handshake, with ALPN postgresql."""
    p = pooler()
    c = TlsClient(p.host, p.port, piece=piece).start_tls(client_context(alpn="postgresql"), ask=False)
    assert c.tls.selected_alpn_protocol() == "postgresql"
    c.login("app", "test")
    assert c.query("select 1") == [["1"]]
    c.close()


@pytest.mark.parametrize("alpn", ["http/1.1", "postgres"])
@pytest.mark.parametrize("ask", [True, False])
def test_TL_07_another_protocol(pooler, alpn, ask):
    """TL-07: Somebody who wants to speak something else ends in the handshake."""
    p = pooler()
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TlsClient(p.host, p.port).start_tls(client_context(alpn=alpn), ask=ask)


def test_TL_07_direct_tls_without_alpn(pooler):
    """TL-07: refused; with an SSLRequest in front it needs none."""
    p = pooler()
    c = TlsClient(p.host, p.port).start_tls(ask=False)
    m = c.recv()
    assert m.severity == "FATAL" and "without ALPN" in m.text
    c.expect_close()
    connect(p).close()


def test_TL_07_no_direct_tls_where_there_is_no_tls(new_pooler):
    p = new_pooler()
    c = TlsClient(p.host, p.port)
    c.send(client_hello(alpn="postgresql"))
    c.expect_close()


@pytest.mark.parametrize("first", [wire.special(wire.SSL_CODE), wire.special(wire.GSSENC_CODE)])
def test_TL_07_direct_tls_comes_first_or_not_at_all(pooler, first):
    """After a question a handshake isn't a startup packet."""
    p = pooler()
    c = TlsClient(p.host, p.port)
    if first == wire.special(wire.SSL_CODE):
        c.start_tls()
        c.send(client_hello(alpn="postgresql"))
    else:
        c.send(first)
        assert c.read_bytes(1) == b"N"
        c.send(client_hello(alpn="postgresql"))
    c.expect_close()


@pytest.mark.parametrize("code", [wire.SSL_CODE, wire.GSSENC_CODE])
def test_ST_04_requests_inside_tls(pooler, code):
    """ST-04: SSLRequest and GSSENCRequest inside TLS are refused as versions that we don't speak."""
    p = pooler()
    c = TlsClient(p.host, p.port).start_tls()
    c.send(wire.special(code))
    m = c.recv()
    assert m.kind == "E" and m.sqlstate == "0A000" and "unsupported frontend protocol" in m.text
    c.expect_close()


def test_ST_04_gssenc_then_tls(pooler):
    """ST-04: libpq asks for GSSAPI first, then for TLS."""
    p = pooler()
    c = TlsClient(p.host, p.port)
    c.send(wire.special(wire.GSSENC_CODE))
    assert c.read_bytes(1) == b"N"
    c.start_tls().login("app", "test")
    c.close()


def test_ST_09_startup_and_query_with_the_handshakes_end(pooler):
    """ST-09: The first query comes in the segment that ends the handshake: nothing is lost across it."""
    p = pooler()
    connect(p).close()
    c = TlsClient(p.host, p.port)
    assert c.ask() == b"S"
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            data = outgoing.read()
            if data:
                c.sock.sendall(data)
            incoming.write(c.sock.recv(65536))
    tls.write(wire.startup({"user": "app", "database": "test"}))
    tls.write(wire.query("select 'early'"))
    c.sock.sendall(outgoing.read())
    c.incoming, c.outgoing, c.tls = incoming, outgoing, tls
    messages = c.recv_until("Z") + c.recv_until("Z")
    assert [m.row for m in messages if m.kind == "D"] == [["early"]]
    c.close()


# ---- TL-08 -------------------------------------------------------------------------------------------------------------

def test_TL_08_records_are_small(pooler):
    """TL-08: Records to clients hold 8 kB at most, and small messages share one."""
    p = pooler()
    c = connect(p)
    c.send(wire.query("select repeat('x', 100) from generate_series(1, 10000)"))
    raw, rows = b"", 0
    c.sock.settimeout(wire.TIMEOUT)
    sizes = []
    while True:
        data = c.sock.recv(1 << 16)
        raw += data
        c.incoming.write(data)
        plain = b""
        while True:
            try:
                plain += c.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                break
        rows += len(plain)
        if plain.endswith(b"Z\0\0\0\5I"):
            break
    while raw:
        size, = struct.unpack("!H", raw[3:5])
        sizes.append(size)
        raw = raw[5 + size:]
    assert max(sizes) <= 8192 + 17
    assert rows / len(sizes) > 4000  # bytes a record, on average
    c.close()


def test_TL_08_a_large_result_by_libpqs_asynchronous_api(pooler):
    """TL-08: 100 MB over TLS through libpq's asynchronous interface, at a cost that grows with the bytes."""
    import select
    p = pooler()
    c = psycopg2.connect(host=p.host, port=p.port, user="app", dbname="test", sslmode="require", async_=1)

    def wait():
        while True:
            state = c.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            r, w = ([c.fileno()], []) if state == psycopg2.extensions.POLL_READ else ([], [c.fileno()])
            assert any(select.select(r, w, [], wire.TIMEOUT)), "libpq waits for ever"

    wait()
    took = []
    for megabytes in (10, 100):
        cur = c.cursor()
        start = time.monotonic()
        cur.execute("select repeat('x', 1000000) from generate_series(1, %d)" % megabytes)
        wait()
        took.append(time.monotonic() - start)
        assert len(cur.fetchall()) == megabytes
    c.close()
    assert took[1] < 40 * took[0] + 1


# ---- TL-09: tests/integration/test_tls.py has hosts and certificates; here what a server may answer ------------------------

@pytest.mark.parametrize("answer,text", [(b"N", "does not support SSL"), (b"E\0\0\0\x10SFATAL\0Mlies\0\0", "answered the SSL request with an error"),
                                         (b"?", "no valid answer")])
def test_TL_09_required_tls_is_never_plain_text(new_pooler, answer, text):
    """TL-09: require, and the server says N, an error or nonsense: not one byte of a startup packet is sent."""
    lines = socket.create_server(("127.0.0.1", 0))
    got = []

    def serve():
        while True:
            try:
                s, _ = lines.accept()
            except OSError:
                return
            first = s.recv(100)
            s.sendall(answer)
            try:
                got.append((first, s.recv(100)))
            except ConnectionResetError:
                got.append((first, b""))
            s.close()

    threading.Thread(target=serve, daemon=True).start()
    p = new_pooler({"server_tls_sslmode": "require", "client_login_timeout": 3}, databases={"*": "host=127.0.0.1 port=%d" % lines.getsockname()[1]})
    try:
        c = p.raw()
        c.send(wire.startup({"user": "app", "database": "test"}))
        wait_until(lambda: text in p.log(), what="the answer refused")
        assert "lies" not in p.log()
        wait_until(lambda: got, what="the end")
        assert got[0] == (wire.special(wire.SSL_CODE), b"")
    finally:
        lines.shutdown(socket.SHUT_RDWR)
        lines.close()


def test_TL_09_a_server_that_is_gone_in_the_handshake(new_pooler):
    """TL-05 from the server's side: it closes in the middle; that is one failed login, tried again."""
    lines = socket.create_server(("127.0.0.1", 0))
    count = []

    def serve():
        while True:
            try:
                s, _ = lines.accept()
            except OSError:
                return
            s.recv(100)
            s.sendall(b"S")
            s.recv(4096)
            s.close()
            count.append(1)

    threading.Thread(target=serve, daemon=True).start()
    p = new_pooler({"server_tls_sslmode": "require", "server_login_retry": "0.1"}, databases={"*": "host=127.0.0.1 port=%d" % lines.getsockname()[1]})
    try:
        c = p.raw()
        c.send(wire.startup({"user": "app", "database": "test"}))
        wait_until(lambda: len(count) >= 2, what="another try")
    finally:
        lines.shutdown(socket.SHUT_RDWR)
        lines.close()


# ---- secrets -----------------------------------------------------------------------------------------------------------

def test_SE_05_any_message_before_login_inside_tls(pooler):
    """SE-05: FATAL, no crash."""
    p = pooler()
    for data in (wire.message("p", b"x\0"), wire.query("select 1"), wire.SYNC, wire.TERMINATE, b"\0" * 100, os.urandom(300)):
        c = TlsClient(p.host, p.port).start_tls()
        c.send(data)
        for m in c.recv_until(""):
            assert m is None or m.kind == "E"
    assert connect(p).query("select 1") == [["1"]]


def test_SE_11_keys_stay_out_of_log_and_console(pooler, pair):
    """SE-11: Nothing of the private key is in a log line, in SHOW CONFIG or in an error."""
    p = pooler({"verbose": 3})
    connect(p).close()
    with open(pair.key) as f:
        lines = [line.strip() for line in f if "-----" not in line]
    seen = p.log() + repr(p.ask("SHOW CONFIG"))
    assert not any(line in seen for line in lines)

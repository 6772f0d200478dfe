"""PostgreSQL 18: direct TLS both ways, protocol 3.2 and its long cancel keys. Skips where there is none: make postgres18."""
import os
import subprocess
import sys

import pytest
import wire
from tls import Authority, TlsClient, TlsPostgres18, client_context, postgres18
from wire import LoginFailed, QueryFailed, wait_until

pytestmark = pytest.mark.skipif(not postgres18(), reason="there is no PostgreSQL 18: `make postgres18` fetches one (or set PGWEIR_POSTGRES18)")


@pytest.fixture(scope="module")
def ca():
    a = Authority()
    yield a
    a.destroy()


@pytest.fixture(scope="module")
def pair(ca):
    return ca.issue("localhost", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def server(ca, pair):
    s = TlsPostgres18(ca, pair)
    yield s
    s.destroy()


@pytest.fixture
def pooler(new_pooler, ca, pair, server):
    def make(settings=None, more="", **kw):
        base = {"client_tls_sslmode": "prefer", "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key, "server_tls_ca_file": ca.cert}
        return new_pooler(dict(base, **(settings or {})), server=server,
                          databases={"test": "host=127.0.0.1 port=%d user=tls_user password='tls secret' %s" % (server.port, more)}, **kw)
    return make


LIBPQ = """
import psycopg2, sys, select
c = psycopg2.connect(sys.argv[1])
assert psycopg2.extensions.libpq_version() >= 180000, psycopg2.extensions.libpq_version()
cur = c.cursor()
cur.execute("select 'by libpq 18'")
print(cur.fetchone()[0], c.info.ssl_in_use)
import threading
threading.Timer(0.3, c.cancel).start()
try:
    cur.execute("select pg_sleep(60)")
except psycopg2.errors.QueryCanceled:
    print("cancelled")
"""


def libpq18(dsn):
    """libpq 18 under Debian's psycopg2, in a process of its own."""
    env = dict(os.environ, LD_LIBRARY_PATH=postgres18() + "/lib", PGPASSWORD="")
    r = subprocess.run(["/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable, "-c", LIBPQ, dsn], env=env, capture_output=True,
                       text=True, timeout=wire.TIMEOUT * 6)
    return r.stdout + r.stderr


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
@pytest.mark.parametrize("version", ["3.0", "3.2"])
def test_libpq_18(pooler, ca, negotiation, version):
    """libpq 18, with and without direct TLS, in both versions of the protocol; it cancels, too."""
    p = pooler({"server_tls_sslmode": "verify-full"})
    dsn = "host=localhost hostaddr=127.0.0.1 port=%d user=app dbname=test sslmode=verify-full sslrootcert=%s sslnegotiation=%s max_protocol_version=%s"
    said = libpq18(dsn % (p.port, ca.cert, negotiation, version))
    assert said.split("\n")[:2] == ["by libpq 18 True", "cancelled"], said


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("binding", ["prefer", "require"])
def test_direct_tls_to_the_server(pooler, server, mode, binding):
    """server_tls_negotiation = direct: no question in front, bound and verified like any other."""
    p = pooler({"server_tls_sslmode": mode, "server_tls_negotiation": "direct"}, more="channel_binding=" + binding)
    c = p.connect()
    assert c.query("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()") == [["t", "TLSv1.3"]]
    c.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: server.sessions("query like '%pg_sleep(60)%' and state = 'active'"), what="the query runs")
    c.cancel()
    assert c.recv_until("E")[-1].sqlstate == "57014"


def test_direct_tls_to_a_server_without(new_pooler, postgres):
    """An older PostgreSQL ends such a connection: an error, never plain text."""
    p = new_pooler({"server_tls_sslmode": "require", "server_tls_negotiation": "direct", "client_login_timeout": 3})
    with pytest.raises((LoginFailed, QueryFailed)):
        p.connect().query("select 1")
    assert "server login failed" in p.log()


@pytest.mark.parametrize("version", [0x00030000, 0x00030002])
@pytest.mark.parametrize("servers", ["3.0", "3.2", "latest"])
def test_cancel_keys(pooler, server, version, servers):
    """Short or long on each side, whatever the other has."""
    p = pooler(more="max_protocol_version=" + servers)
    c = p.connect(version=version)
    assert len(c.secret) == (32 if version == 0x00030002 else 4)
    c.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: server.sessions("query like '%pg_sleep(60)%' and state = 'active'"), what="the query runs")
    wrong = wire.Client(p.host, p.port)
    wrong.send(wire.cancel_request(c.pid, c.secret[:-1] + bytes([c.secret[-1] ^ 1])))
    wrong.expect_close()
    assert not c.readable(0.2)
    c.cancel()
    assert c.recv_until("E")[-1].sqlstate == "57014"
    assert c.recv().kind == "Z"


def test_an_older_server_agrees_on_less(new_pooler, postgres):
    """max_protocol_version = latest, and PostgreSQL 15 says 3.0: it works, cancel too."""
    p = new_pooler(databases={"test": "host=127.0.0.1 port=%d max_protocol_version=latest" % postgres.port})
    c = p.connect()
    c.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: postgres.sessions("query like '%pg_sleep(60)%' and state = 'active'"), what="the query runs")
    c.cancel()
    assert c.recv_until("E")[-1].sqlstate == "57014"


def test_direct_tls_and_wire(pooler):
    """By hand, with PostgreSQL 18 behind it."""
    p = pooler()
    c = TlsClient(p.host, p.port).start_tls(client_context(alpn="postgresql"), ask=False).login("app", "test", version=0x00030002)
    assert c.query("select 1") == [["1"]] and len(c.secret) == 32

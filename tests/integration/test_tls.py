"""TLS with clients and with servers: modes, certificates, channel binding, reload."""
import os
import signal
import struct
import subprocess
import threading

import psycopg2
import pytest
import wire
from postgres import PASSWORDS
from tls import Authority, Middle, Pair, TlsClient, TlsPostgres, client_context
from wire import LoginFailed, QueryFailed, wait_until

USER, PASSWORD = "scram_user", PASSWORDS["scram_user"]


@pytest.fixture
def new_pooler(new_pooler, monkeypatch):
    """The console asks for a password where clients must give one."""
    monkeypatch.setenv("PGPASSWORD", "admin secret")
    return lambda settings=None, userlist=None, **kw: new_pooler(settings, userlist=dict(userlist or {}, admin="admin secret"), **kw)


@pytest.fixture(scope="module")
def ca():
    a = Authority()
    yield a
    a.destroy()


@pytest.fixture(scope="module")
def other_ca():
    a = Authority("somebody else")
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


def client_settings(pair, mode="prefer", **more):
    return dict({"client_tls_sslmode": mode, "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key, "auth_type": "scram-sha-256",
                 "log_connections": 1}, **more)


def libpq(p, sslmode, user=USER, password=PASSWORD, host="localhost", **more):
    return psycopg2.connect(host=host, hostaddr="127.0.0.1", port=p.port, user=user, password=password, dbname="test", sslmode=sslmode, **more)


MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


@pytest.mark.parametrize("ours", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_client_modes_with_libpq(new_pooler, ca, pair, ours):
    """Every client_tls_sslmode against every sslmode of Debian's libpq, with and without a client's certificate."""
    p = new_pooler(client_settings(pair, ours, client_tls_ca_file=ca.cert))
    mine = ca.issue(USER)
    for theirs in MODES:
        for has_cert in (False, True):
            how = {"sslrootcert": ca.cert, "sslcert": mine.cert if has_cert else "/nowhere", "sslkey": mine.key if has_cert else "/nowhere"}
            uses_tls = ours != "disable" and theirs not in ("disable", "allow") or ours not in ("disable", "allow", "prefer") and theirs == "allow"
            fails = (ours == "disable" and theirs in MODES[3:] or ours in MODES[3:] and theirs == "disable" or
                     ours in MODES[4:] and not has_cert)
            if fails:
                with pytest.raises(psycopg2.OperationalError):
                    libpq(p, theirs, **how)
                continue
            c = libpq(p, theirs, **how)
            assert c.info.ssl_in_use == uses_tls, (ours, theirs)
            with c.cursor() as cur:
                cur.execute("select current_user")
                assert cur.fetchall() == [(USER,)]
            c.close()


def test_required_tls_is_told(new_pooler, pair):
    """Plain text where TLS is required: PgBouncer's words."""
    p = new_pooler(client_settings(pair, "require"))
    with pytest.raises(LoginFailed) as failed:
        p.connect(USER, password=PASSWORD)
    assert failed.value.sqlstate == "28000" and failed.value.error.text == "SSL required"


def test_unix_sockets_have_no_tls(new_pooler, pair):
    """libpq asks for none there, and others are told so; require doesn't concern them."""
    p = new_pooler(client_settings(pair, "require"))
    c = TlsClient(p.dir, p.port)
    assert c.ask() == b"N"
    c.login(USER, "test", PASSWORD)
    assert c.query("select 1") == [["1"]]
    c.close()


def test_a_client_certificate_is_verified(new_pooler, ca, other_ca, pair):
    """verify-ca: another authority's ends the handshake, none is told so."""
    p = new_pooler(client_settings(pair, "verify-ca", client_tls_ca_file=ca.cert))
    stranger = other_ca.issue(USER)
    with pytest.raises(psycopg2.OperationalError):
        libpq(p, "require", sslcert=stranger.cert, sslkey=stranger.key)
    c = TlsClient(p.host, p.port).start_tls()
    m = c.recv()
    assert m.sqlstate == "28000" and m.text == "connection requires a valid client certificate"
    c.expect_close()


def test_a_client_certificate_is_asked_for_only_where_it_is_looked_at(new_pooler, ca, other_ca, pair):
    """prefer without authorities asks for none, and with them an unknown one is as good as none."""
    stranger = other_ca.issue(USER)
    for authorities in ({}, {"client_tls_ca_file": ca.cert}):
        p = new_pooler(client_settings(pair, **authorities))
        libpq(p, "require", sslcert=stranger.cert, sslkey=stranger.key).close()


def test_show_and_log_say_which_tls(new_pooler, pair):
    p = new_pooler(client_settings(pair))
    c = TlsClient(p.host, p.port).start_tls().login(USER, "test", PASSWORD)
    plain = p.connect(USER, password=PASSWORD)
    tls = sorted(r["tls"] for r in p.ask("SHOW CLIENTS", user="admin") if r["user"] == USER)
    assert tls == ["", "TLSv1.3/TLS_AES_128_GCM_SHA256"]
    assert "tls=TLSv1.3/TLS_AES_128_GCM_SHA256" in p.log() and "tls=no" in p.log()
    assert {r["tls"] for r in p.ask("SHOW SOCKETS") if r["user"] == USER} == {"", "TLSv1.3/TLS_AES_128_GCM_SHA256"}
    c.close()
    plain.close()


def test_the_handshake_is_small(new_pooler, pair):
    """Less than 1 kB to the client with an ECDSA P-256 certificate: no tickets, no request for a certificate, no names."""
    p = new_pooler(client_settings(pair))
    c = TlsClient(p.host, p.port).start_tls()
    handshake = c.received
    c.login(USER, "test", PASSWORD)
    assert handshake < 1000
    assert c.tls.session is None or not c.tls.session.has_ticket
    c.close()


def test_tickets_on_demand(new_pooler, pair):
    p = new_pooler(client_settings(pair, client_tls_tickets=1))
    c = TlsClient(p.host, p.port).start_tls().login(USER, "test", PASSWORD)
    assert c.tls.session.has_ticket
    c.close()


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_protocols(new_pooler, pair, version):
    p = new_pooler(client_settings(pair, client_tls_protocols=version))
    libpq(p, "require").close()
    names = {"tlsv1.2": "TLSv1.2", "tlsv1.3": "TLSv1.3"}
    with pytest.raises(psycopg2.OperationalError):
        libpq(p, "require", **({"ssl_min_protocol_version": "TLSv1.3"} if version == "tlsv1.2" else {"ssl_max_protocol_version": "TLSv1.2"}))
    assert "tls=" + names[version] in p.log()


def test_ciphers_and_curves(new_pooler, pair):
    p = new_pooler(client_settings(pair, client_tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256", client_tls13_ciphers="TLS_CHACHA20_POLY1305_SHA256",
                                   client_tls_ecdhcurve="secp384r1"))
    assert TlsClient(p.host, p.port).start_tls().tls.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
    old = client_context()
    old.maximum_version = old.minimum_version = 0x303
    assert TlsClient(p.host, p.port).start_tls(old).tls.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"
    only = client_context()
    only.set_ecdh_curve("prime256v1")
    only.maximum_version = 0x303
    with pytest.raises(Exception):
        TlsClient(p.host, p.port).start_tls(only)


def test_channel_binding_with_libpq(new_pooler, postgres, pair):
    """channel_binding=require logs in over TLS and is refused without."""
    secret = wire.scram_secret(PASSWORD)
    for userlist in ({}, {USER: secret}):
        p = new_pooler(client_settings(pair), userlist=userlist, databases={"test": "host=127.0.0.1 port=%d user=trust_user" % postgres.port})
        libpq(p, "require", channel_binding="require").close()
        with pytest.raises(psycopg2.OperationalError, match="channel binding"):
            libpq(p, "disable", channel_binding="require")
        libpq(p, "require", channel_binding="disable").close()


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_a_man_in_the_middle_is_found_out(new_pooler, ca, other_ca, key):
    """He relays the login between two TLS connections: with channel binding the client's proof isn't good at the other end."""
    p = new_pooler(client_settings(ca.issue("localhost", key=key)))
    with Middle(p.port, other_ca.issue("localhost", key=key)) as m:
        with pytest.raises(psycopg2.OperationalError, match="channel binding"):
            psycopg2.connect(host="127.0.0.1", port=m.port, user=USER, password=PASSWORD, dbname="test", sslmode="require", channel_binding="require")
        libpq_unbound = psycopg2.connect(host="127.0.0.1", port=m.port, user=USER, password=PASSWORD, dbname="test", sslmode="require",
                                         channel_binding="disable")
        libpq_unbound.close()
    assert "SCRAM channel binding check failed" in p.log()


def test_ST_14_a_downgrade_is_found_out(new_pooler, pair):
    """ST-14: a client that could bind and thinks that we can't ('y') was lied to."""
    p = new_pooler(client_settings(pair))
    c = TlsClient(p.host, p.port).start_tls()
    c.send(wire.startup({"user": USER, "database": "test"}))
    m = c.recv()
    assert m.body == struct.pack("!i", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
    c.send(wire.Scram(PASSWORD, gs2=b"y,,").initial())
    m = c.recv()
    assert m.sqlstate == "28000" and m.text == "SCRAM channel binding negotiation error"
    c.expect_close()


@pytest.mark.parametrize("mechanism,gs2", [(b"SCRAM-SHA-256-PLUS", b"n,,"), (b"SCRAM-SHA-256", b"p=tls-server-end-point,,"),
                                           (b"SCRAM-SHA-256-PLUS", b"p=tls-unique,,"), (b"SCRAM-SHA-256-PLUS", b"y,,")])
def test_mechanism_and_flag_must_agree(new_pooler, pair, mechanism, gs2):
    p = new_pooler(client_settings(pair))
    c = TlsClient(p.host, p.port).start_tls()
    c.send(wire.startup({"user": USER, "database": "test"}))
    c.recv()
    c.send(wire.Scram(PASSWORD, gs2=gs2).initial(mechanism))
    assert c.recv().sqlstate == "08P01"
    c.expect_close()


def test_ed25519_has_no_binding(new_pooler):
    """Its signature has no hash of its own: PLUS isn't offered, and everything else works."""
    own = Authority("localhost", "ed25519")
    p = new_pooler(client_settings(own))
    own.destroy()
    libpq(p, "require", channel_binding="prefer").close()
    c = TlsClient(p.host, p.port).start_tls()
    c.send(wire.startup({"user": USER, "database": "test"}))
    assert c.recv().body == struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"


def test_TL_04_a_bad_certificate_counts_as_none(new_pooler, ca, pair):
    """TL-04: Below verify-ca. What verification found wrong (here a signature: an authority with the name of ours) must not end the connection."""
    p = new_pooler(client_settings(pair, client_tls_ca_file=ca.cert))
    forger = Authority()
    mine = forger.issue(USER)
    subprocess.run(["openssl", "x509", "-req", "-in", mine.cert.replace(".crt", ".csr"), "-CA", forger.cert, "-CAkey", forger.key, "-set_serial", "1",
                    "-days", "1", "-out", mine.cert], check=True, capture_output=True)  # without the extension that names the issuer's key
    for _ in range(10):
        c = TlsClient(p.host, p.port).start_tls(client_context(pair=mine)).login(USER, "test", PASSWORD)
        assert c.value("select 1") == "1"
        c.close()
    forger.destroy()
    assert "TLS handshake failed" not in p.log()


# ---- the console and cancels -------------------------------------------------------------------------------------------

def test_the_console_by_tls(new_pooler, pair):
    p = new_pooler(client_settings(pair, "require", auth_type="trust"))
    c = psycopg2.connect(host=p.host, port=p.port, user="admin", dbname="pgweir", sslmode="require")
    c.autocommit = True
    with c.cursor() as cur:
        cur.execute("SHOW VERSION")
        assert cur.fetchall()[0][0].startswith("PgBouncer")
    c.close()


@pytest.mark.parametrize("by_tls", [False, True])
def test_CA_08_cancel(new_pooler, tls_postgres, ca, pair, by_tls):
    """CA-08: A cancel may come by TLS or in plain text; towards the server it goes as the server's connection went."""
    p = new_pooler(client_settings(pair, server_tls_sslmode="verify-full", server_tls_ca_file=ca.cert), server=tls_postgres,
                   databases={"test": "host=127.0.0.1 port=%d user=tls_user password='tls secret'" % tls_postgres.port})
    c = TlsClient(p.host, p.port).start_tls().login(USER, "test", PASSWORD)
    c.send(wire.query("select pg_sleep(60)"))
    wait_until(lambda: tls_postgres.sessions("query like '%pg_sleep(60)%' and state = 'active'"), what="the query runs")
    canceller = TlsClient(p.host, p.port)
    if by_tls:
        canceller.start_tls()
    canceller.send(wire.cancel_request(c.pid, c.secret))
    assert c.recv_until("E")[-1].sqlstate == "57014"
    assert c.recv().kind == "Z"
    canceller.expect_close()
    assert c.query("select 1") == [["1"]]
    c.close()


# ---- servers -----------------------------------------------------------------------------------------------------------

def tls_server(server, user="tls_user", password="tls secret", host="127.0.0.1", **more):
    entry = "host=%s port=%d user=%s password='%s'" % (host, server.port, user, password)
    return {"test": entry + "".join(" %s=%s" % kv for kv in more.items())}


def server_is_used(p, server, by_tls):
    c = p.connect(user="trust_user")
    assert c.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [["t" if by_tls else "f"]]
    assert {bool(r["tls"]) for r in p.ask("SHOW SERVERS")} == {by_tls}
    c.close()


def server_is_refused(p, text):
    with pytest.raises((LoginFailed, QueryFailed)) as failed:
        p.connect(user="trust_user").query("select 1")
    assert text in failed.value.error.text, failed.value.error.text


@pytest.mark.parametrize("mode,uses,text", [
    ("disable", False, None), ("allow", True, None), ("prefer", True, None), ("require", True, None), ("verify-ca", True, None),
    ("verify-full", True, None)])
def test_server_modes(new_pooler, tls_postgres, ca, mode, uses, text):
    user, password = ("tls_user", "tls secret") if uses else (USER, PASSWORD)
    p = new_pooler({"server_tls_sslmode": mode, "server_tls_ca_file": ca.cert}, server=tls_postgres,
                   databases=tls_server(tls_postgres, user, password))
    server_is_used(p, tls_postgres, uses)


def test_TL_09_server_without_tls(new_pooler, postgres):
    """TL-09: prefer goes on in plain text, require doesn't."""
    for mode in ("allow", "prefer"):
        server_is_used(new_pooler({"server_tls_sslmode": mode}), postgres, False)
    for mode in ("require", "verify-ca", "verify-full"):
        server_is_refused(new_pooler({"server_tls_sslmode": mode}), "does not support SSL")


def test_TL_09_server_name_and_authority(new_pooler, tls_postgres, ca, other_ca):
    """TL-09: the name that was asked for, or the address, must be in the certificate; and somebody known must have signed it."""
    for host, text in (("localhost", None), ("127.0.0.1", None), ("127.0.0.2", "IP address mismatch")):
        settings = {"server_tls_sslmode": "verify-full", "server_tls_ca_file": ca.cert}
        databases = tls_server(tls_postgres, host=host)
        if text:  # PostgreSQL listens on one address only
            tls_postgres.sql("alter system set listen_addresses = '127.0.0.1, 127.0.0.2'")
            tls_postgres.restart()
        p = new_pooler(settings, server=tls_postgres, databases=databases)
        if text:
            server_is_refused(p, text)
        else:
            server_is_used(p, tls_postgres, True)
    p = new_pooler({"server_tls_sslmode": "verify-ca", "server_tls_ca_file": ca.cert}, server=tls_postgres,
                   databases=tls_server(tls_postgres, host="127.0.0.2"))
    server_is_used(p, tls_postgres, True)
    for mode in ("verify-ca", "verify-full"):
        p = new_pooler({"server_tls_sslmode": mode, "server_tls_ca_file": other_ca.cert}, server=tls_postgres, databases=tls_server(tls_postgres))
        server_is_refused(p, "certificate verify failed")


def test_a_database_has_its_own_tls(new_pooler, tls_postgres, ca):
    """The line in [databases] comes first, and the others share what it doesn't say."""
    databases = dict(tls_server(tls_postgres, sslmode="verify-full", sslrootcert=ca.cert), **{
        "test2": "host=127.0.0.1 port=%d sslmode=disable" % tls_postgres.port,
        "uri": "postgresql://tls_user:tls%%20secret@127.0.0.1:%d/test?sslmode=verify-ca&sslrootcert=%s" % (tls_postgres.port, ca.cert)})
    p = new_pooler({"server_tls_sslmode": "require"}, server=tls_postgres, databases=databases)
    server_is_used(p, tls_postgres, True)
    c = p.connect(user="app", database="test2")
    assert c.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [["f"]]
    u = p.connect(user="app", database="uri")
    assert u.query("select ssl, current_user from pg_stat_ssl where pid = pg_backend_pid()") == [["t", "tls_user"]]


def test_TL_09_a_client_certificate_for_the_server(new_pooler, tls_postgres, ca):
    mine, other = ca.issue("cert_user"), ca.issue("somebody")
    for pair, works in ((mine, True), (other, False)):
        p = new_pooler({"server_tls_sslmode": "require", "server_tls_cert_file": pair.cert, "server_tls_key_file": pair.key}, server=tls_postgres,
                       databases={"test": "host=127.0.0.1 port=%d user=cert_user" % tls_postgres.port})
        if works:
            server_is_used(p, tls_postgres, True)
        else:
            server_is_refused(p, "certificate authentication failed")


def test_the_server_login_is_bound(new_pooler, tls_postgres, ca, other_ca):
    """channel_binding=require finds a server in the middle even where no authority is looked at; prefer uses PLUS where it can."""
    p = new_pooler({"server_tls_sslmode": "require"}, server=tls_postgres, databases=tls_server(tls_postgres, channel_binding="require"))
    server_is_used(p, tls_postgres, True)
    with Middle(tls_postgres.port, other_ca.issue("localhost")) as m:
        for binding, works in (("require", False), ("prefer", False), ("disable", True)):
            entry = "host=127.0.0.1 port=%d user=tls_user password='tls secret' channel_binding=%s" % (m.port, binding)
            p = new_pooler({"server_tls_sslmode": "require"}, server=tls_postgres, databases={"test": entry})
            if works:
                server_is_used(p, tls_postgres, True)
            else:
                server_is_refused(p, "SCRAM channel binding check failed")


@pytest.mark.parametrize("user,password", [("trust_user", ""), ("plain_user", PASSWORDS["plain_user"]), ("md5_user", PASSWORDS["md5_user"])])
def test_required_binding_takes_nothing_less(new_pooler, tls_postgres, user, password):
    """No password is sent, and no trust taken, where the server doesn't prove itself."""
    p = new_pooler({"server_tls_sslmode": "require"}, server=tls_postgres, databases=tls_server(tls_postgres, user, password, channel_binding="require"))
    server_is_refused(p, "channel_binding")


def test_many_servers_share_the_authorities(new_pooler, tls_postgres, ca):
    """CA data once for all databases and connections: a hundred databases cost next to nothing."""
    bundle = ca.dir + "/bundle.crt"
    with open("/etc/ssl/certs/ca-certificates.crt") as system, open(ca.cert) as own, open(bundle, "w") as f:
        f.write(system.read() + own.read())
    sizes = []
    for n in (1, 300):
        databases = {"db%d" % i: "host=127.0.0.1 port=%d dbname=test user=tls_user password='tls secret' sslrootcert=%s sslmode=verify-ca" %
                     (tls_postgres.port, bundle) for i in range(n)}
        p = new_pooler({}, server=tls_postgres, databases=databases)
        c = p.connect(user="trust_user", database="db0")
        assert c.query("select 1") == [["1"]]
        sizes.append(p.rss())
    assert sizes[1] - sizes[0] < 4 << 20


# ---- reload ------------------------------------------------------------------------------------------------------------

def serial_of(p):
    c = TlsClient(p.host, p.port).start_tls()
    der = c.tls.getpeercert(True)
    c.sock.close()
    return der


def test_TL_10_reload_takes_new_certificates(new_pooler, ca, pair):
    """TL-10: for new connections; the old ones live on."""
    p = new_pooler(client_settings(pair, auth_type="trust"))
    old = TlsClient(p.host, p.port).start_tls().login("app", "test")
    before = serial_of(p)
    new = ca.issue("localhost")
    p.settings.update(client_tls_cert_file=new.cert, client_tls_key_file=new.key)
    p.reload()
    after = wait_until(lambda: serial_of(p) != before and serial_of(p), what="the new certificate")
    assert after != before
    assert old.query("select 1") == [["1"]]


@pytest.mark.parametrize("what", ["missing", "garbage", "mismatch", "folder", "passphrase", "ca", "protocols", "ciphers", "curve"])
def test_TL_10_reload_keeps_what_works(new_pooler, ca, pair, what):
    """TL-10: RELOAD says which file and why, and nothing changes; other settings of the same file neither."""
    p = new_pooler(client_settings(pair, auth_type="trust"))
    before = serial_of(p)
    bad = ca.issue("localhost")
    change, words = {
        "missing": ({"client_tls_key_file": "/nowhere/x.key"}, ["client_tls_key_file /nowhere/x.key", "No such file"]),
        "garbage": ({"client_tls_cert_file": p.ini}, ["client_tls_cert_file " + p.ini]),
        "mismatch": ({"client_tls_key_file": bad.key}, ["client_tls_key_file " + bad.key, "mismatch"]),
        "folder": ({"client_tls_key_file": ca.dir}, ["client_tls_key_file " + ca.dir, "not a regular file"]),
        "passphrase": ({"client_tls_key_file": bad.key}, ["passphrase"]),
        "ca": ({"client_tls_ca_file": p.ini}, ["client_tls_ca_file " + p.ini]),
        "protocols": ({"client_tls_protocols": "sslv3"}, ["client_tls_protocols"]),
        "ciphers": ({"client_tls_ciphers": "NONSENSE"}, ["client_tls_ciphers"]),
        "curve": ({"client_tls_ecdhcurve": "flat"}, ["client_tls_ecdhcurve"]),
    }[what]
    if what == "passphrase":
        subprocess.run(["openssl", "ec", "-in", bad.key, "-aes256", "-passout", "pass:verysecret", "-out", bad.key], check=True, capture_output=True)
        os.chmod(bad.key, 0o644)
    p.settings.update(change, max_client_conn=77)
    with pytest.raises(psycopg2.Error):
        p.reload()
    for word in words:
        wait_until(lambda: word in p.log(), what=word)
    assert "verysecret" not in p.log() and "PRIVATE" not in p.log()
    assert serial_of(p) == before
    assert [r["value"] for r in p.ask("SHOW CONFIG") if r["key"] == "max_client_conn"] == ["1000"]


def test_TL_10_reloads_while_logins_are_under_way(new_pooler, ca):
    """TL-10: Good files and broken ones in turn, with clients that show a certificate on two login threads: none of them notices."""
    pairs = [ca.issue("localhost"), ca.issue("localhost")]
    link = Pair(ca.dir + "/link.crt", ca.dir + "/link.key")

    def use(cert, key):
        for target, name in ((cert, link.cert), (key, link.key)):
            os.symlink(target, name + ".new")
            os.replace(name + ".new", name)
    use(pairs[0].cert, pairs[0].key)
    p = new_pooler(client_settings(link, "verify-ca", client_tls_ca_file=ca.cert, login_threads=2))
    mine, failures, done, is_over = client_context(pair=ca.issue(USER)), [], [], threading.Event()

    def log_in():
        while not is_over.is_set():
            try:
                TlsClient(p.host, p.port).start_tls(mine).login(USER, "test", PASSWORD).close()
                done.append(True)
            except (LoginFailed, OSError, AssertionError) as e:
                failures.append(e)
    threads = [threading.Thread(target=log_in) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(20):
        enough = len(done) + 4
        use(p.ini if i % 4 == 3 else pairs[i % 2].cert, pairs[i % 2].key)
        os.kill(p.process.pid, signal.SIGHUP)
        wait_until(lambda: p.log().count("configuration reloaded") + p.log().count("reload failed") == i + 1, what="the reload")
        wait_until(lambda: len(done) >= enough or failures, what="logins go on")
    is_over.set()
    for t in threads:
        t.join()
    assert not failures, failures[0]
    assert p.log().count("reload failed") == 5, "a broken file wasn't refused"


def test_a_key_that_others_may_read(new_pooler, ca, postgres):
    """Refused as PostgreSQL refuses it; in [pgbouncer], where it wasn't minded, a warning."""
    pair = ca.issue("localhost")
    os.chmod(pair.key, 0o644)
    p = new_pooler(client_settings(pair, auth_type="trust"))
    assert "group or others have access to the private key" in p.log()
    with open(p.ini) as f:
        text = f.read().replace("[pgbouncer]", "[pgweir]")
    with open(p.dir + "/strict.ini", "w") as f:
        f.write(text)
    r = subprocess.run([p.program, "-t", p.dir + "/strict.ini"], capture_output=True, text=True)
    assert r.returncode == 1 and "client_tls_key_file " + pair.key in r.stderr


def test_TL_10_changed_server_tls_reopens_servers(new_pooler, tls_postgres, ca):
    """As PgBouncer does; a reload without a change recycles nothing (TL-10)."""
    p = new_pooler({"server_tls_sslmode": "require"}, server=tls_postgres, databases=tls_server(tls_postgres))
    c = p.connect(user="trust_user")
    first = c.value("select pg_backend_pid()")
    p.reload()
    assert c.value("select pg_backend_pid()") == first
    p.settings.update(server_tls_sslmode="verify-ca", server_tls_ca_file=ca.cert)
    p.reload()
    wait_until(lambda: c.value("select pg_backend_pid()") != first, what="another server")


def test_end_while_handshakes_are_under_way(new_pooler, pair):
    """SIGINT ends it although somebody stopped in the middle of a handshake."""
    p = new_pooler(client_settings(pair))
    c = TlsClient(p.host, p.port)
    assert c.ask() == b"S"
    c.sock.sendall(b"\x16\x03\x01\x01")
    assert p.end(signal.SIGINT) == 0

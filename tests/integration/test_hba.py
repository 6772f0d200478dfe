"""HBA files and user name maps: who comes in from where, and how; PostgreSQL with the same file is the reference."""
import os
import pwd
import signal
import subprocess

import psycopg2
import pytest
from pooler import Pooler
from postgres import PASSWORDS
from tls import Authority, TlsClient, client_context
from wire import Client, LoginFailed, wait_until

ME = pwd.getpwuid(os.getuid()).pw_name
HBA = """# everybody's file
local   all             other           trust
local   all             "app"           peer map=me
host    test            scram_user      127.0.0.1/32            scram-sha-256
host    test            md5_user        127.0.0.1 255.255.255.255 md5
host    test            plain_user      samehost                password
host    test            trust_user      all                     trust
host    "te st",/^tes   app             samenet                 trust
host    pgweir,pgbouncer admin          all                     trust
host    test            reject_user     0.0.0.0/0               reject
hostssl all             all             all                     trust
"""
IDENT = "me /^%s(.?)$ app\\1\n" % ME


def hba_pooler(new_pooler, hba=HBA, **settings):
    return new_pooler(dict({"auth_type": "hba", "auth_hba_file": "hba.conf", "auth_ident_file": "ident.conf"}, **settings),
                      files={"hba.conf": hba, "ident.conf": IDENT})


def refusal(host, port, user, database="test", password=None):
    with pytest.raises(LoginFailed) as failed:
        Client(host, port).login(user, database, password)
    return failed.value.sqlstate, failed.value.error.text


@pytest.fixture
def like_ours(postgres):
    """PostgreSQL with our HBA file, and afterwards with its own again."""
    files = {name: open(postgres.data + "/" + name).read() for name in ("pg_hba.conf", "pg_ident.conf")}

    def write(hba, ident):
        for name, text in (("pg_hba.conf", hba), ("pg_ident.conf", ident)):
            with open(postgres.data + "/" + name, "w") as f:
                f.write(text)

    # the harness connects as postgres, by the Unix socket
    write("local all postgres trust\n" + HBA.replace("/^tes", "test"), IDENT)
    postgres.sql("select pg_reload_conf()")
    wait_until(lambda: postgres.sql("select count(*) from pg_hba_file_rules where 'te st' = any(database)")[0][0] == 1, what="its rules")
    yield postgres
    write(files["pg_hba.conf"], files["pg_ident.conf"])
    postgres.sql("select pg_reload_conf()")
    wait_until(lambda: not postgres.sql("select * from pg_hba_file_rules where 'te st' = any(database)"), what="its own rules")


CASES = [  # socket, user, database, password, refusal
    ("tcp", "trust_user", "test", None, None),
    ("tcp", "scram_user", "test", PASSWORDS["scram_user"], None),
    ("tcp", "scram_user", "test", "wrong", ("28P01", 'password authentication failed for user "scram_user"')),
    ("tcp", "md5_user", "test", PASSWORDS["md5_user"], None),
    ("tcp", "md5_user", "test", "wrong", ("28P01", 'password authentication failed for user "md5_user"')),
    ("tcp", "plain_user", "test", PASSWORDS["plain_user"], None),
    ("tcp", "plain_user", "test", "wrong", ("28P01", 'password authentication failed for user "plain_user"')),
    ("tcp", "app", "test", None, None),
    ("tcp", "reject_user", "test", None,
     ("28000", 'pg_hba.conf rejects connection for host "127.0.0.1", user "reject_user", database "test", no encryption')),
    ("tcp", "trust_user", "test2", None,
     ("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "trust_user", database "test2", no encryption')),
    ("tcp", "other", "test", None, ("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "other", database "test", no encryption')),
    ("unix", "other", "test", None, None),
    ("unix", "app", "test", None, None),
    ("unix", "trust_user", "test", None,
     ("28000", 'no pg_hba.conf entry for host "[local]", user "trust_user", database "test", no encryption')),
]


@pytest.mark.parametrize("path", ["direct", "pgweir"])
def test_hba_decides_as_postgresql_does(like_ours, new_pooler, path):
    """Each way in, the right and the wrong password, and the words of each refusal. PostgreSQL's own connections come by trust."""
    end = like_ours
    if path == "pgweir":
        end = hba_pooler(new_pooler)
        end.databases["*"] = "host=%s port=%d user=postgres" % (like_ours.dir, like_ours.port)
        end.reload()
    for socket, user, database, password, refused in CASES:
        host = end.host if socket == "tcp" else end.dir
        if refused:
            assert refusal(host, end.port, user, database, password) == refused, (socket, user, database)
        else:
            c = Client(host, end.port).login(user, database, password)
            assert c.query("select 1") == [["1"]]
            c.close()


def test_hba_peer(new_pooler):
    """peer: the process's user, by a map with a regular expression, and without a map only the one of the same name."""
    p = hba_pooler(new_pooler)
    Client(p.dir, p.port).login("app", "test").close()
    p.files["ident.conf"] = "me /^nobody(.*)$ app\\1\n"
    p.reload()
    assert refusal(p.dir, p.port, "app") == ("28000", 'Peer authentication failed for user "app"')
    p.logged("the system's user \"%s\" may not log in as this one" % ME)
    p.files["hba.conf"] = "local all all peer\nhost pgweir admin all trust\n"
    p.userlist[ME] = "x"
    p.databases["*"] += " user=app"
    p.reload()
    Client(p.dir, p.port).login(ME, "test").close()
    assert refusal(p.dir, p.port, "other")[0] == "28000"


def test_hba_broken_file_keeps_the_old_whole(new_pooler):
    """A reload with a mistake changes nothing, neither in the file nor beside it, and says where the mistake is."""
    p = hba_pooler(new_pooler)
    p.files["hba.conf"] = HBA.replace("host    test            trust_user      all                     trust", "host test trust_user all magic")
    p.databases["test2"] = p.server_address() + " dbname=test"
    p.write()
    with pytest.raises(psycopg2.Error):
        p.ask("RELOAD")
    p.logged('hba.conf:7: invalid authentication method "magic"')
    Client(p.host, p.port).login("trust_user", "test").close()
    assert "test2" not in {r["name"] for r in p.ask("SHOW DATABASES")}
    p.files["hba.conf"], p.files["ident.conf"] = HBA, "me /( x\n"
    p.write()
    p.process.send_signal(signal.SIGHUP)
    p.logged("ident.conf:1: invalid regular expression")
    p.files["ident.conf"] = IDENT
    p.reload()
    assert "test2" in {r["name"] for r in p.ask("SHOW DATABASES")}


def test_hba_reload_and_set(new_pooler):
    """New rules are for new logins; those who are in stay. SET auth_type reads the file, or says why it can't."""
    p = hba_pooler(new_pooler)
    inside = p.connect("trust_user")
    p.files["hba.conf"] = HBA.replace("trust_user", "nobody")
    p.reload()
    assert refusal(p.host, p.port, "trust_user")[0] == "28000"
    assert inside.query("select 1") == [["1"]]
    p.ask("SET auth_type = 'trust'")
    p.connect("trust_user").close()
    with pytest.raises(psycopg2.Error):
        p.ask("SET auth_hba_file = 'missing.conf'; ")
        p.ask("SET auth_type = 'hba'")
    p.ask("SET auth_hba_file = 'hba.conf'")
    p.ask("SET auth_type = 'hba'")
    assert refusal(p.host, p.port, "trust_user")[0] == "28000"


@pytest.mark.parametrize("settings,error", [
    ({"auth_type": "hba"}, "auth_type hba needs auth_hba_file"),
    ({"auth_type": "hba", "auth_hba_file": "missing"}, 'cannot read "missing": No such file or directory'),
    ({"auth_type": "hba", "auth_hba_file": "bad"}, "bad:2: unterminated quoted string"),
    ({"auth_type": "hba", "auth_hba_file": "loop"}, 'loop:1: cannot read "loop": files are nested too deeply'),
    ({"auth_type": "ldap"}, 'auth_ldap_options:1: authentication method "ldap" requires argument "ldapserver" to be set'),
    ({"auth_type": "ldap", "auth_ldap_options": "ldapserver=x ldapprefix=y ldapbindpasswd=sesame open"},
     "auth_ldap_options:1: authentication option not in name=value format"),
])
def test_hba_mistakes_at_the_start(postgres, settings, error):
    """pgweir doesn't start, and says where the mistake is; no password is part of that."""
    p = Pooler(postgres, settings, files={"bad": "# x\nlocal all \"all trust\n", "loop": "include loop\n"}, start=False)
    with pytest.raises(AssertionError, match="ended at once"):
        p.start()
    assert error in p.log() and "sesame" not in p.log()
    p.process = None
    p.destroy()


def test_hba_rules_outlive_other_news(new_pooler):
    """The user list, read again because it changed, and SET of something else leave the rules as they are."""
    p = hba_pooler(new_pooler)
    p.files["hba.conf"] += "host pgweir stats all password\n"
    p.reload()
    p.userlist["stats"] = "another word"
    p.write()

    def is_known():
        try:
            Client(p.host, p.port).login("stats", "pgweir", "another word").close()
            return True
        except LoginFailed:
            return False
    wait_until(is_known, what="the new user list")
    p.ask("SET query_timeout = 7")
    Client(p.host, p.port).login("trust_user", "test").close()
    assert refusal(p.host, p.port, "other")[0] == "28000"


def test_hba_console(new_pooler):
    """The console is a database: rules say who may try, admin_users who may do what."""
    p = hba_pooler(new_pooler)
    assert p.ask("SHOW VERSION")
    assert refusal(p.host, p.port, "trust_user", "pgweir")[0] == "28000"


def test_a_changed_auth_file_leaves_the_rules(postgres, new_pooler):
    """auth_file is read again by itself: that changes who knows what, not who may come in from where."""
    p = hba_pooler(new_pooler)
    p.userlist["newcomer"] = "secret"
    p.write()
    wait_until(lambda: "auth_file has changed" in p.log(), what="auth_file has been read again")
    assert refusal(p.host, p.port, "reject_user")[0] == "28000"
    Client(p.host, p.port).login("trust_user", "test").close()


# ---- certificates

@pytest.fixture(scope="module")
def ca():
    a = Authority()
    yield a
    a.destroy()


@pytest.fixture(scope="module")
def stranger():
    a = Authority("somebody else")
    yield a
    a.destroy()


def tls_settings(ca, mode, **settings):
    pair = ca.issue("localhost", "IP:127.0.0.1")
    return dict({"client_tls_sslmode": mode, "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key,
                 "client_tls_ca_file": ca.cert}, **settings)


def tls_login(p, user, pair=None, password=None):
    return TlsClient(p.host, p.port).start_tls(client_context(pair=pair)).login(user, "test", password)


def tls_refusal(p, user, pair=None, password=None):
    with pytest.raises(LoginFailed) as failed:
        tls_login(p, user, pair, password)
    return failed.value.sqlstate, failed.value.error.text


@pytest.mark.parametrize("settings", ["", "client_tls_sslmode = disable\nclient_tls_ca_file = {ca}", "client_tls_sslmode = require"])
def test_auth_type_cert_needs_verification(new_pooler, ca, settings):
    """Where no certificate is verified nobody could come in: that is said at the start, and by a reload."""
    p = new_pooler()
    with open(p.dir + "/cert.ini", "w") as f:
        f.write("[databases]\n* = host=127.0.0.1\n[pgweir]\nlisten_port = %d\nauth_type = cert\n%s\n" % (p.port, settings.format(ca=ca.cert)))
    r = subprocess.run([p.program, "-t", p.dir + "/cert.ini"], capture_output=True, text=True)
    assert r.returncode == 1 and "auth_type cert needs certificates that are verified" in r.stderr, r
    p.settings["auth_type"] = "cert"
    with pytest.raises(psycopg2.Error, match="auth_type cert needs"):
        p.reload()
    assert p.connect().value("select 1") == "1"


def test_auth_type_cert(new_pooler, ca):
    """The certificate's common name is the user's; the user must be known; without TLS nobody comes in."""
    p = new_pooler(tls_settings(ca, "verify-full", auth_type="cert", client_tls_sslmode="allow"))
    c = tls_login(p, "app", ca.issue("app"))
    assert c.query("select current_user") == [["app"]]
    c.close()
    wrong = ("28000", 'certificate authentication failed for user "app"')
    assert tls_refusal(p, "app", ca.issue("other")) == wrong
    assert tls_refusal(p, "app", ca.issue("", subject="/O=app")) == wrong
    assert tls_refusal(p, "nobody", ca.issue("nobody")) == ("28000", 'role "nobody" does not exist')
    assert tls_refusal(p, "app") == ("28000", "connection requires a valid client certificate")
    assert refusal(p.host, p.port, "app") == ("28000", "connection requires a valid client certificate")


CERT_HBA = """hostssl all app all cert map=cn
hostssl all other all cert map=dn clientname=DN
hostssl all scram_user all scram-sha-256 clientcert=verify-ca
hostssl all plain_user all password clientcert=verify-full
hostssl all trust_user all trust
hostnossl all trust_user all reject
host pgweir admin all trust
"""
CERT_IDENT = "cn /^(.*)@example\\.com$ \\1\ndn \"/^CN=x,O=(.*)$\" \\1\n"


def test_hba_certificates(new_pooler, ca, stranger):
    """cert with maps over common and distinguished names, clientcert= beside passwords; a stranger's certificate is none."""
    p = new_pooler(tls_settings(ca, "prefer", auth_type="hba", auth_hba_file="hba.conf", auth_ident_file="ident.conf"),
                   files={"hba.conf": CERT_HBA, "ident.conf": CERT_IDENT})
    none = ("28000", "connection requires a valid client certificate")
    tls_login(p, "app", ca.issue("app@example.com")).close()
    assert tls_refusal(p, "app", ca.issue("app@example-com"))[1] == 'certificate authentication failed for user "app"'
    assert tls_refusal(p, "app", ca.issue("app"))[0] == "28000"
    tls_login(p, "other", ca.issue("", subject="/O=other/CN=x")).close()
    assert tls_refusal(p, "other", ca.issue("", subject="/O=other2/CN=x"))[0] == "28000"
    tls_login(p, "scram_user", ca.issue("whoever"), PASSWORDS["scram_user"]).close()
    assert tls_refusal(p, "scram_user", ca.issue("whoever"), "wrong")[0] == "28P01"
    assert tls_refusal(p, "scram_user", None, PASSWORDS["scram_user"]) == none
    tls_login(p, "plain_user", ca.issue("plain_user"), PASSWORDS["plain_user"]).close()
    assert tls_refusal(p, "plain_user", ca.issue("whoever"), PASSWORDS["plain_user"]) == \
        ("28000", 'certificate authentication failed for user "plain_user"')
    tls_login(p, "trust_user").close()
    assert refusal(p.host, p.port, "trust_user")[0] == "28000"
    assert tls_refusal(p, "other", stranger.issue("", subject="/O=other/CN=x")) == none
    assert tls_refusal(p, "app", stranger.issue("app@example.com")) == none
    assert tls_refusal(p, "nobody", ca.issue("nobody")) == \
        ("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "nobody", database "test", SSL encryption')

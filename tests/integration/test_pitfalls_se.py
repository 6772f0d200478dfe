"""SE: secrets, and what others got wrong at the door. (What concerns auth_query is in test_auth_query.py.)"""
import base64
import os
import signal
import struct
import subprocess
import time

import psycopg2
import pytest
import secrets_seen
import wire
from pooler import Pooler
from postgres import PASSWORDS, unprivileged
from tls import Authority
from wire import SLOW, Client, LoginFailed, wait_until

HBA = """host all /^u+$,nobody all scram-sha-256
host "/^(d+)+$" all all password
host all md5_user all md5
host all plain_user all password
host all all all scram-sha-256
"""


def refused(p, user, database="test", password="wrong", **kw):
    with pytest.raises(LoginFailed) as failed:
        Client(p.host, p.port).login(user, database, password, **kw)
    return failed.value


@pytest.mark.parametrize("auth_type", ["trust", "plain", "md5", "scram-sha-256", "hba", "cert"])
@pytest.mark.parametrize("size", [63, 64, 127, 128, 255, 4096, 9900])
def test_SE_04_long_names(poolers, new_pooler, auth_type, size):
    """SE-04: User and database names of any length that a startup packet holds are refused in few words, and hurt nobody."""
    settings = {"auth_type": auth_type, "auth_hba_file": "hba.conf", "application_name_add_host": 1}
    if auth_type == "cert":
        ca = Authority()
        settings.update(client_tls_sslmode="prefer", client_tls_cert_file=ca.cert, client_tls_key_file=ca.key, client_tls_ca_file=ca.cert)
    p = new_pooler(settings, files={"hba.conf": HBA})
    if auth_type == "cert":
        ca.destroy()
    for user, database in (("u" * size, "test"), ("nobody", "d" * size), ("u" * (size // 2), "d" * (size // 2)), ("\xff" * (size // 2), "test"),
                           ("%n%s" * (size // 4), "test")):
        e = refused(p, user, database)
        assert e.sqlstate in ("28P01", "28000"), e
        assert len(e.error.body) < 400
    assert p.is_running()


@pytest.mark.parametrize("initial", [
    b"SCRAM-SHA-256\0" + struct.pack("!i", 0x7fffffff) + b"n,,n=,r=abc",
    b"SCRAM-SHA-256\0" + struct.pack("!i", -2) + b"n,,n=,r=abc",
    b"SCRAM-SHA-256\0" + struct.pack("!i", -2147483648),
    b"SCRAM-SHA-256\0" + struct.pack("!i", 8000) + b"n,,n=,r=" + b"a" * 7992 + b"x",
    b"SCRAM-SHA-256\0" + struct.pack("!i", 11) + b"n,,n=,r=a\0b",
    b"SCRAM-SHA-256\0" + struct.pack("!i", 8) + b"n,,n=,r=",
    b"SCRAM-SHA-256" + b"x" * 5000,
    b"\0" + struct.pack("!i", 11) + b"n,,n=,r=abc",
])
def test_SE_06_lengths_in_the_first_message(poolers, initial):
    """SE-06: What a client's first SCRAM message says of its length isn't believed."""
    p = poolers.get({"auth_type": "scram-sha-256"})
    c = p.raw()
    c.send(wire.startup({"user": "scram_user", "database": "test"}))
    assert c.recv().kind == "R"
    c.send(wire.message("p", initial))
    got = c.recv_until("E")
    assert got[-1].severity == "FATAL" and got[-1].sqlstate == "08P01"
    c.expect_close()


def final_messages(scram, server_first):
    """The right answer, broken in one way each."""
    right = scram.response(server_first)[5:]
    nonce = dict(part.split(b"=", 1) for part in server_first.split(b","))[b"r"]
    without, proof = right.rsplit(b",p=", 1)
    return {
        "proof too short": without + b",p=" + base64.b64encode(base64.b64decode(proof)[:31]),
        "proof too long": without + b",p=" + base64.b64encode(base64.b64decode(proof) + b"x"),
        "proof of 8 kB": without + b",p=" + base64.b64encode(b"x" * 6000),
        "bad base64": without + b",p=" + b"!" * 44,
        "no proof": without,
        "nonce cut": right.replace(nonce, nonce[:-1]),
        "nonce longer": right.replace(nonce, nonce + b"x"),
        "another nonce": right.replace(nonce, b"A" * len(nonce)),
        "binding of another": right.replace(b"c=biws", b"c=eSws"),
        "nothing": b"",
        "NUL inside": right[:10] + b"\0" + right[10:],
    }


BREAKS = ["proof too short", "proof too long", "proof of 8 kB", "bad base64", "no proof", "nonce cut", "nonce longer", "another nonce",
          "binding of another", "nothing", "NUL inside"]


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("user", ["scram_user", "nobody"])
def test_SE_06_broken_proofs(poolers, what, user):
    """SE-06: A proof with anything wrong about it gets nobody in, and an unknown user's is answered like a known one's."""
    p = poolers.get({"auth_type": "scram-sha-256"})
    c = p.raw()
    c.send(wire.startup({"user": user, "database": "test"}))
    c.recv()
    scram = wire.Scram(PASSWORDS["scram_user"])
    c.send(scram.initial())
    c.send(wire.message("p", final_messages(scram, c.recv().body[4:])[what]))
    got = c.recv_until("E")
    assert got[-1].severity == "FATAL" and got[-1].sqlstate in ("08P01", "28P01", "28000"), got[-1]
    c.expect_close()


def test_SE_11_nothing_is_seen(new_pooler, postgres):
    """SE-11: With everything logged, after right and wrong logins, reloads and errors, no secret is in log or console."""
    verifier = postgres.sql("select rolpassword from pg_authid where rolname = 'scram_user'")[0][0]
    hashed = postgres.sql("select rolpassword from pg_authid where rolname = 'md5_user'")[0][0]
    p = new_pooler({"auth_type": "hba", "auth_hba_file": "hba.conf", "verbose": 3}, files={"hba.conf": HBA},
                   userlist={"scram_user": verifier, "md5_user": hashed},
                   databases={"test": "host=%s port=%d" % (postgres.host, postgres.port),
                              "forced": "host=%s port=%d dbname=test user=plain_user password='plain secret'" % (postgres.host, postgres.port),
                              "wrong": "host=%s port=%d dbname=test user=plain_user password='not the password'" % (postgres.host, postgres.port)})
    for user, password in PASSWORDS.items():
        Client(p.host, p.port).login(user, "test", password).query("select 1")
        refused(p, user, password=password + "x")
        Client(p.host, p.port).login(user, "forced", password).query("select 1")
        with pytest.raises((LoginFailed, wire.QueryFailed)):
            Client(p.host, p.port).login(user, "wrong", password).query("select 1")
    p.databases["bad"] = "host=x password='a secret with a mistake behind it' nonsense=1"
    p.write()
    with pytest.raises(psycopg2.Error):
        p.ask("RELOAD")
    p.logged("unknown key")
    shown = p.all_shown()
    assert "plain_user" in shown and p.logged("login failed")  # there was something to see
    p.show_no_secret()


def test_SE_11_no_core(new_pooler):
    """SE-11: Neither a core nor another process of the same user shows its memory: then /proc's files of it belong to root."""
    p = new_pooler()
    files = "/proc/%d/" % p.process.pid
    with open(files + "status") as f:
        uids = next(line for line in f if line.startswith("Uid:")).split()[1:]
    assert "0" not in uids
    assert os.stat(files + "mem").st_uid == 0
    other = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, **unprivileged())
    try:
        wait_until(lambda: os.stat("/proc/%d/mem" % other.pid).st_uid == int(uids[0]), what="which others' don't")
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("text", ["scram secret", PASSWORDS["md5_user"], "SHOW CONFIG has a 'plain secret' in it"])
def test_SE_11_what_is_looked_for_is_found(poolers, text):
    """SE-11: The search itself: it knows the suite's secrets, their hashes and keys."""
    poolers.get({})
    with pytest.raises(AssertionError):
        secrets_seen.check("something\n%s\n" % text, "a text")
    secrets_seen.check("nothing to be seen", "a text")


# ---- auth_failure_delay

def guess(p, password="wrong"):
    """A client that has just said a password."""
    c = p.raw()
    c.send(wire.startup({"user": "plain_user", "database": "test"}))
    assert c.recv().kind == "R"
    c.send(wire.message("p", password + "\0"))
    return c


def test_failed_logins_wait_longer_each_time(new_pooler):
    """Known user, unknown user and wrong password wait alike; whoever knows the password doesn't."""
    delay = 0.3
    p = new_pooler({"auth_type": "scram-sha-256", "auth_failure_delay": delay})
    for i, user in enumerate(("scram_user", "nobody", "plain_user")):
        begun = time.monotonic()
        assert refused(p, user).sqlstate == "28P01"
        assert time.monotonic() - begun >= delay * 2 ** i
    begun = time.monotonic()
    Client(p.host, p.port).login("scram_user", "test", PASSWORDS["scram_user"]).close()
    assert time.monotonic() - begun < delay * 4, "the right password waited"


def test_failed_logins_hold_up_nobody(new_pooler):
    """Many guesses at once wait without a turn: others log in meanwhile. Who hangs up leaves at once."""
    p = new_pooler({"auth_type": "plain", "auth_failure_delay": 3000, "login_concurrency": 1})
    guesses = [guess(p) for _ in range(200)]
    for _ in range(20):
        Client(p.host, p.port).login("plain_user", "test", PASSWORDS["plain_user"]).close()
    assert not any(c.readable(0) for c in guesses)
    before = p.descriptors()
    for c in guesses[:100]:
        c.rst()
    for c in guesses[100:]:
        c.fin()
    wait_until(lambda: p.descriptors() <= before - 200, 10 * SLOW, "their descriptors are closed")


def test_failed_logins_are_answered_when_places_run_out(new_pooler):
    """A crowd that guesses can't keep others out: when all places are taken it is sent away."""
    p = new_pooler({"auth_type": "plain", "auth_failure_delay": 3000, "max_client_conn": 1})
    guesses = [guess(p) for _ in range(1001)]  # max_client_conn and the 1000 beyond it
    c = p.raw()
    c.send(wire.startup({"user": "plain_user", "database": "test"}) + wire.message("p", PASSWORDS["plain_user"] + "\0"))
    assert c.recv_until("Z", timeout=20 * SLOW)[-1].kind == "Z"
    assert guesses[0].recv_until("E", timeout=20 * SLOW)[-1].sqlstate == "28P01"


def test_a_stop_ends_those_who_wait(new_pooler):
    """pgweir doesn't wait for them."""
    p = new_pooler({"auth_type": "plain", "auth_failure_delay": 3000})
    c = guess(p)
    assert p.end(signal.SIGINT, patience=10 * SLOW) == 0
    c.expect_close()


# ---- passwords and Unix sockets

@pytest.mark.parametrize("auth_type", ["plain", "md5", "scram-sha-256"])
@pytest.mark.parametrize("size", [2047, 65534])
def test_ST_13_passwords_of_64_kib(new_pooler, auth_type, size):
    """ST-13: The right one comes in, the same with another last byte doesn't."""
    password = ("pass word" * 8000)[:size - 1] + "!"
    p = new_pooler({"auth_type": auth_type}, userlist={"app": password})
    Client(p.host, p.port).login("app", "test", password).close()
    assert refused(p, "app", password=password[:-1] + "?").sqlstate == "28P01"


@pytest.mark.parametrize("typed", ["I\u00adX", "IX", "\u2168"])
def test_saslprep(new_pooler, typed):
    """RFC 4013's examples: what is written in several ways is the same password in SCRAM."""
    p = new_pooler({"auth_type": "scram-sha-256"}, userlist={"app": "IX"})
    c = psycopg2.connect(host=p.host, port=p.port, user="app", password=typed, dbname="test")
    c.close()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host=p.host, port=p.port, user="app", password=typed + "I", dbname="test")


@pytest.mark.parametrize("mode", ["0700", "0770", "0777"])
def test_unix_socket_mode_and_group(new_pooler, mode):
    """unix_socket_mode and unix_socket_group are those of the file."""
    group = os.stat("/").st_gid if os.getuid() else 0
    settings = {"unix_socket_mode": mode}
    if os.getuid() != 0:
        settings["unix_socket_group"] = str(os.getgid())
    p = new_pooler(settings)
    st = os.stat("%s/.s.PGSQL.%d" % (p.dir, p.port))
    assert st.st_mode & 0o777 == int(mode, 8)
    if os.getuid() != 0:
        assert st.st_gid == os.getgid() or st.st_gid == group
    assert p.end() == 0
    assert not os.path.exists("%s/.s.PGSQL.%d" % (p.dir, p.port))


def test_unix_socket_in_the_abstract_namespace(new_pooler):
    """@name: no file; clients, the console and another pgweir's servers reach it; a second one is told that it's taken."""
    p = new_pooler({"unix_socket_dir": "@pgweir-it-%d" % os.getpid()})
    name = p.settings["unix_socket_dir"]
    Client(name, p.port).login("app", "test").close()
    psycopg2.connect(host=name, port=p.port, user="app", dbname="test").close()
    behind = new_pooler(databases={"*": "host=%s port=%d" % (name, p.port)})
    assert behind.connect().query("select 1") == [["1"]]
    second = Pooler(p.server, {"unix_socket_dir": name, "listen_port": p.port, "listen_addr": ""}, start=False)
    with pytest.raises(AssertionError, match="unix socket is in use"):
        second.start()
    second.process = None
    second.destroy()

"""How pgweir logs in to servers: what it has of a user, where passwords come from, and what happens when they change."""
import base64
import hashlib
import hmac
import os
import shutil
import signal
import tempfile
import time

import pytest
from postgres import Postgres, own
from test_auth_query import admin, try_login
from wire import SLOW, LoginFailed, QueryFailed, wait_until

STRICT = "local all all trust\nhost all all 127.0.0.1/32 md5\n"  # md5: SCRAM where the secret is one


@pytest.fixture(scope="module")
def cluster():
    """A PostgreSQL that wants passwords from everybody."""
    p = Postgres()
    with open(p.data + "/pg_hba.conf", "w") as f:
        f.write(STRICT)
    p.sql("select pg_reload_conf()")
    yield p
    p.destroy()


@pytest.fixture
def role(cluster):
    made = []

    def make(name, password="t0p-s3cr3t", encryption="scram-sha-256"):
        made.append(name)
        cluster.sql("drop role if exists " + name, "set password_encryption = '%s'; create role %s login password '%s'" %
                    (encryption, name, password))
        return cluster.value("select rolpassword from pg_authid where rolname = '%s'" % name)

    yield make
    cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = any(array[%s]::name[])" %
                ",".join("'%s'" % n for n in made))
    for name in made:
        cluster.sql("drop role if exists " + name)


@pytest.fixture
def front(new_pooler, cluster):
    def make(settings=None, **kw):
        userlist = dict({"admin": "admins"}, **kw.pop("userlist", {}))
        return new_pooler(dict({"auth_type": "scram-sha-256", "server_login_retry": 0.2}, **(settings or {})), server=cluster, userlist=userlist,
                          **kw)
    return make


def server_of(cluster, rest=""):
    return "host=%s port=%d dbname=test %s" % (cluster.host, cluster.port, rest)


def kick_out(cluster, user):
    """Its servers are gone, and the pooler has noticed nothing yet."""
    cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'" % user)
    wait_until(lambda: not cluster.sessions("usename = '%s'" % user), what="its servers ended")


# -- what is known of a user


@pytest.mark.parametrize("encryption", ["md5", "scram-sha-256"])
@pytest.mark.parametrize("form", ["plain", "t0p-s3cr3t"])
def test_forms_of_secrets(front, cluster, role, encryption, form):
    """Plain text does for every method; a secret does for its own, SCRAM's with the key of the client's login."""
    secret = role("bob", encryption=encryption)
    p = front({"auth_type": "md5"}, userlist={"bob": secret if form == "t0p-s3cr3t" else "t0p-s3cr3t"})
    c = p.connect("bob", "test", password="t0p-s3cr3t")
    assert c.value("select current_user") == "bob"
    kick_out(cluster, "bob")
    wait_until(lambda: _value(c, "select 1") == "1", what="a new server")


def _value(client, sql):
    try:
        return client.value(sql)
    except QueryFailed as e:
        return e.sqlstate


@pytest.mark.parametrize("workers", [1, 4])
def test_SE_09_keys_of_the_clients_own_login(front, cluster, role, workers):
    """SE-09: Pass-through with only the SCRAM secret: at every worker, for a second database, after a reconnect."""
    secret = role("bob")
    p = front({"worker_threads": workers, "default_pool_size": 2 * workers}, userlist={"bob": secret},
              databases={"test": server_of(cluster), "second": server_of(cluster)})
    clients = [p.connect("bob", d, password="t0p-s3cr3t") for d in ("test", "second") for _ in range(2 * workers)]
    for c in clients:
        c.query("begin")
        assert c.value("select current_user") == "bob"
    for c in clients:
        c.query("commit")
    kick_out(cluster, "bob")
    for c in clients:
        wait_until(lambda c=c: _value(c, "select 1") == "1", what="a new server")


def test_SE_09_forced_users(front, cluster, role):
    """SE-09: The client's key serves for a forced user whose secret is the same, byte for byte, and for no other."""
    secret = role("bob")
    role("stranger")  # the same password, another salt
    cluster.sql("drop role if exists twin", "create role twin login password '%s'" % secret)
    strangers = cluster.value("select rolpassword from pg_authid where rolname = 'stranger'")
    try:
        p = front(userlist={"bob": secret, "twin": secret, "stranger": strangers}, databases={
            "twins": server_of(cluster, "user=twin"), "strangers": server_of(cluster, "user=stranger"),
            "plain": server_of(cluster, "user=stranger password=t0p-s3cr3t")})
        assert p.connect("bob", "twins", password="t0p-s3cr3t").value("select current_user") == "twin"
        assert p.connect("bob", "plain", password="t0p-s3cr3t").value("select current_user") == "stranger"
        with pytest.raises((LoginFailed, QueryFailed)) as failed:
            p.connect("bob", "strangers", password="t0p-s3cr3t").query("select 1")
        assert failed.value.sqlstate == "28P01"
    finally:
        p.end(signal.SIGQUIT)
        cluster.sql("drop role twin")


@pytest.mark.parametrize("encryption", ["md5", "scram-sha-256"])
def test_SE_09_secrets_from_auth_query(front, cluster, role, encryption):
    """SE-09: What auth_query finds serves for the server, too, and so does a password that has changed since."""
    role("bob", encryption=encryption)
    cluster.sql("drop role if exists asker", "create role asker login superuser password 'askers'")
    p = front({"auth_type": "md5", "auth_user": "asker", "worker_threads": 2, "auth_query_cache_ttl": 0}, userlist={"asker": "askers"})
    c = p.connect("bob", "test", password="t0p-s3cr3t")
    assert c.value("select current_user") == "bob"
    cluster.sql("set password_encryption = '%s'; alter role bob password 'other'" % encryption)
    assert c.value("select current_user") == "bob"  # running clients stay
    assert try_login(p, "bob", "t0p-s3cr3t") == "28P01"
    newer = p.connect("bob", "test", password="other")
    kick_out(cluster, "bob")
    for client in (newer, c):  # the older one's worker has learnt it as well
        wait_until(lambda client=client: _value(client, "select current_user") == "bob", what="a server with the new password")


def scram_secret(password, iterations):
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return "SCRAM-SHA-256$%d:%s$%s:%s" % (iterations, *(base64.b64encode(b).decode() for b in (
        salt, stored, hmac.digest(salted, b"Server Key", "sha256"))))


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_plain_text_is_derived_once(front, cluster, role):
    """Many logins to a server cost one PBKDF2: with so many iterations that each one would be seen."""
    role("bob")
    begin = time.process_time()
    secret = scram_secret("t0p-s3cr3t", 1000000)
    cost = time.process_time() - begin
    cluster.sql("alter role bob password '%s'" % secret)
    p = front({"auth_type": "trust", "worker_threads": 2}, userlist={"bob": "t0p-s3cr3t"})
    c = p.connect("bob", "test")
    assert c.value("select 1") == "1"
    before = cpu_seconds(p.process.pid)
    for _ in range(15):
        kick_out(cluster, "bob")
        wait_until(lambda: _value(c, "select 1") == "1", what="a new server")
    assert cpu_seconds(p.process.pid) - before < max(3 * cost, 0.5)


# -- auth_file


def test_auth_file_is_read_when_it_changes(front, cluster, role):
    """Without RELOAD: new users get in, old passwords don't, also when the file is replaced; a broken one changes nothing."""
    role("bob")
    p = front(userlist={"bob": "t0p-s3cr3t", "eve": "x"}, databases={"test": server_of(cluster, "user=bob password=t0p-s3cr3t")})
    assert try_login(p, "bob", "t0p-s3cr3t") is None
    p.userlist["bob"] = "other"
    p.write()
    wait_until(lambda: try_login(p, "bob", "other") is None, what="the new password")
    assert try_login(p, "bob", "t0p-s3cr3t") == "28P01"
    p.userlist["carol"] = "carols"
    path = p.settings["auth_file"]
    p.settings["auth_file"] = path + ".new"
    p.write()
    p.settings["auth_file"] = path
    os.rename(path + ".new", path)
    wait_until(lambda: try_login(p, "carol", "carols") is None, what="a file that was renamed into place")
    with open(path, "w") as f:
        f.write('"bob" "no end\n')
    wait_until(lambda: "auth_file has changed and can't be read" in p.log(), what="a broken file is told")
    assert try_login(p, "bob", "other") is None
    os.unlink(path)
    assert try_login(p, "bob", "other") is None
    p.userlist = {"bob": "third", "admin": "admins"}
    p.write()
    wait_until(lambda: try_login(p, "bob", "third") is None, what="the file is back")
    assert "no end" not in p.log()


def test_a_new_auth_file_reaches_pools_that_exist(front, cluster, role):
    """The server's password changes: clients that are connected go on as soon as auth_file has it."""
    role("bob")
    p = front({"auth_type": "md5"}, userlist={"bob": "t0p-s3cr3t"})
    c = p.connect("bob", "test", password="t0p-s3cr3t")
    assert c.value("select 1") == "1"
    cluster.sql("alter role bob password 'other'")
    kick_out(cluster, "bob")
    wait_until(lambda: _value(c, "select 1") == "28P01", what="the old password fails")
    p.userlist["bob"] = "other"
    p.write()
    wait_until(lambda: _value(c, "select 1") == "1", what="the new one works")


# -- passwords from files and commands


class Source:
    """A password in a file, and a command that prints it and counts how often it ran."""

    def __init__(self, directory, password):
        self.path, self.count_path = directory + "/password", directory + "/count"
        self.set(password)
        self.command = "echo x >>%s; cat %s" % (self.count_path, self.path)

    def set(self, password):
        with open(self.path + ".new", "w") as f:
            f.write(password + "\n")
        os.rename(self.path + ".new", self.path)

    def runs(self):
        try:
            with open(self.count_path) as f:
                return len(f.readlines())
        except FileNotFoundError:
            return 0


@pytest.fixture
def source():
    directory = tempfile.mkdtemp(prefix="pgweir-pw.")
    own(directory)
    yield Source(directory, "t0p-s3cr3t")
    shutil.rmtree(directory)


@pytest.mark.parametrize("kind", ["file", "command"])
@pytest.mark.parametrize("encryption", ["md5", "scram-sha-256"])
def test_a_rotated_password(front, cluster, role, source, kind, encryption):
    """The server's new password is found when the old one is refused, and no client hears of it."""
    role("bob", encryption=encryption)
    how = "password_file=%s" % source.path if kind == "file" else "password_command='%s'" % source.command
    p = front({"auth_type": "trust", "default_pool_size": 5}, databases={"db": server_of(cluster, "user=bob " + how)})
    c = p.connect("app", "db")
    assert c.value("select current_user") == "bob"
    for password in ("second", "third", "fourth"):
        source.set(password)
        cluster.sql("set password_encryption = '%s'; alter role bob password '%s'" % (encryption, password))
        kick_out(cluster, "bob")
        others = [p.connect("app", "db") for _ in range(5)]
        for other in others:
            assert other.value("select current_user") == "bob"
            other.close()
    if kind == "command":
        assert source.runs() == 4
    for word in ("second", "third", "fourth"):
        assert word not in p.log()


def test_a_password_is_kept_for_its_ttl(front, cluster, role, source):
    role("bob")
    p = front({"auth_type": "trust", "worker_threads": 4, "default_pool_size": 20},
              databases={"db": server_of(cluster, "user=bob password_command='%s'" % source.command),
                         "short": server_of(cluster, "user=bob password_ttl=0 password_command='%s; true'" % source.command)})
    clients = [p.connect("app", "db") for _ in range(20)]
    for c in clients:
        c.query("begin")
    assert source.runs() == 1
    for c in clients:
        c.close()
    for n in (2, 3):
        short = p.connect("app", "short")
        assert short.value("select 1") == "1"
        assert source.runs() == n
        short.close()
        kick_out(cluster, "bob")


def test_a_wrong_password_is_told_and_not_hammered(front, cluster, role, source):
    """The source gives what the server refuses: 28P01 for clients; asked again with pauses; a right one heals it."""
    role("bob")
    source.set("wrong-password")
    p = front({"auth_type": "trust"}, databases={"db": server_of(cluster, "user=bob password_command='%s'" % source.command)})
    with pytest.raises((LoginFailed, QueryFailed)) as failed:
        p.connect("app", "db").query("select 1")
    assert failed.value.sqlstate == "28P01"
    since = os.path.getsize(cluster.log)
    for _ in range(20):
        with pytest.raises((LoginFailed, QueryFailed)):
            p.connect("app", "db").query("select 1")
    assert source.runs() <= 4
    with open(cluster.log) as f:
        f.seek(since)
        assert f.read().count('password authentication failed for user "bob"') <= 1
    assert "wrong-password" not in p.log()
    source.set("t0p-s3cr3t")
    wait_until(lambda: _works(p, "db"), what="the right password")


def _works(p, database):
    try:
        c = p.connect("app", database)
        try:
            return c.value("select 1") == "1"
        finally:
            c.close()
    except (LoginFailed, QueryFailed):
        return False


@pytest.mark.parametrize("command, cause", [("exit 7", "it ended with status 7"), ("echo", "the first line is empty"),
                                            ("echo top-secret; exit 1", "it ended with status 1")])
def test_a_command_that_fails(front, cluster, role, command, cause):
    """Clients wait as long as they may, and are told the cause, without what the command said."""
    role("bob")
    p = front({"auth_type": "trust", "query_wait_timeout": 1, "client_login_timeout": 2},
              databases={"db": server_of(cluster, "user=bob password_command='%s'" % command)})
    with pytest.raises((LoginFailed, QueryFailed)) as failed:
        p.connect("app", "db").query("select 1")
    assert failed.value.sqlstate in ("08006", "53300")
    wait_until(lambda: cause in p.log(), what="the cause in the log")
    assert "top-secret" not in p.log() and "top-secret" not in str(failed.value)


def test_a_command_that_hangs_holds_up_nobody(front, cluster, role):
    """Other databases go on, logins have their deadline, and the end of the process doesn't wait."""
    role("bob")
    p = front({"auth_type": "trust", "query_wait_timeout": 1, "client_login_timeout": 2},
              databases={"db": server_of(cluster, "user=bob password_command='sleep 1000'"),
                         "other": server_of(cluster, "user=bob password=t0p-s3cr3t")})
    with pytest.raises((LoginFailed, QueryFailed)):
        p.connect("app", "db").query("select 1")
    assert p.connect("app", "other").value("select 1") == "1"
    begin = time.monotonic()
    assert p.end(signal.SIGQUIT) == 0
    assert time.monotonic() - begin < 5 * SLOW


def test_the_command_knows_what_it_is_for(front, cluster, role, source):
    """And no client can get anything into it."""
    role("bob")
    command = "echo \"$PGUSER $PGHOST $PGPORT $PGDATABASE\" >%s; cat %s" % (source.count_path, source.path)
    p = front({"auth_type": "trust"}, databases={"*": "host=%s port=%d user=bob password_command='%s'" % (cluster.host, cluster.port, command)})
    assert p.connect("app", "test").value("select current_user") == "bob"
    with open(source.count_path) as f:
        assert f.read() == "bob %s %d test\n" % (cluster.host, cluster.port)
    for name in ("$(touch %s.owned)" % source.path, "`touch %s.owned`" % source.path, "x'; touch %s.owned; '" % source.path):
        with pytest.raises((LoginFailed, QueryFailed)):
            p.connect("app", name[:60]).query("select 1")
    assert not os.path.exists(source.path + ".owned")


# -- long ones


@pytest.mark.parametrize("size", [1023, 1024, 4096, 8000, 60000, 65536])
@pytest.mark.parametrize("auth_type", ["plain", "md5", "scram-sha-256"])
def test_ST_13_long_passwords(front, cluster, role, auth_type, size):
    """ST-13: Up to 64 KiB, from the client and from files, and to the server by SCRAM."""
    password = "p" * size
    fits_server = size <= 60000
    role("bob", password if fits_server else "t0p-s3cr3t")
    p = front({"auth_type": auth_type}, userlist={"app": password}, databases={
        "db": server_of(cluster, "user=bob password=" + (password if fits_server else "t0p-s3cr3t"))})
    assert p.connect("app", "db", password=password).value("select current_user") == "bob"
    assert try_login(p, "app", password[:-1], "db") == "28P01"
    assert try_login(p, "app", password[:-1] + "x", "db") == "28P01"


def test_SE_11_nothing_tells_a_secret(front, cluster, role, source):
    """SE-11: Not SHOW, not the log at its most talkative, not errors."""
    role("bob", "the-password-of-bob")
    source.set("the-password-of-bob")
    p = front({"verbose": 3, "auth_type": "plain"}, userlist={"app": "the-password-of-app"}, databases={
        "a": server_of(cluster, "user=bob password=the-password-of-bob"),
        "b": server_of(cluster, "user=bob password_command='cat %s # the-key-of-the-vault'" % source.path)})
    for database in "ab":
        assert p.connect("app", database, password="the-password-of-app").value("select 1") == "1"
        assert try_login(p, "app", "the-mistake-of-app", database) == "28P01"
    everything = p.log() + "".join(str(admin(p, "SHOW " + v)) for v in ("USERS", "DATABASES", "CLIENTS", "SERVERS", "SOCKETS", "CONFIG", "POOLS"))
    for word in ("the-password-of-bob", "the-password-of-app", "the-mistake-of-app", "the-key-of-the-vault"):
        assert word not in everything

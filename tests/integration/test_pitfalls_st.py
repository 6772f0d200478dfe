"""ST: startup and authentication."""
import hashlib
import signal
import struct

import psycopg2
import pytest
import wire
from postgres import PASSWORDS
from wire import LoginFailed, QueryFailed, wait_until

AUTH = {"trust_user": "trust", "plain_user": "plain", "md5_user": "md5", "scram_user": "scram-sha-256"}


@pytest.fixture
def auth_path(request, postgres):
    """(host, port) for a user whose way of authentication is that of his name, direct and through pgweir."""
    def get(path, user, **settings):
        if path == "direct":
            return postgres.host, postgres.port
        import conftest
        conftest.need_pooler()
        p = request.getfixturevalue("poolers").get(dict(settings, worker_threads=1, auth_type=AUTH[user]))
        return p.host, p.port
    return get


def both_paths(fn):
    return pytest.mark.parametrize("path", ["direct", "pgweir"])(fn)


@both_paths
@pytest.mark.parametrize("user", AUTH)
def test_ST_01_login_byte_by_byte(auth_path, path, user):
    """ST-01: Every message of a login in segments of one byte."""
    c = wire.Client(*auth_path(path, user))
    whole = c.send
    c.send = lambda data: c.send_cut(data, *range(1, len(data)))
    c.login(user, "test", PASSWORDS.get(user), params={"application_name": "st01"})
    c.send = whole
    assert c.query("select current_user, current_setting('application_name')") == [[user, "st01"]]
    c.close()


@pytest.mark.parametrize("size", [0, 1, 4, 7, 10005, 65536, 1 << 30, 0x7fffffff, -1, -2147483648])
def test_ST_02_impossible_first_length(via, size):
    """ST-02: Closed at once; nothing of that size is allocated; others are unharmed."""
    other = via.connect()
    c = via.raw()
    c.send(struct.pack("!i", size) + b"\0\3\0\0user\0app\0\0")
    for m in c.recv_until(""):
        assert m is None or m.kind == "E"
    assert other.query("select 1") == [["1"]]


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"SSH-2.0-x\r\n"])
def test_ST_02_other_protocols(via, noise):
    """ST-02: Whoever speaks something else is sent away."""
    c = via.raw()
    c.send(noise)
    try:
        c.recv_until("E")
    except AssertionError as e:
        assert not isinstance(e, wire.Timeout)


def test_ST_03_startup_layout(via):
    """ST-03: No terminator, no user; no database means one named like the user."""
    c = via.raw()
    body = struct.pack("!I", wire.PROTOCOL_3_0) + b"user\0app\0database\0test\0"
    c.send(struct.pack("!i", len(body) + 4) + body)
    e = c.recv()
    assert (e.severity, e.sqlstate) == ("FATAL", "08P01")
    assert e.text == "invalid startup packet layout: expected terminator as last byte"
    c.expect_close()
    for params in ({"database": "test"}, {}, {"user": "", "database": "test"}):
        c = via.raw()
        c.send(wire.startup(params))
        e = c.recv()
        assert (e.severity, e.sqlstate) == ("FATAL", "28000")
        c.expect_close()
    for params in ({"user": "postgres"}, {"user": "postgres", "database": ""}):
        c = via.raw()
        c.send(wire.startup(params))
        c.login("postgres", send_startup=False)
        assert c.value("select current_database()") == "postgres"
        c.close()
    with pytest.raises(LoginFailed) as failed:
        via.raw().login("other")
    assert failed.value.sqlstate == "3D000" and failed.value.error.text == 'database "other" does not exist'


def test_ST_04_encryption_requests(via):
    """ST-04: GSSENCRequest and SSLRequest are each answered N, then login goes on; the second of a kind is refused."""
    for requests in ([wire.GSSENC_CODE], [wire.SSL_CODE], [wire.GSSENC_CODE, wire.SSL_CODE], [wire.SSL_CODE, wire.GSSENC_CODE]):
        if not via.is_pooler and wire.GSSENC_CODE in requests:
            continue  # Debian's PostgreSQL can GSSAPI; pgweir answers N
        c = via.raw()
        for code in requests:
            c.send(wire.special(code))
            assert c.read_bytes(1) == b"N"
        c.login("app", "test")
        assert c.value("select 1") == "1"
        c.close()
    c = via.raw()
    c.send(wire.special(wire.SSL_CODE))
    assert c.read_bytes(1) == b"N"
    c.send(wire.special(wire.SSL_CODE))
    got = c.recv_until("E")
    assert got[-1] is None or got[-1].severity == "FATAL"


@pytest.mark.parametrize("version,params,unknown", [
    (0x00030002, {}, []), (0x00030001, {"_pq_.x": "1"}, ["_pq_.x"]), (0x00030000, {"_pq_.x": "1", "_pq_.y": "2"}, ["_pq_.x", "_pq_.y"]),
    (0x000303e7, {}, []), (0x00030000, {}, []), (0x00030001, {}, []),
])
def test_ST_05_protocol_version(via, version, params, unknown):
    """ST-05: Newer minor versions and unknown options: one NegotiateProtocolVersion, and login goes on; the cancel key is that version's."""
    newest = 0x00030002 if via.is_pooler or via.postgres.value("show server_version_num") >= "180000" else 0x00030000
    agreed = min(version, newest)
    c = via.raw()
    c.login("app", "test", params=params, version=version)
    told = [m for m in c.login_messages if m.kind == "v"]
    assert len(told) == (1 if version > newest or unknown else 0)
    if told:
        assert told[0].body == struct.pack("!II", agreed, len(unknown)) + b"".join(u.encode() + b"\0" for u in unknown)
    assert len(c.secret) == (32 if agreed == 0x00030002 else 4) and 0 < c.pid < 1 << 31
    assert c.value("select 1") == "1"


@pytest.mark.parametrize("version", ["4.0", "3000.0", "2.0", "1.0"])
def test_ST_05_protocol_refused(via, version):
    """ST-05: Other major versions are refused clearly."""
    major, minor = map(int, version.split("."))
    c = via.raw()
    c.send(wire.startup({"user": "app", "database": "test"}, major << 16 | minor))
    answer = c.read_bytes(100000)
    assert answer[:1] == b"E" and b"unsupported frontend protocol %s" % version.encode() in answer
    if major > 3:
        assert b"C0A000\0" in answer and b"FATAL" in answer


SETTINGS = [  # name, value, as SHOW gives it
    ("application_name", "st06", "st06"), ("client_encoding", "LATIN1", "LATIN1"), ("DateStyle", "German, DMY", "German, DMY"),
    ("TimeZone", "Asia/Tokyo", "Asia/Tokyo"), ("IntervalStyle", "iso_8601", "iso_8601"), ("standard_conforming_strings", "off", "off"),
    ("extra_float_digits", "3", "3"), ("statement_timeout", "45s", "45s"), ("search_path", "pg_catalog", "pg_catalog"),
    ("search_path", '"$user", "a b", public', '"$user", "a b", public'), ("app.tenant", "x'y\\z", "x'y\\z"), ("work_mem", "5MB", "5MB"),
    ("default_transaction_read_only", "on", "on"), ("lock_timeout", "7s", "7s"), ("geqo", "off", "off"),
]


@pytest.mark.two_workers
@pytest.mark.parametrize("name,value,shown", SETTINGS)
def test_ST_06_startup_parameters_hold(via, name, value, shown):
    """ST-06: A startup parameter holds in each of its client's transactions and in nobody else's."""
    c1, c2 = via.connect(params={name: value}), via.connect()
    default = c2.query("select current_setting('%s', true)" % name)
    assert default != [[shown]]
    for _ in range(3):
        assert c1.value('show "%s"' % name if "." not in name else "show " + name) == shown
        assert c2.query("select current_setting('%s', true)" % name) in (default, [[""]])  # "": known, but not set
        c1.query("begin")
        assert c1.value("select current_setting('%s')" % name) == shown
        c1.query("rollback")
    c1.close()
    assert c2.query("select current_setting('%s', true)" % name) in (default, [[""]])


@pytest.mark.parametrize("params,sqlstate", [
    ({"no_such_setting": "1"}, "42704"), ({"statement_timeout": "soon"}, "22023"), ({"options": "-c no_such_setting=1"}, "42704"),
    ({"TimeZone": "Nowhere/Land"}, "22023"), ({"options": "-c work_mem=1"}, "22023"), ({"shared_buffers": "1GB"}, "55P02"),
    ({"client_encoding": "nonsense"}, "22023"), ({"options": "-c role=no_such_role"}, "22023"),
])
def test_ST_06_bad_startup_parameters(via, params, sqlstate):
    """ST-06: Refused with PostgreSQL's own code: at login, or at the first use; never ignored, and the pool is unharmed."""
    try:
        c = via.connect(params=params)
    except LoginFailed as e:
        assert e.sqlstate == sqlstate, str(e)
    else:
        assert via.is_pooler, "PostgreSQL refuses it at login"
        for _ in range(2):
            with pytest.raises(QueryFailed) as failed:
                c.query("select 1")
            assert failed.value.sqlstate == sqlstate, str(failed.value)
    assert via.connect().query("select 1") == [["1"]]


@pytest.mark.parametrize("options,name,shown", [
    ("-c work_mem=6MB", "work_mem", "6MB"), ("-cwork_mem=6MB", "work_mem", "6MB"), ("--work_mem=6MB", "work_mem", "6MB"),
    ("--work-mem=6MB", "work_mem", "6MB"), ("  -c   work_mem=6MB  ", "work_mem", "6MB"), ("-c work-mem=6MB", "work_mem", "6MB"),
    ("-c search_path=a,\\ b", "search_path", "a, b"), ("-c app.x=a\\\\b", "app.x", "a\\b"), ("-c app.x=", "app.x", ""),
    ("-c app.x=1 -c app.x=2", "app.x", "2"), ("-c app.x=a=b", "app.x", "a=b"), ("-c geqo=off -c app.x=7", "app.x", "7"),
    ("-c search_path=x\\ -c\\ role=other", "search_path", "x -c role=other"), ("-S 128 -d 1", "work_mem", "128kB"), ("-e", "datestyle", "ISO, DMY"),
])
def test_ST_07_options(via, options, name, shown):
    """ST-07: The options parameter in all the forms that PostgreSQL takes."""
    try:
        c = via.connect(params={"options": options})
    except LoginFailed as e:  # search_path=x -c role=other isn't a list
        assert e.sqlstate == "22023" and "role" in options
        return
    try:
        assert c.query("select current_setting('%s'), current_user" % name) == [[shown, "app"]]
    except QueryFailed as e:
        assert via.is_pooler and e.sqlstate == "22023" and "role" in options
    bystander = via.connect()
    assert bystander.query("select current_setting('%s', true)" % name) != [[shown]] or shown == ""


@pytest.mark.parametrize("options,sqlstate", [("-c", "42601"), ("-c work_mem", "42601"), ("--work_mem", "42601"), ("-Z", "42601"), ("junk", "42601")])
def test_ST_07_malformed_options(via, options, sqlstate):
    """ST-07: What PostgreSQL can't parse is refused with its code."""
    with pytest.raises(LoginFailed) as failed:
        via.connect(params={"options": options})
    assert failed.value.sqlstate == sqlstate and failed.value.error.severity == "FATAL"


@both_paths
@pytest.mark.parametrize("user", ["trust_user", "plain_user"])
def test_ST_09_everything_in_one_segment(auth_path, path, user):
    """ST-09: Startup, password and first Query in one segment: bytes read early aren't lost."""
    c = wire.Client(*auth_path(path, user))
    password = wire.message("p", PASSWORDS[user].encode() + b"\0") if user in PASSWORDS else b""
    c.send(wire.startup({"user": user, "database": "test"}) + password + wire.query("select 'first'") + wire.query("select 'second'"))
    kinds = [m.kind for m in c.recv_until("Z")]
    assert kinds[0] == "R" and kinds[-2:] == ["K", "Z"]
    for want in ("first", "second"):
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [[want]]


@pytest.mark.pooler_only
def test_ST_10_parameter_status_at_login(via):
    """ST-10: The real server's set with the client's own values on top, not those of the server's previous user."""
    for params in ({}, {"application_name": "st10"}, {"TimeZone": "Asia/Tokyo", "DateStyle": "SQL, DMY"}, {"client_encoding": "LATIN1"}, {},
                   {"options": "-c IntervalStyle=sql_standard"}):
        direct = via.postgres.client(params=params)
        pooled = via.connect(params=params)
        assert pooled.parameters == direct.parameters
        pooled.query("select 1")
        direct.close()
        pooled.close()


@pytest.mark.parametrize("name", ["it's", "back\\slash", "new\nline", "n" * 100, "naïve", "", 'dou"ble', "$$", "; drop table x", "a\tb\x7f"])
def test_ST_11_application_name(via, name):
    """ST-11: Any application_name is told and set as PostgreSQL would have it."""
    direct = via.postgres.client(params={"application_name": name})
    c = via.connect(params={"application_name": name})
    want = direct.value("show application_name")
    assert c.parameters["application_name"] == want
    assert c.value("show application_name") == want
    assert via.connect().value("show application_name") == ""
    assert c.value("show application_name") == want
    direct.close()


@pytest.mark.parametrize("stop", ["nothing", "half", "ssl", "startup"])
def test_ST_12_client_stops_in_login(new_pooler, stop):
    """ST-12: Closed at client_login_timeout wherever it stops."""
    p = new_pooler({"client_login_timeout": 1, "auth_type": "scram-sha-256", "tcp_defer_accept": 0})
    c = p.raw()
    if stop == "half":
        c.send(wire.startup({"user": "scram_user", "database": "test"})[:11])
    if stop == "ssl":
        c.send(wire.special(wire.SSL_CODE))
        assert c.read_bytes(1) == b"N"
    if stop == "startup":
        c.send(wire.startup({"user": "scram_user", "database": "test"}))
        assert c.recv().kind == "R"
        c.send(wire.Scram("x").initial())
        assert c.recv().kind == "R"
    got = c.recv_until("E", 10 * wire.SLOW)
    assert got[-1] is None or got[-1].severity == "FATAL"
    if got[-1]:
        c.expect_close()


@both_paths
@pytest.mark.parametrize("size", [1023, 1024, 2048, 4096, 8000])
def test_ST_13_long_password(postgres, new_pooler, path, size):
    """ST-13: A long password or token works, a wrong one of that length is 28P01."""
    password = ("p" * size)[:-1] + "!"
    postgres.sql("drop role if exists long_user", "create role long_user login password '%s'" % password)
    if path == "direct":
        host, port = postgres.host, postgres.port
        hba = postgres.data + "/pg_hba.conf"
        text = open(hba).read()
        if "long_user" not in text:
            with open(hba, "w") as f:
                f.write("host all long_user 127.0.0.1/32 password\n" + text)
            postgres.sql("select pg_reload_conf()")
            wait_until(lambda: postgres.value("select count(*) from pg_hba_file_rules where 'long_user' = any(user_name)"))
            wait_until(lambda: _asks_for_password(host, port), what="the new pg_hba.conf")
    else:
        p = new_pooler({"auth_type": "plain"}, userlist={"long_user": password})
        host, port = p.host, p.port
    c = wire.Client(host, port).login("long_user", "test", password)
    assert c.value("select current_user") == "long_user"
    c.close()
    with pytest.raises(LoginFailed) as failed:
        wire.Client(host, port).login("long_user", "test", password[:-1] + "?")
    assert failed.value.sqlstate == "28P01"


def _asks_for_password(host, port):
    c = wire.Client(host, port)
    c.send(wire.startup({"user": "long_user", "database": "test"}))
    m = c.recv()
    c.fin()
    return m.kind == "R" and m.body == struct.pack("!i", 3)


@pytest.mark.parametrize("size", [63, 64, 200, 5000])
def test_ST_13_long_user(via, size):
    """ST-13: A long user name is refused cleanly."""
    with pytest.raises(LoginFailed) as failed:
        via.raw().login("u" * size, "test", "x")
    assert failed.value.sqlstate in ("28000", "28P01"), str(failed.value)


@both_paths
@pytest.mark.parametrize("flag,works", [(b"n,,", True), (b"y,,", True), (b"p=tls-server-end-point,,", False), (b"n,a=someone,", False), (b"", False)])
def test_ST_14_channel_binding_flag(auth_path, path, flag, works):
    """ST-14: Without -PLUS on offer n and y are accepted, p is refused."""
    c = wire.Client(*auth_path(path, "scram_user"))
    c.send(wire.startup({"user": "scram_user", "database": "test"}))
    m = c.recv()
    assert m.body == struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"
    scram = wire.Scram(PASSWORDS["scram_user"], gs2=flag)
    c.send(scram.initial())
    m = c.recv()
    if not works:
        assert m.kind == "E" and m.severity == "FATAL"
        c.expect_close()
        return
    c.send(scram.response(m.body[4:]))
    scram.check_final(c.recv().body[4:])
    assert c.recv_until("Z")[-1].kind == "Z"
    assert c.value("select current_user") == "scram_user"


@both_paths
@pytest.mark.parametrize("data", [b"", b"n", b"n,,", b"n,,n=", b"n,,n=,r=", b"n,,n=,r=\xff\0", b"n,,n=,r=" + b"x" * 3000, b"x,,n=,r=abc", b"n,,r=abc,n="])
def test_ST_14_broken_scram(auth_path, path, data):
    """ST-14: A broken SCRAM message ends in FATAL."""
    c = wire.Client(*auth_path(path, "scram_user"))
    c.send(wire.startup({"user": "scram_user", "database": "test"}))
    assert c.recv().kind == "R"
    c.send(wire.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(data)) + data))
    m = c.recv()
    if m is not None and m.kind == "R":  # a very long nonce is allowed; the proof must not be
        c.send(wire.message("p", b"c=biws,r=x,p=AAAA"))
        m = c.recv()
    assert m is None or (m.kind == "E" and m.severity == "FATAL" and m.sqlstate in ("08P01", "28P01", "0A000"))
    if m:
        c.expect_close()


@both_paths
def test_ST_14_unknown_mechanism(auth_path, path):
    """ST-14: A mechanism that wasn't offered is refused; so is a password message of impossible length."""
    for body in (b"SCRAM-SHA-256-PLUS\0" + struct.pack("!i", 3) + b"n,,", b"PLAIN\0" + struct.pack("!i", -1), b"SCRAM-SHA-256\0" + struct.pack("!i", 1 << 30) + b"n,,"):
        c = wire.Client(*auth_path(path, "scram_user"))
        c.send(wire.startup({"user": "scram_user", "database": "test"}))
        assert c.recv().kind == "R"
        c.send(wire.message("p", body))
        m = c.recv()
        assert m is None or (m.kind == "E" and m.severity == "FATAL")


@both_paths
@pytest.mark.parametrize("user", ["plain_user", "md5_user", "scram_user"])
@pytest.mark.parametrize("message", [wire.query("select 1"), wire.SYNC, wire.TERMINATE, wire.message("p"), wire.message("p", b"x" * 70000), b"p\0\0\0\1", b"p\x7f\xff\xff\xff",
                                     wire.message("!")])
def test_SE_05_any_message_instead_of_the_password(auth_path, path, user, message):
    """SE-05: Any other message before login ends it without a crash."""
    c = wire.Client(*auth_path(path, user))
    c.send(wire.startup({"user": user, "database": "test"}))
    assert c.recv().kind == "R"
    c.send(message)
    for m in c.recv_until(""):
        assert m is None or (m.kind == "E" and m.severity == "FATAL")


@both_paths
@pytest.mark.parametrize("user", ["plain_user", "md5_user", "scram_user"])
def test_ST_16_wrong_password(auth_path, path, user):
    """ST-16: 28P01 for a wrong password, and an empty one."""
    for password in ("wrong", "", PASSWORDS[user] + "x", PASSWORDS[user][:-1]):
        with pytest.raises(LoginFailed) as failed:
            wire.Client(*auth_path(path, user)).login(user, "test", password)
        assert failed.value.sqlstate == "28P01" and failed.value.error.severity == "FATAL", str(failed.value)


@pytest.mark.parametrize("user", ["plain_user", "md5_user", "scram_user"])
def test_ST_16_unknown_users_and_databases_look_alike(auth_path, user):
    """ST-16: Unknown user, unknown database and wrong password: the same exchange, 28P01; 3D000 only after a correct password."""
    address = auth_path("pgweir", user)
    seen = []
    for name, database in ((user, "test"), ("nobody_knows", "test"), (user, "no_such_database"), ("nobody_knows", "no_such_database")):
        c = wire.Client(*address)
        with pytest.raises(LoginFailed) as failed:
            c.login(name, database, "wrong")
        assert failed.value.sqlstate == "28P01"
        seen.append([(m.kind, m.body[:4] if m.kind == "R" else m.text.replace(name, "U")) for m in c.login_messages])
    assert all(s == seen[0] for s in seen), seen
    with pytest.raises(LoginFailed) as failed:
        wire.Client(*address).login(user, "no_such_database", PASSWORDS[user])
    assert failed.value.sqlstate == "3D000"


def test_ST_16_strangers_keep_their_salt(new_pooler, postgres):
    """ST-16: As a SCRAM secret's salt is the same after a restart and in every instance, so is a stranger's; and the iterations are as many."""
    secret = wire.scram_secret("x", 8192)
    challenges = set()
    for _ in range(2):
        p = new_pooler({"auth_type": "scram-sha-256"}, userlist=dict.fromkeys(["u%d" % i for i in range(20)], secret))
        for name in ("u1", "nobody_knows"):
            c = p.raw()
            c.send(wire.startup({"user": name, "database": "test"}))
            assert c.recv().kind == "R"
            c.send(wire.Scram("x").initial())
            challenges.add((name, c.recv().body[4:].split(b",", 1)[1]))
            c.close()
    assert len(challenges) == 2, challenges
    assert all(challenge.endswith(b",i=8192") for _, challenge in challenges)


@pytest.mark.parametrize("client_auth,user,secret", [
    ("trust", "scram_user", "plain"), ("plain", "scram_user", "plain"), ("md5", "scram_user", "plain"), ("scram-sha-256", "scram_user", "plain"),
    ("scram-sha-256", "md5_user", "plain"), ("md5", "md5_user", "md5"), ("plain", "md5_user", "md5"), ("trust", "md5_user", "md5"),
    ("scram-sha-256", "scram_user", "scram"), ("md5", "scram_user", "scram"), ("plain", "plain_user", "plain"), ("scram-sha-256", "plain_user", "plain"),
    ("scram-sha-256", "trust_user", "plain"), ("md5", "trust_user", "md5"),
])
def test_authentication_matrix(new_pooler, postgres, client_auth, user, secret):
    """Client's method, the secret in auth_file and the server's method, in all the pairs that can work."""
    passwords = dict(PASSWORDS, trust_user="trusted secret")
    stored = passwords[user]
    if secret == "md5":
        stored = "md5" + hashlib.md5((passwords[user] + user).encode()).hexdigest()
    if secret == "scram":
        stored = postgres.value("select rolpassword from pg_authid where rolname = '%s'" % user)
    p = new_pooler({"auth_type": client_auth, "default_pool_size": 2}, userlist={user: stored})
    for _ in range(2):
        c = p.connect(user, password=passwords[user])
        assert c.value("select current_user") == user
        c.close()
    if client_auth != "trust":
        with pytest.raises(LoginFailed) as failed:
            p.connect(user, password="wrong")
        assert failed.value.sqlstate == "28P01"
    assert not any(x in p.log() for x in (passwords[user], stored)), "a secret in the log"


def test_authentication_forced_user(new_pooler):
    """A database's own user and password are used towards the server, the client's towards the client."""
    p = new_pooler({"auth_type": "scram-sha-256"}, databases={})
    p.databases = {"forced": p.server_address() + " dbname=test user=scram_user password='scram secret'"}
    p.write()
    p.process.send_signal(signal.SIGHUP)
    wait_until(lambda: _can(lambda: p.connect("md5_user", "forced", password="md5 secret").close()), what="the reload")
    c = p.connect("md5_user", "forced", password="md5 secret")
    assert c.query("select current_user, current_database()") == [["scram_user", "test"]]


def _can(fn):
    try:
        fn()
        return True
    except (LoginFailed, psycopg2.Error):
        return False


def test_authentication_server_refuses(new_pooler):
    """A server that refuses the password is told to the client with PostgreSQL's own code and text."""
    p = new_pooler({"auth_type": "trust"}, userlist={"scram_user": "not the right one", "reject_user": ""})
    with pytest.raises((LoginFailed, QueryFailed)) as failed:
        p.connect("scram_user").query("select 1")
    assert failed.value.sqlstate == "28P01" and "scram_user" in failed.value.error.text
    with pytest.raises((LoginFailed, QueryFailed)) as failed:
        p.connect("reject_user").query("select 1")
    assert failed.value.sqlstate == "28000"
    assert p.connect("app").query("select 1") == [["1"]]

"""Files made for PgBouncer, unchanged but for ports and folders, start and do what they say.

The files: the one that Debian's package installs, its minimal one, and the manual's examples as their author would have written them.
"""
import os
import re

import psycopg2
import pytest
from pooler import Pooler

KEYS_1_25 = 98  # that PgBouncer 1.25.2's SHOW CONFIG has; each is checked by name in tests/unit/test_config.c
PACKAGED = "/usr/share/doc/pgbouncer/examples/pgbouncer.ini"
MINIMAL = "/usr/share/doc/pgbouncer/pgbouncer-minimal.ini"


class Unchanged(Pooler):
    """A pooler with a file that somebody wrote, moved to a port and a folder of its own."""

    def __init__(self, server, text, databases=()):
        self.text, self.lines = text, list(databases)
        super().__init__(server, settings={"auth_file": "userlist.txt"})

    def write(self):
        text = re.sub(r"^;?listen_port = .*", "listen_port = %d" % self.port, self.text, flags=re.M)
        text = re.sub(r"^;?listen_addr =.*", "listen_addr = 127.0.0.1", text, flags=re.M)
        text = re.sub(r"^;?unix_socket_dir = .*", "unix_socket_dir = " + self.dir, text, flags=re.M)
        text = re.sub(r"^;?auth_file =.*", "auth_file = %s/userlist.txt" % self.dir, text, flags=re.M)
        text = re.sub(r"^(logfile|pidfile) = .*/", r"\1 = %s/" % self.dir, text, flags=re.M)
        text = text.replace("[databases]\n", "[databases]\n" + "".join(line + "\n" for line in self.lines), 1)
        with open(self.ini, "w") as f:
            f.write(text)
        self.settings["auth_file"] = self.dir + "/userlist.txt"
        with open(self.settings["auth_file"], "w") as f:
            f.writelines('"%s" "%s"\n' % kv for kv in self.userlist.items())
        self._tell_secrets()

    def log(self):
        path = self.dir + "/pgbouncer.log"
        return super().log() + (open(path, errors="replace").read() if os.path.exists(path) else "")


def packaged(path):
    if not os.path.exists(path):
        pytest.skip("Debian's package pgbouncer isn't installed: no " + path)
    with open(path) as f:
        return f.read()


MANUAL = """
[databases]
test = host=%(host)s port=%(port)d dbname=test auth_user=admin

[pgbouncer]
pool_mode = session
listen_port = 6432
listen_addr = localhost
auth_type = md5
auth_file = users.txt
logfile = pgbouncer.log
pidfile = pgbouncer.pid
admin_users = admin
stats_users = stats
unix_socket_dir = /tmp
"""
KINDS_OF_DATABASES = """
[databases]
; the same name over a Unix socket
test =
; another name here than there
shop = host=%(host)s port=%(port)d dbname=test
; whoever comes is this user there
forced = host=%(host)s port=%(port)d dbname=test user=plain_user password='plain secret' client_encoding=UNICODE datestyle=ISO
; everything else
* = host=%(host)s port=%(port)d pool_size=5

[pgbouncer]
listen_port = 6432
listen_addr = *
unix_socket_dir = %(socket_dir)s
auth_type = trust
auth_file = users.txt
admin_users = admin
"""
LOOKED_UP = """
[databases]
* = host=%(host)s port=%(port)d

[pgbouncer]
listen_port = 6432
listen_addr = 127.0.0.1
unix_socket_dir = /tmp
auth_type = md5
auth_file = users.txt
auth_user = postgres
auth_query = SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename=$1
pool_mode = transaction
max_client_conn = 200
default_pool_size = 5
server_reset_query = DISCARD ALL
ignore_startup_parameters = extra_float_digits
server_idle_timeout = 60
admin_users = admin
"""


@pytest.fixture
def unchanged(postgres):
    made = []

    def make(text, databases=()):
        made.append(Unchanged(postgres, text, databases))
        return made[-1]
    yield make
    for p in made:
        p.destroy()


def at(postgres, text):
    return text % {"host": postgres.host, "port": postgres.port, "socket_dir": "/tmp"}


def query(p, text, user="app", database="test", password=None):
    c = psycopg2.connect(host="127.0.0.1", port=p.port, user=user, dbname=database, password=password or p.userlist.get(user) or None)
    c.autocommit = True
    try:
        cur = c.cursor()
        cur.execute(text)
        return cur.fetchall()
    finally:
        c.close()


def config_of(p):
    return {r["key"]: r for r in p.ask("SHOW CONFIG")}


def here(postgres):
    return ["test = host=%s port=%d" % (postgres.host, postgres.port)]


@pytest.mark.parametrize("path", [PACKAGED, MINIMAL])
def test_the_files_of_the_package(unchanged, postgres, path):
    text = packaged(path)
    if "admin_users" not in re.sub(r"^;.*", "", text, flags=re.M):
        text = text.replace("[pgbouncer]\n", "[pgbouncer]\nadmin_users = admin\n")
    p = unchanged(text, here(postgres))
    assert query(p, "select current_user::text", "md5_user") == [("md5_user",)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(p, "select 1", "md5_user", password="wrong")
    config = config_of(p)
    assert len(config) >= KEYS_1_25
    assert (config["pool_mode"]["value"], config["auth_type"]["value"], config["max_client_conn"]["value"]) == ("session", "md5", "100")
    assert "unknown" not in p.log() and "WARNING" not in p.log().replace("WARNING only", "")  # (file descriptors are the machine's)


def test_every_line_of_the_packaged_file_may_be_uncommented(unchanged, postgres):
    """Each of its settings with the value that stands there: accepted as it is, and shown by SHOW CONFIG."""
    text = packaged(PACKAGED)
    section = text[text.index("[pgbouncer]"):]
    keys = re.findall(r"^;([a-z_0-9]+) = ?(.*)$", section, flags=re.M)
    assert len(keys) > 60
    files = {"auth_hba_file", "client_tls_ca_file", "client_tls_key_file", "client_tls_cert_file", "server_tls_ca_file", "server_tls_key_file",
             "server_tls_cert_file", "user", "resolv_conf", "conffile"}
    mine = {"listen_addr", "listen_port", "unix_socket_dir", "auth_file", "logfile", "pidfile", "admin_users", "syslog", "auth_user"}
    keys = [kv for kv in keys if kv[0] != "service_name"]  # which PgBouncer itself knows on Windows only
    lines = ["%s = %s" % (k, v) for k, v in keys if k not in files | mine and v]
    p = unchanged("[databases]\n[pgbouncer]\nlisten_port = 1\nlisten_addr =\nunix_socket_dir = x\nauth_file =\nadmin_users = admin\n" +
                  "\n".join(lines) + "\n", here(postgres))
    shown = config_of(p)
    assert not {k for k, v in keys} - set(shown)
    assert query(p, "select 1", "md5_user") == [(1,)]


def test_the_manuals_small_example(unchanged, postgres):
    p = unchanged(at(postgres, MANUAL))
    assert query(p, "select current_user::text", "md5_user") == [("md5_user",)]
    a = psycopg2.connect(host="127.0.0.1", port=p.port, user="md5_user", dbname="test", password=p.userlist["md5_user"])
    cur = a.cursor()
    cur.execute("create temp table t (i int)")
    a.commit()
    cur.execute("select count(*) from t")  # session pooling: the session's own
    assert cur.fetchone() == (0,)
    a.close()
    assert p.ask("SHOW POOLS", "stats")
    with pytest.raises(psycopg2.Error, match="(?i)admin access needed"):
        p.ask("PAUSE", "stats")
    assert os.path.exists(p.dir + "/pgbouncer.pid")
    with open(p.dir + "/pgbouncer.pid") as f:
        assert int(f.read()) == p.process.pid
    assert "process up" in p.log()
    with pytest.raises(psycopg2.OperationalError):
        query(p, "select 1", "md5_user", "elsewhere")


def test_the_manuals_kinds_of_databases(unchanged, postgres):
    p = unchanged(at(postgres, KINDS_OF_DATABASES))
    assert query(p, "select current_database()::text", database="shop") == [("test",)]
    assert query(p, "select current_user::text", database="forced") == [("plain_user",)]
    assert query(p, "show datestyle", database="forced")[0][0].startswith("ISO")
    assert query(p, "select current_database()::text", database="postgres") == [("postgres",)]  # *
    rows = {r["name"]: r for r in p.ask("SHOW DATABASES")}
    assert rows["shop"]["database"] == "test" and rows["forced"]["force_user"] == "plain_user" and rows["test"]["host"] is None


def test_a_file_with_auth_query(unchanged, postgres):
    p = unchanged(at(postgres, LOOKED_UP))
    p.userlist = {k: v for k, v in p.userlist.items() if k in ("postgres", "admin")}
    p.reload()
    assert query(p, "select current_user::text", "md5_user", password="md5 secret") == [("md5_user",)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(p, "select 1", "md5_user", password="no")
    assert config_of(p)["pool_mode"]["value"] == "transaction"

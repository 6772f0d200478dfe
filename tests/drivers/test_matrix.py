"""Who may come in, with every driver: way to authenticate × form of the secret × TLS. The right password in, a wrong one out.

Cells come from tables. A pgweir is started for each way to authenticate and each side of TLS; one whose settings this pgweir says it
doesn't know skips its cells. Each driver's program gets all logins of all cells at once. PAM and LDAP need services of their own:
tests/integration has them.
"""
import os
import re
import subprocess

import pytest

import drivers
import pooler as pooler_module
from postgres import bindir, own

RIGHT, WRONG = "correct horse", "battery staple"
# The secret's form: the user whose secret it is
FORMS = {"plain": "m_plain", "md5": "m_md5", "scram": "m_scram", "query": "m_query"}
# auth_type: settings, forms of secrets with which the right password is let in, and whether a password is looked at
AUTH = {
    "trust": ({}, ("plain", "md5", "scram"), False),
    "any": ({}, ("plain", "md5", "scram"), False),
    "plain": ({}, ("plain", "md5", "scram"), True),
    "md5": ({}, ("plain", "md5", "scram"), True),
    "scram-sha-256": ({}, ("plain", "scram"), True),
    "auth_query": ({"auth_type": "scram-sha-256", "auth_user": "app", "auth_dbname": "postgres"}, ("query",), True),
    "hba": ({"auth_hba_file": "hba.conf"}, ("plain", "scram"), True),
    "cert": ({}, ("plain",), True),
}
HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
# How the server has it, and what the driver asks for: sslmode; the CA with which it looks at the certificate
TLS = {"none": ("off", None, False), "require": ("on", "require", False), "verify-full": ("on", "verify-full", True)}
DRIVERS = ["psql", *drivers.PROGRAMS]
# These keep the SQLSTATE of a failed login to themselves
MUTE = {"psql", "psycopg2", "psycopg3"}
UNKNOWN = re.compile(r"unknown key|not supported|cannot|can't|does not|has no|not built|invalid value", re.I)


def openssl(folder, *argv):
    subprocess.run(["openssl", *argv], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, the server's certificate, and one for the client whose common name is its user."""
    folder = tmp_path_factory.mktemp("tls")
    os.chmod(folder, 0o755)
    for up in list(folder.parents)[:3]:
        if up.owner() == folder.owner() and str(up) != "/tmp":
            os.chmod(up, 0o755)
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2",
            "-subj", "/CN=test CA")
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, subject, extra in (("server", "/CN=localhost", ("-extfile", "san")), ("client", "/CN=m_plain", ())):
        openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject)
        openssl(folder, "x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", name + ".crt", *extra)
    openssl(folder, "pkcs8", "-topk8", "-nocrypt", "-in", "client.key", "-outform", "DER", "-out", "client.pk8")
    own(folder / "server.key")
    return folder


@pytest.fixture(scope="module")
def secrets(postgres):
    """The same password in all its forms, as PostgreSQL makes them."""
    for form, user in FORMS.items():
        postgres.sql("set password_encryption = '%s'; create role %s login password '%s'" % ("md5" if form == "md5" else "scram-sha-256", user, RIGHT))
    stored = dict(postgres.sql("select rolname, rolpassword from pg_authid where rolname like 'm\\_%'"))
    return {"m_plain": RIGHT, "m_md5": stored["m_md5"], "m_scram": stored["m_scram"]}


@pytest.fixture(scope="module")
def ends(new_weir, secrets, certificates):
    """(auth, tls): a pgweir, or why there is none."""
    made = {}
    for auth, (settings, _, _) in AUTH.items():
        for tls in ("off", "on"):
            made[auth, tls] = start(new_weir, secrets, certificates, auth, settings, tls)
    return made


def start(new_weir, secrets, certificates, auth, more, tls):
    settings = {"auth_type": auth, "default_pool_size": 5, **more}
    if tls == "on":
        settings.update({"client_tls_sslmode": "verify-full" if auth == "cert" else "require", "client_tls_ca_file": certificates / "ca.crt",
                         "client_tls_key_file": certificates / "server.key", "client_tls_cert_file": certificates / "server.crt"})
    elif auth == "cert":
        return "a certificate needs TLS"
    weir = new_weir(settings, userlist=secrets, start=False, databases={"*": "", "forced": ""})
    weir.databases = {"*": weir.server_address() + (" user=app" if auth == "any" else "")}
    if "auth_hba_file" in settings:
        weir.settings["auth_hba_file"] = weir.dir + "/hba.conf"
        with open(weir.dir + "/hba.conf", "w") as f:
            f.write(HBA)
    try:
        weir.settings["auth_failure_delay"] = 0
        weir.write()
        if not knows(weir):
            del weir.settings["auth_failure_delay"]
            weir.write()
        weir.start_quickly()
    except AssertionError as e:
        assert UNKNOWN.search(str(e)), e
        return "this pgweir: " + str(e).splitlines()[0].rsplit(": ", 1)[-1]
    return weir


def knows(weir):
    """Whether it knows all keys in its file; a value may still be refused."""
    p = subprocess.run([pooler_module.binary(), "-t", weir.ini], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return "unknown key" not in p.stdout


def cells():
    for auth, (_, good, is_looked_at) in AUTH.items():
        for form in FORMS if auth != "auth_query" else ("query",):
            if (auth == "cert" and form != "plain") or (form == "query" and auth != "auth_query"):
                continue
            for tls in TLS if auth != "cert" else ("require", "verify-full"):
                yield auth, form, tls, form in good, is_looked_at


def key(auth, form, tls, password):
    return "%s/%s/%s/%s" % (auth, form, tls, password)


def logins(ends, certificates, driver):
    """name of the login, its line"""
    for auth, form, tls, _, _ in cells():
        side, mode, is_verified = TLS[tls]
        weir = ends[auth, side]
        if isinstance(weir, str):
            continue
        for what, password in (("right", RIGHT), ("wrong", WRONG)):
            connection = {"host": weir.host, "port": weir.port, "user": FORMS[form], "password": password, "dbname": "test", "sslmode": mode or "disable"}
            if is_verified:
                connection["sslrootcert"] = certificates / "ca.crt"
            if auth == "cert" and what == "right":
                connection["sslcert"] = certificates / "client.crt"
                connection["sslkey"] = certificates / ("client.pk8" if driver == "pgjdbc" else "client.key")
                connection.setdefault("sslrootcert", certificates / "ca.crt")
            yield key(auth, form, tls, what), connection


def psql_login(connection):
    env = dict(os.environ, LC_ALL="C", **{"PG" + {"dbname": "DATABASE"}.get(k, k.upper()): str(v) for k, v in connection.items()})
    p = subprocess.run([bindir() + "/psql", "-X", "-w", "-Atc", "select current_user"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return ("ok " if p.returncode == 0 else "not ok ") + " ".join(p.stdout.split())


class Answers:
    """Of each driver, to all logins; its program runs when the first of its cells wants to know."""

    def __init__(self, ends, certificates):
        self.ends, self.certificates, self.done = ends, certificates, {}

    def of(self, driver):
        if driver not in self.done:
            names, connections = zip(*logins(self.ends, self.certificates, driver))
            if driver == "psql":
                answers = [psql_login(c) for c in connections]
            else:
                argv, env = drivers.start(driver, "logins")
                p = subprocess.run(argv, env=env, input="".join(drivers.line(**c) for c in connections), text=True, encoding="utf-8", timeout=300,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
                answers = [line for line in p.stdout.splitlines() if line.startswith(("ok ", "not ok "))]
                assert len(answers) == len(names), "%s ended after %d logins\n%s" % (driver, len(answers), p.stderr[-2000:])
            self.done[driver] = dict(zip(names, answers))
        return self.done[driver]


@pytest.fixture(scope="module")
def answers(ends, certificates):
    return Answers(ends, certificates)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("auth, form, tls, is_good, is_looked_at", [pytest.param(*c, id="-".join(c[:3])) for c in cells()])
def test_login(ends, answers, driver, auth, form, tls, is_good, is_looked_at):
    weir = ends[auth, TLS[tls][0]]
    if isinstance(weir, str):
        pytest.skip("%s with TLS %s: %s" % (auth, TLS[tls][0], weir))
    try:
        said = answers.of(driver)
    except drivers.Missing as e:
        pytest.skip("%s: %s" % (driver, e))
    right, wrong = said[key(auth, form, tls, "right")], said[key(auth, form, tls, "wrong")]
    user = "app" if auth == "any" else FORMS[form]
    if is_good or not is_looked_at:
        assert right == "ok " + user
    else:
        refused(driver, right)
    if not is_looked_at:
        assert wrong == "ok " + user
    elif auth == "cert":
        assert wrong.startswith("not ok "), wrong
    else:
        refused(driver, wrong)


def refused(driver, answer):
    assert answer.startswith("not ok "), answer
    if driver in MUTE:
        assert "authentication failed" in answer, answer
    else:
        assert answer == "not ok 28P01", answer


def test_there_are_cells():
    assert pooler_module.exists() and len(list(cells())) > 40

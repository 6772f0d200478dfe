"""PAM and LDAP: passwords that others know. pam_wrapper and slapd are Debian's; without them these tests are skipped."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import wire
from postgres import dies_with_us, free_port, own, unprivileged
from wire import SLOW, Client, LoginFailed, QueryFailed, wait_until

PASSWORD = "open sesame, please"
SANITIZED = "asan" in os.environ.get("PGWEIR", "") or "tsan" in os.environ.get("PGWEIR", "")


def refusal(p, user, password, database="test"):
    with pytest.raises(LoginFailed) as failed:
        Client(p.host, p.port).login(user, database, password)
    return failed.value.sqlstate, failed.value.error.text


# ---- PAM

def pam_environment(folder, modules):
    """An environment in which PAM reads its services out of that folder: pam_wrapper, by LD_PRELOAD."""
    wrapper = glob.glob("/usr/lib/*/libpam_wrapper.so")
    if not wrapper:
        pytest.skip("libpam-wrapper isn't installed")
    if SANITIZED:
        pytest.skip("pam_wrapper and sanitizers both want to be loaded first")
    os.mkdir(folder + "/pam")
    for service, lines in modules.items():
        with open(folder + "/pam/" + service, "w") as f:
            f.write("\n".join(lines) + "\n")
    return {"LD_PRELOAD": wrapper[0], "PAM_WRAPPER": "1", "PAM_WRAPPER_SERVICE_DIR": folder + "/pam", "TMPDIR": folder}


@pytest.fixture
def pam(request):
    """env for pgweir: services pgbouncer (a list of passwords), permit, deny, slow (which takes a while)."""
    folder = tempfile.mkdtemp(prefix="pgweir-pam.")
    matrix = glob.glob("/usr/lib/*/pam_wrapper/pam_matrix.so")
    with open(folder + "/passwords", "w") as f:
        f.writelines("%s:%s:%s\n" % (user, PASSWORD, service) for user in ("app", "plain_user", "nobody_here") for service in ("pgbouncer", "slow"))
    with open(folder + "/sleep", "w") as f:
        f.write("#!/bin/sh\nexec sleep 3\n")
    os.chmod(folder + "/sleep", 0o755)
    modules = ["auth required %s passdb=%s/passwords" % (m, folder) for m in matrix[:1]] + \
        ["account required %s passdb=%s/passwords" % (m, folder) for m in matrix[:1]]
    env = pam_environment(folder, {
        "pgbouncer": modules, "permit": ["auth required pam_permit.so", "account required pam_permit.so"],
        "deny": ["auth required pam_deny.so", "account required pam_deny.so"],
        "locked": ["auth required pam_permit.so", "account required pam_deny.so"],
        "slow": ["auth required pam_exec.so quiet " + folder + "/sleep", "account required pam_permit.so"]})
    for root, _, files in os.walk(folder):
        for path in (root, *(root + "/" + f for f in files)):
            own(path)
    yield env
    shutil.rmtree(folder, ignore_errors=True)


def test_pam(new_pooler, pam):
    """auth_type pam: PAM's passwords and no others; the user list isn't asked."""
    p = new_pooler({"auth_type": "pam"}, env=pam)
    c = Client(p.host, p.port).login("app", "test", PASSWORD)
    assert c.query("select current_user") == [["app"]]
    c.close()
    denied = ("28000", 'PAM authentication failed for user "app"')
    for password in ("wrong", "", PASSWORD + "x", "x" * 5000):
        assert refusal(p, "app", password) == denied
    assert refusal(p, "scram_user", "scram secret") == ("28000", 'PAM authentication failed for user "scram_user"')
    p.logged("pam_authenticate: ")
    assert refusal(p, "app", PASSWORD, "pgweir")[0] == "42501"  # right, but no admin


def test_pam_password_serves_for_the_server(new_pooler, pam, postgres):
    """As with PgBouncer, PostgreSQL is told the password that PAM found right. It may find it wrong."""
    p = new_pooler({"auth_type": "pam"}, env=pam, userlist={"plain_user": "something else"})
    postgres.sql("alter role plain_user password '%s'" % PASSWORD)
    try:
        c = Client(p.host, p.port).login("plain_user", "test", PASSWORD)
        assert c.query("select current_user") == [["plain_user"]]
        c.close()
    finally:
        postgres.sql("alter role plain_user password 'plain secret'")
    with pytest.raises((LoginFailed, QueryFailed)):
        Client(p.host, p.port).login("nobody_here", "test", PASSWORD).query("select 1")


@pytest.mark.parametrize("service,works", [("permit", True), ("deny", False), ("locked", False), ("missing", False)])
def test_pam_service_of_an_hba_line(new_pooler, pam, service, works):
    """pamservice= chooses the stack; the account counts, too."""
    p = new_pooler({"auth_type": "hba", "auth_hba_file": "hba.conf"}, env=pam,
                   files={"hba.conf": "host all app all pam pamservice=%s pam_use_hostname=1\nhost pgweir admin all trust\n" % service})
    if works:
        Client(p.host, p.port).login("app", "test", "anything").close()
    else:
        assert refusal(p, "app", "anything") == ("28000", 'PAM authentication failed for user "app"')


def test_pam_that_takes_its_time(new_pooler, pam):
    """TH-04: Others log in and work while PAM is asked; a client that leaves meanwhile, and the login timeout, hurt nobody."""
    p = new_pooler({"auth_type": "hba", "auth_hba_file": "hba.conf", "auth_threads": 2, "client_login_timeout": 1.5 * SLOW}, env=pam,
                   files={"hba.conf": "host test app all pam pamservice=slow\nhost all all all trust\n"})
    waiting = []
    for _ in range(20):
        c = Client(p.host, p.port)
        c.send(wire.startup({"user": "app", "database": "test"}))
        assert c.recv().kind == "R"
        c.send(wire.message("p", PASSWORD + "\0"))
        waiting.append(c)
    waiting.pop().rst()
    waiting.pop().fin()
    begun = time.monotonic()
    other = Client(p.host, p.port).login("trust_user", "test")
    assert other.query("select 1") == [["1"]]
    assert time.monotonic() - begun < 1.4 * SLOW, "a login waited for PAM"
    for c in waiting:
        e = c.recv(timeout=10 * SLOW)
        assert e.kind == "E" and e.sqlstate in ("57014", "28000"), e
    assert other.query("select 1") == [["1"]]
    assert p.end(signal.SIGINT, patience=10 * SLOW) == 0


# ---- LDAP

LDIF = """dn: dc=example,dc=net
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=people,dc=example,dc=net
objectClass: organizationalUnit
ou: people

dn: cn=reader,dc=example,dc=net
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reader's own word

""" + "".join("""dn: uid=%s,ou=people,dc=example,dc=net
objectClass: inetOrgPerson
uid: %s
cn: %s
sn: %s
mail: %s@example.net
userPassword: %s

""" % (user, user, user, user, mail, PASSWORD) for user, mail in (("app", "app"), ("other", "both"), ("trust_user", "both")))
CONF = """include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {dir}/pid
argsfile {dir}/args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {dir}/cert.pem
TLSCertificateKeyFile {dir}/key.pem
access to attrs=userPassword by anonymous auth by * none
access to dn.base="" by * read
access to * by dn="cn=reader,dc=example,dc=net" read by anonymous {anonymous} by * none
database mdb
suffix "dc=example,dc=net"
directory {dir}/db
"""


class Slapd:
    """slapd on free loopback ports, in a temporary folder."""

    host = "127.0.0.1"

    def __init__(self, anonymous="read"):
        self.dir = tempfile.mkdtemp(prefix="pgweir-ldap.")
        self.port, self.tls_port = free_port(), free_port()
        os.mkdir(self.dir + "/db")
        with open(self.dir + "/slapd.conf", "w") as f:
            f.write(CONF.format(dir=self.dir, anonymous=anonymous))
        with open(self.dir + "/data.ldif", "w") as f:
            f.write(LDIF)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", self.dir + "/key.pem", "-out", self.dir + "/cert.pem"], check=True,
                       stderr=subprocess.DEVNULL)
        for root, _, files in os.walk(self.dir):
            for path in (root, *(root + "/" + f for f in files)):
                own(path)
        subprocess.run(["/usr/sbin/slapadd", "-f", self.dir + "/slapd.conf", "-l", self.dir + "/data.ldif"], check=True, cwd=self.dir,
                       **unprivileged())
        self.process = subprocess.Popen(
            [*dies_with_us("KILL"), "/usr/sbin/slapd", "-d", "0", "-f", self.dir + "/slapd.conf", "-h",
             "ldap://127.0.0.1:%d/ ldaps://127.0.0.1:%d/" % (self.port, self.tls_port)], cwd=self.dir, **unprivileged())
        wait_until(self._listens, 20 * SLOW, "slapd listens")

    def _listens(self):
        assert self.process.poll() is None, "slapd ended"
        for port in (self.port, self.tls_port):
            try:
                socket.create_connection((self.host, port)).close()
            except ConnectionRefusedError:
                return False
        return True

    def environment(self):
        """Whom libldap trusts."""
        return {"LDAPTLS_CACERT": self.dir + "/cert.pem"}

    def freeze(self):
        """Until the kernel says that it has stopped: an answer may be on its way."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: " T (" in self._status(), what="slapd stands still")

    def _status(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return f.read().replace("State:\t", "State: ")

    def destroy(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(20 * SLOW)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def slapd():
    if not os.access("/usr/sbin/slapd", os.X_OK):
        pytest.skip("slapd isn't installed")
    server = Slapd()
    yield server
    server.destroy()


BASE = 'ldapbasedn="ou=people,dc=example,dc=net"'
READER = 'ldapbinddn="cn=reader,dc=example,dc=net" ldapbindpasswd="reader\'s own word"'
SIMPLE = 'ldapprefix="uid=" ldapsuffix=",ou=people,dc=example,dc=net"'


@pytest.mark.parametrize("options", [
    "ldapserver=127.0.0.1 ldapport={port} " + SIMPLE,
    'ldapserver="127.0.0.1 127.0.0.1" ldapport={port} ' + SIMPLE,
    "ldapserver=127.0.0.1 ldapport={port} ldaptls=1 " + SIMPLE,
    "ldapserver=127.0.0.1 ldapport={tls_port} ldapscheme=ldaps " + SIMPLE,
    "ldapserver=127.0.0.1 ldapport={port} " + BASE,
    "ldapserver=127.0.0.1 ldapport={port} " + BASE + " " + READER,
    "ldapserver=127.0.0.1 ldapport={port} ldapsearchattribute=mail " + BASE + " ldapsearchfilter=",
    "ldapserver=127.0.0.1 ldapport={port} " + BASE + ' ldapsearchfilter="(|(uid=$username)(mail=$username))"',
    'ldapurl="ldap://127.0.0.1:{port}/dc=example,dc=net?uid?sub"',
    'ldapurl="ldaps://127.0.0.1:{tls_port}/ou=people,dc=example,dc=net?cn?one" ' + READER,
])
@pytest.mark.parametrize("way", ["auth_type", "hba"])
def test_ldap(new_pooler, slapd, options, way):
    """Each way to ask: the right password comes in, everything else doesn't."""
    if "ldapsearchfilter=" in options and options.endswith("="):
        options = options.replace(" ldapsearchfilter=", "").replace("ldapsearchattribute=mail", "ldapsearchattribute=sn")
    options = options.format(port=slapd.port, tls_port=slapd.tls_port)
    if way == "hba":
        p = new_pooler({"auth_type": "hba", "auth_hba_file": "hba.conf"}, env=slapd.environment(),
                       files={"hba.conf": "host test all all ldap %s\nhost pgweir admin all trust\n" % options})
    else:
        p = new_pooler({"auth_type": "ldap", "auth_ldap_options": options}, env=slapd.environment())
    c = Client(p.host, p.port).login("app", "test", PASSWORD)
    assert c.query("select current_user") == [["app"]]
    c.close()
    for user, password in (("app", "wrong"), ("app", ""), ("scram_user", PASSWORD), ("*", PASSWORD), ("app)(uid=*", PASSWORD),
                           ("app,ou=people,dc=example,dc=net", PASSWORD), ("x" * 300, PASSWORD)):
        assert refusal(p, user, password) == ("28000", 'LDAP authentication failed for user "%s"' % user[:63])


def test_ldap_two_users_for_one_name(new_pooler, slapd):
    """A search that finds two is no answer."""
    p = new_pooler({"auth_type": "ldap", "auth_ldap_options": "ldapserver=127.0.0.1 ldapport=%d %s ldapsearchfilter=(mail=both@example.net)" %
                    (slapd.port, BASE)})
    assert refusal(p, "other", PASSWORD)[0] == "28000"
    p.logged("LDAP knows more than one such user")


def test_ldap_wrong_certificate(new_pooler, slapd):
    """Without a reason to trust the server it isn't told the password."""
    p = new_pooler({"auth_type": "ldap", "auth_ldap_options": "ldapserver=127.0.0.1 ldapport=%d ldaptls=1 %s" % (slapd.port, SIMPLE)},
                   env={"LDAPTLS_CACERT": "/dev/null"})
    assert refusal(p, "app", PASSWORD)[0] == "28000"
    p.logged("LDAP StartTLS: ")


def test_ldap_away_and_frozen(new_pooler):
    """TH-04: A directory that is stopped holds up only those who need it, for as long as a login may take."""
    if not os.access("/usr/sbin/slapd", os.X_OK):
        pytest.skip("slapd isn't installed")
    slapd = Slapd()
    try:
        p = new_pooler({"auth_type": "hba", "auth_hba_file": "hba.conf", "client_login_timeout": 2 * SLOW, "auth_threads": 2},
                       files={"hba.conf": "host test app all ldap ldapserver=127.0.0.1 ldapport=%d %s\nhost all all all trust\n" % (slapd.port, SIMPLE)})
        Client(p.host, p.port).login("app", "test", PASSWORD).close()
        slapd.freeze()
        waiting = []
        for _ in range(10):
            c = Client(p.host, p.port)
            c.send(wire.startup({"user": "app", "database": "test"}) + wire.message("p", PASSWORD + "\0"))
            waiting.append(c)
        assert Client(p.host, p.port).login("trust_user", "test").query("select 1") == [["1"]]
        for c in waiting:
            got = c.recv_until("E", timeout=20 * SLOW)
            assert got[-1].sqlstate in ("28000", "57014")
        slapd.process.send_signal(signal.SIGCONT)

        def works():
            try:
                Client(p.host, p.port).login("app", "test", PASSWORD).close()
                return True
            except LoginFailed:
                return False
        wait_until(works, 20 * SLOW, "logins by LDAP work again")
    finally:
        slapd.destroy()

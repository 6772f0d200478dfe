"""pgweir-storm as a whole: phases, arrivals, endings, TLS, what it reports."""
import fcntl
import glob
import html.parser
import json
import os
import re
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

import scripted_server as fake
import wire
from postgres import PASSWORDS, unprivileged
from scripted_server import ScriptedServer
from tls import Authority, TlsPostgres
from wire import SLOW

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = sorted(glob.glob(ROOT + "/etc/scenarios/*.ini"))


def storm(*args, env=None, **kw):
    program = os.environ.get("PGWEIR_STORM", ROOT + "/pgweir-storm")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG") or k.startswith("PGWEIR")}
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=50 * SLOW, env=dict(environment, **(env or {})), check=False, **kw)


def uri(end, user="app", more=""):
    return "host=%s port=%d user=%s dbname=test %s" % (end.host, end.port, user, more)


def result(*args, status=0, **kw):
    """The JSON's content."""
    done = storm("--json=-", *args, **kw)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def scenario(tmp_path, text):
    path = tmp_path / "scenario.ini"
    path.write_text(text)
    return "--scenario=%s" % path


# ---- scenarios ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", EXAMPLES, ids=os.path.basename)
def test_examples_make_sense(path):
    done = storm("--check", "--scenario=" + path, "host=127.0.0.1 user=app")
    if "CAP_NET_ADMIN" in done.stderr:
        pytest.skip("after=crash needs CAP_NET_ADMIN")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path):
    done = storm(scenario(tmp_path, "[storm]\n\n[phase a]\nfunctions = few\n"), "host=h user=u")
    assert (done.returncode, done.stderr) == (2, "pgweir-storm: %s/scenario.ini:4: functions can't be 'few'\n" % tmp_path + "")


def test_a_mistake_in_a_target_is_told_with_its_phase_and_without_its_password(tmp_path):
    done = storm(scenario(tmp_path, "[phase a]\ntarget = host=h user=u password=geheim port=abc\n"))
    assert done.returncode == 2 and "scenario.ini:1: port 'abc'" in done.stderr and "geheim" not in done.stderr


def test_phases_run_side_by_side_and_are_counted_apart(postgres, tmp_path):
    path = scenario(tmp_path, """
[storm]
work = query
sql = select 1
[phase steady]
functions = 3
pace = 50
duration = 1
[phase herd]
start = 0.3
functions = 40
arrival = poisson
window = 0.3
after = idle
""")
    r = result(path, "--hold=0", uri(postgres), "--watch=" + uri(postgres))
    steady, herd = r["phases"]
    assert (steady["name"], herd["name"]) == ("steady", "herd")
    assert (steady["served"], steady["transactions"], steady["due"], steady["missed"]) == (3, 150, 150, 0)
    assert (herd["served"], herd["transactions"], herd["due"]) == (40, 40, 0)
    assert (r["served"], r["transactions"]) == (43, 190)
    assert herd["served_at_ms"]["first"] >= 300 and steady["wall_s"] >= 0.98
    assert sum(r["histogram"]["arrived"]) == sum(r["histogram"]["served"]) == 190
    assert r["server_connections"]["max"] >= 3 and max(n for n in r["server_connections"]["seen"] if n is not None) <= 43


def test_a_seed_repeats_arrivals(postgres):
    def arrived(seed):
        r = result("-n30", "--arrival=poisson", "--rate=100", "--work=login", "--seed=%d" % seed, uri(postgres))
        assert r["seed"] == seed
        return r["histogram"]["bucket_ms"], r["histogram"]["arrived"]

    def sums(seed, ms):
        """How many had come after each so many milliseconds, whatever the width of the buckets."""
        width, counts = arrived(seed)
        return [sum(counts[:int(at / width)]) for at in range(ms, 400, ms)]
    assert sums(5, 64) == sums(5, 64) != sums(6, 64)


# ---- pace --------------------------------------------------------------------------------------------------------------

def test_a_server_that_stalls_makes_the_following_late(postgres):
    """An open loop: a stall of 300 ms at 50 a second is seen by some fifteen transactions, not by one."""
    with ScriptedServer(slow_once) as server:
        r = result("-n1", "--pace=50", "--duration=1", "--simple", "--sql=select 1", uri(server, more="sslmode=disable"))
    assert (r["due"], r["transactions"], r["missed"]) == (50, 50, 0)
    assert r["ms"]["total"]["max"] >= 300 and 10 <= r["due"] - r["on_time"] <= 40 * SLOW
    assert r["ms"]["transaction"]["p50"] < 100


def slow_once(c):
    c.login()
    n = 0
    while True:
        m = c.recv()
        if m is None or m.kind != "Q":
            return
        n += 1
        if n == 10:
            time.sleep(0.3)
        c.send(c.answer("SELECT 1"))


def test_lateness_gives_up_after_its_timeout(postgres):
    """A server that never answers: each transaction has its own timeout, and a new connection afterwards."""
    with ScriptedServer(lambda c: (c.login(), c.hang())) as server:
        r = result("-n1", "--pace=10", "--duration=1", "--timeout=0.15", "--simple", uri(server, more="sslmode=disable"), status=1)
        assert len(server.connections) >= 2
    assert (r["due"], r["missed"], r["on_time"], r["failed"]) == (10, 10, 0, 1)
    assert {e["key"]: e["count"] for e in r["errors"]} == {"timeout": 10}


# ---- endings -----------------------------------------------------------------------------------------------------------

def backends(postgres):
    return postgres.sessions(database="test")


def test_frozen_ones_thaw_and_go_on(postgres):
    r = result("-n4", "-w0", "--after=freeze", "--thaw=0.5", "--hold=0", uri(postgres))
    assert (r["served"], r["frozen"], r["thawed"], r["attempts"], r["transactions"]) == (4, 4, 4, 4, 4)
    assert r["ms"]["resume"]["count"] == 4 and r["wall_s"] > 0.5


def test_a_frozen_one_that_lost_its_transaction_repeats_it_on_the_same_connection(postgres):
    """PostgreSQL itself ends the connection; one that only ends the transaction is scripted."""
    def reclaiming(c):
        c.login()
        c.polite(until=fake.has("COMMIT"))
        c.send(fake.error("ERROR", "25P03", "terminating transaction due to idle-in-transaction timeout") + fake.ready())
        c.status = "I"
        c.polite()

    with ScriptedServer(reclaiming) as server:
        r = result("-n1", "-w0", "--after=freeze", "--thaw=0.2", "--retries=1", "--backoff=0", "--sql=select 1", uri(server, more="sslmode=disable"))
        assert len(server.connections) == 1
    assert (r["served"], r["retries"], r["attempts"], r["transactions"]) == (1, 1, 1, 1)
    assert r["errors"][0]["key"] == "25P03"


def received_until_end(listener, out):
    sock, _ = listener.accept()
    sock.settimeout(0.7)
    data = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                out.append(("FIN", data))
                break
            data += piece
            if data == piece:
                sock.sendall(wire.message("R", b"\0\0\0\0") + wire.message("Z", "I"))
    except socket.timeout:
        sock.sendall(b"is anybody there?")  # a kernel that is alive answers a port that nobody has by RST
        try:
            out.append(("nothing" if sock.recv(1) else "FIN", data))
        except socket.timeout:
            unacknowledged = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"    "))[0]
            out.append(("nothing" if unacknowledged else "ACK", data))
        except ConnectionResetError:
            out.append(("RST", data))
    except ConnectionResetError:
        out.append(("RST", data))
    sock.close()


@pytest.mark.parametrize("at", ["end", "query", "message"])
@pytest.mark.parametrize("after, end", [("drop", "FIN"), ("crash", "nothing")])
def test_who_vanishes_says_so_or_not(after, end, at):
    """drop: a FIN and no Terminate. crash: not even that."""
    out = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        t = threading.Thread(target=received_until_end, args=(listener, out))
        t.start()
        done = storm("-n1", "-w0", "--after=" + after, *(["--at=" + at] if at != "end" else ["--work=login"]), "--simple" if at != "end" else "-k1",
                     "--hold=3", "--sql=select 1", "host=127.0.0.1 port=%d user=u sslmode=disable" % listener.getsockname()[1])
        if "CAP_NET_ADMIN" in done.stderr:
            with socket.create_connection(listener.getsockname()):
                pass
        t.join()
    if "CAP_NET_ADMIN" in done.stderr:
        pytest.skip("after=crash needs CAP_NET_ADMIN")
    assert done.returncode == 0, done.stdout + done.stderr
    (seen, data), = out
    assert seen == end
    said = wire.message("Q", "select 1\0")
    assert data.endswith({"end": b"\0", "query": said, "message": said[:(len(said) + 1) // 2]}[at]) and b"X\0\0\0\4" not in data[8:]


def test_crash_is_refused_where_it_is_impossible(postgres):
    done = storm("--after=crash", "host=%s port=%d user=app dbname=test" % (postgres.dir, postgres.port))
    assert done.returncode == 2 and ("is a Unix socket" in done.stderr or "can't" in done.stderr)
    if os.getuid() == 0:
        program = "/tmp/pgweir-storm-%d" % os.getpid()
        with open(os.environ.get("PGWEIR_STORM", ROOT + "/pgweir-storm"), "rb") as f, open(program, "wb") as g:
            g.write(f.read())
        os.chmod(program, 0o755)
        try:
            done = subprocess.run([program, "--check", "--after=crash", "host=127.0.0.1 user=u"], capture_output=True, text=True, check=False,
                                  cwd="/", **unprivileged())
        finally:
            os.unlink(program)
        assert (done.returncode, done.stderr) == (2, "pgweir-storm: after=crash needs the capability CAP_NET_ADMIN, "
                                                  "to close a connection without telling the peer: run it as root\n")


def test_a_retry_storm_retries_at_once(postgres):
    def refusing(c):
        c.send(fake.error("FATAL", "53300", "sorry, too many clients already"))
        c.close()

    with ScriptedServer(refusing) as server:
        r = result("-n3", "-w0", "--retries=20", "--backoff=0", uri(server, more="sslmode=disable"), status=1)
    assert (r["attempts"], r["retries"], r["failed"]) == (63, 60, 3)
    assert {e["key"]: e["count"] for e in r["errors"]} == {"53300": 63}
    assert r["wall_s"] < 5 * SLOW


# ---- login and TLS -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", ["scram_user", "md5_user", "plain_user"])
def test_passwords(postgres, user):
    r = result("-n5", "--simple", uri(postgres, user), env={"PGPASSWORD": PASSWORDS[user]})
    assert r["served"] == 5
    r = result("-n1", "--simple", uri(postgres, user), env={"PGPASSWORD": "wrong"}, status=1)
    assert r["errors"][0]["key"] == "28P01"


@pytest.fixture(scope="module")
def ca():
    a = Authority()
    yield a
    a.destroy()


@pytest.fixture(scope="module")
def tls_server(ca):
    server = TlsPostgres(ca, ca.issue("localhost", "DNS:localhost,IP:127.0.0.1"))
    yield server
    server.destroy()


LOGGED_IN_BY_TLS = "select 1 / (case when (select ssl from pg_stat_ssl where pid = pg_backend_pid()) = %s then 1 else 0 end)"


@pytest.mark.parametrize("mode, is_tls", [("disable", False), ("allow", False), ("prefer", True), ("require", True), ("verify-ca", True),
                                          ("verify-full", True)])
def test_sslmode(tls_server, ca, mode, is_tls):
    r = result("-n20", "-w0", "--sql=" + LOGGED_IN_BY_TLS % is_tls, uri(tls_server, more="sslmode=%s sslrootcert=%s" % (mode, ca.cert)))
    assert (r["served"], r["errors"]) == (20, [])


def test_prefer_takes_plain_text_where_there_is_no_tls(postgres):
    assert result("-n5", uri(postgres, more="sslmode=prefer"))["served"] == 5
    r = result("-n5", uri(postgres, more="sslmode=require"), status=1)
    assert {e["key"]: (e["count"], e["message"]) for e in r["errors"]} == {"tls": (5, "the server has no TLS")}


def test_a_certificate_of_somebody_else_is_refused(tls_server):
    other = Authority("somebody else")
    try:
        r = result("-n2", uri(tls_server, more="sslmode=verify-ca sslrootcert=" + other.cert), status=1)
    finally:
        other.destroy()
    assert r["errors"][0]["key"] == "tls" and "certificate verify failed" in r["errors"][0]["message"]


def test_direct_tls_and_large_results_through_pgweir(new_pooler, ca):
    pair = ca.issue("localhost", "DNS:localhost,IP:127.0.0.1")
    p = new_pooler({"client_tls_sslmode": "require", "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key, "default_pool_size": 3})
    r = result("-n20", "--sslnegotiation=direct", "--sql=select repeat('x', 1000) from generate_series(1, 2000)",
               uri(p, more="sslmode=verify-full sslrootcert=%s" % ca.cert))
    assert (r["served"], r["errors"]) == (20, [])


@pytest.mark.parametrize("answer, key", [(b"E", "protocol"), (b"S" + b"no handshake at all", "tls"), (b"", "closed")])
def test_what_is_no_tls_is_told(answer, key):
    def serve(listener):
        sock, _ = listener.accept()
        sock.recv(8)
        sock.sendall(answer)
        if len(answer) > 1:
            sock.recv(65536)
        sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        t = threading.Thread(target=serve, args=(listener,))
        t.start()
        r = result("-n1", "host=127.0.0.1 port=%d user=u sslmode=require" % listener.getsockname()[1], status=1)
        t.join()
    assert r["errors"][0]["key"] == key


# ---- the report --------------------------------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    """Complains about what isn't closed, and collects what there is."""

    EMPTY = {"meta", "br", "path", "line", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links = [], [], []
        self.feed(text)
        assert not self.open

    def handle_startendtag(self, tag, attrs):
        self.note(tag, attrs)

    def handle_starttag(self, tag, attrs):
        self.note(tag, attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def note(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action") or name.startswith("on")]


def test_the_page_stands_alone(postgres, tmp_path):
    path = tmp_path / "report.html"
    done = storm("-n30", "--html=%s" % path, "--sql=select '<script>x</script>' / 0", "--watch=" + uri(postgres), uri(postgres))
    assert done.returncode == 1 and "22P02" in done.stdout
    text = path.read_text()
    page = Page(text)
    assert not page.links and "script" not in page.tags and not re.search(r"url\(|@import|https?:", text)
    assert page.tags.count("svg") >= 3 and page.tags.count("details") == page.tags.count("figure") == 3
    assert "22P02" in text and "<script>" not in text


def test_a_page_that_cannot_be_written_is_told(postgres):
    done = storm("-n1", "--html=/nonexistent/x", uri(postgres))
    assert done.returncode == 1 and "can't write /nonexistent/x" in done.stderr
    assert "served" in done.stdout


def test_millions_of_samples_take_no_more_memory():
    """The bound is on what statistics keep, so a million transactions from one function will do."""
    def quick(c):
        c.login()
        answer = c.answer("SELECT 1")
        c.sock.settimeout(None)
        while True:
            data = c.sock.recv(65536)
            if not data or data[:1] == b"X":
                return
            c.sock.sendall(answer)

    def peak(n):
        with ScriptedServer(quick) as server:
            argv = ["/usr/bin/python3", "-c", "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
                    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)", os.environ.get("PGWEIR_STORM", ROOT + "/pgweir-storm"), "-n1",
                    "-w0", "--simple", "-sselect 1", "-k%d" % n, "-t40", uri(server, more="sslmode=disable")]
            return int(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=50 * SLOW).stdout)

    assert peak(20000 // SLOW) - peak(100) < 1500 * SLOW

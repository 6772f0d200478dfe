"""wire - a PostgreSQL client (protocol 3.0) with every byte under control.

Builders return whole messages as bytes; Client sends bytes as they are, cut where the test wants, and hands out the
server's messages one by one. Nothing here retries, guesses or skips: that is trace.py's business.
"""
import base64
import collections
import fcntl
import hashlib
import hmac
import os
import select
import socket
import struct
import termios
import time

import secrets_seen

SLOW = float(os.environ.get("PGWEIR_SLOW") and 4 or 1)  # sanitizer builds: all waits get longer, none gets a fixed time
TIMEOUT = 10 * SLOW

CANCEL_CODE, SSL_CODE, GSSENC_CODE = 80877102, 80877103, 80877104
PROTOCOL_3_0 = 0x00030000


class Timeout(AssertionError):
    """Nothing came in time."""


def is_ready(sock, timeout, event=select.POLLIN):
    """poll(), since select() can't take descriptors above 1023."""
    p = select.poll()
    p.register(sock, event)
    return bool(p.poll(max(0, timeout * 1000)))


def wait_until(fn, timeout=TIMEOUT, what=None):
    """Polls fn until it gives something true, which is returned. The only way in which these tests wait for a state."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout("waited %.0f s for: %s (last: %r)" % (timeout, what or fn, value))
        select.select([], [], [], pause)
        pause = min(pause * 2, 0.05)


# ---- messages ------------------------------------------------------------------------------------------------------

def _b(text):
    return text if isinstance(text, bytes) else text.encode()


def _z(text):
    return _b(text) + b"\0"


def message(kind, body=b""):
    body = _b(body)
    return _b(kind) + struct.pack("!i", len(body) + 4) + body


def query(sql):
    return message("Q", _z(sql))


def parse(name, sql, types=()):
    return message("P", _z(name) + _z(sql) + struct.pack("!H", len(types)) + b"".join(struct.pack("!I", t) for t in types))


def _values(values):
    out = struct.pack("!H", len(values))
    for v in values:
        out += struct.pack("!i", -1) if v is None else struct.pack("!i", len(_b(v))) + _b(v)
    return out


def bind(statement="", portal="", values=(), formats=(), result_formats=()):
    return message("B", _z(portal) + _z(statement) + struct.pack("!H", len(formats)) +
                   b"".join(struct.pack("!h", f) for f in formats) + _values(values) +
                   struct.pack("!H", len(result_formats)) + b"".join(struct.pack("!h", f) for f in result_formats))


def describe(kind, name=""):
    return message("D", _b(kind) + _z(name))


def execute(portal="", limit=0):
    return message("E", _z(portal) + struct.pack("!i", limit))


def close(kind, name=""):
    return message("C", _b(kind) + _z(name))


def function_call(oid, values=(), formats=(), result_format=0):
    return message("F", struct.pack("!Ih", oid, len(formats)) + b"".join(struct.pack("!h", f) for f in formats) +
                   _values(values) + struct.pack("!h", result_format))


def copy_data(data):
    return message("d", _b(data))


def copy_fail(reason):
    return message("f", _z(reason))


SYNC, FLUSH, TERMINATE, COPY_DONE = message("S"), message("H"), message("X"), message("c")


def startup(params, version=PROTOCOL_3_0):
    body = struct.pack("!I", version) + b"".join(_z(k) + _z(v) for k, v in params.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def special(code, rest=b""):
    return struct.pack("!iI", 8 + len(rest), code) + rest


def cancel_request(pid, secret):
    return special(CANCEL_CODE, struct.pack("!I", pid) + secret)


# ---- replies -------------------------------------------------------------------------------------------------------

class Message(collections.namedtuple("Message", "kind body")):
    """A message from the server; the properties read its body as far as tests need that."""

    @property
    def fields(self):
        """ErrorResponse and NoticeResponse: {'S': severity, 'C': sqlstate, 'M': message, ..}"""
        out = {}
        for part in self.body.split(b"\0"):
            if part:
                out[chr(part[0])] = part[1:].decode(errors="replace")
        return out

    @property
    def sqlstate(self):
        return self.fields.get("C")

    @property
    def severity(self):
        return self.fields.get("V") or self.fields.get("S")

    @property
    def text(self):
        return self.fields.get("M")

    @property
    def row(self):
        """DataRow: values as str, bytes where they aren't UTF-8, None for NULL."""
        n, = struct.unpack_from("!h", self.body)
        pos, out = 2, []
        for _ in range(n):
            size, = struct.unpack_from("!i", self.body, pos)
            pos += 4
            if size < 0:
                out.append(None)
                continue
            value = self.body[pos:pos + size]
            pos += size
            try:
                out.append(value.decode())
            except UnicodeDecodeError:
                out.append(value)
        assert pos == len(self.body), "DataRow with a wrong length inside"
        return out

    @property
    def columns(self):
        """RowDescription: names of the columns."""
        n, = struct.unpack_from("!h", self.body)
        pos, out = 2, []
        for _ in range(n):
            end = self.body.index(b"\0", pos)
            out.append(self.body[pos:end].decode())
            pos = end + 1 + 18
        return out

    @property
    def tag(self):
        return self.body.rstrip(b"\0").decode()

    @property
    def parameter(self):
        name, value, _ = self.body.split(b"\0")
        return name.decode(), value.decode()

    def __str__(self):
        k = self.kind
        if k == "D":
            row = ",".join("NULL" if v is None else str(v) for v in self.row)
            return "D(%s)" % (row if len(row) < 60 else row[:60] + "..")
        if k == "C":
            return "C(%s)" % self.tag
        if k in "EN":
            return "%s[%s %s %r]" % (k, self.severity, self.sqlstate, self.text)
        if k == "Z":
            return "Z(%s)" % self.body.decode()
        if k == "S":
            return "PS(%s=%s)" % self.parameter
        if k == "T":
            return "T(%s)" % ",".join(self.columns)
        return k


def unsent(sock):
    """Bytes that the peer's kernel hasn't acknowledged yet."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]


def pause_for_ack(sock):
    """Lets the peer see what was sent before more comes; a delayed acknowledgement isn't waited for (it takes 40 ms)."""
    deadline = time.monotonic() + 0.002
    while time.monotonic() < deadline and unsent(sock):
        select.select([], [], [], 0.0002)


class LoginFailed(Exception):
    def __init__(self, error):
        super().__init__(str(error))
        self.error = error

    @property
    def sqlstate(self):
        return self.error.sqlstate if self.error else None


class Scram:
    """The client's half of SCRAM-SHA-256."""

    def __init__(self, password, gs2=b"n,,", user=b""):
        self.password, self.gs2 = _b(password), gs2
        self.first = b"n=" + user + b",r=" + base64.b64encode(os.urandom(18))

    def initial(self, mechanism=b"SCRAM-SHA-256"):
        data = self.gs2 + self.first
        return message("p", mechanism + b"\0" + struct.pack("!i", len(data)) + data)

    def response(self, server_first):
        part = dict(p.split(b"=", 1) for p in server_first.split(b","))
        assert part[b"r"].startswith(self.first.split(b"r=")[1]), "the server's nonce doesn't extend ours"
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(part[b"s"]), int(part[b"i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = b"c=" + base64.b64encode(self.gs2) + b",r=" + part[b"r"]
        auth = self.first + b"," + server_first + b"," + final
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth, "sha256")
        self.server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        return message("p", final + b",p=" + base64.b64encode(proof))

    def check_final(self, server_final):
        assert base64.b64decode(server_final[2:]) == self.server_signature, "the server's signature is wrong"


def scram_secret(password, iterations=4096):
    """As PostgreSQL stores it."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", _b(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return "SCRAM-SHA-256$%d:%s$%s:%s" % (iterations, *(base64.b64encode(x).decode() for x in (salt, stored, server)))


def md5_password(user, password, salt):
    inner = hashlib.md5(_b(password) + _b(user)).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()


class Client:
    """One connection. login() makes it a session; before that, send and receive what you like."""

    def __init__(self, host, port, timeout=TIMEOUT, rcvbuf=None, source=None):
        family = socket.AF_UNIX if host[0] in "/@" else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        if family == socket.AF_UNIX:
            path = "%s/.s.PGSQL.%d" % (host, port)
            self.sock.connect("\0" + path[1:] if host[0] == "@" else path)
        else:
            if source:
                self.sock.bind((source, 0))
            self.sock.connect((host, port))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # one send, one segment
        self.address = (host, port)
        self.timeout = timeout
        self.buffer = b""
        self.parameters = {}
        self.pid = self.secret = None
        self.login_messages = []

    # -- bytes

    def send(self, data):
        self.sock.sendall(data)

    def send_cut(self, data, *cuts):
        """Sends data in pieces, each a segment of its own."""
        last = 0
        for cut in [*cuts, len(data)]:
            self.sock.sendall(data[last:cut])
            last = cut
            pause_for_ack(self.sock)

    def drained(self):
        """Waits until the peer's kernel has acknowledged everything."""
        if self.sock.family == socket.AF_INET:
            wait_until(lambda: unsent(self.sock) == 0, what="bytes acknowledged")

    def readable(self, timeout):
        return bool(self.buffer) or is_ready(self.sock, timeout)

    def read_bytes(self, n, timeout=None):
        """n bytes, fewer at the end of the connection."""
        chunks, have = [self.buffer], len(self.buffer)
        while have < n:
            data = self._recv_some(timeout or self.timeout, chunks[-1])
            if not data:
                self.buffer = b""
                return b"".join(chunks)
            chunks.append(data)
            have += len(data)
        whole = b"".join(chunks)
        self.buffer = whole[n:]
        return whole[:n]

    def _recv_some(self, timeout, last):
        if not is_ready(self.sock, timeout):
            raise Timeout("no more bytes after %r" % last[-80:])
        try:
            return self.sock.recv(1 << 20)
        except ConnectionResetError:
            return b""

    def skip_bytes(self, n):
        """Reads n bytes and throws them away."""
        n -= len(self.buffer)
        self.buffer = self.buffer[len(self.buffer) + n:] if n < 0 else b""
        while n > 0:
            data = self._recv_some(self.timeout, b"")
            assert data, "connection closed with %d bytes missing" % n
            self.buffer = data[n:]
            n -= len(data)

    def recv(self, timeout=None):
        """The next Message, or None when the connection is closed at a message boundary."""
        head = self.read_bytes(5, timeout)
        if not head:
            return None
        assert len(head) == 5, "connection closed inside a header: %r" % head
        size, = struct.unpack("!i", head[1:])
        assert size >= 4, "message with length %d" % size
        body = self.read_bytes(size - 4, timeout)
        assert len(body) == size - 4, "connection closed inside a message %r" % head
        if head[:1] in b"EN":
            secrets_seen.overhear(body.decode(errors="replace"))
        return Message(chr(head[0]), body)

    def recv_until(self, kinds="Z", timeout=None):
        """Messages up to and including one of these kinds, or up to the end of the connection (then None is last)."""
        out = []
        while True:
            m = self.recv(timeout)
            out.append(m)
            if m is None or m.kind in kinds:
                return out

    def expect_close(self, timeout=None):
        got = self.read_bytes(1, timeout)
        assert got == b"", "expected the end of the connection, got %r" % (got + self.buffer)

    # -- session

    def login(self, user, database=None, password=None, params=None, version=PROTOCOL_3_0, send_startup=True):
        if send_startup:
            all_params = {"user": user}
            if database is not None:
                all_params["database"] = database
            all_params.update(params or {})
            self.send(startup(all_params, version))
        scram = None
        while True:
            m = self.recv()
            self.login_messages.append(m)
            if m is None or m.kind == "E":
                raise LoginFailed(m)
            if m.kind == "R":
                request, = struct.unpack_from("!i", m.body)
                if request == 3:
                    self.send(message("p", _z(password)))
                elif request == 5:
                    self.send(message("p", _z(md5_password(user, password, m.body[4:8]))))
                elif request == 10:
                    scram = Scram(password)
                    self.send(scram.initial())
                elif request == 11:
                    self.send(scram.response(m.body[4:]))
                elif request == 12:
                    scram.check_final(m.body[4:])
                else:
                    assert request == 0, "authentication request %d" % request
            elif m.kind == "S":
                name, value = m.parameter
                self.parameters[name] = value
            elif m.kind == "K":
                self.pid, self.secret = struct.unpack("!I", m.body[:4])[0], m.body[4:]
            elif m.kind == "Z":
                return self

    def query(self, sql, timeout=None):
        """Simple Query: list of rows of the last result; raises the error, if any, as QueryFailed."""
        self.send(query(sql))
        rows, error = [], None
        for m in self.recv_until("Z", timeout):
            if m is None:
                raise QueryFailed(error)
            if m.kind == "T":
                rows = []
            elif m.kind == "D":
                rows.append(m.row)
            elif m.kind == "E":
                error = m
        if error:
            raise QueryFailed(error)
        return rows

    def value(self, sql):
        return self.query(sql)[0][0]

    def cancel(self, wait=True):
        c = Client(*self.address, timeout=self.timeout)
        c.send(cancel_request(self.pid, self.secret))
        if wait:
            c.expect_close()
        c.sock.close()

    # -- ways to leave

    def close(self):
        """X, then the end."""
        try:
            self.sock.sendall(TERMINATE)
        except OSError:
            pass
        self.sock.close()

    def fin(self):
        self.sock.close()

    def rst(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def shut(self):
        self.sock.shutdown(socket.SHUT_WR)


class QueryFailed(Exception):
    def __init__(self, error):
        super().__init__(str(error))
        self.error = error

    @property
    def sqlstate(self):
        return self.error.sqlstate if self.error else None

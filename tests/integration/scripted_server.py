"""scripted_server - a PostgreSQL that does what a real one won't do on cue.

    def script(c):                       # runs once for each connection, in a thread of its own
        c.login()
        c.polite(until=has("boom"))      # answers everything until the client's query arrives
        c.send(error("FATAL", "57P01", "going") )
        c.close()
    with ScriptedServer(script) as server: ..

Cancel requests don't reach the script: they are kept in server.cancels and closed at once, unless on_cancel says otherwise.
A script that fails an assertion fails the test at the end of the with block.
"""
import base64
import hashlib
import hmac
import os
import socket
import struct
import threading

import wire
from wire import TIMEOUT, Message, message


# ---- what a server sends -----------------------------------------------------------------------------------------------

def ready(status="I"):
    return message("Z", status)


def row_description(*names):
    return message("T", struct.pack("!h", len(names)) + b"".join(n.encode() + b"\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0) for n in names))


def data_row(*values):
    return message("D", struct.pack("!h", len(values)) + b"".join(
        struct.pack("!i", -1) if v is None else struct.pack("!i", len(v.encode())) + v.encode() for v in values))


def complete(tag):
    return message("C", tag.encode() + b"\0")


def result(*values, status="I"):
    """The whole answer to a Query: one row."""
    return row_description(*["c%d" % i for i in range(len(values))]) + data_row(*values) + complete("SELECT 1") + ready(status)


def report(kind, severity, sqlstate, text, **fields):
    body = "S%s\0V%s\0C%s\0M%s\0" % (severity, severity, sqlstate, text) + "".join("%s%s\0" % kv for kv in fields.items())
    return message(kind, body.encode() + b"\0")


def error(severity, sqlstate, text, **fields):
    return report("E", severity, sqlstate, text, **fields)


def notice(text):
    return report("N", "NOTICE", "00000", text)


def parameter(name, value):
    return message("S", name.encode() + b"\0" + value.encode() + b"\0")


PARAMETERS = {"server_version": "15.99", "server_encoding": "UTF8", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "TimeZone": "UTC",
              "integer_datetimes": "on", "IntervalStyle": "postgres", "is_superuser": "off", "session_authorization": "app",
              "standard_conforming_strings": "on", "application_name": "", "default_transaction_read_only": "off", "in_hot_standby": "off"}


def has(text):
    """Is it a message with this text in it?"""
    return lambda m: text.encode() in m.body


class Connection:
    """The server's end of one connection."""

    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.params, self.received, self.buffer, self.status = {}, [], b"", "I"
        self.pid, self.secret = 1000 + number, os.urandom(4)
        sock.settimeout(6 * TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, n):
        while len(self.buffer) < n:
            try:
                data = self.sock.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                return b""
            self.buffer += data
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def recv(self):
        """The next message, None at the end of the connection."""
        head = self.read(5)
        if not head:
            return None
        size, = struct.unpack("!i", head[1:])
        m = Message(chr(head[0]), self.read(size - 4) if size > 4 else b"")
        self.received.append(m)
        return m

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def send_slowly(self, data):
        """One byte a segment."""
        for i in range(len(data)):
            self.send(data[i:i + 1])
            try:
                wire.pause_for_ack(self.sock)
            except (OSError, ValueError):
                return  # closed meanwhile

    # -- login

    def read_startup(self):
        """The first packet: its code. The parameters go to .params."""
        head = self.read(8)
        if not head:
            return None
        size, code = struct.unpack("!iI", head)
        body = self.read(size - 8)
        if code == wire.PROTOCOL_3_0:
            parts = body.split(b"\0")
            self.params = {k.decode(): v.decode() for k, v in zip(parts[0:-2:2], parts[1:-2:2])}
        self.startup_rest = body
        return code

    def login(self, auth="trust", password="secret", before=b"", key=True, send=None, mechanisms=("SCRAM-SHA-256",), **parameters):
        """Authenticates the client and makes it ready. parameters: None for one that isn't reported. before: sent ahead of ReadyForQuery; send: how to send."""
        send = send or self.send
        if auth == "password":
            send(message("R", struct.pack("!i", 3)))
            assert self.recv().body == password.encode() + b"\0"
        elif auth == "md5":
            salt = os.urandom(4)
            send(message("R", struct.pack("!i", 5) + salt))
            assert self.recv().body == wire.md5_password(self.params["user"], password, salt).encode() + b"\0"
        elif auth == "scram":
            self.scram(password, mechanisms, send)
        send(message("R", struct.pack("!i", 0)))
        known = dict(PARAMETERS, application_name=self.params.get("application_name", ""), **parameters)
        send(b"".join(parameter(k, v) for k, v in known.items() if v is not None) +
             (message("K", struct.pack("!I", self.pid) + self.secret) if key else b"") + before + ready())
        return self

    def scram(self, password, mechanisms=("SCRAM-SHA-256",), send=None, spoil=None):
        """The server's half of SCRAM. spoil(first or final) may change what we send."""
        send, spoil = send or self.send, spoil or (lambda data: data)
        send(message("R", struct.pack("!i", 10) + b"".join(m.encode() + b"\0" for m in mechanisms) + b"\0"))
        m = self.recv()
        if m is None:
            return
        name, _, rest = m.body.partition(b"\0")
        assert name == b"SCRAM-SHA-256", name
        client_first = rest[4:]
        bare = client_first.split(b",", 2)[2]
        nonce = dict(p.split(b"=", 1) for p in bare.split(b","))[b"r"] + base64.b64encode(os.urandom(18))
        salt, iterations = os.urandom(16), 4096
        first = b"r=" + nonce + b",s=" + base64.b64encode(salt) + b",i=%d" % iterations
        send(message("R", struct.pack("!i", 11) + spoil(first)))
        m = self.recv()
        if m is None:
            return
        without_proof, _, proof = m.body.rpartition(b",p=")
        auth = bare + b"," + first + b"," + without_proof
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        signature = hmac.digest(stored, auth, "sha256")
        client_key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature))
        assert hashlib.sha256(client_key).digest() == stored, "wrong proof"
        server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth, "sha256")
        send(message("R", struct.pack("!i", 12) + spoil(b"v=" + base64.b64encode(server_signature))))

    # -- what comes after

    def polite(self, until=None):
        """Answers whatever comes in a plausible way. Gives the message that until() wants, unanswered, or None at the end."""
        skipping = False
        while True:
            m = self.recv()
            if m is None or m.kind == "X":
                return None
            if until and until(m):
                return m
            if m.kind == "Q":
                self.send(self.answer(m.body[:-1].decode(errors="replace")))
            elif m.kind == "S":
                skipping = False
                self.send(ready(self.status))
            elif not skipping:
                self.send({"P": message("1"), "B": message("2"), "C": message("3"), "E": complete("SELECT 0")}.get(m.kind, b""))
                if m.kind == "D":
                    self.send((message("t", b"\0\0") if m.body[:1] == b"S" else b"") + message("n"))

    def answer(self, sql):
        word = (sql.split() or [""])[0].strip(";").upper()
        if not word:
            return message("I") + ready(self.status)
        self.status = {"BEGIN": "T", "COMMIT": "I", "ROLLBACK": "I"}.get(word, self.status)
        if word == "SELECT":
            return result(sql[7:60], status=self.status)
        return complete(word) + ready(self.status)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def rst(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self):
        """Does nothing more, until the other side or the test ends."""
        while self.read(1):
            pass

    def wait_for(self, event):
        assert event.wait(6 * TIMEOUT), "the test never let the script go on"


class ScriptedServer:
    host = "127.0.0.1"

    def __init__(self, script, on_cancel=None):
        self.script, self.on_cancel = script, on_cancel
        self.connections, self.cancels, self.errors = [], [], []
        self.lock = threading.Lock()
        self.listener = socket.create_server((self.host, 0), backlog=1000)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            t = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self.threads.append(t)
            t.start()

    def _serve(self, sock):
        c = Connection(self, sock, -1)
        try:
            while True:
                code = c.read_startup()
                if code not in (wire.SSL_CODE, wire.GSSENC_CODE):
                    break
                c.send(b"N")
            if code == wire.CANCEL_CODE:
                with self.lock:
                    self.cancels.append(c)
                if self.on_cancel:
                    self.on_cancel(c)
            elif code is not None:
                with self.lock:
                    c.number = len(self.connections)
                    c.pid = 1000 + c.number
                    self.connections.append(c)
                self.script(c)
        except BaseException as e:  # told to the test at the end
            self.errors.append(e)
        finally:
            c.close()

    def queries(self, text):
        """How many messages with this text have arrived, on all connections."""
        return sum(text.encode() in m.body for c in self.connections for m in list(c.received))

    def stop(self):
        """shutdown() first: close() alone doesn't wake a thread in accept()."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for c in self.connections + self.cancels:
            c.close()
        for t in self.threads:
            t.join(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.stop()
        if kind is None and self.errors:
            raise self.errors[0]

'''traces - runs conversations written in the notation of the pitfalls list.

    traces.run(target, """
        c1: Q("begin")                        → C(BEGIN) Z(T)
        c1: P(a,"select $1") B(a,"7") E S     → 1 2 D(7) C(SELECT 1) Z(T)
        c2: Q("select 1")
        c1: Q("commit")                       → C(COMMIT) Z(I)
        c2:                                   → T D(1) C(SELECT 1) Z(I)
    """)

A line is `client: what it sends → what it must get`. The client is c1 unless named, and logs in at its first line. What a line
sends leaves in one write. README.md has the whole notation.

Where all clients stand at Z(I) between two lines, a bystander goes in between: another client that uses a server of the same
pool, with statements of the same names, and must get exactly its own replies. So every trace also looks for leaks.
'''
import re

import wire
from wire import Client, Timeout

QUIET = 0.08  # seconds without a message that count as "nothing comes"


class TraceError(AssertionError):
    pass


# ---- reading the notation --------------------------------------------------------------------------------------------

TOKEN = re.compile(r"""
    (?P<name>[A-Za-z0-9]+\*?)                          # Q, P, 1, D*, PS, close ..
    (?P<args>\((?:[^()"]|"(?:[^"\\]|\\.)*"|\((?:[^()"]|"(?:[^"\\]|\\.)*")*\))*\))?   # (..), quotes and one level of brackets inside
    (?P<limit>/\d+)?
    (?P<code>\[[^\]]*\])?
    \s*""", re.X | re.S)
ARG = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,"]*)\s*(?:,|$)', re.S)


class Token:
    def __init__(self, name, args, limit, code, text):
        self.name, self.args, self.limit, self.code, self.text = name, args, limit, code, text

    def __repr__(self):
        return self.text


def _unquote(arg):
    """An argument as (text, was it quoted?)."""
    if arg.startswith('"'):
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "0": "\0"}.get(m[1], m[1]), arg[1:-1], flags=re.S), True
    return arg.strip(), False


def _arguments(text):
    if text is None:
        return None
    text, out, pos = text[1:-1], [], 0
    while pos < len(text):
        m = ARG.match(text, pos)
        assert m and m.end() > pos, "can't read the arguments %r" % text
        out.append(_unquote(m[1]))
        pos = m.end()
    return out


def tokens(text):
    text, pos, out = text.strip(), 0, []
    while pos < len(text):
        m = TOKEN.match(text, pos)
        assert m, "can't read the trace at %r" % text[pos:]
        out.append(Token(m["name"], _arguments(m["args"]), int(m["limit"][1:]) if m["limit"] else 0,
                         m["code"] and m["code"][1:-1], m[0].strip()))
        pos = m.end()
    return out


LINE = re.compile(r"^(?:(c\d+):\s*)?(.*)$", re.S)


def lines(text):
    """(client, tokens to send, tokens to get, source) for each line. A line that begins with → goes on from the one before."""
    out = []
    for line in text.strip().split("\n"):
        line = re.sub(r"\s--- .*$", "", line).strip()
        if not line or line.startswith("#"):
            continue
        m = LINE.match(line)
        who = m[1] or (out[-1][0] if line.startswith("→") and out else "c1")
        left, _, right = m[2].partition("→")
        out.append((who, tokens(left), tokens(right), line))
    return out


# ---- sending ---------------------------------------------------------------------------------------------------------

def _arg(token, i, default=""):
    return token.args[i][0] if token.args and len(token.args) > i else default


def _params(token, first):
    return [None if not quoted and text == "NULL" else text for text, quoted in (token.args or [])[first:]]


def _bind(token):
    target = _arg(token, 0)
    portal, arrow, statement = re.sub("<-", "←", target).partition("←")
    if not arrow:
        portal, statement = "", target
    return wire.bind(statement.strip(), portal.strip(), _params(token, 1))


def _parse(token):
    if len(token.args) == 1:
        return wire.parse("", _arg(token, 0))
    types = [int(text) for text, _ in token.args[2:]]
    return wire.parse(_arg(token, 0), _arg(token, 1), types)


SENDERS = {
    "Q": lambda t: wire.query(_arg(t, 0)),
    "P": _parse,
    "B": _bind,
    "D": lambda t: wire.describe(_arg(t, 0), _arg(t, 1)),
    "E": lambda t: wire.execute(_arg(t, 0), t.limit),
    "C": lambda t: wire.close(_arg(t, 0), _arg(t, 1)),
    "S": lambda t: wire.SYNC,
    "H": lambda t: wire.FLUSH,
    "F": lambda t: wire.function_call(int(_arg(t, 0)), _params(t, 1)),
    "d": lambda t: wire.copy_data(_arg(t, 0)),
    "c": lambda t: wire.COPY_DONE,
    "f": lambda t: wire.copy_fail(_arg(t, 0)),
    "X": lambda t: wire.TERMINATE,
}
LEAVE = {"FIN": Client.fin, "RST": Client.rst, "SHUT": Client.shut}  # act on the socket after what was written before


# ---- comparing -------------------------------------------------------------------------------------------------------

KIND = {"PS": "S", "FATAL": "E", "D*": "D", "d*": "d"}
OPTIONAL = "SN"  # ParameterStatus and NoticeResponse: passed over unless the trace names them


def _values_match(token, values):
    if token.args is None:
        return True
    wanted = [None if not quoted and text == "NULL" else text for text, quoted in token.args]
    return wanted == values


def _code_matches(token, m):
    return token.code is None or m.sqlstate in token.code.split("|")


def matches(token, m):
    if m is None:
        return token.name == "close"
    if KIND.get(token.name, token.name) != m.kind:
        return False
    if m.kind == "E":
        fatal = m.severity in ("FATAL", "PANIC")
        return fatal == (token.name == "FATAL") and _code_matches(token, m)
    if m.kind == "N":
        return _code_matches(token, m)
    if token.name == "D":
        return _values_match(token, m.row)
    if m.kind == "T":
        return _values_match(token, m.columns)
    if m.kind in "CZ":
        return token.args is None or _arg(token, 0) == (m.tag if m.kind == "C" else m.body.decode())
    if m.kind == "S":
        return token.args is None or _arg(token, 0) == "%s=%s" % m.parameter
    if token.name == "d":
        return token.args is None or _arg(token, 0).encode() == m.body
    if m.kind == "V":
        return token.args is None or _arg(token, 0).encode() == m.body[4:]
    return True


def _shown(got):
    return " ".join("closed" if m is None else str(m) for m in got)[:2000] or "nothing"


class Session:
    """One client of a trace: its connection and what is known of its place in the protocol."""

    def __init__(self, name, connection):
        self.name, self.connection = name, connection
        self.status = "I"  # of the last ReadyForQuery; None while something is outstanding or was sent after it
        self.held = None   # a message read too early (D* reads one further than it should)
        self.gone = False

    def send(self, items):
        data = b""
        for t in items:
            if t.name in LEAVE:
                if data:
                    self.connection.send(data)
                data = b""
                LEAVE[t.name](self.connection)
                self.gone = t.name != "SHUT"
            else:
                data += SENDERS[t.name](t)
        if data:
            self.connection.send(data)
        if items:
            self.status = None
            if items[-1].name == "X":
                self.gone = True

    def next(self):
        if self.held is not None:
            m, self.held = self.held, None
            return m
        return self.connection.recv()

    def quiet(self):
        return self.held is None and not self.connection.readable(QUIET)

    def get(self, items, got):
        for i, t in enumerate(items):
            if t.name == "quiet":
                if not self.quiet():
                    got.append(self.next())
                    raise TraceError("expected nothing")
                continue
            while True:
                m = self.next()
                got.append(m)
                if matches(t, m):
                    break
                if m is None or m.kind not in OPTIONAL:
                    raise TraceError("expected %s" % t)
            if m is None:
                self.gone = True
            elif m.kind == "Z":
                self.status = m.body.decode()
            elif t.name in ("D*", "d*"):
                self.get_rest_of_rows(t, got)
        if items and items[-1].name != "Z":
            self.status = None

    def get_rest_of_rows(self, token, got):
        while True:
            m = self.next()
            if m is not None and matches(token, m):
                continue
            self.held = m
            return

    def is_idle(self):
        return self.gone or self.status == "I"


class Bystander:
    """The client in between. Its statement names are the ones that traces like to use."""

    def __init__(self, connection):
        self.session = Session("bystander", connection)
        self.turn = 0
        self.prepared = False

    def go(self):
        self.turn += 1
        n = str(self.turn)
        first = "" if self.prepared else 'P(a,"select \'bystander\', $1::text")'
        text = """
            Q("select 'by', %s") → T D(by,%s) C(SELECT 1) Z(I)
            P("select 'unnamed', %s") B("") E S → 1 2 D(unnamed,%s) C(SELECT 1) Z(I)
            %s B(a,"%s") E S → %s 2 D(bystander,%s) C(SELECT 1) Z(I)
        """ % (n, n, n, n, first, n, "" if self.prepared else "1", n)
        self.prepared = True
        for _, to_send, to_get, source in lines(text):
            got = []
            try:
                self.session.send(to_send)
                self.session.get(to_get, got)
            except TraceError as e:
                raise TraceError("%s\n  bystander: %s\n  got   %s" % (e, source, _shown(got))) from None


def run(target, text, bystander=True, clients=None, login=None):
    """Runs a trace against target (something with .connect()). Gives the sessions, by name, for further use."""
    __tracebackhide__ = True
    sessions = clients if clients is not None else {}
    between = None
    history = []
    for who, to_send, to_get, source in lines(text):
        source = source if len(source) < 300 else source[:300] + " .."
        got = []
        try:
            if who not in sessions:
                sessions[who] = Session(who, target.connect(**(login or {})))
            s = sessions[who]
            s.send(to_send)
            s.get(to_get, got)
            history.append("  ok    " + source)
        except (TraceError, Timeout, AssertionError, OSError, wire.LoginFailed) as e:
            history.append("  HERE  " + source)
            history.append("  got   " + _shown(got))
            raise TraceError("%s\n%s" % (e, "\n".join(history))) from None
        if bystander and all(x.is_idle() for x in sessions.values()):
            try:
                if between is None:
                    between = Bystander(target.connect())
                between.go()
            except (TraceError, Timeout, AssertionError, OSError, wire.LoginFailed) as e:
                history.append("  HERE  the bystander, after that")
                raise TraceError("%s\n%s" % (e, "\n".join(history))) from None
    for s in sessions.values():
        fence(s, history)
    return sessions


def fence(s, history):
    """No reply too many: a Sync must get its own Z next."""
    __tracebackhide__ = True
    if s.gone or s.status is None:
        return
    got = []
    try:
        status = s.status
        s.send(tokens("S"))
        s.get(tokens("Z(%s)" % status), got)
    except (TraceError, Timeout, OSError) as e:
        history.append("  HERE  %s: a last S → Z(%s)" % (s.name, status))
        history.append("  got   " + _shown(got))
        raise TraceError("%s\n%s" % (e, "\n".join(history))) from None

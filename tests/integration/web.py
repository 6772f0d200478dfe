"""web - asks pgweir's HTTP server, and reads OpenMetrics as strictly as its specification says."""
import http.client
import json
import re
import socket

from postgres import free_port
from wire import SLOW, TIMEOUT


class Web:
    """The HTTP server of one pooler."""

    def __init__(self, pooler, port, token=None):
        self.pooler, self.port, self.token = pooler, port, token

    def request(self, path, method="GET", token=None, **headers):
        """Status, headers, body."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        token = token if token is not None else self.token
        if token:
            headers["Authorization"] = "Bearer " + token
        try:
            c.request(method, path, headers=headers)
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read().decode()
        finally:
            c.close()

    def status(self, path, **kw):
        return self.request(path, **kw)[0]

    def json(self, path):
        status, headers, body = self.request(path)
        assert status == 200 and headers["content-type"].startswith("application/json"), body
        return json.loads(body)

    def metrics(self):
        status, headers, body = self.request("/metrics", Accept="application/openmetrics-text;version=1.0.0")
        assert status == 200 and headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        return Metrics(body)

    def raw(self, data=b""):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        s.sendall(data)
        return s

    def answers(self, data):
        """All that comes back until the end of the connection."""
        with self.raw(data) as s:
            got = b""
            while True:
                chunk = s.recv(65536)
                if not chunk:
                    return got.decode()
                got += chunk


def new_web(new_pooler, settings=None, token=None, **kw):
    """A pooler with its HTTP server."""
    port = free_port()
    settings = dict({"http_listen": ":%d" % port}, **(settings or {}))
    if token:
        settings["http_token"] = token
    return Web(new_pooler(settings, **kw), port, token)


NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
SAMPLE = re.compile(r'([a-z][a-z0-9_]*)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|[+]Inf)\Z')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\[\\n"])*)"(?:,|\Z)')
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "info": ("_info",), "histogram": ("_bucket", "_count", "_sum")}


class Metrics:
    """A parsed scrape: families name -> type, samples (name, labels) -> value. Asserts that it is well formed."""

    def __init__(self, text):
        self.families, self.units, self.samples = {}, {}, {}
        lines = text.split("\n")
        assert lines[-2:] == ["# EOF", ""]
        family = None
        for line in lines[:-2]:
            if line.startswith("# HELP "):
                family = line.split(" ")[2]
                assert NAME.match(family) and family not in self.families, line
                self.families[family] = None
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == family and kind in SUFFIXES and self.families[name] is None, line
                self.families[name] = kind
            elif line.startswith("# UNIT "):
                _, _, name, unit = line.split(" ")
                assert name == family and name.endswith("_" + unit), line
                self.units[name] = unit
            else:
                self.sample(line, family)
        self.check_histograms()

    def sample(self, line, family):
        m = SAMPLE.match(line)
        assert m, "not a sample: " + line
        assert m[1] in [family + s for s in SUFFIXES[self.families[family]]], "%s is not of family %s" % (m[1], family)
        labels, rest = {}, m[2] or ""
        while rest:
            label = LABEL.match(rest)
            assert label and label[1] not in labels, line
            labels[label[1]] = re.sub(r"\\(.)", lambda x: "\n" if x[1] == "n" else x[1], label[2])
            rest = rest[label.end():]
        key = (m[1], tuple(sorted(labels.items())))
        assert key not in self.samples, "twice: " + line
        self.samples[key] = float(m[3].replace("+Inf", "inf"))

    def check_histograms(self):
        """Buckets rise with le, and the last one is the count."""
        buckets = {}
        for (name, labels), value in self.samples.items():
            if name.endswith("_bucket") and self.families.get(name[:-7]) == "histogram":
                le = float(dict(labels)["le"].replace("+Inf", "inf"))
                buckets.setdefault((name[:-7], tuple(x for x in labels if x[0] != "le")), []).append((le, value))
        for (name, labels), rows in buckets.items():
            values = [v for _, v in sorted(rows)]
            assert values == sorted(values) and sorted(rows)[-1][0] == float("inf"), name
            assert values[-1] == self.samples[(name + "_count", labels)], name

    def get(self, name, **labels):
        """The one sample that has these labels; None: there is none."""
        found = [v for (n, have), v in self.samples.items() if n == name and labels.items() <= dict(have).items()]
        assert len(found) <= 1, "several: %s %s" % (name, labels)
        return found[0] if found else None

    def sum(self, name, **labels):
        return sum(v for (n, have), v in self.samples.items() if n == name and labels.items() <= dict(have).items())


def patience(seconds):
    return seconds * SLOW

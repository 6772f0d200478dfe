"""marks - what the figures must be, and whether they are."""
import collections

from figures import median, number, ratio_of_rounds, table

Mark = collections.namedtuple("Mark", "text value limit peer at_least", defaults=(None, False))
"""value(figures, ours): figures[row][contestant] is a list of rounds; None where a row wasn't measured. peer: PgBouncer 1.25.2."""


def rounds(figures, row, name):
    return figures.get(row, {}).get(name)


def over(figures, row, ours, base_row, base):
    return ratio_of_rounds(rounds(figures, row, ours), rounds(figures, base_row, base))


def over_contestant(row, other):
    return lambda figures, ours: over(figures, row, ours, row, other)


def over_row(row, base):
    return lambda figures, ours: over(figures, row, ours, base, ours)


def over_one_worker(row):
    return lambda figures, ours: over(figures, row, ours, row, "pgweir/1") if ours != "pgweir/1" else None


def itself(row):
    def value(figures, ours):
        values = rounds(figures, row, ours)
        return median(values) if values else None
    return value


def cold_storm(name):
    row = "storms.%s." % name
    return (Mark("cold storm by %s: failed" % name, itself(row + "failed"), 0),
            Mark("cold storm by %s: server connections" % name, itself(row + "servers"), 20),
            Mark("cold storm by %s: logins to PostgreSQL at once" % name, itself(row + "logins"), 8),
            Mark("cold storm by %s: the last one over what must be, %d ms of queries or the CPU time" % (name, 500), itself(row + "last/bound"), 1.25),
            Mark("cold storm by %s: the last one over pgbouncer's" % name, over_contestant(row + "last", "pgbouncer"), 1.0),
            Mark("cold storm by %s: the first one after ms" % name, itself(row + "first"), 50, 430 if name == "scram" else 4300),
            Mark("cold storm by %s: the median over the last, at most" % name, itself(row + "median/last"), 0.6, 0.93 if name == "tls" else None),
            Mark("cold storm by %s: the median over the last, at least" % name, itself(row + "median/last"), 0.4, None, True))


MODES = ("simple", "extended", "prepared")
MARKS = [
    *(Mark("CPU per transaction over the relay's, %s, 64 clients" % mode, over_contestant(mode + "64", "relay"), limit, peer)
      for mode, limit, peer in (("simple", 1.12, 1.35), ("extended", 1.12, 1.35), ("prepared", 1.2, 1.67))),
    *(Mark("system calls per transaction, %s, %d clients" % (mode, n), itself("syscalls.%s%d" % (mode, n)), 4.3, 6.8 if n == 20 else 7.7)
      for n in (20, 64) for mode in MODES),
    *(Mark("CPU per transaction at 2,000 clients over 20, " + mode, over_row(mode + "2000", mode + "20"), 1.2, 1.7) for mode in MODES),
    *(Mark("CPU per transaction over one worker's, %s, %d clients" % (mode, n), over_one_worker("%s%d" % (mode, n)), 1.08)
      for n in (20, 64, 2000) for mode in MODES),
    *(Mark("messages across threads per transaction, %s, %d clients" % (mode, n), itself("%s%d.messages" % (mode, n)), 0.02)
      for n in (20, 64) for mode in MODES),
    *(Mark("the lexer's part of the CPU per transaction, %, " + mode, itself("lexer." + mode), 3) for mode in MODES),
    Mark("CPU per transaction with 10,000 idle clients over none", over_row("idle10000", "simple20"), 1.05),
    Mark("CPU per GB of a large SELECT over the relay's, wide rows", over_contestant("select_wide", "relay"), 1.3, 3.3),
    Mark("CPU per GB of a large SELECT over the relay's, narrow rows", over_contestant("select_narrow", "relay"), 1.5, 2.0),
    Mark("CPU per GB of COPY in over the relay's", over_contestant("copy_in", "relay"), 1.2, 1.9),
    Mark("login CPU over pgbouncer's, trust", over_contestant("login_trust", "pgbouncer"), 1.2),
    Mark("login CPU over pgbouncer's, SCRAM with a secret", over_contestant("login_secret", "pgbouncer"), 1.0),
    Mark("login CPU over pgbouncer's, SCRAM with a password", over_contestant("login_plain", "pgbouncer"), 1.0),
    Mark("server login with a plain-text password, ms", itself("server_login"), 0.5, 4.8),
    Mark("memory per idle client, KiB", itself("memory.idle"), 1.2, 1.0),
    Mark("storm: memory given back, %", itself("storm.given"), 80, 0, True),
    Mark("storm: all served, over pgbouncer's time", over_contestant("storm.last", "pgbouncer"), 0.7),
    Mark("storm: the first served after ms", itself("storm.first"), 50, 430),
    Mark("storm: the pool full after ms", itself("storm.pool"), 150, 570),
    Mark("storm: failed", itself("storm.failed"), 0),
    Mark("p99/p50 of the latency of 2,000 clients", itself("latency.p99/p50"), 1.6, 1.43),
    *(Mark("TLS login CPU over pgbouncer's, " + kind, over_contestant("tls_login_%s.cpu" % kind, "pgbouncer"), 0.65) for kind in ("ecdsa", "rsa")),
    Mark("TLS handshake, bytes to the client, ecdsa", itself("tls_login_ecdsa.bytes"), 1000, 16000),
    Mark("TLS storm: all served, over pgbouncer's time", over_contestant("tls_storm.last", "pgbouncer"), 0.5),
    Mark("TLS storm: the first served after ms", itself("tls_storm.first"), 100, 4300),
    Mark("TLS storm: the median over the last", itself("tls_storm.median/last"), 0.6, 0.93),
    Mark("TLS storm: failed", itself("tls_storm.failed"), 0),
    Mark("p99 of steady clients beside a TLS storm, over that directly at PostgreSQL", itself("tls_steady.p99/direct"), 2),
    Mark("memory per idle TLS client, KiB", itself("tls_memory.idle"), 12, 15.8),
    Mark("CPU per GB of a large SELECT over TLS, over pgbouncer's", over_contestant("tls_select", "pgbouncer"), 0.5),
    *(mark for name in ("scram", "tls") for mark in cold_storm(name)),
    Mark("steady beside a storm: p99 over that directly at PostgreSQL", itself("storms.beside.p99/direct"), 1.5, 4),
    Mark("steady beside a storm: on time, %", itself("storms.beside.on time"), 97, 77, True),
    Mark("throughput with 8 workers over that with 1", lambda figures, ours: figures.get("scale.8/1", {}).get(ours), 6.5, None, True),
]


def judge(figures, ours):
    """A dict for each mark that was measured."""
    judged = []
    for mark in MARKS:
        for name in ours:
            value = mark.value(figures, name)
            if value is not None:
                judged.append({"mark": mark.text, "of": name, "value": value, "limit": mark.limit, "at_least": mark.at_least,
                               "pgbouncer_1.25.2": mark.peer, "is_met": value >= mark.limit if mark.at_least else value <= mark.limit})
    return judged


def print_judged(judged):
    """Times depend on the machine; those of PgBouncer 1.25.2 are of another one and only say what to expect."""
    return table(["mark", "of", "value", "limit", "(1.25.2)", ""],
                 [[j["mark"], j["of"], number(j["value"]), (">= " if j["at_least"] else "<= ") + number(j["limit"]),
                   number(j["pgbouncer_1.25.2"]), "met" if j["is_met"] else "NOT MET"] for j in judged])

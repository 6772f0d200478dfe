"""marks - what the figures must be, and whether they are."""
import collections

from figures import median, number, ratio_of_rounds, table

Mark = collections.namedtuple("Mark", "text value limit peer")
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


MARKS = [
    *(Mark("CPU per transaction over the relay's, %s, 64 clients" % mode, over_contestant(mode + "64", "relay"), limit, peer)
      for mode, limit, peer in (("simple", 1.12, 1.35), ("extended", 1.12, 1.35), ("prepared", 1.2, 1.67))),
    *(Mark("system calls per transaction, %s, %d clients" % (mode, n), itself("syscalls.%s%d" % (mode, n)), 4.3, 6.8 if n == 20 else 7.7)
      for n in (20, 64) for mode in ("simple", "extended", "prepared")),
    *(Mark("CPU per transaction at 2,000 clients over 20, " + mode, over_row(mode + "2000", mode + "20"), 1.2, 1.7)
      for mode in ("simple", "extended", "prepared")),
    *(Mark("CPU per transaction over one worker's, %s, %d clients" % (mode, n), over_one_worker("%s%d" % (mode, n)), 1.08, None)
      for n in (20, 64, 2000) for mode in ("simple", "extended", "prepared")),
]


def judge(figures, ours):
    """A dict for each mark that was measured."""
    judged = []
    for mark in MARKS:
        for name in ours:
            value = mark.value(figures, name)
            if value is not None:
                judged.append({"mark": mark.text, "of": name, "value": value, "limit": mark.limit, "pgbouncer_1.25.2": mark.peer,
                               "is_met": value <= mark.limit})
    return judged


def print_judged(judged):
    return table(["mark", "of", "value", "at most", "(1.25.2)", ""],
                 [[j["mark"], j["of"], number(j["value"]), number(j["limit"]), number(j["pgbouncer_1.25.2"]),
                   "met" if j["is_met"] else "NOT MET"] for j in judged])

"""figures - what is computed from measurements: medians, spreads, ratios, what pgbench, strace and callgrind print. No I/O."""
import collections
import re
import statistics

PROGRESS = re.compile(r"^progress: ([\d.]+) s, ([\d.]+) tps")
STRACE_LINE = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")
CALLGRIND_FUNCTION = re.compile(r"^c?fn=\((\d+)\)(?: (.*))?$")
CALLGRIND_COST = re.compile(r"^[+*-]?\d* (\d+)$")


def median(values):
    return statistics.median(values)


def spread(values):
    """How far apart the rounds are: (max - min) / median."""
    middle = median(values)
    return (max(values) - min(values)) / abs(middle) if middle else 0.0


def ratio_of_rounds(a, b):
    """Median of the ratios round by round, None without any: what disturbed a whole round goes out of it."""
    ratios = [x / y for x, y in zip(a or [], b or []) if y]
    return median(ratios) if ratios else None


def parse_progress(line):
    """(time, transactions per second since the line before) of a progress line of pgbench -P --progress-timestamp, or None."""
    m = PROGRESS.match(line)
    return (float(m[1]), float(m[2])) if m else None


def transactions_between(lines):
    """Of progress lines, the first of which only says when counting began."""
    return sum(tps * (t - before) for (before, _), (t, tps) in zip(lines, lines[1:]))


def parse_strace(text):
    """System calls by name, out of the summary of strace -c."""
    counts = {}
    for line in text.splitlines():
        m = STRACE_LINE.match(line)
        if m and m[2] != "total":
            counts[m[2]] = counts.get(m[2], 0) + int(m[1])
    return counts


def parse_callgrind(text):
    """Instructions by function, its own ones without those of functions that it calls, out of a file that callgrind wrote."""
    cost, names, function, skip = collections.Counter(), {}, None, False
    for line in text.splitlines():
        m = CALLGRIND_FUNCTION.match(line)
        if m:
            if m[2]:
                names[m[1]] = m[2].split("'")[0]
            if line.startswith("fn="):
                function = names[m[1]]
            continue
        m = CALLGRIND_COST.match(line)
        if m and not skip and function:
            cost[function] += int(m[1])
        skip = line.startswith("calls=")  # the next line is what the callee cost
    return cost


def parse_callgrind_calls(text, function):
    """Instructions in calls of this function from others, with those of what it calls, out of a file that callgrind wrote."""
    cost, names, callee, is_call = 0, {}, None, False
    for line in text.splitlines():
        m = CALLGRIND_FUNCTION.match(line)
        if m and m[2]:
            names[m[1]] = m[2].split("'")[0]
        if line.startswith("cfn="):
            callee = names[m[1]]
        m = CALLGRIND_COST.match(line)
        if m and is_call and callee == function:
            cost += int(m[1])
        is_call = line.startswith("calls=")
    return cost


def number(value):
    """Three significant digits, never an exponent."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = max(0, 3 - len(str(int(abs(value))))) if abs(value) >= 1 else 3
    return "%.*f" % (digits, value)


def table(header, lines):
    """Columns aligned; the first to the left, the others to the right."""
    rows = [header] + lines
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    out = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)

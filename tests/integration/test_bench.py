"""The bench's own logic, and a short run of it, so that it can't rot. What it measures is no test's business."""
import json
import os
import subprocess
import sys

import pytest

import pooler
from wire import SLOW

BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench")
sys.path.insert(0, BENCH)

import contestants  # noqa: E402
import figures  # noqa: E402
import marks  # noqa: E402
import rows  # noqa: E402
import scale  # noqa: E402
import storms  # noqa: E402


def test_progress_lines_of_pgbench():
    one, two = (figures.parse_progress("progress: %s s, %s tps, lat 1.2 ms stddev 0.3, 0 failed\n" % at) for at in (("100.000", "5.0"), ("101.500", "2000.0")))
    assert one == (100.0, 5.0)
    assert figures.transactions_between([one, two]) == 3000.0  # the first line only says when counting begins
    assert figures.parse_progress("tps = 12 (without initial connection time)\n") is None


def test_ratios_go_round_by_round():
    assert figures.ratio_of_rounds([2, 20, 6], [1, 10, 2]) == 2
    assert figures.ratio_of_rounds(None, [1]) is None and figures.ratio_of_rounds([1], []) is None
    assert figures.spread([9, 10, 12]) == 0.3


def test_summary_of_strace():
    text = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.010000           5      2000           sendto
 40.00    0.006000           3      2010        10 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.016000           3      4010        10 total
"""
    assert figures.parse_strace(text) == {"sendto": 2000, "recvfrom": 2010}


def test_costs_of_callgrind_are_each_functions_own():
    text = """events: Ir
fn=(1) main
10 5
cfn=(2) work
calls=3 20
11 600
+1 2
fn=(2)
20 200
* 400
fn=(3) work'2
-4 7
"""
    assert figures.parse_callgrind(text) == {"main": 7, "work": 607}


def test_costs_of_calls_are_those_of_what_is_called_too():
    text = """events: Ir
fn=(1) main
10 5
cfn=(2) work
calls=3 20
11 600
cfn=(3) rest
calls=1 30
12 70
fn=(2)
20 200
cfn=(4) below
calls=9 40
21 400
fn=(3)
30 10
cfn=(2)
calls=1 20
31 60
"""
    assert figures.parse_callgrind_calls(text, "work") == 660
    assert figures.parse_callgrind_calls(text, "below") == 400 and figures.parse_callgrind_calls(text, "main") == 0


@pytest.mark.parametrize("value,text", [(0, "0"), (None, "-"), (0.0614, "0.061"), (4.125, "4.12"), (12.34, "12.3"), (1512.2, "1512")])
def test_numbers_have_three_digits(value, text):
    assert figures.number(value) == text


def test_marks_are_judged_where_their_rows_were_measured():
    def judged(ours, relay):
        got = marks.judge({"simple64": {"relay": relay, "pgweir/1": ours}}, ["pgweir/1", "pgweir/2"])
        return [(j["of"], round(j["value"], 3), j["is_met"]) for j in got]

    assert judged([11, 12, 13], [10, 10, 10]) == [("pgweir/1", 1.2, False)]
    assert judged([11, 11, 13], [10, 10, 10]) == [("pgweir/1", 1.1, True)]
    assert judged([], [10]) == []
    given = marks.judge({"storm.given": {"pgweir/1": [85.0]}}, ["pgweir/1"])
    assert [(j["at_least"], j["is_met"]) for j in given] == [(True, True)]


def test_every_mark_names_rows_that_exist():
    """All marks can be judged out of a full run: with figures of 1 everywhere none is left out."""
    names = [n for row in rows.ROWS for n in row.figures()] + ["syscalls.%s%d" % (m, n) for m in marks.MODES for n in (20, 64)]
    names += [n for row in storms.all_rows() for n in row.figures()]
    names += ["lexer." + mode for mode in marks.MODES] + ["scale.8/1"]
    everything = {n: {"relay": [1.0], "pgbouncer": [1.0], "pgweir/1": [1.0], "pgweir/2": [1.0]} for n in names}
    everything["scale.8/1"] = {"pgweir/2": 1.0}
    assert {j["mark"] for j in marks.judge(everything, ["pgweir/1", "pgweir/2"])} == {m.text for m in marks.MARKS}


def test_rows_by_beginnings_of_their_names():
    assert [r.name for r in rows.choose("simple20,tls_login")] == ["simple20", "tls_login_ecdsa", "tls_login_rsa"]
    with pytest.raises(SystemExit):
        rows.choose("simple20,nothing")


def test_storms_by_beginnings_of_their_names():
    assert [r.name for r in storms.choose("tls,storms.beside")] == ["storms.tls", "storms.beside"]
    assert len(storms.choose(None)) == 3
    with pytest.raises(SystemExit):
        storms.choose("scram,nothing")


LOG = """1764100000.100 [11] LOG:  connection received: host=127.0.0.1 port=1
1764100000.101 [12] LOG:  connection received: host=127.0.0.1 port=2
1764100000.102 [11] LOG:  connection authorized: user=app database=test
1764100000.103 [13] LOG:  connection received: host=127.0.0.1 port=3
1764100000.103 [13] FATAL:  sorry, too many clients already
1764100000.103 [12] LOG:  connection authorized: user=app database=test
a line of something else
1764100000.104 [14] LOG:  connection received: host=127.0.0.1 port=4
1764100000.200 [11] LOG:  disconnection: session time: 0:00:00.098
"""


def test_the_median_of_several_reports():
    def report(width, *served):
        return {"histogram": {"bucket_ms": width, "served": list(served)}}
    assert storms.median_served([report(2, 0, 5, 0, 1), report(4, 0, 0, 6)]) == 8
    assert storms.median_served([report(1, 0, 1, 3)]) == 3
    assert storms.median_served([report(1)]) != storms.median_served([report(1)])  # not a number


def test_what_postgresql_saw():
    events = storms.parse_log(LOG)
    assert len(events) == 7
    assert storms.most_at_once(events, "received", ("disconnection",)) == 4
    assert storms.most_at_once(events[:5], "received", ("authorized", "disconnection")) == 2


def test_workers_that_the_cores_allow():
    assert scale.sweep(range(2)) == [1, 2] and scale.sweep(range(16)) == [1, 2, 4, 8]
    for workers in scale.sweep(range(16)):
        parts = scale.division(workers, list(range(16)))
        assert all(parts) and sorted(sum(parts, [])) == list(range(16))
    assert scale.division(2, [0, 1]) == ([], [], [])


@pytest.mark.skipif(SLOW > 1, reason="what the bench runs isn't built with sanitizers")
@pytest.mark.skipif(not os.access(contestants.program("relay"), os.X_OK), reason="make bench's programs aren't built")
@pytest.mark.timeout(180)
def test_a_short_run(tmp_path):
    """PgBouncer takes part where it is installed."""
    command = [sys.executable, BENCH + "/bench", "rows", "--rounds", "1", "--seconds", "1", "--rows", "simple20,login_secret,select_wide",
               "--workers", "1", "--output", str(tmp_path)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150, check=False,
                         env=dict(os.environ, PGWEIR=os.path.abspath(pooler.binary())))
    assert run.returncode == 0, run.stdout
    with open(tmp_path / "rows.json") as f:
        content = json.load(f)
    assert content["failures"] == []
    names = {"pgweir/1", "relay"} | ({"pgbouncer"} if contestants.PgBouncer.version() else set())
    assert set(content["results"]["simple20"]["values"]) == names
    assert all(v[0] > 0 for v in content["results"]["select_wide"]["values"].values())
    assert set(content["results"]["login_secret"]["values"]) == names - {"relay"}


@pytest.mark.skipif(SLOW > 1, reason="what the bench runs isn't built with sanitizers")
@pytest.mark.timeout(180)
def test_a_short_overload(tmp_path):
    """All cases run, and their figures are what they say."""
    command = [sys.executable, BENCH + "/bench", "overload", "--seconds", "1.5", "--clients", "0.1", "--workers", "1", "--output", str(tmp_path)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150, check=False,
                         env=dict(os.environ, PGWEIR=os.path.abspath(pooler.binary())))
    assert run.returncode == 0, run.stdout
    with open(tmp_path / "overload.json") as f:
        content = json.load(f)
    assert content["overload"][".. and the forecast"]["in_time"] > 0
    assert content["crowd"][".. queue_fairness"]["answers"] > 0

"""Clients that vanish, dawdle and send rubbish: tests/bench/vanish.py with few of them. It says what is marked."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))

import vanish  # noqa: E402
from conftest import need_pooler  # noqa: E402


@pytest.fixture(scope="module")
def experiment():
    need_pooler()
    e = vanish.Experiment()
    yield e
    e.end()


@pytest.mark.parametrize("kind", vanish.KINDS)
def test_vanished_clients_cost_no_server(experiment, kind):
    """ER-01, ER-02, ER-03, LB-01: no server login, nobody at work harmed, nothing committed, never more servers than the pool has."""
    experiment.vanish(kind, 32)
    assert not experiment.rows[-1].marks
    assert experiment.rows[-1].logins == 0


@pytest.mark.timeout(120)
def test_logins_at_a_byte_a_second(experiment):
    """They are gone after client_login_timeout and hold up nobody."""
    experiment.dawdle(100)
    assert not experiment.rows[-1].marks


@pytest.mark.timeout(120)
def test_mutated_bytes(experiment):
    """No crash, no sanitizer report, and whoever works gets his own answers."""
    experiment.rubbish(1000)
    assert not experiment.rows[-1].marks


def test_nothing_is_left(experiment):
    experiment.left_over()

"""SHOW LATENCY: what took how long, by pool."""
import pytest
import wire
from wire import SLOW, wait_until


def latency(p, measure, window="start"):
    rows = [r for r in p.ask("SHOW LATENCY") if (r["database"], r["user"], r["measure"], r["window"]) == ("test", "app", measure, window)]
    assert len(rows) == 1, rows
    return rows[0]


@pytest.mark.parametrize("workers", [1, 3])
def test_latency_counts_what_happens(new_pooler, workers):
    """Queries, transactions, logins and connects are counted, once each, over all workers; quantiles are in order."""
    p = new_pooler({"worker_threads": workers, "default_pool_size": 4})
    clients = [p.connect() for _ in range(6)]
    for c in clients:
        c.query("begin"), c.query("select pg_sleep(0.03)"), c.query("commit")
    for window in ("10s", "1min", "start"):
        wait_until(lambda w=window: latency(p, "transaction", w)["count"] == 6)
        q, t = latency(p, "query", window), latency(p, "transaction", window)
        assert q["count"] == 18 and t["p50_us"] >= 30000 and q["p99_us"] >= 30000 and q["max_us"] >= 30000
        for r in (q, t):
            assert 0 < r["p50_us"] <= r["p90_us"] <= r["p99_us"] <= r["p999_us"] <= r["max_us"] < 60e6 * SLOW
            assert 0 < r["avg_us"] <= r["max_us"]
        assert latency(p, "login", window)["count"] == 6
        assert 1 <= latency(p, "server_connect", window)["count"] <= 4
        assert latency(p, "wait", window)["count"] == 6
    for c in clients:
        c.close()


def test_latency_tells_waiting_from_being_served(new_pooler):
    """Who waits for a server adds to wait; who gets one at once counts with 0; who gives up counts, too."""
    p = new_pooler()
    a, b, gone = p.connect(), p.connect(), p.connect()
    a.query("begin")
    b.send(wire.query("select 1"))
    gone.send(wire.query("select 1"))
    wait_until(lambda: p.column("cl_waiting") == 2)
    gone.rst()
    wait_until(lambda: p.column("cl_waiting") == 1)
    a.query("select pg_sleep(0.1)")
    a.query("commit")
    b.recv_until("Z")
    w = latency(p, "wait")
    assert w["count"] == 3 and w["max_us"] >= 100000
    assert latency(p, "query")["count"] == 4
    nobody = [r for r in p.ask("SHOW LATENCY") if r["database"] == "nobody"]
    assert not nobody


def test_latency_before_anything_is_null(new_pooler, postgres):
    """What was never measured has no quantile: NULL, not 0."""
    p = new_pooler(databases={"test": p_address(postgres) + " user=app min_pool_size=1"})
    wait_until(lambda: p.column("sv_idle") == 1)
    q = latency(p, "query")
    assert q["count"] == 0 and q["p99_us"] is None and q["avg_us"] is None and q["max_us"] is None
    assert latency(p, "server_connect")["count"] == 1


def p_address(server):
    return "host=%s port=%d" % (server.host, server.port)

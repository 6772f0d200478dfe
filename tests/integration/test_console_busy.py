"""SHOW QUEUE, HOLDERS, PREPARED and MEM: who waits for what, who keeps whom waiting, which statements there are."""
import pytest
import wire
from wire import SLOW, wait_until

SECRET = "Sesame-Street-1969"


def rows(p, view, **want):
    return [r for r in p.ask("SHOW " + view) if all(r[k] == v for k, v in want.items())]


@pytest.mark.parametrize("workers", [1, 2])
def test_queue_says_who_waits_for_what_and_why(new_pooler, workers):
    """Each waiting client is a row: the longest first, its statement without literals, the reason, what is left of its time."""
    p = new_pooler({"worker_threads": workers, "query_wait_timeout": 60 * SLOW})
    a = p.connect(params={"application_name": "holder"})
    a.query("begin")
    waiting = [p.connect(params={"application_name": "w%d" % i}) for i in range(3)]
    sends = (wire.query("select '%s', 42  from pg_class -- %s" % (SECRET, SECRET)),
             wire.parse("", "select $1::int, '%s'" % SECRET) + wire.SYNC, wire.query("update t set x = 1"))
    for i, (c, message) in enumerate(zip(waiting, sends)):
        c.send(message)
        wait_until(lambda n=i: len(rows(p, "QUEUE")) == n + 1)
    got = rows(p, "QUEUE", database="test", user="app")
    assert [r["application_name"] for r in got] == ["w0", "w1", "w2"]
    assert [r["statement"] for r in got] == ["select ? from pg_class", "select $1::int, ?", "update t set x = ?"]
    assert len({r["fingerprint"] for r in got}) == 3 and all(len(r["fingerprint"]) == 16 for r in got)
    assert {r["reason"] for r in got} == {"pool_size"} and got[0]["detail"] == "1 of 1 servers of the pool are in use"
    assert all(0 < r["left_us"] < 60 * SLOW * 1e6 and 0 <= r["wait_us"] < 60 * SLOW * 1e6 for r in got)
    assert got[0]["wait_us"] >= got[2]["wait_us"]
    clients = {r["id"]: r["application_name"] for r in p.ask("SHOW CLIENTS")}
    assert [clients[r["client"]] for r in got] == ["w0", "w1", "w2"]
    assert SECRET not in str(p.ask("SHOW QUEUE"))
    a.query("commit")
    for c in waiting[:2]:
        c.recv_until("Z")
    waiting[2].recv_until("Z")
    assert not rows(p, "QUEUE")


def test_queue_says_paused_and_no_deadline(new_pooler):
    """PAUSE is a reason, and without query_wait_timeout nothing is left to count down."""
    p = new_pooler({"query_wait_timeout": 0})
    c = p.connect()
    c.query("select 1")
    p.ask("PAUSE")
    c.send(wire.query("select 1"))
    wait_until(lambda: rows(p, "QUEUE"))
    r = rows(p, "QUEUE")[0]
    assert (r["reason"], r["left_us"]) == ("paused", None)
    p.ask("RESUME")
    c.recv_until("Z")


def test_queue_knows_a_prepared_statement_that_is_bound(new_pooler):
    """Who waits with a Bind waits for the statement that the name means."""
    p = new_pooler()
    a, b = p.connect(), p.connect()
    b.send(wire.parse("s", "select 'x', $1::int") + wire.SYNC)
    b.recv_until("Z")
    a.query("begin")
    b.send(wire.bind("s", values=["1"]) + wire.execute() + wire.SYNC)
    wait_until(lambda: rows(p, "QUEUE"))
    assert rows(p, "QUEUE")[0]["statement"] == "select ?, $1::int"
    a.query("commit")
    b.recv_until("Z")


def test_holders_say_what_their_clients_do(new_pooler):
    """Active, idle in a transaction, in a failed one, in a batch, in COPY, pinned; servers that nobody has aren't there."""
    p = new_pooler({"default_pool_size": 10, "session_features": "pin", "session_probe": "suspect"})
    names = ["active", "idle in transaction", "idle in transaction (aborted)", "copy in", "idle in batch", "idle"]
    clients = {n: p.connect(params={"application_name": n}) for n in names}
    clients["idle in transaction"].query("begin")
    bad = clients["idle in transaction (aborted)"]
    bad.query("begin")
    bad.send(wire.query("select 1/0"))
    bad.recv_until("Z")
    clients["copy in"].send(wire.query("create table if not exists holders(a int); copy holders from stdin"))
    clients["copy in"].recv_until("G")
    clients["idle in batch"].send(wire.parse("", "select 1") + wire.bind() + wire.execute() + wire.FLUSH)
    clients["idle in batch"].recv_until("C")
    clients["idle"].query("select pg_advisory_lock(7)")
    clients["active"].send(wire.query("select pg_sleep(30)"))

    def states():
        return {r["application_name"]: r["state"] for r in rows(p, "HOLDERS")}
    wait_until(lambda: states() == {n: n for n in names}, what="each state is shown")
    got = {r["application_name"]: r for r in rows(p, "HOLDERS")}
    servers = {r["id"]: r["remote_pid"] for r in p.ask("SHOW SERVERS")}
    for name, r in got.items():
        assert servers[r["server"]] == r["server_pid"] > 0
        assert (r["transaction_us"] is None) == (name == "idle")
        assert (r["idle_us"] is None) == (name == "active"), name
        assert r["statement_us"] is not None and r["statement_time"]
        assert all(r[k] is None or 0 <= r[k] < 600e6 for k in ("transaction_us", "idle_us", "statement_us"))
    assert got["idle"]["pins"] == "advisory" and got["active"]["pins"] == ""
    clients["copy in"].send(wire.COPY_DONE)
    clients["copy in"].recv_until("Z")
    for c in clients.values():
        c.rst()
    wait_until(lambda: not rows(p, "HOLDERS"), what="all servers are idle")


@pytest.mark.parametrize("workers", [1, 3])
def test_prepared_counts_uses_and_hides_literals(new_pooler, workers):
    """One row a statement over all workers: how many clients and servers have it, how often it was used; no literal."""
    p = new_pooler({"worker_threads": workers, "default_pool_size": 3})
    clients = [p.connect() for _ in range(4)]
    for n, c in enumerate(clients):
        c.send(wire.parse("mine%d" % n, "select '%s' || $1::text" % SECRET, [25]) + wire.SYNC)
        c.recv_until("Z")
        for _ in range(3):
            c.send(wire.bind("mine%d" % n, values=["x"]) + wire.execute() + wire.SYNC)
            c.recv_until("Z")
    got = rows(p, "PREPARED", statement="select ? || $1::text")
    assert len(got) == 1, p.ask("SHOW PREPARED")
    r = got[0]
    assert r["clients"] == 4 and r["binds"] == 12 and 1 <= r["servers"] <= 3 and r["parameter_types"] == 1
    assert r["name"].startswith("pgweir_") and len(r["fingerprint"]) == 16
    assert SECRET not in str(p.ask("SHOW PREPARED"))
    for c in clients:
        c.close()


def test_mem_counts_clients(new_pooler):
    """SHOW MEM has PgBouncer's columns, and what there is in them."""
    p = new_pooler()
    clients = [p.connect() for _ in range(5)]
    got = {r["name"]: r for r in p.ask("SHOW MEM")}
    assert list(got["client_cache"]) == ["name", "size", "used", "free", "memtotal"]
    assert got["client_cache"]["used"] == 5 and got["client_cache"]["memtotal"] >= 5 * got["client_cache"]["size"]
    assert got["server_cache"]["used"] == 1 and (got["heap"]["used"] > 0 or SLOW > 1)  # a sanitizer's malloc says nothing
    for c in clients:
        c.close()

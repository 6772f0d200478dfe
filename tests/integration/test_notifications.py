"""Notifications come to the client that listens: all of them, once, in their order, whatever we ask its server meanwhile."""
import pytest

from wire import query


@pytest.fixture
def listening_pool(new_pooler):
    """Section [pgweir]: who listens keeps the server."""
    p = new_pooler({"default_pool_size": 2}, start=False)
    with open(p.ini) as f:
        text = f.read()
    with open(p.ini, "w") as f:
        f.write(text.replace("[pgbouncer]", "[pgweir]"))
    p.start()
    return p


def test_notifications_during_a_probe_are_delivered(listening_pool, postgres):
    """After each statement that may change a session we ask PostgreSQL what the session is. What is notified then is the client's."""
    c = listening_pool.connect()
    c.query("listen beside")
    sender = postgres.connect("test")
    cursor = sender.cursor()
    for i in range(200):
        c.send(query("set work_mem = '%dkB'" % (1000 + i)))  # a probe follows
        for k in range(5):
            cursor.execute("select pg_notify('beside', %s)", ["%d.%d" % (i, k)])
    sender.close()
    c.send(query("select 'the end'"))
    seen, ready = [], 0
    while ready < 201:
        m = c.recv()
        if m.kind == "A":
            seen.append(m.body[4:].split(b"\0")[1].decode())
        ready += m.kind == "Z"
    while len(seen) < 1000:
        m = c.recv()
        assert m.kind == "A"
        seen.append(m.body[4:].split(b"\0")[1].decode())
    assert seen == ["%d.%d" % (i, k) for i in range(200) for k in range(5)]

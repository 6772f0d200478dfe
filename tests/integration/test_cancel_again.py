"""Cancels that come one after another, too early, or while the server does something of ours: on a scripted server that counts them."""
import threading
import time

import pytest
import wire
from scripted_server import ScriptedServer, error, ready
from wire import SLOW, wait_until


class Canceller:
    """A server whose "slow" query ends at the nth cancel. The first cancel's connection stays open until it is let go."""

    def __init__(self, ends_at):
        self.ends_at = ends_at
        self.let_go, self.ended = threading.Event(), threading.Event()
        self.server = ScriptedServer(self.serve, on_cancel=self.on_cancel)

    def serve(self, c):
        c.login()
        while c.polite(until=lambda m: m.kind == "Q" and m.body.startswith(b"slow")):
            c.wait_for(self.ended)
            c.send(error("ERROR", "57014", "canceling statement due to user request") + ready())

    def on_cancel(self, c):
        n = len(self.server.cancels)
        if n == 1:
            c.wait_for(self.let_go)
        if n >= self.ends_at:
            self.ended.set()


@pytest.fixture(params=[2, 3])
def canceller(request):
    c = Canceller(request.param)
    with c.server:
        yield c


def test_a_cancel_that_came_too_early(new_pooler, canceller):
    """The first is ignored, as PostgreSQL does before the query has begun: orders that came meanwhile, and time, send another."""
    p = new_pooler(server=canceller.server)
    c = p.connect()
    c.send(wire.query("slow"))
    wait_until(lambda: canceller.server.queries("slow"), what="the query is there")
    for _ in range(canceller.ends_at - 1):
        c.cancel(wait=False)
        wait_until(lambda: canceller.server.cancels, what="the first cancel is on its way")
        p.ask("SHOW LISTS")  # logged in after it
    assert len(canceller.server.cancels) == 1
    canceller.let_go.set()
    assert [m.sqlstate for m in c.recv_until("Z") if m.kind == "E"] == ["57014"]
    time.sleep(0.3 * SLOW)
    assert len(canceller.server.cancels) <= canceller.ends_at
    assert c.query("select 'next'") == [["'next'"]]

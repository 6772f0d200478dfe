"""The door: who gets in when places are few, by max_client_conn, reserved_client_conn and max_client_conn_per_addr."""
import time

import pytest
import wire
from wire import SLOW, LoginFailed, wait_until

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def refused(p, text, **kw):
    with pytest.raises(LoginFailed) as failed:
        p.connect(**kw)
    e = failed.value.error
    assert (e.severity, e.sqlstate) == ("FATAL", "53300"), str(e.fields)
    assert text in e.fields["M"]
    return e.fields["D"]


def get_in(p, **kw):
    try:
        return p.connect(**kw)
    except LoginFailed:
        return None


@WORKERS
def test_reserved_client_conn(new_pooler, workers):
    """The last places are kept for admin_users, stats_users and priority_users; who is refused is told the numbers. AQ-08."""
    p = new_pooler({"max_client_conn": 5, "reserved_client_conn": 2, "priority_users": "other", "worker_threads": workers, "login_threads": workers})
    clients = [p.connect() for _ in range(3)]
    assert refused(p, "max_client_conn") == "3 of at most 5 client connections are open. 2 are reserved (reserved_client_conn)."
    clients += [p.connect("other"), p.connect("other")]
    assert refused(p, "max_client_conn", user="other") == "5 of at most 5 client connections are open."
    assert refused(p, "max_client_conn") == "5 of at most 5 client connections are open. 2 are reserved (reserved_client_conn)."
    assert p.ask("SHOW VERSION")  # the console takes no place
    clients[0].close()
    assert wait_until(lambda: get_in(p, user="other"), what="a place")
    refused(p, "max_client_conn")


@WORKERS
def test_max_client_conn_per_addr(new_pooler, workers):
    """Exact over all threads, for each address; not for the Unix socket, the console and cancels. Every way out gives the place back. AQ-08."""
    p = new_pooler({"max_client_conn_per_addr": 3, "worker_threads": workers, "login_threads": workers, "default_pool_size": 5})
    clients = [p.connect() for _ in range(3)]
    assert refused(p, "max_client_conn_per_addr") == "3 of at most 3 client connections from this address are open."
    elsewhere = p.connect(source="127.0.0.2")
    on_socket = [wire.Client(p.dir, p.port).login("app", "test") for _ in range(4)]
    assert p.ask("SHOW VERSION")
    clients[0].send(wire.query("select pg_sleep(100)"))
    wait_until(lambda: p.server.sessions("state = 'active'"), what="PostgreSQL has begun")
    clients[0].cancel()
    assert [m.sqlstate for m in clients[0].recv_until("Z") if m.kind == "E"] == ["57014"]
    for leave in ("close", "fin", "rst"):
        getattr(clients.pop(), leave)()
        clients.append(wait_until(lambda: get_in(p), what="a place after " + leave))
    clients.pop().close()
    for wrong in ({"user": "nobody"}, {"database": "nowhere"}, {"params": {"pgweir.query_wait": "soon"}}):  # failed logins
        with pytest.raises(LoginFailed):
            p.connect(**wrong)
    clients.append(wait_until(lambda: get_in(p), what="a place after failed logins"))
    refused(p, "max_client_conn_per_addr")
    p.settings["max_client_conn_per_addr"] = 4
    p.reload()
    clients.append(wait_until(lambda: get_in(p), what="a place after the reload"))
    refused(p, "max_client_conn_per_addr")
    assert elsewhere.query("select 1") == [["1"]] and on_socket[3].query("select 1") == [["1"]]


def test_an_address_at_its_limit_costs_no_password(new_pooler):
    """It is told before it is asked who it is; a login that isn't finished counts, and gives its place back."""
    p = new_pooler({"max_client_conn_per_addr": 1, "auth_type": "scram-sha-256"})
    first = p.raw()
    first.send(wire.startup({"user": "scram_user", "database": "test"}))
    assert first.recv().kind == "R"
    c = p.raw()
    c.send(wire.startup({"user": "scram_user", "database": "test"}))
    e = c.recv()
    assert (e.kind, e.sqlstate) == ("E", "53300")
    c.expect_close()
    first.fin()

    def asked():
        c = p.raw()
        c.send(wire.startup({"user": "scram_user", "database": "test"}))
        kind = c.recv().kind
        c.fin()
        return kind == "R"

    wait_until(asked, what="the place is free")


def test_a_herd_is_taken_out_of_the_listen_queue_at_once(new_pooler):
    """Those for whom no login can be begun yet wait with pgweir: whom the kernel drops comes again after a second, or three."""
    p = new_pooler({"login_concurrency": 1, "listen_backlog": 128, "tcp_defer_accept": 0})
    console = p.console().cursor()

    def logins():
        console.execute("SHOW LISTS")
        return dict(r[:2] for r in console.fetchall())["login_clients"]
    began = time.monotonic()
    silent = [p.raw() for _ in range(400)]  # each has the one place for 50 ms
    wait_until(lambda: logins() == len(silent), what="all of them are in")
    assert time.monotonic() - began < 10 * SLOW  # half of what it takes when each waits for its place outside
    for c in silent:
        c.fin()
    assert p.connect().query("select 1") == [["1"]]  # whose turn comes after theirs
    wait_until(lambda: logins() == 0, what="they have gone")

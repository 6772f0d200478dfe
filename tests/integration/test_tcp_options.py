"""Options of clients' TCP connections, as the kernel shows their timers; they are inherited from the listening socket."""
import pytest

from wire import wait_until

KEEPALIVE = 2  # the kind of timer, in /proc/net/tcp
HZ = 100  # of what /proc shows


def timer(port, client):
    """Kind and seconds of the timer of the pooler's end of a connection; None if there is no such end."""
    with open("/proc/net/tcp") as f:
        for line in list(f)[1:]:
            fields = line.split()
            if [int(fields[i].split(":")[1], 16) for i in (1, 2)] == [port, client]:
                kind, ticks = fields[5].split(":")
                return int(kind, 16), int(ticks, 16) / HZ
    return None


def keepalive_of_new_client(p):
    c = p.connect()
    try:
        own = c.sock.getsockname()[1]

        def at_rest():
            t = timer(p.port, own)
            return t if t and t[0] in (0, KEEPALIVE) else None  # else what it last sent isn't acknowledged yet

        wait_until(lambda: at_rest() is not None, 10, "the connection rests")
        return at_rest()
    finally:
        c.close()


@pytest.mark.parametrize("first, second", [(1000, 300), (300, 1000)])
def test_keepalive_is_set_and_a_reload_changes_it_for_new_clients(new_pooler, first, second):
    p = new_pooler({"tcp_keepidle": first, "tcp_keepintvl": 7, "tcp_keepcnt": 3})
    kind, seconds = keepalive_of_new_client(p)
    assert kind == KEEPALIVE and first - 60 < seconds <= first + 1
    p.settings["tcp_keepidle"] = second
    p.reload()
    kind, seconds = keepalive_of_new_client(p)
    assert kind == KEEPALIVE and second - 60 < seconds <= second + 1
    p.settings["tcp_keepalive"] = 0
    p.reload()
    assert keepalive_of_new_client(p) == (0, 0)

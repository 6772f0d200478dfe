"""The console beside PgBouncer's own: columns by name, order and type, and what commands answer.

The list of 1.25.2 is here in full; Debian's pgbouncer, where it is installed, is asked for what it has, over both protocols.
"""
import os
import shutil

import psycopg2
import pytest
import wire
from pooler import Pooler

TYPES = {"t": 25, "i": 23, "q": 20, "N": 1700, "b": 17}
LINK = ("type t user t database t replication t state t addr t port i local_addr t local_port i connect_time t request_time t wait i wait_us i "
        "close_needed i ptr t link t remote_pid i tls t application_name t prepared_statements i id i")
SOCKET = LINK + " recv_pos i pkt_pos i pkt_remain i send_pos i send_remain i pkt_avail i send_avail i"
COUNTERS = "server_assignment_count xact_count query_count %s %s xact_time query_time wait_time client_parse_count server_parse_count bind_count"
TOTAL, AVERAGE, PLAIN = COUNTERS % ("received", "sent"), COUNTERS % ("recv", "sent"), COUNTERS % ("bytes_received", "bytes_sent")


def numeric(prefix, names):
    return " ".join(prefix + n + " N" for n in names.split())


VIEWS = {
    "STATS": "database t " + numeric("total_", TOTAL) + " " + numeric("avg_", AVERAGE),
    "STATS_TOTALS": "database t " + numeric("", PLAIN),
    "STATS_AVERAGES": "database t " + numeric("", " ".join("avg_" + n if n.endswith(("parse_count", "bind_count")) else n for n in PLAIN.split())),
    "TOTALS": "name t value N",
    "POOLS": "database t user t cl_active i cl_waiting i cl_active_cancel_req i cl_waiting_cancel_req i sv_active i sv_active_cancel i "
             "sv_being_canceled i sv_idle i sv_used i sv_tested i sv_login i maxwait i maxwait_us i pool_mode t load_balance_hosts t",
    "DATABASES": "name t host t port i database t force_user t pool_size i min_pool_size i reserve_pool_size i server_lifetime i pool_mode t "
                 "load_balance_hosts t max_connections i current_connections i max_client_connections i current_client_connections i "
                 "paused i disabled i",
    "CLIENTS": LINK, "SERVERS": LINK, "SOCKETS": SOCKET, "ACTIVE_SOCKETS": SOCKET,
    "USERS": "name t pool_size t reserve_pool_size t pool_mode t max_user_connections i current_connections i max_user_client_connections i "
             "current_client_connections i",
    "LISTS": "list t items i",
    "CONFIG": "key t value t default t changeable t",
    "MEM": "name t size i used i free i memtotal i",
    "STATE": "key t value t",
    "PEERS": "peer_id i host t port i pool_size i",
    "PEER_POOLS": "peer_id i cl_active_cancel_req i cl_waiting_cancel_req i sv_active_cancel i sv_login i",
    "DNS_HOSTS": "hostname t ttl q addrs t",
    "DNS_ZONES": "zonename t serial q count i",
    "VERSION": "version t",
    "FDS": "fd i task t user t database t addr t port i cancel q link i client_encoding t std_strings t datestyle t timezone t password t "
           "scram_client_key b scram_server_key b",
}
LISTS = ("databases users peers pools peer_pools free_clients used_clients login_clients free_servers used_servers dns_names dns_zones "
         "dns_queries dns_pending").split()
# Debian's is older than the list: what had another name, or wasn't there
RENAMED = {"reserve_pool": "reserve_pool_size"}


def listed(view):
    words = VIEWS[view].split()
    return [(n, TYPES[t]) for n, t in zip(words[::2], words[1::2])]


def columns(message):
    """Of a RowDescription: name, type."""
    body, out = message.body, []
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(b"\0", 2)
        out.append((body[2:end].decode(), int.from_bytes(body[end + 7:end + 11], "big")))
        body = body[:2] + body[end + 19:]
    return out


@pytest.fixture(scope="module")
def pgbouncer(postgres):
    """A real one beside ours; its console is the reference."""
    path = shutil.which("pgbouncer")
    if not path:
        pytest.skip("no pgbouncer is installed")
    old = os.environ.get("PGWEIR")
    os.environ["PGWEIR"] = path
    try:
        p = Pooler(postgres, {"worker_threads": 1}, databases={"test": "host=%s port=%d" % (postgres.host, postgres.port)})
    finally:
        os.environ.pop("PGWEIR") if old is None else os.environ.update(PGWEIR=old)
    p.console_database = "pgbouncer"
    yield p
    p.end()
    shutil.rmtree(p.dir, ignore_errors=True)


@pytest.fixture
def ours(new_pooler, postgres):
    return new_pooler({"worker_threads": 2}, databases={"test": "host=%s port=%d" % (postgres.host, postgres.port)})


@pytest.mark.parametrize("view", VIEWS)
def test_columns_are_those_of_the_list(ours, view):
    """Names, order and type OIDs over both protocols, in Describe and in the answer; each row has as many values."""
    c = ours.raw().login("admin", ours.console_database)
    c.send(wire.query("SHOW " + view))
    simple = c.recv_until("Z")
    assert columns(simple[0]) == listed(view)
    c.send(wire.parse("", "SHOW " + view) + wire.describe("S") + wire.bind() + wire.describe("P") + wire.execute() + wire.SYNC)
    extended = c.recv_until("Z")
    described = [m for m in extended if m.kind == "T"]
    assert [columns(m) for m in described] == [listed(view)] * 2
    for m in simple + extended:
        if m.kind == "D":
            assert int.from_bytes(m.body[:2], "big") == len(listed(view))


@pytest.mark.parametrize("view", VIEWS)
def test_columns_are_in_pgbouncers_order(ours, pgbouncer, view):
    """What the installed pgbouncer has comes in its order and with its types, new names of newer ones between."""
    db = pgbouncer.raw().login("admin", "pgbouncer")
    db.send(wire.query("SHOW " + view))
    got = db.recv_until("Z")
    if got[0].kind == "E":
        pytest.skip("it has no SHOW " + view)
    theirs = [(RENAMED.get(n, n), t) for n, t in columns(got[0])]
    names = {n for n, _ in theirs}
    assert [c for c in listed(view) if c[0] in names] == theirs


def test_lists_has_pgbouncers_rows(ours):
    """SHOW LISTS has the names of 1.25.2 in their order."""
    assert [r["list"] for r in ours.ask("SHOW LISTS")] == LISTS


def answer(db, command):
    """Tag, or SQLSTATE and message."""
    cur = db.cursor()
    try:
        cur.execute(command)
        return cur.statusmessage
    except psycopg2.Error as e:
        assert not db.closed, command
        return e.pgcode, str(e).split("\n")[0]


SAME = ("DISABLE", "DISABLE pgbouncer", "DISABLE nosuch", "ENABLE", "ENABLE nosuch", "DISABLE test", "ENABLE test", "PAUSE nosuch",
        "PAUSE pgbouncer", "RESUME", "RESUME nosuch", "RESUME test", "RESUME x y", "KILL pgbouncer", "KILL nosuch", "KILL test", "RESUME test",
        "RECONNECT", "RECONNECT test", "RECONNECT nosuch", "RECONNECT pgbouncer", "WAIT_CLOSE", "WAIT_CLOSE test", "WAIT_CLOSE nosuch",
        "WAIT_CLOSE pgbouncer", "KILL_CLIENT", "SET nosuch = 1", "SET default_pool_size = 'x'", "SET default_pool_size = 7", "SET verbose = '1'",
        "SET", "SET a", "SHOW", "SHOW nosuch", "SHOW POOLS x", "nosuch", "SHUTDOWN later", "RELOAD x", "PAUSE", "PAUSE", "RESUME", "PAUSE test",
        "RESUME test", "SHOW TimeZone", "set datestyle = 'ISO'", "RELOAD", "SUSPEND", "SUSPEND", "PAUSE", "RESUME", "RESUME", "SUSPEND x")


def test_commands_answer_as_pgbouncers(ours, pgbouncer):
    """Tags, SQLSTATEs and texts of errors, one command after the other."""
    a, b = ours.console(), pgbouncer.console()
    differ = [(c, x, y) for c, x, y in ((c, answer(a, c), answer(b, c)) for c in SAME) if x != y]
    assert not differ, differ
    a.close(), b.close()


@pytest.mark.parametrize("command", ["PAUSE", "RESUME", "RELOAD", "KILL test", "SHUTDOWN", "SUSPEND", "SET verbose = 1", "DISABLE test",
                                     "ENABLE test", "RECONNECT", "WAIT_CLOSE", "SHOW FDS", "SHOW POOLS", "SHOW STATS"])
def test_stats_users_may_as_much_as_pgbouncers(ours, pgbouncer, command):
    """SHOW but for FDS, and nothing else, in the same words."""
    a, b = ours.console("stats"), pgbouncer.console("stats")
    assert answer(a, command) == answer(b, command)
    a.close(), b.close()

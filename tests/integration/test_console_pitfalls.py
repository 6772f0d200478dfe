"""AD: the console's own views, in a storm, in a shutdown, and with names that aren't UTF-8. The rest is in test_pitfalls_ad.py."""
import re
import signal
import threading

import psycopg2
import wire
from wire import Client, LoginFailed, QueryFailed, wait_until

OWN = ("QUEUE", "HOLDERS", "PINS", "PIN_COUNTS", "PREPARED", "LATENCY", "EVENTS", "WORKERS", "MEM", "FDS", "DNS_HOSTS", "SOCKETS", "USERS")


def test_AD_02_own_views_in_a_storm(new_pooler):
    """AD-02: pgweir's own views while clients come, wait, go and the configuration changes: whole rows, no crash."""
    p = new_pooler({"worker_threads": 4, "default_pool_size": 2, "max_client_conn": 200, "query_wait_timeout": 30})
    stop, errors = threading.Event(), []

    def storm(number):
        n = 0
        while not stop.is_set():
            n += 1
            try:
                c = p.connect(params={"application_name": "storm %d" % number})
                c.send(wire.parse("s%d" % (n % 5), "select %d, $1::text" % (n % 7)) + wire.bind("s%d" % (n % 5), values=["x"]) + wire.execute() + wire.SYNC)
                if n % 3:
                    c.recv_until("Z")
                (c.close, c.fin, c.rst)[n % 3]()
            except (LoginFailed, QueryFailed, OSError):
                pass
            except BaseException as e:
                errors.append(e)
                return
    threads = [threading.Thread(target=storm, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    db = p.console()
    try:
        for turn in range(12):
            for view in OWN:
                cur = db.cursor()
                cur.execute("SHOW " + view)
                for row in cur.fetchall():
                    assert len(row) == len(cur.description)
                    assert all("\0" not in v for v in row if isinstance(v, str))
                    assert all(0 <= v < 2**62 for v in row if isinstance(v, int)), (view, row)
            if turn % 4 == 0:
                p.reload()
    finally:
        stop.set()
        for t in threads:
            t.join()
        db.close()
    assert not errors, errors


def test_AD_04_during_shutdown(new_pooler):
    """AD-04: while a shutdown waits the console answers: over connections it has, and by the Unix socket also new ones, and says what goes on."""
    p = new_pooler()
    c, db = p.connect(), p.console()
    c.query("begin")
    p.process.send_signal(signal.SIGINT)
    p.logged("shutting down")
    cur = db.cursor()
    cur.execute("SHOW HOLDERS")
    assert [r[2] for r in cur.fetchall()] == ["idle in transaction"]
    late = psycopg2.connect(host=p.dir, port=p.port, user="admin", dbname="pgbouncer")
    late.autocommit = True
    cur = late.cursor()
    cur.execute("SELECT event FROM events WHERE kind = 'life' AND event LIKE 'shutting down%'")
    assert cur.fetchall() == [("shutting down: waiting for transactions to end",)]
    for command in ("SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN WAIT_FOR_SERVERS"):
        try:
            cur.execute(command)
            raise AssertionError(command)
        except psycopg2.Error as e:
            assert "pooler is shutting down" in str(e)
    c.query("commit")
    wait_until(lambda: not p.is_running(), what="it ends")


def test_AD_04_cancel_ends_a_waiting_command(new_pooler):
    """AD-04: Ctrl-C or a disconnect ends a waiting PAUSE or WAIT_CLOSE; a cancelled PAUSE is undone."""
    p = new_pooler()
    busy = p.connect()
    busy.query("begin")
    for command in ("PAUSE test", "WAIT_CLOSE"):
        p.databases = dict(p.databases, test=p.server_address())
        p.reload()
        if command == "WAIT_CLOSE":
            p.ask("RECONNECT")
        c = p.raw().login("admin", p.console_database)
        c.send(wire.query(command))
        wait_until(lambda: any(r["paused"] for r in p.ask("SHOW DATABASES")) or command == "WAIT_CLOSE")
        c.cancel()
        got = c.recv_until("Z")
        assert got[0].sqlstate == "57014", [str(m) for m in got]
        assert c.query("SHOW VERSION") and not any(r["paused"] for r in p.ask("SHOW DATABASES"))
        c.send(wire.query("WAIT_CLOSE"))
        c.rst()
    assert busy.query("select 1") == [["1"]]
    busy.query("commit")


def test_AD_05_names_of_any_encoding(new_pooler):
    """AD-05: Names in Latin-1 and with control characters come out as UTF-8 without NUL, also where they are compared."""
    p = new_pooler()
    c = Client(p.host, p.port)
    c.send(wire.startup({b"user": b"app", b"database": b"test", b"application_name": b"caf\xe9 \x01", b"client_encoding": b"LATIN1"}))
    c.recv_until("Z")
    c.query("begin")
    shown = [r["application_name"] for r in p.ask("SHOW CLIENTS") if r["database"] == "test"]
    assert len(shown) == 1 and shown[0].startswith("caf?"), shown
    assert p.ask("SELECT count(*) AS n FROM holders WHERE application_name LIKE 'caf?%'") == [{"n": 1}]
    for view in ("HOLDERS", "SERVERS", "SOCKETS"):
        assert any("caf?" in str(v) for r in p.ask("SHOW " + view) for v in r.values()), view


def test_AD_05_no_age_is_since_1970(new_pooler):
    """AD-05: Ages and waits of clients that have just come, of servers that nobody has used, of events: none is the clock's own."""
    p = new_pooler({"default_pool_size": 2})
    a, b, c = p.connect(), p.connect(), p.connect()
    a.query("begin"), b.query("begin")
    c.send(wire.query("select 1"))
    wait_until(lambda: p.ask("SHOW QUEUE"))
    for view in ("QUEUE", "HOLDERS", "LATENCY", "CLIENTS", "SERVERS", "PINS", "EVENTS"):
        for row in p.ask("SHOW " + view):
            for key, value in row.items():
                if re.search(r"_us$|^wait|^seconds$", key) and value is not None:
                    assert 0 <= value < 600e6, (view, key, value)
                if re.search(r"_time$|^since$", key) and value is not None:
                    assert re.match(r"20[2-9]\d-", value), (view, key, value)

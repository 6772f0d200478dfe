"""The log: text and JSON, slow transactions and waits, without a value that a statement holds."""
import json
import os
import re
import signal
import time

from wire import bind, execute, parse, query, wait_until

SYNC = b"S\0\0\0\x04"


def test_json(new_pooler):
    """Each line is an object, whoever the client says it is; RELOAD changes the format back."""
    p = new_pooler({"log_format": "json", "log_connections": 1})
    c = p.connect(params={"application_name": 'x"y'})
    c.close()
    p.logged("closing because")
    lines = [json.loads(line) for line in p.log().splitlines()]
    assert all({"time", "pid", "level", "message"} <= set(line) for line in lines)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) and line["pid"] == p.process.pid for line in lines)
    mine = [line for line in lines if line.get("user") == "app" and "client" in line]
    assert mine and all(line["db"] == "test" and line["addr"].startswith("127.0.0.1:") and line["client"] > 0 for line in mine)
    p.settings["log_format"] = "text"
    p.reload()
    p.logged("LOG configuration reloaded")


def test_a_slow_transaction(new_pooler):
    """With the shape of its last statement that means something, in each protocol; no literal; of many that are alike one, and their number."""
    p = new_pooler({"log_min_duration_transaction": 0.1, "default_pool_size": 3})
    c = p.connect()
    c.query("select pg_sleep(0.2), 'top secret 1', 4711")
    p.logged("slow transaction: 0.2")
    c.query("begin")
    c.query("select 'top secret 2' /* top secret 3 */")
    time.sleep(0.2)
    c.query("commit")
    p.logged(": select ?\n")
    c.send(parse("s", "select $1, pg_sleep(0.2), 'top secret 4'") + bind("s", values=["top secret 5"]) + execute() + SYNC)
    c.recv_until("Z")
    p.logged(": select $1, pg_sleep(?)")
    fingerprints = set(re.findall(r"statement ([0-9a-f]{16})", p.log()))
    assert len(fingerprints) == 3
    for n in range(3):
        c.query("select pg_sleep(0.2), 'top secret 6', %d" % n)
    c.query("select pg_sleep(0.2), 'top secret 7' as quick")
    p.logged(" as quick\n")
    assert p.log().count("slow transaction") == 4
    assert "secret" not in p.log()
    c.query("select 1")
    assert p.log().count("slow transaction") == 4


def test_a_slow_wait(new_pooler):
    """Who had to wait for a server, how long, and with what."""
    p = new_pooler({"log_min_duration_wait": 0.2, "default_pool_size": 1})
    holder, waiter, quick = p.connect(), p.connect(), p.connect()
    holder.query("begin")
    waiter.send(query("select 'top secret', 17 from pg_class where relname = 'x' limit 1"))
    wait_until(lambda: p.column("cl_waiting") == 1, what="it waits")
    time.sleep(0.3)
    holder.query("commit")
    waiter.recv_until("Z")
    p.logged("slow wait: ")
    line = next(x for x in p.log().splitlines() if "slow wait" in x)
    assert line.endswith(": select ? from pg_class where relname = ? limit ?") and "user=app" in line
    quick.query("select 1")
    assert p.log().count("slow wait") == 1 and "secret" not in p.log()


def test_a_rotated_file_is_followed(new_pooler):
    """SIGHUP opens logfile again, as PgBouncer does; nothing is lost on the way."""
    p = new_pooler({"logfile": "it.log", "log_connections": 1})
    path = p.dir + "/it.log"
    os.rename(path, path + ".1")
    p.process.send_signal(signal.SIGHUP)
    wait_until(lambda: os.path.exists(path), what="a new file")
    p.connect(params={"application_name": "later"}).close()
    wait_until(lambda: "login attempt" in open(path).read() or "closing because" in open(path).read(), what="a line in the new file")
    assert "got signal 1" in open(path + ".1").read() + open(path).read()

"""SHOW EVENTS: the last notable things, with their time."""
import re
import signal


def events(p, kind):
    return [r for r in p.ask("SHOW EVENTS") if r["kind"] == kind]


def test_events_tell_reloads_and_commands(new_pooler):
    """A reload, a refused one with its reason, and who has paused and killed what, in order and with their time."""
    p = new_pooler()
    assert len(events(p, "life")) == 1
    p.ask("PAUSE")
    p.ask("RESUME")
    p.reload()
    p.settings["default_pool_size"] = "many"
    p.write()
    p.process.send_signal(signal.SIGHUP)
    p.logged("reload failed")
    rows = p.ask("SHOW EVENTS")
    assert [r["number"] for r in rows] == sorted(r["number"] for r in rows)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+$", r[k]) for r in rows for k in ("first_time", "last_time"))
    commands = events(p, "command")
    assert [c["event"].split(" by ")[0] for c in commands] == ["PAUSE", "RESUME", "RELOAD"] and "admin" in commands[0]["event"]
    applied, refused = events(p, "reload")
    assert applied["event"] == "configuration reloaded" and "default_pool_size" in refused["event"] and "refused" in refused["event"]


def test_a_repeated_event_is_one_row(new_pooler):
    """What repeats itself is counted in its row."""
    p = new_pooler()
    for _ in range(3):
        p.reload()
    rows = events(p, "reload")
    assert [(r["event"], r["times"]) for r in rows] == [("configuration reloaded", 3)]

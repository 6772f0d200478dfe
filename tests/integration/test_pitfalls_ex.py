"""EX: extended protocol and pipelining."""
import threading

import pytest
import wire
from wire import wait_until

BAD = "select 1/(random()*0)::int"  # fails in Execute: not folded at Bind


def trace(text, **names):
    for k, v in dict(names, bad=BAD).items():
        text = text.replace("{%s}" % k, v)
    return text


@pytest.mark.two_workers
def test_EX_01_batches_in_one_segment(via):
    """EX-01: Every reply and every Z of many batches, from one server until the last."""
    batch = ['P("select %d") B E S' % i for i in range(10)]
    reply = ["1 2 D(%d) C(SELECT 1) Z(I)" % i for i in range(10)]
    via.run("c1: %s → %s" % (" ".join(batch), " ".join(reply)))
    via.run('''
        c1: P("select 1") B E
        c1: S P("select 2") B E S  → 1 2 D(1) C(SELECT 1) Z(I) 1 2 D(2) C(SELECT 1) Z(I)
    ''')


@pytest.mark.two_workers
def test_EX_02_next_batch_has_begun(via):
    """EX-02: A server whose next batch has begun stays with its client although a Z came."""
    via.run('''
        c1: P("select 1") B E S P("select 2") H
        c2: Q("select 'c2'")
        c1:         → 1 2 D(1) C(SELECT 1) Z(I) 1 quiet
        c1: B E S   → 2 D(2) C(SELECT 1) Z(I)
        c2:         → T D(c2) C(SELECT 1) Z(I)
    ''')


@pytest.mark.two_workers
def test_EX_03_error_then_delayed_sync(via):
    """EX-03: After an error nothing more until Sync, then one Z, and the next batch works."""
    via.run(trace('''
        c1: P("{bad}") B E P("select 2") B E H → 1 2 E[22012] quiet
        c2: Q("select 'c2'")
        c1: P("select 3") B E H    → quiet
        c1: S                      → Z(I)
        c2:                        → T D(c2) C(SELECT 1) Z(I)
        c1: P("select 4") B E S    → 1 2 D(4) C(SELECT 1) Z(I)
    '''))


def test_EX_04_query_in_the_skip_state(via):
    """EX-04: A Query in the skip state is skipped like anything else: one Z."""
    via.run(trace('''
        c1: P("{bad}") B E Q("select 2") S → 1 2 E[22012] Z(I) quiet
        c1: P("{bad}") B E F(177,"1","2") Q("select 2") S Q("select 3") → 1 2 E[22012] Z(I) T D(3) C(SELECT 1) Z(I)
    '''))


def test_EX_05_query_ends_a_batch(via):
    """EX-05: A Query behind Execute acts as its Sync: committed together, one Z; a Sync behind it gets its own."""
    t = via.table()
    via.run('''
        c1: P("insert into {t} values (1)") B E Q("select 7") → 1 2 C(INSERT 0 1) T D(7) C(SELECT 1) Z(I)
        c1: P("insert into {t} values (2)") B E Q("select 8") S → 1 2 C(INSERT 0 1) T D(8) C(SELECT 1) Z(I) Z(I)
        c1: P("insert into {t} values (3)") B E Q("select 1/0") → 1 2 C(INSERT 0 1) E[22012] Z(I)
        c1: P("select 9") B E F(177,"1","2") → 1 2 D(9) C(SELECT 1) V(3) Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == [1, 2]


def test_EX_06_error_drops_only_to_the_first_sync(via):
    """EX-06: An error skips to the first Sync; the next batch, already on its way, is answered."""
    via.run(trace('''
        c1: P("{bad}") B E S P(ex06,"select 6") D(S,ex06) H → 1 2 E[22012] Z(I) 1 t T quiet
        c2: Q("select 'c2'")
        c1: B(ex06) E S            → 2 D(6) C(SELECT 1) Z(I)
        c2:                        → T D(c2) C(SELECT 1) Z(I)
    '''))


@pytest.mark.two_workers
def test_EX_07_flush(via):
    """EX-07: Flush brings the replies at once, without Z, and the client keeps its server."""
    via.run('''
        c1: P("select 1") B E H    → 1 2 D(1) C(SELECT 1) quiet
        c2: Q("select 'c2'")
        c1: P("select 2") B E H    → 1 2 D(2) C(SELECT 1) quiet
        c1: S                      → Z(I)
        c2:                        → T D(c2) C(SELECT 1) Z(I)
        c1: H                      → quiet
        c1: S                      → Z(I)
    ''')


@pytest.mark.two_workers
def test_EX_08_describe_flush_then_bind(via):
    """EX-08: asyncpg, postgres.js: Parse, Describe, Flush, then the rest: the same server throughout."""
    via.run('''
        c1: P(a,"select $1::int + 1 as r") D(S,a) H → 1 t T(r) quiet
        c2: Q("select 'c2'")
        c1: B(a,"7") E S           → 2 D(8) C(SELECT 1) Z(I)
        c2:                        → T D(c2) C(SELECT 1) Z(I)
        c1: D(S,a) H               → t T(r)
        c1: B(a,"8") E S           → 2 D(9) C(SELECT 1) Z(I)
    ''')


def test_EX_09_cursor_by_portal(via):
    """EX-09: A portal fetched in pieces with Flush stays on its server until Z."""
    via.run('''
        c1: P("select generate_series(1,5) as n") B(p←) D(P,p) H → 1 2 T(n)
        c2: Q("select 'c2'")
        c1: E(p)/2 H               → D(1) D(2) s
        c1: E(p)/2 H               → D(3) D(4) s
        c1: E(p)/2 H               → D(5) C(SELECT 1)
        c1: C(P,p) S               → 3 Z(I)
        c2:                        → T D(c2) C(SELECT 1) Z(I)
    ''')


def test_EX_10_portal_and_sync(via):
    """EX-10: Outside a block a portal is gone after Sync, inside it survives."""
    via.run('''
        c1: P("select generate_series(1,3)") B(p←) E(p)/1 S → 1 2 D(1) s Z(I)
        c1: E(p) S                 → E[34000] Z(I)
        c1: P("select generate_series(1,3)") B E/1 S → 1 2 D(1) s Z(I)
        c1: E S                    → E[34000] Z(I)
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: P("select generate_series(1,3)") B(p←) E(p)/1 S → 1 2 D(1) s Z(T)
        c1: E(p)/1 S               → D(2) s Z(T)
        c1: E(p) S                 → D(3) C(SELECT 1) Z(T)
        c1: Q("commit")            → C(COMMIT) Z(I)
        c1: E(p) S                 → E[34000] Z(I)
    ''')


def test_EX_11_interleaved_portals(via):
    """EX-11: Named portals side by side, a duplicate, and the Close of an unknown one."""
    via.run('''
        c1: Q("begin")             → C(BEGIN) Z(T)
        c1: P(ex11,"select generate_series($1::int, $1 + 3)") B(pa←ex11,"1") B(pb←ex11,"11") E(pa)/2 E(pb)/2 E(pa)/2 S
        →                            1 2 2 D(1) D(2) s D(11) D(12) s D(3) D(4) s Z(T)
        c1: C(P,zz) S              → 3 Z(T)
        c1: C(S,zz) S              → 3 Z(T)
        c1: B(pa←ex11,"1") S       → E[42P03] Z(E)
        c1: Q("rollback")          → C(ROLLBACK) Z(I)
        c1: C(S,ex11) C(P,zz) C(S,zz) S → 3 3 3 Z(I)
        c1: B(ex11,"1") S          → E[26000] Z(I)
    ''')


def test_EX_12_flush_in_skip_state_and_many_syncs(via):
    """EX-12: Flush in the skip state brings nothing, three Syncs bring three Z."""
    via.run(trace('''
        c1: S S S                  → Z(I) Z(I) Z(I) quiet
        c1: H H S H                → Z(I) quiet
        c1: P("{bad}") B E H H     → 1 2 E[22012] quiet
        c1: H                      → quiet
        c1: S S S                  → Z(I) Z(I) Z(I)
        c1: Q("begin") S S         → C(BEGIN) Z(T) Z(T) Z(T)
        c1: S Q("rollback") S      → Z(T) C(ROLLBACK) Z(I) Z(I)
    '''))


def test_EX_12_sync_waits_for_what_runs(via):
    """EX-12: A Sync is never answered before what was sent ahead of it."""
    t = via.table()
    via.run('''
        c1: P("insert into {t} select 1 from pg_sleep(0.1)") B E S S → 1 2 C(INSERT 0 1) Z(I) Z(I)
    '''.replace("{t}", t), bystander=False)
    assert via.rows(t) == [1]


@pytest.mark.two_workers
def test_EX_13_batch_without_sync(via):
    """EX-13: P B E and nothing more: no reply is due, and the server is held."""
    t = via.table()
    via.run('''
        c1: P("insert into {t} values (1)") B E
        c2: Q("select count(*) from {t}")
        c1: S                      → 1 2 C(INSERT 0 1) Z(I)
    '''.replace("{t}", t))
    assert via.rows(t) == [1]


@pytest.mark.pooler_only
@pytest.mark.settings(idle_transaction_timeout="0.3")
def test_EX_13_batch_without_sync_counts_as_idle_in_transaction(via):
    """EX-13: idle_transaction_timeout ends it, and nothing was committed."""
    t = via.table()
    c = via.connect()
    c.send(wire.parse("", "insert into %s values (1)" % t) + wire.bind() + wire.execute())
    got = c.recv_until("E")
    assert got[-1] is not None and got[-1].sqlstate == "25P03" and got[-1].severity == "FATAL", [str(m) for m in got]
    c.expect_close()
    wait_until(via.sessions_idle)
    assert via.rows(t) == []


@pytest.mark.two_workers
@pytest.mark.parametrize("leave", ["X", "FIN", "RST"])
def test_EX_14_leaving_without_sync_commits_nothing(via, leave):
    """EX-14: An implicit transaction without its Sync is rolled back."""
    t = via.table()
    via.run('''
        c2: Q("select 1")          → T D(1) C(SELECT 1) Z(I)
        c1: P("insert into {t} values (1)") B E H → 1 2 C(INSERT 0 1)
        c2: Q("select count(*) from {t}")
        c1: {leave}
        c2:                        → T D(0) C(SELECT 1) Z(I)
    '''.replace("{t}", t).replace("{leave}", leave))
    wait_until(via.sessions_idle)
    assert via.rows(t) == []


@pytest.mark.parametrize("leave", ["X", "FIN"])
def test_EX_14_leaving_without_flush(via, leave):
    """EX-14: The same when all of it comes in one segment."""
    t = via.table()
    via.run('c1: P("insert into %s values (1)") B E %s' % (t, leave))
    wait_until(via.sessions_idle)
    if via.is_pooler:
        via.pooler.wait_rest()
    assert via.rows(t) == []


def test_EX_15_made_up_replies_in_their_place(via):
    """EX-15: ParseComplete and CloseComplete come where the server's would, and none after an error."""
    sql = "select 'ex15', repeat('x', 10)"
    big = "select repeat('y', 300000)"
    via.run(trace('''
        c2: P(ex15,"{sql}") S      → 1 Z(I)
        c1: P(b1,"{sql}") B(b1) E P(b2,"{sql}") B(b2) E C(S,b1) P(b1,"{sql}") S
        →                            1 2 D C 1 2 D C 3 1 Z(I)
        c1: B(b2) E P(b3,"{big}") B(b3) E P(b4,"{big}") B(b4) E C(S,b3) C(S,b4) P(b5,"{sql}") S
        →                            2 D C 1 2 D C 1 2 D C 3 3 1 Z(I)
        c1: P(b6,"{sql}") P("{bad}") B E P(b7,"{sql}") C(S,b5) S → 1 1 2 E[22012] Z(I)
        c1: B(b6) E S              → 2 D C Z(I)
        c1: B(b5) E S              → 2 D C Z(I)
        c1: B(b7) E S              → E[26000] Z(I)
        c1: P(b8,"{sql}") H        → 1 quiet
        c1: C(S,b8) H              → 3 quiet
        c1: S                      → Z(I)
    ''', sql=sql, big=big))


def test_EX_16_describe_of_known_statements(via):
    """EX-16: Describe is answered in full whoever answers Parse."""
    t = via.table()
    via.run('''
        c1: P(a,"select $1::int as x, $2::text as y") S → 1 Z(I)
        c1: D(S,a) S               → t T(x,y) Z(I)
        c1: P(w,"insert into {t} values ($1)") D(S,w) S → 1 t n Z(I)
        c1: D(S,w) S               → t n Z(I)
        c2: P(z,"select $1::int as x, $2::text as y") D(S,z) S → 1 t T(x,y) Z(I)
        c1: B(a,"1","2") D(P,"") E S → 2 T(x,y) D(1,2) C(SELECT 1) Z(I)
    '''.replace("{t}", t))


def test_EX_17_pipeline_larger_than_all_buffers(via):
    """EX-17: 500 queries before the first Sync with 32 MB of replies: no deadlock."""
    c = via.connect()
    pad = "x" * 20000
    one = wire.parse("", "select repeat('y', 65536) /* %s */" % pad) + wire.bind() + wire.execute()
    writer = threading.Thread(target=c.send, args=(one * 500 + wire.SYNC,), daemon=True)
    writer.start()
    counts = {}
    while True:
        m = c.recv()
        counts[m.kind] = counts.get(m.kind, 0) + 1
        if m.kind == "Z":
            break
    writer.join(wire.TIMEOUT)
    assert counts == {"1": 500, "2": 500, "D": 500, "C": 500, "Z": 1}


def test_EX_17_slow_reader(via):
    """EX-17: A client that writes everything first and reads later: what it wrote is answered."""
    c = via.connect(rcvbuf=8192)
    c.send((wire.parse("", "select repeat('y', 1000)") + wire.bind() + wire.execute()) * 200 + wire.SYNC)
    kinds = [m.kind for m in c.recv_until("Z")]
    assert kinds.count("D") == 200 and kinds.count("E") == 0


def test_EX_18_vacuum_as_first_batch(via):
    """EX-18: Our own SETs are complete before the client's first message: VACUUM isn't in their transaction."""
    t = via.table()
    via.run('c1: P("vacuum {t}") B E S → 1 2 C(VACUUM) Z(I)'.replace("{t}", t),
            login={"params": {"application_name": "ex18", "search_path": "public", "statement_timeout": "50s"}})
    via.run('c1: P(v,"vacuum {t}") B(v) E S → 1 2 C(VACUUM) Z(I)'.replace("{t}", t),
            login={"params": {"application_name": "ex18 b"}})


def test_EX_19_bind_is_passed_on_whole(via):
    """EX-19: NULL, empty, binary, many and large parameters: only names are rewritten."""
    c = via.connect()
    c.send(wire.parse("ex19", "select $1::text is null, $2::text, $3::int, $4::bytea", [25, 25, 23, 17]) + wire.SYNC)
    assert [m.kind for m in c.recv_until("Z")] == ["1", "Z"]
    c.send(wire.bind("ex19", "", [None, "", b"\0\0\1\0", b"\0\1\xff"], [0, 0, 1, 1], [0, 0, 0, 1]) + wire.execute() + wire.SYNC)
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["t", "", "256", b"\0\1\xff"]]
    c.send(wire.bind("ex19", "", [None, "", b"\0\0\1\0", b"\0\1\xff"], [0, 0, 1, 1], [1]) + wire.execute() + wire.SYNC)
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["\1", "", b"\0\0\1\0".decode(), b"\0\1\xff"]]


def test_EX_19_bind_with_65535_parameters(via):
    """EX-19: As many parameters as the protocol has room for."""
    c = via.connect()
    c.send(wire.parse("many", "select $65535", [25] * 65535) + wire.bind("many", "", [str(i) for i in range(65535)]) +
           wire.execute() + wire.SYNC)
    assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [["65534"]]


@pytest.mark.parametrize("size", [4096, 8192, 16384, 32768, 65536, 1 << 20])
def test_EX_19_bind_of_buffer_size(via, size):
    """EX-19: A Bind that is exactly as large as somebody's buffer, and a byte to either side."""
    c = via.connect()
    c.send(wire.parse("len", "select length($1)", [25]) + wire.SYNC)
    c.recv_until("Z")
    overhead = len(wire.bind("len", "", [""]))
    for n in (size - overhead - 1, size - overhead, size - overhead + 1, size - 5):
        c.send(wire.bind("len", "", ["x" * n]) + wire.execute() + wire.SYNC)
        assert [m.row for m in c.recv_until("Z") if m.kind == "D"] == [[str(n)]]

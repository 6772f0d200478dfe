"""dbapi - what psycopg2 and psycopg 3 have in common: scenarios over the Python database API.

Each gives what it saw; the test compares that with what a direct connection sees. Others use the pool meanwhile, so no more than
one transaction is open at a time wherever a scenario waits for nobody.
"""
import threading
import time


class Scenarios:
    def __init__(self, driver, connect):
        self.driver, self.connect_to, self.opened = driver, connect, []

    def connect(self, how, autocommit=True, **kw):
        c = self.connect_to(how, **kw)
        self.opened.append(c)
        c.autocommit = autocommit
        return c

    def many(self, how, n, **kw):
        return [self.connect(how, **kw) for _ in range(n)]

    def error(self, conn, sql, *args):
        """The SQLSTATE that a statement ends with; "none" if it didn't fail."""
        try:
            conn.cursor().execute(sql, *args)
            return "none"
        except self.driver.Error as e:
            return getattr(e, "sqlstate", None) or getattr(e, "pgcode", None) or type(e).__name__

    @staticmethod
    def rows(conn, sql, *args):
        cur = conn.cursor()
        cur.execute(sql, *args)
        return cur.fetchall()

    def value(self, conn, sql, *args):
        return self.rows(conn, sql, *args)[0][0]

    def close_all(self):
        for c in self.opened:
            c.close()
        self.opened = []

    def all(self):
        return [getattr(self, name) for name in (
            "connect_and_look", "settings", "startup_options", "transaction", "error_in_transaction", "types", "large_result",
            "cursor", "cancel", "timeout", "reconnect", "listen", "temp_table", "advisory_lock", "concurrent")]

    def connect_and_look(self, how):
        c = self.connect(how)
        out = self.rows(c, "select current_user, current_setting('server_version'), current_setting('application_name')")[0]
        out = [*out, c.info.server_version, c.info.encoding if hasattr(c.info, "encoding") else c.encoding]
        names = ("server_version", "server_encoding", "client_encoding", "is_superuser", "session_authorization", "DateStyle",
                 "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings")
        return out + ["%s=%s" % (n, c.info.parameter_status(n)) for n in names]

    def settings(self, how):
        a, b, c = self.many(how, 3)
        out = []
        for i, conn in enumerate((a, b, c)):
            self.rows(conn, "select set_config('app.user_id', %s, false)", ["user %d" % i])
            conn.cursor().execute("set timezone to '%s'" % ("Asia/Tokyo", "Europe/Paris", "UTC")[i])
            conn.cursor().execute("set search_path to s%d, public" % i)
        for _ in range(4):
            for conn in (a, b, c):
                out += self.rows(conn, "select current_setting('app.user_id'), current_setting('timezone'), current_setting('search_path'),"
                                       " extract(hour from '2026-01-01 00:00Z'::timestamptz)::int")
                out.append(conn.info.parameter_status("TimeZone"))
        a.cursor().execute("reset timezone")
        b.cursor().execute("reset all")
        c.cursor().execute("discard all")
        for conn in (a, b, c):
            out += self.rows(conn, "select current_setting('app.user_id', true), current_setting('timezone'), current_setting('search_path')")
        a.autocommit = False
        a.cursor().execute("set local statement_timeout = 12345")
        out.append(self.value(a, "show statement_timeout"))
        a.cursor().execute("set datestyle to german")
        a.rollback()
        out += self.rows(a, "select current_setting('statement_timeout'), current_setting('datestyle')")
        a.commit()
        return out

    def startup_options(self, how):
        a = self.connect(how, options="-c search_path=one,two -c statement_timeout=54321", application_name="über")
        b = self.connect(how)
        out = []
        for conn in (a, b, a, b):
            out += self.rows(conn, "select current_setting('search_path'), current_setting('statement_timeout'), current_setting('application_name')")
        a.cursor().execute("set search_path to three")
        a.cursor().execute("reset all")
        out += self.rows(a, "select current_setting('search_path')")
        return out

    def transaction(self, how):
        a, b = self.many(how, 2)
        b.cursor().execute("drop table if exists d_tx")
        b.cursor().execute("create table d_tx (i int primary key)")
        a.autocommit = False
        out = []
        a.cursor().execute("insert into d_tx values (1)")
        out.append(self.rows(b, "select * from d_tx"))
        a.commit()
        out.append(self.rows(b, "select * from d_tx"))
        a.cursor().execute("insert into d_tx values (2)")
        a.rollback()
        a.cursor().execute("insert into d_tx values (3)")
        a.cursor().execute("savepoint s")
        out.append(self.error(a, "insert into d_tx values (1)"))
        a.cursor().execute("rollback to savepoint s")
        a.cursor().execute("insert into d_tx values (4)")
        a.commit()
        out.append(self.rows(b, "select * from d_tx order by 1"))
        a.autocommit = True
        b.cursor().execute("drop table d_tx")
        return out

    def error_in_transaction(self, how):
        a = self.connect(how, autocommit=False)
        out = [self.error(a, "select 1/0"), self.error(a, "select 1")]
        a.commit()
        out.append(self.value(a, "select 1"))
        out += [self.error(a, "selec"), self.error(a, "select 2")]
        a.rollback()
        out += [self.value(a, "select 3"), self.error(a, "select * from no_such_table")]
        a.rollback()
        return out

    def types(self, how):
        c = self.connect(how)
        return [repr(v) for v in self.rows(
            c, "select %s::int8, %s::text, %s::numeric, %s::float8, %s::int[], null::text, '2026-02-03 04:05:06.789Z'::timestamptz at time zone 'UTC',"
               " '{\"a\": [1, null]}'::jsonb, 'infinity'::float8, '\\x0001ff'::bytea, 'x'::char(3), interval '1 day 2 hours'",
            [2 ** 62, "grüße \U0001f418 '\"\\", "12345.678901234567890", 0.1, [1, 2, 3]])[0][:9]]

    def large_result(self, how):
        c = self.connect(how)
        rows = self.rows(c, "select i, repeat(md5(i::text), 8) from generate_series(1, 40000) i")
        return [len(rows), sum(r[0] for r in rows), sum(len(r[1]) for r in rows), rows[31415],
                len(self.value(c, "select repeat('x', 5000000)"))]

    def cursor(self, how):
        a = self.connect(how, autocommit=False)
        cur = a.cursor(name="many")
        cur.itersize = 100
        cur.execute("select i from generate_series(1, 1000) i")
        out = [cur.fetchone(), cur.fetchmany(3), sum(r[0] for r in cur)]
        cur.close()
        a.commit()
        cur = a.cursor(name="held", **{"withhold": True})
        cur.execute("select i from generate_series(1, 100) i")
        a.commit()
        out += [cur.fetchmany(2), self.value(a, "select 7")]
        a.commit()
        out.append(len(cur.fetchall()))
        cur.close()
        a.commit()
        return out

    def cancel(self, how):
        a = self.connect(how)
        out = []
        for _ in range(2):
            begun = threading.Event()
            killer = threading.Thread(target=self.cancel_when_it_runs, args=(how, a, begun))
            killer.start()
            out.append(self.error(a, "select 'cancel me', pg_sleep(20)"))
            killer.join()
            out.append(self.value(a, "select 'alive'"))
        return out

    def cancel_when_it_runs(self, how, conn, _begun):
        """A cancel that comes before PostgreSQL has begun is ignored by it, so it is waited for."""
        watch = self.connect(how)
        for _ in range(400):
            if self.value(watch, "select count(*) from pg_stat_activity where query like 'select ''cancel me''%%' and state = 'active'"
                                 " and datname = current_database()"):
                break
            time.sleep(0.01)
        conn.cancel()
        watch.close()

    def timeout(self, how):
        a, b = self.many(how, 2)
        a.cursor().execute("set statement_timeout = '80ms'")
        out = [self.error(a, "select pg_sleep(5)"), self.value(b, "select 'b'"), self.value(b, "show statement_timeout")]
        a.cursor().execute("set lock_timeout = 50")
        out += [self.value(a, "show statement_timeout"), self.value(a, "show lock_timeout"), self.value(b, "show lock_timeout")]
        return out

    def reconnect(self, how):
        out = 0
        for i in range(15):
            c = self.connect(how, autocommit=False)
            out += self.value(c, "select %s::int", [i])
            if i % 3 == 0:
                c.commit()  # the others go in the middle of their transaction
            c.close()
        return [out]

    def listen(self, how):
        a, b = self.many(how, 2)
        a.cursor().execute("listen d_channel")
        b.cursor().execute("notify d_channel, 'one'")
        b.cursor().execute("select pg_notify('d_channel', 'two')")
        out = self.notifications(a, 2)
        a.cursor().execute("unlisten *")
        return out

    def temp_table(self, how):
        a, b = self.many(how, 2)
        a.cursor().execute("create temp table d_temp as select 42 as answer")
        out = [self.error(b, "select * from d_temp"), self.value(a, "select answer from d_temp"), self.value(b, "select 1")]
        a.cursor().execute("drop table d_temp")
        return out + [self.error(a, "select * from d_temp")]

    def advisory_lock(self, how):
        a, b = self.many(how, 2)
        out = []
        for _ in range(2):
            out += [self.value(a, "select pg_try_advisory_lock(4711)"), self.value(b, "select pg_try_advisory_lock(4711)")]
            out += [self.value(a, "select pg_advisory_unlock(4711)"), self.value(b, "select pg_try_advisory_lock(4711)")]
            out += [self.value(b, "select pg_advisory_unlock(4711)")]
        return out

    def concurrent(self, how):
        boss = self.connect(how)
        boss.cursor().execute("drop table if exists d_accounts")
        boss.cursor().execute("create table d_accounts (i int primary key, n int)")
        boss.cursor().execute("insert into d_accounts select i, 0 from generate_series(0, 4) i")
        errors = []
        threads = [threading.Thread(target=self.teller, args=(how, n, errors)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        out = [errors, self.rows(boss, "select i, n from d_accounts order by i")]
        boss.cursor().execute("drop table d_accounts")
        return out

    def teller(self, how, n, errors):
        try:
            c = self.connect(how, autocommit=False)
            c.cursor().execute("set application_name = 'teller %d'" % n)
            c.commit()
            for i in range(25):
                c.cursor().execute("update d_accounts set n = n + 1 where i = %s", [(n + i) % 5])
                name = self.value(c, "show application_name")
                assert name == "teller %d" % n, name
                if i % 5 == 4:
                    c.rollback()
                else:
                    c.commit()
            c.close()
        except Exception as e:
            errors.append(repr(e))

"""psycopg2 as Debian has it, over libpq: simple queries only, whole results, COPY through files."""
import io
import select

import psycopg2

import report
from dbapi import Scenarios


def connect(how, **kw):
    return psycopg2.connect(**{**how, **kw})


class Psycopg2(Scenarios):
    def notifications(self, conn, n):
        while len(conn.notifies) < n:
            assert select.select([conn], [], [], 10)[0], "no notification came"
            conn.poll()
        return [(x.channel, x.payload) for x in conn.notifies]

    def prepare(self, how):
        """It has no protocol-level statements; these are SQL's."""
        a, b = self.many(how, 2)
        a.cursor().execute("prepare d_stmt as select $1::int + 1")
        b.cursor().execute("prepare d_stmt as select $1::int + 2")
        out = [self.value(c, "execute d_stmt(40)") for c in (a, b, a, b)]
        a.cursor().execute("deallocate d_stmt")
        b.cursor().execute("deallocate all")
        return out + [self.error(c, "execute d_stmt(40)") for c in (a, b)]

    def batch(self, how):
        c = self.connect(how)
        cur = c.cursor()
        cur.execute("create table d_batch (i int); insert into d_batch values (1), (2); select sum(i) from d_batch")
        out = [cur.fetchall()]
        cur.executemany("insert into d_batch values (%s)", [[i] for i in range(10)])
        out.append(self.error(c, "insert into d_batch values (1); select 1/0; insert into d_batch values (2)"))
        out.append(self.rows(c, "select count(*), sum(i) from d_batch"))
        cur.execute("drop table d_batch")
        return out

    def copy(self, how):
        a, b = self.many(how, 2)
        a.cursor().execute("create table d_copy (i int, t text)")
        a.cursor().copy_expert("copy d_copy from stdin", io.StringIO("".join("%d\tline %d\n" % (i, i) for i in range(50000))))
        out = [self.rows(b, "select count(*), sum(i) from d_copy")]
        sink = io.StringIO()
        b.cursor().copy_expert("copy (select * from d_copy order by i) to stdout with csv", sink)
        out += [len(sink.getvalue()), sink.getvalue()[-20:]]
        try:
            a.cursor().copy_expert("copy d_copy from stdin", io.StringIO("1\ta\nx\tb\n"))
        except psycopg2.Error as e:
            out.append(e.pgcode)
        out.append(self.rows(a, "select count(*) from d_copy"))
        b.cursor().execute("drop table d_copy")
        return out


def login(how):
    try:
        c = psycopg2.connect(**how)
        cur = c.cursor()
        cur.execute("select current_user")
        user = cur.fetchone()[0]
        c.close()
        return True, user
    except psycopg2.Error as e:
        return False, e.pgcode or " ".join(str(e).split())


if __name__ == "__main__":
    it = Psycopg2(psycopg2, connect)
    report.main(it.all() + [it.prepare, it.batch, it.copy], login, it.close_all)

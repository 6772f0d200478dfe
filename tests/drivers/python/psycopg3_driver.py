"""psycopg 3 with its defaults: statements are prepared at their fifth execution, pipeline mode, COPY."""
import psycopg

import report
from dbapi import Scenarios


def connect(how, **kw):
    return psycopg.connect(**{**how, **kw})


class Psycopg3(Scenarios):
    def notifications(self, conn, n):
        return [(x.channel, x.payload) for x in conn.notifies(timeout=10, stop_after=n)]

    def prepare(self, how):
        conns = self.many(how, 4)
        out = []
        for i in range(8):
            for n, c in enumerate(conns):
                out += [self.value(c, "select %s::int + " + str(n % 2), [i]), self.value(c, "select %s::text || 'x'", [str(i)])]
        out.append(c.execute("select %s::int", [1], prepare=True).fetchone())
        return out

    def schema_change(self, how):
        a, b = self.many(how, 2)
        a.execute("drop table if exists d_schema")
        a.execute("create table d_schema as select 1 as i")
        for _ in range(6):
            a.execute("select * from d_schema").fetchall()
        b.execute("alter table d_schema add column j int default 2")
        out = [b.execute("select * from d_schema", prepare=True).fetchall(), self.error(a, "select * from d_schema") in ("none", "0A000")]
        out.append(self.rows(a, "select i, j from d_schema"))
        b.execute("drop table d_schema")
        return out

    def batch(self, how):
        a, b = self.many(how, 2)
        a.execute("create table d_batch (i int primary key)")
        with a.pipeline():
            cursors = [a.execute("insert into d_batch values (%s) returning i", [i]) for i in range(50)]
            sums = a.execute("select sum(i) from d_batch")
        out = [sum(c.fetchone()[0] for c in cursors), sums.fetchone(), self.rows(b, "select count(*) from d_batch")]
        a.cursor().executemany("insert into d_batch values (%s)", [[i] for i in range(100, 200)])
        out.append(self.rows(b, "select count(*) from d_batch"))
        return out

    def batch_error(self, how):
        a, b = self.many(how, 2)
        out = []
        for _ in range(2):
            try:
                with a.pipeline():
                    a.execute("insert into d_batch values (1000)")
                    a.execute("insert into d_batch values (1)")
                    a.execute("insert into d_batch values (1001)")
            except psycopg.Error as e:
                out.append(e.sqlstate)
            out += self.rows(b, "select count(*) from d_batch")
        try:
            with a.pipeline(), a.transaction():
                a.execute("insert into d_batch values (2000)")
                a.execute("insert into d_batch values (1)")
        except psycopg.Error as e:
            out.append(e.sqlstate)
        out += self.rows(a, "select count(*) from d_batch")
        b.execute("drop table d_batch")
        return out

    def copy(self, how):
        a, b = self.many(how, 2)
        a.execute("create table d_copy (i int, t text)")
        with a.cursor().copy("copy d_copy from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for i in range(20000):
                copy.write_row((i, "line %d" % i))
        out = [self.rows(b, "select count(*), sum(i) from d_copy")]
        with b.cursor().copy("copy (select * from d_copy order by i) to stdout") as copy:
            out.append(sum(len(block) for block in copy))
        try:
            with a.cursor().copy("copy d_copy from stdin") as copy:
                copy.write("1\ta\nx\tb\n")
        except psycopg.Error as e:
            out.append(e.sqlstate)
        try:
            with a.cursor().copy("copy d_copy from stdin") as copy:
                copy.write("1\ta\n")
                raise ValueError("changed my mind")
        except ValueError:
            out.append("gave up")
        out.append(self.rows(a, "select count(*) from d_copy"))
        b.execute("drop table d_copy")
        return out

    def two_phase(self, how):
        a, b = self.many(how, 2, autocommit=False)
        out = []
        gid = "in " + how["dbname"]  # they are the cluster's
        a.tpc_begin(gid)
        a.execute("select 1")
        a.tpc_prepare()
        out.append(gid in [x.gtrid for x in b.tpc_recover()])
        b.rollback()
        a.tpc_rollback()
        out.append(gid in [x.gtrid for x in b.tpc_recover()])
        b.rollback()
        return out


def login(how):
    try:
        with psycopg.connect(**how) as c:
            return True, c.execute("select current_user").fetchone()[0]
    except psycopg.Error as e:
        return False, e.sqlstate or " ".join(str(e).split())


if __name__ == "__main__":
    it = Psycopg3(psycopg, connect)
    report.main(it.all() + [it.prepare, it.schema_change, it.batch, it.batch_error, it.copy, it.two_phase], login, it.close_all)

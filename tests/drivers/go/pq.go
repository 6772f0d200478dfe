// lib/pq with its defaults, as database/sql uses it.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
)

func pqState(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	if err == nil {
		return "none"
	}
	return err.Error()
}

func pqLogin(ctx context.Context, h how) (user string, err error) {
	db, err := sql.Open("postgres", h.url())
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "select current_user").Scan(&user)
	return user, err
}

// pqConn is one connection: what database/sql calls a Conn.
type pqConn struct {
	*sql.Conn
	t *told
}

func pqOpen(t *told, more string) *sql.DB {
	db, err := sql.Open("postgres", t.how.url()+more)
	check(err)
	t.atEnd(func() { db.Close() })
	return db
}

func pqConnect(t *told, more string) pqConn {
	c, err := pqOpen(t, more).Conn(t.ctx)
	check(err)
	t.atEnd(func() { c.Close() })
	return pqConn{c, t}
}

func pqMany(t *told, n int) (out []pqConn) {
	for range n {
		out = append(out, pqConnect(t, ""))
	}
	return out
}

func (c pqConn) do(sql string, args ...any) {
	_, err := c.ExecContext(c.t.ctx, sql, args...)
	check(err)
}

func (c pqConn) failure(sql string, args ...any) string {
	_, err := c.ExecContext(c.t.ctx, sql, args...)
	return pqState(err)
}

func (c pqConn) value(query string, args ...any) string {
	var s sql.NullString
	check(c.QueryRowContext(c.t.ctx, query, args...).Scan(&s))
	return s.String
}

func (c pqConn) column(query string, args ...any) (out []string) {
	rows, err := c.QueryContext(c.t.ctx, query, args...)
	check(err)
	defer rows.Close()
	for rows.Next() {
		var s string
		check(rows.Scan(&s))
		out = append(out, s)
	}
	check(rows.Err())
	return out
}

const settingsNow = "select concat_ws(' ', current_setting('app.user_id'), current_setting('timezone'), current_setting('search_path'))"

var zones = []string{"Asia/Tokyo", "Europe/Paris", "UTC"}

const runsNow = "select count(*) from pg_stat_activity where query like 'select ''cancel me''%' and state = 'active' and datname = current_database()"

var pqScenarios = []scenario{
	{"connect_and_look", func(t *told) {
		c := pqConnect(t, "")
		t.saw(c.value("select current_user"), c.value("show server_version"), c.value("show client_encoding"), c.value("show extra_float_digits"),
			c.value("show datestyle"), c.value("show application_name"))
	}},
	{"prepare", func(t *told) {
		var stmts []*sql.Stmt
		conns := pqMany(t, 4)
		for n, c := range conns {
			s, err := c.PrepareContext(t.ctx, fmt.Sprintf("select $1::int + %d", n%2))
			check(err)
			stmts = append(stmts, s)
			t.atEnd(func() { s.Close() })
		}
		for i := range 8 {
			for n, s := range stmts {
				var sum int
				check(s.QueryRowContext(t.ctx, i).Scan(&sum))
				t.saw(sum, conns[n].value("select $1::text || 'x'", fmt.Sprint(i)))
			}
		}
		check(stmts[0].Close())
		_, err := conns[0].PrepareContext(t.ctx, "select * from no_such_table")
		t.saw(pqState(err), conns[0].value("select 'alive'"))
	}},
	{"schema_change", func(t *told) {
		c := pqMany(t, 2)
		c[0].do("drop table if exists d_schema; create table d_schema as select 1 as i")
		s, err := c[0].PrepareContext(t.ctx, "select * from d_schema")
		check(err)
		defer s.Close()
		_, err = s.ExecContext(t.ctx)
		check(err)
		c[1].do("alter table d_schema add column j int default 2")
		_, err = s.ExecContext(t.ctx)
		t.saw(either(pqState(err)))
		again, err := c[1].PrepareContext(t.ctx, "select * from d_schema")
		check(err)
		var i, j int
		check(again.QueryRowContext(t.ctx).Scan(&i, &j))
		again.Close()
		t.saw(i, j)
		c[1].do("drop table d_schema")
	}},
	{"batch", func(t *told) {
		c := pqMany(t, 2)
		c[0].do("create table d_batch (i int primary key); insert into d_batch values (1), (2)")
		t.saw(c[0].failure("insert into d_batch values (100); select 1/0; insert into d_batch values (101)"))
		t.saw(c[1].column("select i from d_batch order by i"))
		rows, err := c[0].QueryContext(t.ctx, "select 1; select 2")
		check(err)
		for more := true; more; more = rows.NextResultSet() {
			for rows.Next() {
				var i int
				check(rows.Scan(&i))
				t.saw(i)
			}
		}
		check(rows.Close())
		c[1].do("drop table d_batch")
	}},
	{"settings", func(t *told) {
		conns := pqMany(t, 3)
		for i, c := range conns {
			c.value("select set_config('app.user_id', $1, false)", fmt.Sprint("user ", i))
			c.do(fmt.Sprintf("set timezone to '%s'", zones[i]))
			c.do(fmt.Sprintf("set search_path to s%d, public", i))
		}
		for range 4 {
			for _, c := range conns {
				t.saw(c.value(settingsNow))
			}
		}
		conns[0].do("reset timezone")
		conns[1].do("reset all")
		for _, c := range conns {
			t.saw(c.value(settingsNow))
		}
	}},
	{"startup_options", func(t *told) {
		a := pqConnect(t, "&search_path=one,two&statement_timeout=54321&application_name=here&app.x=y")
		b := pqConnect(t, "")
		look := "select concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'), current_setting('application_name'), current_setting('app.x', true))"
		for _, c := range []pqConn{a, b, a, b} {
			t.saw(strings.TrimSpace(c.value(look)))
		}
		a.do("set search_path to three")
		a.do("reset all")
		t.saw(a.value(look))
	}},
	{"transaction", func(t *told) {
		c := pqMany(t, 2)
		c[1].do("drop table if exists d_tx; create table d_tx (i int primary key)")
		tx, err := c[0].BeginTx(t.ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		check(err)
		_, err = tx.Exec("insert into d_tx values ($1)", 1)
		check(err)
		t.saw(c[1].column("select i from d_tx"))
		check(tx.Commit())
		tx, err = c[0].BeginTx(t.ctx, nil)
		check(err)
		_, err = tx.Exec("insert into d_tx values (2)")
		check(err)
		_, err = tx.Exec("savepoint s")
		check(err)
		_, err = tx.Exec("insert into d_tx values ($1)", 1)
		t.saw(pqState(err))
		_, err = tx.Exec("rollback to savepoint s")
		check(err)
		check(tx.Commit())
		tx, err = c[0].BeginTx(t.ctx, nil)
		check(err)
		_, err = tx.Exec("insert into d_tx values (3)")
		check(err)
		check(tx.Rollback())
		t.saw(c[1].column("select i from d_tx order by i"))
		c[1].do("drop table d_tx")
	}},
	{"error_in_transaction", func(t *told) {
		c := pqConnect(t, "")
		tx, err := c.BeginTx(t.ctx, nil)
		check(err)
		_, err = tx.Exec("select 1/$1::int", 0)
		t.saw(pqState(err))
		_, err = tx.Exec("select 1")
		t.saw(pqState(err))
		t.saw(tx.Commit() != nil)
		t.saw(c.value("select 3"), c.failure("select $1::int", "text"), c.value("select 4"))
	}},
	{"types", func(t *told) {
		c := pqConnect(t, "")
		var a int64
		var b, e string
		var bytes []byte
		var list pq.Int64Array
		var at time.Time
		var null sql.NullString
		check(c.QueryRowContext(t.ctx, "select $1::int8, $2::text, $3::bytea, $4::int8[], $5::numeric, $6::timestamptz, $7::text",
			int64(1)<<62, "grüße \U0001f418", []byte{0, 1, 255}, pq.Array([]int64{1, 2, 3}), "12345.678901234567890", time.Unix(0, 0), nil).Scan(
			&a, &b, &bytes, &list, &e, &at, &null))
		t.saw(a, b, bytes, list, e, at.UTC(), null.Valid)
	}},
	{"large_result", func(t *told) {
		c := pqConnect(t, "")
		n, size := 0, 0
		for _, s := range c.column("select repeat(md5(i::text), 8) from generate_series(1, 40000) i") {
			n, size = n+1, size+len(s)
		}
		t.saw(n, size, len(c.value("select repeat('x', 5000000)")))
	}},
	{"copy", func(t *told) {
		c := pqMany(t, 2)
		c[0].do("create table d_copy (i int, t text)")
		for _, bad := range []bool{false, true} {
			tx, err := c[0].BeginTx(t.ctx, nil)
			check(err)
			stmt, err := tx.Prepare(pq.CopyIn("d_copy", "i", "t"))
			check(err)
			for i := range 20000 {
				if _, err = stmt.Exec(i, fmt.Sprint("line ", i)); err != nil {
					break
				}
			}
			if bad {
				stmt.Exec("x", "y")
			}
			_, err = stmt.Exec()
			t.saw(pqState(err))
			stmt.Close()
			if bad {
				check(tx.Rollback())
			} else {
				check(tx.Commit())
			}
		}
		t.saw(c[1].value("select sum(i) from d_copy"))
		c[1].do("drop table d_copy")
	}},
	{"cancel", func(t *told) {
		c := pqMany(t, 2)
		for range 2 {
			ctx, cancel := context.WithCancel(t.ctx)
			done := make(chan string)
			victim := pqConnect(t, "")
			go func() {
				_, err := victim.ExecContext(ctx, "select 'cancel me', pg_sleep(20)")
				done <- pqState(err)
			}()
			for c[1].value(runsNow) == "0" {
				time.Sleep(10 * time.Millisecond)
			}
			cancel()
			t.saw(<-done, c[0].value("select 'alive'"))
		}
	}},
	{"timeout", func(t *told) {
		c := pqMany(t, 3)
		c[0].do("set statement_timeout = '80ms'")
		t.saw(c[0].failure("select pg_sleep(5)"), c[1].value("show statement_timeout"), c[0].value("show statement_timeout"))
		ctx, cancel := context.WithTimeout(t.ctx, 100*time.Millisecond)
		_, err := c[2].ExecContext(ctx, "select pg_sleep(5)")
		t.saw(err != nil)
		cancel()
	}},
	{"reconnect", func(t *told) {
		sum := 0
		for i := range 15 {
			c := pqConnect(t, "")
			tx, err := c.BeginTx(t.ctx, nil)
			check(err)
			var n int
			check(tx.QueryRow("select $1::int", i).Scan(&n))
			sum += n
			if i%3 == 0 {
				check(tx.Commit())
			} else {
				check(tx.Rollback())
			}
			c.Close()
		}
		t.saw(sum)
	}},
	{"listen", func(t *told) {
		l := pq.NewListener(t.how.url(), time.Second, time.Second, nil)
		t.atEnd(func() { l.Close() })
		check(l.Listen("d_channel"))
		c := pqConnect(t, "")
		c.do("notify d_channel, 'one'")
		c.value("select pg_notify('d_channel', $1)", "two")
		for range 2 {
			select {
			case n := <-l.Notify:
				t.saw(n.Channel, n.Extra)
			case <-time.After(10 * time.Second):
				panic("no notification")
			}
		}
		check(l.Ping())
	}},
	{"temp_table", func(t *told) {
		c := pqMany(t, 2)
		c[0].do("create temp table d_temp as select 42 as answer")
		t.saw(c[1].failure("select * from d_temp"), c[0].value("select answer from d_temp"), c[1].value("select 1"))
		c[0].do("drop table d_temp")
		t.saw(c[0].failure("select * from d_temp"))
	}},
	{"advisory_lock", func(t *told) {
		c := pqMany(t, 2)
		for range 2 {
			t.saw(c[0].value("select pg_try_advisory_lock(4711)"), c[1].value("select pg_try_advisory_lock(4711)"),
				c[0].value("select pg_advisory_unlock(4711)"), c[1].value("select pg_try_advisory_lock(4711)"), c[1].value("select pg_advisory_unlock(4711)"))
		}
	}},
	{"concurrent", func(t *told) {
		db := pqOpen(t, "")
		db.SetMaxOpenConns(10)
		boss := pqConnect(t, "")
		boss.do("drop table if exists d_accounts; create table d_accounts (i int primary key, n int)")
		boss.do("insert into d_accounts select i, 0 from generate_series(0, 4) i")
		var all sync.WaitGroup
		var failed sync.Map
		for n := range 10 {
			all.Add(1)
			go func() {
				defer all.Done()
				for i := range 20 {
					tx, err := db.BeginTx(t.ctx, nil)
					if err == nil {
						_, err = tx.Exec("update d_accounts set n = n + $1 where i = $2", 1, (n+i)%5)
					}
					if err == nil && i%5 == 4 {
						err = tx.Rollback()
					} else if err == nil {
						err = tx.Commit()
					}
					if err != nil {
						failed.Store(n, err)
						return
					}
				}
			}()
		}
		all.Wait()
		failed.Range(func(_, err any) bool { panic(err) })
		t.saw(boss.column("select n from d_accounts order by i"))
		boss.do("drop table d_accounts")
	}},
}

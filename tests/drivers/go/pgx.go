// pgx with its defaults: a cache of statements and of their descriptions, batches in one pipeline, its own pool.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

func pgxState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	if err == nil {
		return "none"
	}
	return err.Error()
}

func pgxLogin(ctx context.Context, h how) (user string, err error) {
	c, err := pgx.Connect(ctx, h.url())
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	err = c.QueryRow(ctx, "select current_user").Scan(&user)
	return user, err
}

type pgxConn struct {
	*pgx.Conn
	t *told
}

func pgxConnect(t *told, more string) pgxConn {
	c, err := pgx.Connect(t.ctx, t.how.url()+more)
	check(err)
	t.atEnd(func() { c.Close(context.Background()) })
	return pgxConn{c, t}
}

func pgxMany(t *told, n int) (out []pgxConn) {
	for range n {
		out = append(out, pgxConnect(t, ""))
	}
	return out
}

func (c pgxConn) do(sql string, args ...any) {
	_, err := c.Exec(c.t.ctx, sql, args...)
	check(err)
}

func (c pgxConn) failure(sql string, args ...any) string {
	_, err := c.Exec(c.t.ctx, sql, args...)
	return pgxState(err)
}

func (c pgxConn) row(sql string, args ...any) []any {
	rows, err := c.Query(c.t.ctx, sql, args...)
	check(err)
	defer rows.Close()
	if !rows.Next() {
		check(rows.Err())
		return nil
	}
	values, err := rows.Values()
	check(err)
	return values
}

func (c pgxConn) ints(sql string, args ...any) []int {
	rows, err := c.Query(c.t.ctx, sql, args...)
	check(err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[int])
	check(err)
	return out
}

var pgxScenarios = []scenario{
	{"connect_and_look", func(t *told) {
		c := pgxConnect(t, "")
		t.saw(c.row("select current_user, current_setting('server_version'), current_setting('client_encoding'), current_setting('application_name')"))
		for _, name := range []string{"server_version", "TimeZone", "standard_conforming_strings", "is_superuser"} {
			t.saw(c.PgConn().ParameterStatus(name))
		}
	}},
	{"prepare", func(t *told) {
		conns := pgxMany(t, 4)
		for i := range 8 {
			for n, c := range conns {
				if i == 0 {
					_, err := c.Prepare(t.ctx, "plus", fmt.Sprintf("select $1::int + %d", n%2))
					check(err)
				}
				t.saw(c.row("plus", i), c.row("select $1::text || 'x'", fmt.Sprint(i)))
			}
		}
		check(conns[0].Deallocate(t.ctx, "plus"))
		_, err := conns[0].Prepare(t.ctx, "plus", "select 'another'")
		check(err)
		t.saw(conns[0].row("plus"), conns[2].row("plus", 1))
		_, err = conns[0].Prepare(t.ctx, "bad", "select * from no_such_table")
		t.saw(pgxState(err))
		check(conns[1].DeallocateAll(t.ctx))
		t.saw(conns[1].row("select $1::text || 'x'", "y"))
	}},
	{"query_modes", func(t *told) {
		conns := pgxMany(t, 2)
		modes := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
			pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
		for i := range 3 {
			for _, mode := range modes {
				for _, c := range conns {
					t.saw(c.row("select $1::text, $2::int", mode, fmt.Sprint("text ", i), i))
				}
			}
		}
	}},
	{"schema_change", func(t *told) {
		c := pgxMany(t, 2)
		c[0].do("drop table if exists d_schema; create table d_schema as select 1 as i")
		for range 3 {
			c[0].row("select * from d_schema")
		}
		c[1].do("alter table d_schema add column j int default 2")
		t.saw(c[1].row("select * from d_schema"))
		for range 3 {
			rows, err := c[0].Query(t.ctx, "select * from d_schema")
			if err == nil {
				rows.Close()
				err = rows.Err()
			}
			t.saw(either(pgxState(err)))
		}
		t.saw(c[0].row("select i, j from d_schema"))
		c[1].do("drop table d_schema")
	}},
	{"batch", func(t *told) {
		c := pgxMany(t, 2)
		c[0].do("create table d_batch (i int primary key)")
		b := &pgx.Batch{}
		for i := range 50 {
			b.Queue("insert into d_batch values ($1)", i)
		}
		b.Queue("select sum(i)::int from d_batch")
		results := c[0].SendBatch(t.ctx, b)
		for range 50 {
			_, err := results.Exec()
			check(err)
		}
		var sum int
		check(results.QueryRow().Scan(&sum))
		check(results.Close())
		t.saw(sum, c[1].row("select count(*) from d_batch"))
		for range 2 {
			bad := &pgx.Batch{}
			bad.Queue("insert into d_batch values ($1)", 1000)
			bad.Queue("insert into d_batch values ($1)", 1)
			bad.Queue("insert into d_batch values ($1)", 1001)
			t.saw(pgxState(c[0].SendBatch(t.ctx, bad).Close()), c[1].row("select count(*) from d_batch"))
		}
		unknown := &pgx.Batch{}
		unknown.Queue("select 1")
		unknown.Queue("select * from no_such_table")
		t.saw(pgxState(c[0].SendBatch(t.ctx, unknown).Close()), c[0].row("select 'alive'"))
		c[1].do("drop table d_batch")
	}},
	{"pipeline", func(t *told) {
		c := pgxConnect(t, "")
		p := c.PgConn().StartPipeline(t.ctx)
		p.SendPrepare("ahead", "select $1::int + 1", nil)
		p.SendQueryPrepared("ahead", [][]byte{[]byte("41")}, nil, nil)
		check(p.Sync())
		p.SendQueryParams("select 1/$1::int", [][]byte{[]byte("0")}, nil, nil, nil)
		p.SendQueryPrepared("ahead", [][]byte{[]byte("1")}, nil, nil)
		check(p.Sync())
		p.SendDeallocate("ahead")
		check(p.Sync())
		for range 12 {
			r, err := p.GetResults()
			switch r := r.(type) {
			case *pgconn.ResultReader:
				read := r.Read()
				for _, row := range read.Rows {
					t.saw(string(row[0]))
				}
				t.saw(pgxState(read.Err))
			case *pgconn.StatementDescription, *pgconn.CloseComplete, *pgconn.PipelineSync:
				t.saw(strings.TrimPrefix(fmt.Sprintf("%T", r), "*pgconn."))
			default:
				t.saw(pgxState(err))
			}
			if r == nil && err == nil {
				break
			}
		}
		t.saw(pgxState(p.Close()), c.row("select 'alive'"))
	}},
	{"settings", func(t *told) {
		conns := pgxMany(t, 3)
		for i, c := range conns {
			c.row("select set_config('app.user_id', $1, false)", fmt.Sprint("user ", i))
			c.do(fmt.Sprintf("set timezone to '%s'", zones[i]))
			c.do(fmt.Sprintf("set search_path to s%d, public", i))
		}
		for range 4 {
			for _, c := range conns {
				t.saw(c.row(settingsNow), c.PgConn().ParameterStatus("TimeZone"))
			}
		}
		conns[0].do("reset timezone")
		conns[1].do("reset all")
		for _, c := range conns {
			t.saw(c.row(settingsNow))
		}
	}},
	{"startup_options", func(t *told) {
		a := pgxConnect(t, "&search_path=one,two&statement_timeout=54321&application_name=here&app.x=y")
		b := pgxConnect(t, "")
		look := "select rtrim(concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'), current_setting('application_name'), current_setting('app.x', true)))"
		for _, c := range []pgxConn{a, b, a, b} {
			t.saw(c.row(look))
		}
		a.do("set search_path to three")
		a.do("reset all")
		t.saw(a.row(look))
	}},
	{"transaction", func(t *told) {
		c := pgxMany(t, 2)
		c[1].do("drop table if exists d_tx; create table d_tx (i int primary key)")
		tx, err := c[0].BeginTx(t.ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		check(err)
		_, err = tx.Exec(t.ctx, "insert into d_tx values ($1)", 1)
		check(err)
		t.saw(c[1].ints("select i from d_tx"))
		check(tx.Commit(t.ctx))
		tx, err = c[0].Begin(t.ctx)
		check(err)
		_, err = tx.Exec(t.ctx, "insert into d_tx values (2)")
		check(err)
		inner, err := tx.Begin(t.ctx)
		check(err)
		_, err = inner.Exec(t.ctx, "insert into d_tx values ($1)", 1)
		t.saw(pgxState(err))
		check(inner.Rollback(t.ctx))
		check(tx.Commit(t.ctx))
		tx, err = c[0].Begin(t.ctx)
		check(err)
		_, err = tx.Exec(t.ctx, "insert into d_tx values (3)")
		check(err)
		check(tx.Rollback(t.ctx))
		t.saw(c[1].ints("select i from d_tx order by i"))
		c[1].do("drop table d_tx")
	}},
	{"error_in_transaction", func(t *told) {
		c := pgxConnect(t, "")
		tx, err := c.Begin(t.ctx)
		check(err)
		_, err = tx.Exec(t.ctx, "select 1/$1::int", 0)
		t.saw(pgxState(err))
		_, err = tx.Exec(t.ctx, "select 1")
		t.saw(pgxState(err), tx.Commit(t.ctx))
		t.saw(c.row("select 3"), c.failure("select $1::text::int", "text"), c.row("select 4"))
	}},
	{"types", func(t *told) {
		c := pgxConnect(t, "")
		c.do("drop type if exists d_enum; create type d_enum as enum ('a', 'b')")
		row := c.row("select $1::int8, $2::text, $3::bytea, $4::int[], $5::jsonb, $6::timestamptz, $7::numeric, $8::bool, $9::text, $10::d_enum, $11::uuid",
			int64(1)<<62, "grüße \U0001f418", []byte{0, 1, 255}, []int{1, 2, 3}, map[string]int{"a": 1}, time.Unix(0, 0), "12345.678901234567890", true, nil, "b",
			"00000000-0000-0000-0000-000000000007")
		row[5] = row[5].(time.Time).UTC()
		t.saw(row)
		enum, err := c.LoadType(t.ctx, "d_enum")
		check(err)
		t.saw(enum.Name)
		c.do("drop type d_enum")
	}},
	{"large_result", func(t *told) {
		c := pgxConnect(t, "")
		n, size := 0, 0
		var i int
		var s string
		rows, err := c.Query(t.ctx, "select i, repeat(md5(i::text), 8) from generate_series(1, 40000) i")
		check(err)
		_, err = pgx.ForEachRow(rows, []any{&i, &s}, func() error { n, size = n+i, size+len(s); return nil })
		check(err)
		check(c.QueryRow(t.ctx, "select repeat('x', 5000000)").Scan(&s))
		t.saw(n, size, len(s))
		rows, err = c.Query(t.ctx, "select i from generate_series(1, 100000) i")
		check(err)
		rows.Next()
		rows.Close() // the rest is read and thrown away
		t.saw(c.row("select 'alive'"))
	}},
	{"copy", func(t *told) {
		c := pgxMany(t, 2)
		c[0].do("create table d_copy (i int, t text)")
		n, err := c[0].CopyFrom(t.ctx, pgx.Identifier{"d_copy"}, []string{"i", "t"}, pgx.CopyFromSlice(20000, func(i int) ([]any, error) {
			return []any{i, fmt.Sprint("line ", i)}, nil
		}))
		check(err)
		t.saw(n, c[1].row("select sum(i) from d_copy"))
		var out strings.Builder
		tag, err := c[1].PgConn().CopyTo(t.ctx, &out, "copy (select * from d_copy order by i) to stdout")
		check(err)
		t.saw(tag, out.Len())
		_, err = c[0].PgConn().CopyFrom(t.ctx, strings.NewReader("1\ta\nx\tb\n"), "copy d_copy from stdin")
		t.saw(pgxState(err))
		_, err = c[0].CopyFrom(t.ctx, pgx.Identifier{"d_copy"}, []string{"i", "t"}, pgx.CopyFromFunc(func() ([]any, error) {
			return nil, errors.New("changed my mind")
		}))
		t.saw(err != nil, c[0].row("select count(*) from d_copy"))
		c[1].do("drop table d_copy")
	}},
	{"cancel", func(t *told) {
		c := pgxMany(t, 2)
		for range 2 {
			done := make(chan string)
			go func() { done <- c[0].failure("select 'cancel me', pg_sleep(20)") }()
			for c[1].row(runsNow)[0] == int64(0) {
				time.Sleep(10 * time.Millisecond)
			}
			check(c[0].PgConn().CancelRequest(t.ctx))
			t.saw(<-done, c[0].row("select 'alive'"))
		}
	}},
	{"timeout", func(t *told) {
		c := pgxMany(t, 3)
		c[0].do("set statement_timeout = '80ms'")
		t.saw(c[0].failure("select pg_sleep(5)"), c[1].row("show statement_timeout"), c[0].row("show statement_timeout"))
		ctx, cancel := context.WithTimeout(t.ctx, 100*time.Millisecond)
		_, err := c[2].Exec(ctx, "select pg_sleep(5)") // it closes the connection then, after a cancel
		t.saw(pgconn.Timeout(err), c[2].IsClosed())
		cancel()
	}},
	{"reconnect", func(t *told) {
		sum := 0
		for i := range 15 {
			c, err := pgx.Connect(t.ctx, t.how.url())
			check(err)
			tx, err := c.Begin(t.ctx)
			check(err)
			var n int
			check(tx.QueryRow(t.ctx, "select $1::int", i).Scan(&n))
			sum += n
			switch i % 3 {
			case 0:
				check(tx.Commit(t.ctx))
				check(c.Close(t.ctx))
			case 1:
				check(c.Close(t.ctx))
			case 2:
				c.PgConn().Conn().Close()
			}
		}
		t.saw(sum)
	}},
	{"listen", func(t *told) {
		c := pgxMany(t, 2)
		c[0].do("listen d_channel")
		c[1].do("notify d_channel, 'one'")
		c[1].do("select pg_notify('d_channel', $1)", "two")
		for range 2 {
			n, err := c[0].WaitForNotification(t.ctx)
			check(err)
			t.saw(n.Channel, n.Payload)
		}
		c[0].do("unlisten *")
	}},
	{"temp_table", func(t *told) {
		c := pgxMany(t, 2)
		c[0].do("create temp table d_temp as select 42 as answer")
		t.saw(c[1].failure("select * from d_temp"), c[0].row("select answer from d_temp"), c[1].row("select 1"))
		c[0].do("drop table d_temp")
		t.saw(c[0].failure("select * from d_temp"))
	}},
	{"advisory_lock", func(t *told) {
		c := pgxMany(t, 2)
		for range 2 {
			t.saw(c[0].row("select pg_try_advisory_lock(4711)"), c[1].row("select pg_try_advisory_lock(4711)"),
				c[0].row("select pg_advisory_unlock(4711)"), c[1].row("select pg_try_advisory_lock(4711)"), c[1].row("select pg_advisory_unlock(4711)"))
		}
	}},
	{"concurrent", func(t *told) {
		pool, err := pgxpool.New(t.ctx, t.how.url()+"&pool_max_conns=10")
		check(err)
		t.atEnd(pool.Close)
		_, err = pool.Exec(t.ctx, "drop table if exists d_accounts; create table d_accounts (i int primary key, n int)")
		check(err)
		_, err = pool.Exec(t.ctx, "insert into d_accounts select i, 0 from generate_series(0, 4) i")
		check(err)
		var all sync.WaitGroup
		var failed sync.Map
		for n := range 10 {
			all.Add(1)
			go func() {
				defer all.Done()
				for i := range 20 {
					rolledBack := errors.New("rolled back")
					err := pgx.BeginFunc(t.ctx, pool, func(tx pgx.Tx) error {
						_, err := tx.Exec(t.ctx, "update d_accounts set n = n + $1 where i = $2", 1, (n+i)%5)
						if err == nil && i%5 == 4 {
							err = rolledBack
						}
						return err
					})
					if err != nil && !errors.Is(err, rolledBack) {
						failed.Store(n, err)
						return
					}
				}
			}()
		}
		all.Wait()
		failed.Range(func(_, err any) bool { panic(err) })
		rows, err := pool.Query(t.ctx, "select n from d_accounts order by i")
		check(err)
		sums, err := pgx.CollectRows(rows, pgx.RowTo[int])
		check(err)
		t.saw(sums)
		_, err = pool.Exec(t.ctx, "drop table d_accounts")
		check(err)
	}},
}

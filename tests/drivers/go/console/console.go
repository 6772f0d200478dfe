// The console as monitoring in Go sees it, which most exporters are; ../../python/console.py has the format of what it reads and prints.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

func text(value any) string {
	switch v := value.(type) {
	case nil:
		return "NULL"
	case []byte:
		return string(v)
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(value)
}

func told(names []string, rows [][]string) {
	first := ""
	if len(rows) > 0 {
		first = strings.Join(rows[0], "|")
	}
	fmt.Printf("ok\t%s\t%d\t%s\n", strings.Join(names, ","), len(rows), first)
}

func byPq(url string, queries []string) {
	db, err := sql.Open("postgres", url)
	must(err)
	defer db.Close()
	for _, query := range queries {
		names, rows, err := pqRows(db, query)
		var e *pq.Error
		if errors.As(err, &e) {
			fmt.Printf("error\t%s\n", e.Code)
			continue
		}
		must(err)
		told(names, rows)
	}
}

func pqRows(db *sql.DB, query string) (names []string, out [][]string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	names, err = rows.Columns()
	for err == nil && rows.Next() {
		values := make([]any, len(names))
		pointers := make([]any, len(names))
		for i := range values {
			pointers[i] = &values[i]
		}
		err = rows.Scan(pointers...)
		out = append(out, texts(values))
	}
	return names, out, errors.Join(err, rows.Err())
}

func texts(values []any) (out []string) {
	for _, v := range values {
		out = append(out, text(v))
	}
	return out
}

func byPgx(url string, queries []string) {
	ctx := context.Background()
	db, err := pgx.Connect(ctx, url)
	must(err)
	defer db.Close(ctx)
	for _, query := range queries {
		names, rows, err := pgxRows(ctx, db, query)
		var e *pgconn.PgError
		if errors.As(err, &e) {
			fmt.Printf("error\t%s\n", e.Code)
			continue
		}
		must(err)
		told(names, rows)
	}
}

// Numbers as text: a numeric is a struct of its own there.
func pgxRows(ctx context.Context, db *pgx.Conn, query string) (names []string, out [][]string, err error) {
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for _, f := range rows.FieldDescriptions() {
		names = append(names, f.Name)
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, nil, err
		}
		for i, v := range values {
			if n, ok := v.(interface{ MarshalJSON() ([]byte, error) }); ok {
				json, err := n.MarshalJSON()
				must(err)
				values[i] = string(json)
			}
		}
		out = append(out, texts(values))
	}
	return names, out, rows.Err()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	how := map[string]string{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan()
	for _, part := range strings.Split(lines.Text(), "\t") {
		key, value, _ := strings.Cut(part, "=")
		how[key] = value
	}
	var queries []string
	for lines.Scan() {
		queries = append(queries, lines.Text())
	}
	url := fmt.Sprintf("postgres://%s@%s:%s/%s?sslmode=disable", how["user"], how["host"], how["port"], how["dbname"])
	if os.Args[1] == "pq" {
		byPq(url, queries)
	} else {
		byPgx(url, queries)
	}
}

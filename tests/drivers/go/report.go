// What pq.go and pgx.go have in common: how they are told what to do and how they say what they saw; ../python/report.py has
// the format.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

const limit = 30 * time.Second

type how map[string]string // of a connection

// url is what applications write: with neither settings for poolers nor a default undone.
func (h how) url() string {
	mode := h["sslmode"]
	if mode == "" {
		mode = "disable"
	}
	u := fmt.Sprintf("postgres://%s:%s@%s:%s/%s?sslmode=%s", h["user"], escape(h["password"]), h["host"], h["port"], h["dbname"], mode)
	for _, key := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if h[key] != "" {
			u += "&" + key + "=" + escape(h[key])
		}
	}
	return u
}

func escape(s string) string {
	var out strings.Builder
	for _, b := range []byte(s) {
		fmt.Fprintf(&out, "%%%02x", b)
	}
	return out.String()
}

func connection(line string) how {
	h := how{}
	for _, part := range strings.Split(line, "\t") {
		key, value, _ := strings.Cut(part, "=")
		h[key] = value
	}
	return h
}

type scenario struct {
	name string
	run  func(t *told)
}

// told is a scenario's connection and what it has seen. check() ends it; that is caught.
type told struct {
	ctx  context.Context
	how  how
	seen []string
	end  []func()
}

func (t *told) saw(values ...any) {
	for _, v := range values {
		t.seen = append(t.seen, fmt.Sprint(v))
	}
}

func (t *told) atEnd(f func()) { t.end = append(t.end, f) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// either: whether a statement from before a change of its table still works depends on the server that it meets.
func either(state string) bool { return state == "none" || state == "0A000" }

func say(ok bool, name string, seen []string) {
	clean := strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n")
	line := "not ok " + name
	if ok {
		line = "ok " + name
	}
	for _, s := range seen {
		line += "\t" + clean.Replace(s)
	}
	fmt.Println(line)
}

func runOne(s scenario, h how) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t := &told{ctx: ctx, how: h}
	defer func() {
		if err := recover(); err != nil {
			say(false, s.name, append(t.seen, fmt.Sprint(err)))
		} else {
			say(true, s.name, t.seen)
		}
		for i := len(t.end) - 1; i >= 0; i-- {
			t.end[i]()
		}
		cancel()
	}()
	s.run(t)
}

func main() {
	drivers := map[string]struct {
		scenarios []scenario
		login     func(ctx context.Context, h how) (string, error)
		state     func(err error) string
	}{
		"pq":  {pqScenarios, pqLogin, pqState},
		"pgx": {pgxScenarios, pgxLogin, pgxState},
	}
	d := drivers[os.Args[1]]
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		h := connection(lines.Text())
		if os.Args[2] == "scenarios" {
			for _, s := range d.scenarios {
				runOne(s, h)
			}
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		user, err := d.login(ctx, h)
		if err != nil {
			user = d.state(err)
		}
		say(err == nil, user, nil)
		cancel()
	}
}

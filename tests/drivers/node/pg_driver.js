// node-postgres with its defaults: named statements on request, cursors by Flush, its own pool, COPY through pg-copy-streams.
"use strict";
const fs = require("node:fs");
const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const copy = require("pg-copy-streams");
const { main } = require("./report");

let opened = [];

function options(how) {
	const o = { host: how.host, port: Number(how.port), user: how.user, password: how.password, database: how.dbname };
	if (how.sslmode && how.sslmode !== "disable" && how.sslmode !== "prefer") {
		o.ssl = { rejectUnauthorized: false };
		if (how.sslrootcert) Object.assign(o.ssl, { ca: fs.readFileSync(how.sslrootcert), rejectUnauthorized: true });
		if (how.sslmode !== "verify-full") o.ssl.checkServerIdentity = () => undefined;
		if (how.sslcert) Object.assign(o.ssl, { cert: fs.readFileSync(how.sslcert), key: fs.readFileSync(how.sslkey) });
	}
	return o;
}

async function open(how, more) {
	const c = new Client({ ...options(how), ...more });
	c.on("error", () => {});
	opened.push(c);
	await c.connect();
	return c;
}

async function many(how, n, more) {
	const out = [];
	for (let i = 0; i < n; i++) out.push(await open(how, more));
	return out;
}

async function closeAll() {
	await Promise.all(opened.map((c) => c.end().catch(() => {})));
	opened = [];
}

const rows = async (c, sql, args) => (await c.query({ text: sql, values: args, rowMode: "array" })).rows;
const value = async (c, sql, args) => (await rows(c, sql, args))[0][0];
// Whether a statement from before the change still works depends on the server that it meets
const EITHER = ["none", "0A000"];
const error = (promise) => promise.then(() => "none", (e) => e.code || e.message);

async function isRunning(watch, mark) {
	for (let i = 0; i < 400; i++) {
		const sql = "select count(*) from pg_stat_activity where query like 'select ''' || $1 || '''%' and state = 'active' and datname = current_database()";
		if (await value(watch, sql, [mark]) !== "0") return;
		await new Promise((ok) => setTimeout(ok, 10));
	}
	throw new Error("it never ran");
}

const scenarios = {
	async connect_and_look(how) {
		const c = await open(how);
		return rows(c, "select current_user, current_setting('server_version'), current_setting('client_encoding'), current_setting('application_name')");
	},

	async prepare(how) {
		const conns = await many(how, 4);
		const out = [];
		for (let i = 0; i < 8; i++) {
			for (const [n, c] of conns.entries()) {
				out.push((await c.query({ name: "plus", text: `select $1::int + ${n % 2} as sum`, values: [i] })).rows[0].sum);
				out.push(await value(c, "select $1::text || 'x'", [String(i)]));
			}
		}
		out.push(await error(conns[0].query({ name: "plus", text: "select 'another text'", values: [] })));
		out.push(await error(conns[0].query({ name: "bad", text: "select * from no_such_table where i = $1", values: [1] })));
		out.push(await error(conns[0].query({ name: "bad", text: "select * from no_such_table where i = $1", values: [1] })));
		out.push(await value(conns[0], "select 'alive'"));
		return out;
	},

	async schema_change(how) {
		const [a, b] = await many(how, 2);
		await a.query("drop table if exists d_schema; create table d_schema as select 1 as i");
		const all = { name: "all", text: "select * from d_schema" };
		for (let i = 0; i < 6; i++) await a.query(all);
		await b.query("alter table d_schema add column j int default 2");
		const out = [(await b.query(all)).rows, EITHER.includes(await error(a.query(all))), (await a.query("select * from d_schema")).rows];
		await b.query("drop table d_schema");
		return out;
	},

	async batch(how) {
		const [a, b] = await many(how, 2);
		const results = await a.query("create table d_batch (i int primary key); insert into d_batch values (1), (2); select sum(i) from d_batch");
		const out = [results.map((r) => r.command), results[2].rows];
		const answers = await Promise.all(Array.from({ length: 50 }, (_x, i) => a.query("insert into d_batch values ($1) returning i", [i + 10])));
		out.push(answers.reduce((sum, r) => sum + r.rows[0].i, 0), await value(b, "select count(*) from d_batch"));
		out.push(await error(a.query("insert into d_batch values (100); select 1/0; insert into d_batch values (101)")));
		const mixed = [a.query("select 1"), a.query("selec"), a.query("insert into d_batch values ($1)", [1]), a.query("select $1::int", [2])];
		for (const m of mixed) out.push(await error(m));
		out.push(await value(b, "select count(*) from d_batch"));
		await b.query("drop table d_batch");
		return out;
	},

	async pipeline(how) {
		const [a, b] = await many(how, 2, { pipeline: true });
		const out = await Promise.all(Array.from({ length: 20 }, (_x, i) => value(i % 2 ? a : b, "select $1::int", [i])));
		return [...out, await error(a.query("select 1/$1::int", [0])), await value(a, "select 'alive'")];
	},

	async settings(how) {
		const conns = await many(how, 3);
		const out = [];
		for (const [i, c] of conns.entries()) {
			await c.query("select set_config('app.user_id', $1, false)", [`user ${i}`]);
			await c.query(`set timezone to '${["Asia/Tokyo", "Europe/Paris", "UTC"][i]}'`);
			await c.query(`set search_path to s${i}, public`);
		}
		const look = "select current_setting('app.user_id'), current_setting('timezone'), current_setting('search_path')";
		for (let round = 0; round < 4; round++) for (const c of conns) out.push(await rows(c, look));
		await conns[0].query("reset timezone");
		await conns[1].query("reset all");
		await conns[2].query("discard all");
		for (const c of conns) out.push(await rows(c, look));
		return out;
	},

	async startup_options(how) {
		const a = await open(how, { application_name: "über", options: "-c search_path=one,two", statement_timeout: 54321, lock_timeout: 4321, idle_in_transaction_session_timeout: 99999 });
		const b = await open(how);
		const look = "select current_setting('search_path'), current_setting('statement_timeout'), current_setting('lock_timeout')," +
			" current_setting('idle_in_transaction_session_timeout'), current_setting('application_name')";
		const out = [];
		for (const c of [a, b, a, b]) out.push(await rows(c, look));
		await a.query("set search_path to three; reset all");
		out.push(await rows(a, look));
		return out;
	},

	async transaction(how) {
		const [a, b] = await many(how, 2);
		await b.query("drop table if exists d_tx; create table d_tx (i int primary key)");
		const out = [];
		await a.query("begin isolation level serializable");
		await a.query("insert into d_tx values ($1)", [1]);
		out.push(await rows(b, "select * from d_tx"), await value(a, "show transaction_isolation"));
		await a.query("commit");
		await a.query("begin");
		await a.query("insert into d_tx values (2)");
		await a.query("savepoint s");
		out.push(await error(a.query("insert into d_tx values ($1)", [1])));
		await a.query("rollback to savepoint s");
		await a.query("insert into d_tx values (3)");
		out.push(await rows(b, "select * from d_tx"));
		await a.query("commit");
		await a.query("begin; insert into d_tx values (4)");
		await a.query("rollback");
		out.push(await rows(b, "select * from d_tx order by 1"));
		await b.query("drop table d_tx");
		return out;
	},

	async error_in_transaction(how) {
		const a = await open(how);
		await a.query("begin");
		const out = [await error(a.query("select 1/$1::int", [0])), await error(a.query("select 1")), await error(a.query("select $1::int", [2]))];
		out.push((await a.query("commit")).command, await value(a, "select 3"), await error(a.query("select $1::int", ["text"])), await value(a, "select 4"));
		return out;
	},

	async types(how) {
		const c = await open(how);
		return (await rows(c, "select $1::int8, $2::text, $3::bytea, $4::int[], $5::jsonb, $6::timestamptz, $7::numeric, $8::bool, $9::text",
			["4611686018427387904", "grüße \u{1f418}", Buffer.from([0, 1, 255]), [1, 2, 3], { a: [1, null] }, new Date(0), "12345.678901234567890", true, null]))[0];
	},

	async large_result(how) {
		const c = await open(how);
		const r = await rows(c, "select i, repeat(md5(i::text), 8) from generate_series(1, 40000) i");
		return [r.length, r.reduce((n, x) => n + x[0], 0), r.reduce((n, x) => n + x[1].length, 0), r[31415], (await value(c, "select repeat('x', 5000000)")).length];
	},

	async cursor(how) {
		const [a, b] = await many(how, 2);
		const out = [];
		await a.query("begin");
		const cur = a.query(new Cursor("select i from generate_series(1, 1000) i where i > $1", [10], { rowMode: "array" }));
		out.push(await cur.read(1), await cur.read(3), await value(b, "select 'b'"), await cur.read(2));
		await cur.close();
		out.push((await a.query("commit")).command);
		const alone = a.query(new Cursor("select i from generate_series(1, 500) i", [], { rowMode: "array" }));
		let n = 0;
		for (let r = await alone.read(70); r.length; r = await alone.read(70)) n += r.length;
		out.push(n);
		await alone.close();
		out.push(await value(a, "select 'alive'"));
		return out;
	},

	async copy(how) {
		const [a, b] = await many(how, 2);
		await a.query("create table d_copy (i int, t text)");
		const lines = Array.from({ length: 50000 }, (_x, i) => `${i}\tline ${i}\n`);
		await pipeline(Readable.from(lines), a.query(copy.from("copy d_copy from stdin")));
		const out = [await rows(b, "select count(*), sum(i) from d_copy")];
		let size = 0;
		await pipeline(b.query(copy.to("copy (select * from d_copy order by i) to stdout")), async (source) => {
			for await (const chunk of source) size += chunk.length;
		});
		out.push(size);
		out.push(await error(pipeline(Readable.from(["1\ta\nx\tb\n"]), a.query(copy.from("copy d_copy from stdin")))));
		out.push(await rows(a, "select count(*) from d_copy"));
		await b.query("drop table d_copy");
		return out;
	},

	async cancel(how) {
		const [a, watch] = await many(how, 2);
		const out = [];
		for (let i = 0; i < 2; i++) {
			const asked = { text: "select 'cancel me', pg_sleep(20)" };
			const running = error(a.query(asked));
			await isRunning(watch, "cancel me");
			const messenger = new Client(options(how)); // cancels what another client's connection runs
			const gone = new Promise((ok) => messenger.connection.once("end", ok));
			messenger.connection.on("connect", () => messenger.connection.cancel(a.processID, a.secretKey));
			messenger.connection.connect(Number(how.port), how.host);
			await gone;
			out.push(await running, await value(a, "select 'alive'"));
		}
		return out;
	},

	async timeout(how) {
		const [a, b] = await many(how, 2);
		await a.query("set statement_timeout = '80ms'");
		const out = [await error(a.query("select pg_sleep(5)")), await value(b, "show statement_timeout"), await value(a, "show statement_timeout")];
		const c = await open(how, { query_timeout: 100 });
		out.push(await error(c.query("select pg_sleep(1)")));
		return out;
	},

	async reconnect(how) {
		let sum = 0;
		for (let i = 0; i < 15; i++) {
			const c = await open(how);
			await c.query("begin");
			sum += await value(c, "select $1::int", [i]);
			if (i % 3 === 0) await c.query("commit");
			if (i % 3 === 2) c.connection.stream.destroy();
			else await c.end();
		}
		return [sum];
	},

	async listen(how) {
		const [a, b] = await many(how, 2);
		const got = [];
		const both = new Promise((ok) => a.on("notification", (m) => { got.push([m.channel, m.payload]); if (got.length === 2) ok(); }));
		await a.query("listen d_channel");
		await b.query("notify d_channel, 'one'");
		await b.query("select pg_notify('d_channel', $1)", ["two"]);
		await both;
		await a.query("unlisten *");
		return got;
	},

	async temp_table(how) {
		const [a, b] = await many(how, 2);
		await a.query("create temp table d_temp as select 42 as answer");
		const out = [await error(b.query("select * from d_temp")), await value(a, "select answer from d_temp"), await value(b, "select 1")];
		await a.query("drop table d_temp");
		return [...out, await error(a.query("select * from d_temp"))];
	},

	async advisory_lock(how) {
		const [a, b] = await many(how, 2);
		const out = [];
		for (let i = 0; i < 2; i++)
			for (const [c, f] of [[a, "try_advisory_lock"], [b, "try_advisory_lock"], [a, "advisory_unlock"], [b, "try_advisory_lock"], [b, "advisory_unlock"]])
				out.push(await value(c, `select pg_${f}(4711)`));
		return out;
	},

	async concurrent(how) {
		const pool = new Pool({ ...options(how), max: 10 });
		opened.push(pool);
		await pool.query("drop table if exists d_accounts; create table d_accounts (i int primary key, n int)");
		await pool.query("insert into d_accounts select i, 0 from generate_series(0, 4) i");
		await Promise.all(Array.from({ length: 10 }, async (_x, n) => {
			for (let i = 0; i < 20; i++) {
				const c = await pool.connect();
				await c.query("begin");
				await c.query({ name: "pay", text: "update d_accounts set n = n + $1 where i = $2", values: [1, (n + i) % 5] });
				await c.query(i % 5 === 4 ? "rollback" : "commit");
				c.release();
			}
		}));
		const out = (await pool.query("select i, n from d_accounts order by i")).rows;
		await pool.query("drop table d_accounts");
		return out;
	},
};

async function login(how) {
	try {
		const c = await open(how);
		const user = await value(c, "select current_user");
		await c.end();
		return [true, user];
	} catch (e) {
		return [false, e.code || e.message];
	}
}

main(scenarios, login, closeAll);

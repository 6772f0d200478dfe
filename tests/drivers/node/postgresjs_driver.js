// postgres.js with its defaults: every query is a named statement, pipelined; it asks for array types at the first connection.
"use strict";
const fs = require("node:fs");
const { finished } = require("node:stream/promises");
const postgres = require("postgres");
const { main } = require("./report");

let opened = [];

function options(how) {
	const o = { host: how.host, port: Number(how.port), user: how.user, password: how.password, database: how.dbname, max: 1, onnotice: () => {} };
	if (how.sslmode && how.sslmode !== "disable" && how.sslmode !== "prefer") {
		o.ssl = { rejectUnauthorized: false };
		if (how.sslrootcert) Object.assign(o.ssl, { ca: fs.readFileSync(how.sslrootcert), rejectUnauthorized: true });
		if (how.sslmode !== "verify-full") o.ssl.checkServerIdentity = () => undefined;
		if (how.sslcert) Object.assign(o.ssl, { cert: fs.readFileSync(how.sslcert), key: fs.readFileSync(how.sslkey) });
	}
	return o;
}

function open(how, more) {
	const sql = postgres({ ...options(how), ...more });
	opened.push(sql);
	return sql;
}

const many = (how, n, more) => Array.from({ length: n }, () => open(how, more));

async function closeAll() {
	await Promise.all(opened.map((sql) => sql.end({ timeout: 1 }).catch(() => {})));
	opened = [];
}

// Whether a statement from before the change still works depends on the server that it meets
const EITHER = ["none", "0A000"];
const error = (promise) => promise.then(() => "none", (e) => e.code || e.message);

async function isRunning(watch) {
	for (let i = 0; i < 400; i++) {
		const [r] = await watch`select count(*)::int as n from pg_stat_activity where query like 'select ''cancel me''%' and state = 'active' and datname = current_database()`;
		if (r.n) return;
		await new Promise((ok) => setTimeout(ok, 10));
	}
	throw new Error("it never ran");
}

const scenarios = {
	async connect_and_look(how) {
		const sql = open(how);
		const r = await sql`select current_user, current_setting('server_version') as v, current_setting('client_encoding') as e, current_setting('application_name') as a`;
		return [...r, sql.parameters.server_version, sql.parameters.TimeZone, sql.parameters.application_name];
	},

	async prepare(how) {
		const conns = many(how, 4);
		const out = [];
		for (let i = 0; i < 8; i++)
			for (const sql of conns) {
				out.push((await sql`select ${i}::int + 1 as sum`)[0].sum, (await sql`select ${String(i)} || 'x' as t`)[0].t);
			}
		out.push(await error(conns[0]`select * from no_such_table where i = ${1}`), await error(conns[0]`select * from no_such_table where i = ${1}`));
		out.push((await conns[0]`select ${1}::int as i`.describe()).types, (await conns[1]`select 'alive' as s`)[0].s);
		return out;
	},

	async schema_change(how) {
		const [a, b] = many(how, 2);
		await a.unsafe("drop table if exists d_schema; create table d_schema as select 1 as i");
		for (let i = 0; i < 6; i++) await a`select * from d_schema`;
		await b.unsafe("alter table d_schema add column j int default 2");
		const out = [...await b`select * from d_schema`, EITHER.includes(await error(a`select * from d_schema`)), ...await a`select i, j from d_schema`];
		out.push(EITHER.includes(await error(a`select * from d_schema`)));
		await b`drop table d_schema`;
		return out;
	},

	async pipeline(how) {
		const [a, b] = many(how, 2);
		await a`create table d_batch (i int primary key)`;
		const answers = await Promise.all(Array.from({ length: 60 }, (_x, i) => a`insert into d_batch values (${i}) returning i`));
		const out = [answers.reduce((n, r) => n + r[0].i, 0), (await b`select count(*)::int as n from d_batch`)[0].n];
		const mixed = [a`select 1`, a`select * from nowhere`, a`insert into d_batch values (${1})`, a`select ${2}::int`, a.unsafe("select 1/0")].map(error);
		out.push(...await Promise.all(mixed), (await b`select count(*)::int as n from d_batch`)[0].n);
		const multi = await a.unsafe("insert into d_batch values (1000); select sum(i) from d_batch");
		out.push(multi.map((r) => r.command), await error(a.unsafe("insert into d_batch values (2000); select 1/0")));
		out.push((await b`select count(*)::int as n from d_batch`)[0].n);
		await b`drop table d_batch`;
		return out;
	},

	async settings(how) {
		const conns = many(how, 3);
		const out = [];
		for (const [i, sql] of conns.entries()) {
			await sql`select set_config('app.user_id', ${`user ${i}`}, false)`;
			await sql.unsafe(`set timezone to '${["Asia/Tokyo", "Europe/Paris", "UTC"][i]}'`);
			await sql.unsafe(`set search_path to s${i}, public`);
		}
		const look = (sql) => sql`select current_setting('app.user_id') as u, current_setting('timezone') as t, current_setting('search_path') as s`;
		for (let round = 0; round < 4; round++) for (const sql of conns) out.push(...await look(sql), sql.parameters.TimeZone);
		await conns[0].unsafe("reset timezone");
		await conns[1].unsafe("reset all");
		for (const sql of conns) out.push(...await look(sql));
		return out;
	},

	async startup_options(how) {
		const a = open(how, { connection: { search_path: "one,two", statement_timeout: 54321, application_name: "über", "app.x": "y" } });
		const b = open(how);
		const out = [];
		for (const sql of [a, b, a, b])
			out.push(...await sql`select current_setting('search_path') as s, current_setting('statement_timeout') as t, current_setting('application_name') as a, coalesce(current_setting('app.x', true), '') as x`);
		await a.unsafe("set search_path to three; reset all");
		out.push(...await a`select current_setting('search_path') as s`);
		return out;
	},

	async transaction(how) {
		const [a, b] = many(how, 2);
		await b.unsafe("drop table if exists d_tx; create table d_tx (i int primary key)");
		const out = [];
		await a.begin("isolation level repeatable read", async (tx) => {
			await tx`insert into d_tx values (${1})`;
			out.push([...await b`select * from d_tx`], [...await tx`show transaction_isolation`]);
		});
		out.push(await error(a.begin(async (tx) => {
			await tx`insert into d_tx values (2)`;
			await tx.savepoint(async (sp) => { await sp`insert into d_tx values (${1})`; }).catch((e) => out.push(e.code));
			await tx`insert into d_tx values (3)`;
			throw new Error("rolled back");
		})));
		await a.begin((tx) => [tx`insert into d_tx values (4)`, tx`insert into d_tx values (5)`]);
		out.push([...await b`select * from d_tx order by 1`]);
		await b`drop table d_tx`;
		return out;
	},

	async error_in_transaction(how) {
		const a = open(how);
		const out = [];
		await a.begin(async (tx) => {
			out.push(await error(tx`select 1/${0}::int`), await error(tx`select 1`));
			throw new Error("end");
		}).catch((e) => out.push(e.message));
		out.push((await a`select 3 as i`)[0].i, await error(a`select ${"text"}::int`), (await a`select 4 as i`)[0].i);
		return out;
	},

	async types(how) {
		const sql = open(how);
		await sql.unsafe("drop type if exists d_enum; create type d_enum as enum ('a', 'b')");
		const [r] = await sql`select ${"4611686018427387904"}::int8 as a, ${"grüße \u{1f418}"}::text as b, ${Buffer.from([0, 1, 255])}::bytea as c, ${[1, 2, 3]}::int[] as d,
			${sql.json({ a: [1, null] })} as e, ${new Date(0)}::timestamptz as f, ${"b"}::d_enum as g, ${true}::bool as h, ${null}::text as i, array['a', 'b']::d_enum[] as j`;
		await sql`drop type d_enum`;
		return Object.values(r);
	},

	async large_result(how) {
		const sql = open(how);
		const r = await sql`select i, repeat(md5(i::text), 8) as t from generate_series(1, 40000) i`;
		return [r.length, r.reduce((n, x) => n + x.i, 0), r.reduce((n, x) => n + x.t.length, 0), r[31415], (await sql`select repeat('x', 5000000) as x`)[0].x.length];
	},

	async cursor(how) {
		const [a, b] = many(how, 2);
		const out = [];
		await a`select i from generate_series(1, 1000) i`.cursor(100, async (part) => {
			if (part[0].i === 301) out.push((await b`select 'b' as b`)[0].b);
			out.push(part.length);
		});
		let n = 0;
		for await (const [row] of a`select i from generate_series(1, 50) i`.cursor()) {
			n += row.i;
			if (row.i === 20) break;
		}
		out.push(n, (await a`select 'alive' as s`)[0].s);
		await a`select i from generate_series(1, 100) i`.forEach((row) => { n += row.i; });
		out.push(n);
		return out;
	},

	async copy(how) {
		const [a, b] = many(how, 2);
		await a`create table d_copy (i int, t text)`;
		// Whole and at once: with many writes it stands still now and then, on a direct connection as well.
		const sink = await a`copy d_copy from stdin`.writable();
		sink.end(Array.from({ length: 20000 }, (_x, i) => `${i}\tline ${i}\n`).join(""));
		await finished(sink);
		const out = [...await b`select count(*), sum(i) from d_copy`];
		let size = 0;
		for await (const chunk of await b`copy (select * from d_copy where i < 500 order by i) to stdout`.readable()) size += chunk.length;
		out.push(size, ...await a`select count(*) from d_copy`);
		await b`drop table d_copy`;
		return out;
	},

	async cancel(how) {
		const [a, watch] = many(how, 2);
		const out = [];
		for (let i = 0; i < 2; i++) {
			const running = a`select 'cancel me', pg_sleep(20)`;
			const end = error(running);
			await isRunning(watch);
			running.cancel();
			out.push(await end, (await a`select 'alive' as s`)[0].s);
		}
		return out;
	},

	async timeout(how) {
		const [a, b] = many(how, 2);
		await a`set statement_timeout = '80ms'`;
		return [await error(a`select pg_sleep(5)`), ...await b`show statement_timeout`, ...await a`show statement_timeout`];
	},

	async reconnect(how) {
		let sum = 0;
		for (let i = 0; i < 12; i++) {
			const sql = open(how);
			if (i % 2) sum += (await sql`select ${i}::int as i`)[0].i;
			else await sql.begin(async (tx) => { sum += (await tx`select ${i}::int as i`)[0].i; });
			await sql.end();
		}
		return [sum];
	},

	async listen(how) {
		const [a, b] = many(how, 2);
		const got = [];
		await new Promise((ok, fail) => {
			a.listen("d_channel", (payload) => { got.push(payload); if (got.length === 2) ok(); })
				.then(async () => { await b.notify("d_channel", "one"); await b.notify("d_channel", "two"); }).catch(fail);
		});
		return got;
	},

	async temp_table(how) {
		const [a, b] = many(how, 2);
		await a`create temp table d_temp as select 42 as answer`;
		const out = [await error(b`select * from d_temp`), (await a`select answer from d_temp`)[0].answer, (await b`select 1 as i`)[0].i];
		await a`drop table d_temp`;
		return [...out, await error(a`select * from d_temp`)];
	},

	async advisory_lock(how) {
		const [a, b] = many(how, 2);
		const out = [];
		for (let i = 0; i < 2; i++)
			for (const [sql, f] of [[a, "try_advisory_lock"], [b, "try_advisory_lock"], [a, "advisory_unlock"], [b, "try_advisory_lock"], [b, "advisory_unlock"]])
				out.push((await sql.unsafe(`select pg_${f}(4711) as ok`, [], { prepare: true }))[0].ok);
		return out;
	},

	async concurrent(how) {
		const sql = open(how, { max: 10 });
		await sql`drop table if exists d_accounts`;
		await sql`create table d_accounts (i int primary key, n int)`;
		await sql`insert into d_accounts select i, 0 from generate_series(0, 4) i`;
		await Promise.all(Array.from({ length: 10 }, async (_x, n) => {
			for (let i = 0; i < 20; i++)
				await sql.begin(async (tx) => {
					await tx`update d_accounts set n = n + ${1} where i = ${(n + i) % 5}`;
					if (i % 5 === 4) throw new Error("rolled back");
				}).catch((e) => { if (e.message !== "rolled back") throw e; });
		}));
		const out = [...await sql`select i, n from d_accounts order by i`];
		await sql`drop table d_accounts`;
		return out;
	},
};

async function login(how) {
	const sql = open(how, { connect_timeout: 10 });
	try {
		const [r] = await sql`select current_user as u`;
		return [true, r.u];
	} catch (e) {
		return [false, e.code || e.message];
	} finally {
		await sql.end({ timeout: 1 });
	}
}

main(scenarios, login, closeAll);

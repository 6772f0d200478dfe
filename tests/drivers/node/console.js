// The console as monitoring in JavaScript sees it; ../python/console.py has the format of what it reads and prints.
"use strict";
const fs = require("node:fs");

const lines = fs.readFileSync(0, "utf8").split("\n").filter((line) => line);
const how = Object.fromEntries(lines[0].split("\t").map((part) => part.split(/=(.*)/s).slice(0, 2)));
const text = (value) => (value === null ? "NULL" : String(value));

function told(names, rows) {
	console.log(["ok", names.join(","), rows.length, rows.length ? rows[0].map(text).join("|") : ""].join("\t"));
}

async function pg() {
	const { Client } = require("pg");
	const client = new Client({ host: how.host, port: Number(how.port), user: how.user, database: how.dbname });
	await client.connect();
	for (const query of lines.slice(1)) {
		try {
			const result = await client.query({ text: query, rowMode: "array" });
			told(result.fields.map((f) => f.name), result.rows);
		} catch (e) {
			console.log("error\t" + e.code);
		}
	}
	await client.end();
}

async function postgresjs() {
	const sql = require("postgres")({ host: how.host, port: Number(how.port), user: how.user, database: how.dbname, max: 1, onnotice: () => {} });
	for (const query of lines.slice(1)) {
		try {
			const rows = await sql.unsafe(query).values();
			told(rows.columns.map((c) => c.name), rows);
		} catch (e) {
			console.log("error\t" + e.code);
		}
	}
	await sql.end();
}

({ pg, postgresjs })[process.argv[2]]();

// report - how a driver's program is told what to do, and how it says what it saw; python/report.py has the format.
"use strict";
const readline = require("node:readline");

const LIMIT_MS = 30000;

function connection(line) {
	return Object.fromEntries(line.split("\t").map((part) => {
		const at = part.indexOf("=");
		return [part.slice(0, at), part.slice(at + 1)];
	}));
}

function text(value) {
	if (value instanceof Date) return value.toISOString();
	if (Buffer.isBuffer(value)) return "\\x" + value.toString("hex");
	return typeof value === "string" ? value : JSON.stringify(value, (_k, v) => (typeof v === "bigint" ? String(v) : v));
}

function say(ok, name, seen) {
	const clean = seen.map((s) => String(text(s)).replace(/\\/g, "\\\\").replace(/\t/g, "\\t").replace(/\n/g, "\\n"));
	console.log([(ok ? "ok " : "not ok ") + name, ...clean].join("\t"));
}

function limited(promise) {
	let timer;
	const late = new Promise((_ok, fail) => { timer = setTimeout(() => fail(new Error(`nothing after ${LIMIT_MS} ms`)), LIMIT_MS); });
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// scenarios: {name: async (how, open) => what it saw}; open is the program's, to connect so that all is closed afterwards
async function main(scenarios, login, closeAll) {
	const lines = [];
	for await (const line of readline.createInterface({ input: process.stdin })) lines.push(line);
	if (process.argv[2] === "scenarios") {
		for (const [name, scenario] of Object.entries(scenarios)) {
			try {
				say(true, name, await limited(scenario(connection(lines[0]))));
			} catch (e) {
				say(false, name, [`${e.code}: ${e.message}`]);
			}
			await closeAll();
		}
	} else {
		for (const line of lines) {
			const [ok, seen] = await limited(login(connection(line))).catch((e) => [false, e.message]);
			say(ok, seen, []);
		}
	}
	process.exit(0);
}

module.exports = { main };

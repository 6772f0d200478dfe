// thaw.js DRIVER HOST PORT: as ../python/thaw.py, for node-postgres and postgres.js.
"use strict";
const readline = require("readline");

function goAhead() {
  const lines = readline.createInterface({ input: process.stdin });
  return new Promise((resolve) => lines.once("line", () => { lines.close(); resolve(); }));
}

async function pg(host, port) {
  const { Client } = require("pg");
  const c = new Client({ host, port, user: "app", database: "test" });
  let ended = false;
  c.on("end", () => { ended = true; });
  await c.connect();
  await c.query("BEGIN");
  await c.query("select $1::int as n", [1]);
  console.log("ready");
  await goAhead();
  try {
    await c.query("select $1::int as n", [2]);
    console.log("none");
  } catch (e) {
    console.log(e.code);
  }
  await c.query("ROLLBACK");
  console.log((await c.query("select $1::int as n", [3])).rows[0].n, ended ? "False" : "True");
  await c.end();
}

async function postgresjs(host, port) {
  const postgres = require("postgres");
  let closed = false;
  const sql = postgres({ host, port, user: "app", database: "test", max: 1, onclose: () => { closed = true; } });
  try {
    await sql.begin(async (tx) => {
      await tx`select ${1}::int as n`;
      console.log("ready");
      await goAhead();
      await tx`select ${2}::int as n`;
      console.log("none");
    });
  } catch (e) {
    console.log(e.code);
  }
  console.log((await sql`select ${3}::int as n`)[0].n, closed ? "False" : "True");
  await sql.end();
}

const [driver, host, port] = process.argv.slice(2);
(driver === "pg" ? pg : postgresjs)(host, Number(port)).catch((e) => { console.log(e); process.exit(1); });

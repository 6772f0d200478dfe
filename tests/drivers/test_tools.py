"""Tools with an ordinary connection string through a pool of three: what they leave is what they leave directly, and nothing else."""
import os
import shutil
import subprocess
import textwrap

import psycopg2
import pytest

import drivers
from postgres import bindir
from wire import wait_until

LIMIT = 150
LIKE_PRODUCTION = """
    create table t_author (id serial primary key, name text not null unique, born date, bio jsonb default '{}');
    create table t_book (id bigint generated always as identity, author int references t_author on delete cascade, title text, price numeric(8, 2));
    create index on t_book (author, lower(title));
    create view t_cheap as select title from t_book where price < 10;
    create function t_total(int) returns numeric language sql stable as 'select sum(price) from t_book where author = $1';
    create type t_mood as enum ('glad', 'sad');
    insert into t_author (name, born) select 'author ' || i, date '1900-01-01' + i from generate_series(1, 200) i;
    insert into t_book (author, title, price) select 1 + i % 200, 'title ' || i || E'\\t\\\\', i % 40 + 0.99 from generate_series(1, 20000) i;
    comment on table t_book is 'it''s a "book"';
"""


@pytest.fixture(scope="module")
def weir(new_weir):
    return new_weir({"default_pool_size": 3, "query_wait_timeout": 30}, users={})


class Path:
    """An end to connect to, with a database of its own for each test."""

    def __init__(self, name, end, postgres):
        self.name, self.end, self.postgres = name, end, postgres
        self.made = []

    def database(self):
        name = "tools_%s_%d" % (self.name, len(self.made))
        self.made.append(name)
        self.postgres.sql('drop database if exists "%s"' % name, 'create database "%s" owner app' % name)
        return name

    def url(self, database):
        return "postgresql://app@%s:%d/%s" % (self.end.host, self.end.port, database)

    def connect(self, database):
        return psycopg2.connect(host=self.end.host, port=self.end.port, user="app", dbname=database)


@pytest.fixture(params=["direct", "pgweir"])
def path(request, postgres, weir):
    """After the test no lock is held, no server pinned, in a transaction, or waited for."""
    p = Path(request.param, postgres if request.param == "direct" else weir, postgres)
    yield p
    for database in p.made:
        wait_until(lambda: not postgres.sessions("state <> 'idle'", database=database), what="no transaction is left in " + database)
        wait_until(lambda: not postgres.sql("select * from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where"
                                            " datname = '%s')" % database), what="no lock is left in " + database)
        if p.name == "pgweir":
            wait_until(lambda: weir.at_rest(database), what="the pool at rest")
            assert all(s["state"] == "idle" for s in weir.ask("SHOW SERVERS") if s["database"] == database)
    if p.name == "pgweir":
        for database in p.made:
            weir.ask('KILL "%s"' % database)
            weir.ask('RESUME "%s"' % database)
    for database in p.made:
        postgres.sql('drop database if exists "%s" with (force)' % database)


def run(argv, env=None, check=True, **kw):
    p = subprocess.run(argv, env=dict(os.environ, LC_ALL="C.UTF-8", **(env or {})), stdin=None if "input" in kw else subprocess.DEVNULL, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False, **kw)
    assert not check or p.returncode == 0, "%s: exit status %d\n%s" % (argv[0], p.returncode, p.stdout[-3000:])
    return p


def twice(argv, env=None, **kw):
    """Two at the same time; their exit statuses and what they said."""
    both = [subprocess.Popen(argv, env=dict(os.environ, LC_ALL="C.UTF-8", **(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, **kw) for _ in range(2)]
    ends = [p.communicate(timeout=LIMIT)[0] for p in both]
    return [p.returncode for p in both], ends


def psql(path, database, *argv, **kw):
    return run([bindir() + "/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", path.url(database), *argv], **kw)


def fingerprint(postgres, database):
    """All tables' rows and definitions, read directly."""
    dump = run([bindir() + "/pg_dump", "-h", postgres.host, "-p", str(postgres.port), "-U", "app", "--no-comments", database]).stdout
    return "\n".join(line for line in dump.splitlines() if not line.startswith(("--", "\\")))


def test_pg_dump_and_pg_restore(path, postgres):
    source, target = path.database(), path.database()
    postgres.sql(LIKE_PRODUCTION, database=source)
    dump = subprocess.run([bindir() + "/pg_dump", "-Fc", path.url(source)], stdout=subprocess.PIPE, timeout=LIMIT, check=True).stdout
    subprocess.run([bindir() + "/pg_restore", "--exit-on-error", "-d", path.url(target)], input=dump, timeout=LIMIT, check=True)
    assert fingerprint(postgres, target) == fingerprint(postgres, source)


def test_parallel_dump_and_restore(path, postgres, tmp_path):
    """Two jobs and their leader: three connections, synchronized snapshots."""
    source, target = path.database(), path.database()
    postgres.sql(LIKE_PRODUCTION, database=source)
    folder = str(tmp_path / "dump")
    run([bindir() + "/pg_dump", "-Fd", "-j", "2", "-f", folder, path.url(source)])
    run([bindir() + "/pg_restore", "--exit-on-error", "-j", "2", "-d", path.url(target), folder])
    assert fingerprint(postgres, target) == fingerprint(postgres, source)


def test_psql_watch_and_copy(path, postgres, tmp_path):
    database = path.database()
    rows = tmp_path / "rows.csv"
    rows.write_text("".join("%d,line %d\n" % (i, i) for i in range(20000)))
    psql(path, database, "-c", "create table c (i int, t text)", "-c", "\\copy c from '%s' csv" % rows, "-c", "\\copy (select * from c order by i) to '%s.out' csv" % rows)
    assert open(str(rows) + ".out").read() == rows.read_text()
    watching = subprocess.Popen([bindir() + "/psql", "-X", "-At", path.url(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watching.stdin.write("select 'seen', count(*) from c \\watch 0.05\n")
    watching.stdin.flush()
    seen = [line for line in (watching.stdout.readline() for _ in range(12)) if line.startswith("seen")]
    assert set(seen) == {"seen|20000\n"} and len(seen) > 3
    watching.terminate()
    watching.communicate(timeout=LIMIT)
    out = psql(path, database, "-At", input="\\set AUTOCOMMIT off\nset search_path to public;\ninsert into c values (-1, '\\x');\nselect count(*) from c;\n"
               "rollback;\n\\set AUTOCOMMIT on\nselect count(*) from c;\n\\d c\n\\dt\nselect 1 as a, 2 as b \\gx\nshow search_path;\n\\gdesc\n").stdout
    assert out.splitlines()[:2] == ["20001", "20000"] and "public|c|table|app" in out


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(path, postgres, mode):
    database = path.database()
    run([bindir() + "/pgbench", "-i", "-q", "-s", "1", path.url(database)])
    out = run([bindir() + "/pgbench", "-n", "-M", mode, "-c", "8", "-j", "2", "-t", "60", path.url(database)]).stdout
    assert "number of transactions actually processed: 480/480" in out and "number of failed transactions: 0 " in out
    sums = postgres.sql("select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history), count(*) from pgbench_history",
                        database=database)
    assert sums == [(True, 480)]


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text).lstrip())


def need(start, *argv):
    try:
        argv, env = start(*argv)
        return argv, env
    except drivers.Missing as e:
        pytest.skip(str(e))


def columns(postgres, database):
    return postgres.sql("select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' order by 1, 2", database=database)


ALEMBIC = {
    "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\n",
    "migrations/env.py": """
        import os
        from alembic import context
        from sqlalchemy import create_engine, text

        # As its manual does it for several instances of an application that start at once
        with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
            connection.execute(text("select pg_advisory_lock(20260101)"))
            connection.commit()
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
            connection.execute(text("select pg_advisory_unlock(20260101)"))
            connection.commit()
        """,
    "migrations/versions/one.py": """
        import sqlalchemy as sa
        from alembic import op
        revision, down_revision = "one", None

        def upgrade():
            op.create_table("a_user", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
            op.execute("insert into a_user (name) select 'user ' || i from generate_series(1, 100) i")
        """,
    "migrations/versions/two.py": """
        import sqlalchemy as sa
        from alembic import op
        revision, down_revision = "two", "one"

        def upgrade():
            op.add_column("a_user", sa.Column("email", sa.Text))
            with op.get_context().autocommit_block():
                op.create_index("a_user_email", "a_user", ["email"])
        """,
}


def test_alembic_twice(path, postgres, tmp_path):
    database = path.database()
    write(tmp_path, ALEMBIC)
    argv, env = need(drivers.python, "-m", "alembic", "upgrade", "head")
    statuses, said = twice(argv, dict(env, DATABASE_URL=path.url(database).replace("postgresql:", "postgresql+psycopg:")), cwd=tmp_path)
    assert statuses == [0, 0], said
    assert postgres.sql("select version_num from alembic_version", database=database) == [("two",)]
    assert postgres.value("select count(*) from a_user", database=database) == 100
    assert ("a_user", "email", "text") in columns(postgres, database)


DJANGO = {
    "settings.py": """
        import os
        SECRET_KEY = "of a test"
        INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"], "USER": "app",
                                 "NAME": os.environ["PGDATABASE"]}}
        """,
    "shop/__init__.py": "",
    "shop/models.py": """
        from django.db import models

        class Item(models.Model):
            name = models.CharField(max_length=40, db_index=True)
            price = models.DecimalField(max_digits=8, decimal_places=2)
        """,
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": """
        from django.db import migrations, models

        def fill(apps, _schema):
            item = apps.get_model("shop", "Item")
            item.objects.bulk_create(item(name="item %d" % i, price=i) for i in range(500))
            assert sum(1 for _ in item.objects.iterator(chunk_size=50)) == 500  # a cursor on the server

        class Migration(migrations.Migration):
            operations = [
                migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=40, db_index=True)),
                                                ("price", models.DecimalField(max_digits=8, decimal_places=2))]),
                migrations.RunPython(fill, migrations.RunPython.noop),
            ]
        """,
}


def test_django(path, postgres, tmp_path):
    """It takes no lock of its own, so one at a time; then backwards and again."""
    database = path.database()
    write(tmp_path, DJANGO)
    argv, env = need(drivers.python, "-m", "django", "migrate", "--verbosity", "0")
    env = dict(env, DJANGO_SETTINGS_MODULE="settings", PYTHONPATH="%s:%s" % (env["PYTHONPATH"], tmp_path), PGHOST=path.end.host,
               PGPORT=str(path.end.port), PGDATABASE=database)
    run(argv, env, cwd=tmp_path)
    run([*argv, "shop", "zero"], env, cwd=tmp_path)
    run(argv, env, cwd=tmp_path)
    assert postgres.value("select count(*) from shop_item", database=database) == 500
    assert postgres.value("select count(*) from django_migrations where app = 'auth'", database=database) > 8


KNEX = {
    "knexfile.js": "module.exports = { client: 'pg', connection: process.env.DATABASE_URL };\n",
    "migrations/1_users.js": """
        exports.up = (knex) => knex.schema.createTable("k_user", (t) => { t.increments(); t.string("name"); });
        exports.down = (knex) => knex.schema.dropTable("k_user");
        """,
    "migrations/2_rows.js": """
        exports.up = async (knex) => {
            await knex("k_user").insert(Array.from({ length: 100 }, (_x, i) => ({ name: `user ${i}` })));
            await knex.raw("select pg_sleep(0.2)");
        };
        exports.down = (knex) => knex("k_user").del();
        """,
    "migrate.js": """
        const knex = require("knex")(require("./knexfile"));
        knex.migrate.latest({ directory: "./migrations" }).then(([, names]) => console.log(names.length))
            .catch((e) => { console.log(e.message); process.exitCode = 1; }).finally(() => knex.destroy());
        """,
}


def test_knex_twice(path, postgres, tmp_path):
    """Its lock is a row: one takes it, the other one gives up or finds nothing to do."""
    database = path.database()
    write(tmp_path, KNEX)
    argv, env = need(drivers.node, "migrate.js")
    env = dict(env, DATABASE_URL=path.url(database))
    statuses, said = twice(argv, env, cwd=tmp_path)
    assert 0 in statuses, said
    run(argv, env, cwd=tmp_path)
    assert postgres.value("select count(*) from k_user", database=database) == 100
    assert postgres.sql("select name from knex_migrations order by id", database=database) == [("1_users.js",), ("2_rows.js",)]
    assert postgres.value("select is_locked from knex_migrations_lock", database=database) == 0


DRIZZLE = {
    "migrations/meta/_journal.json": """
        {"version": "7", "dialect": "postgresql", "entries": [
            {"idx": 0, "version": "7", "when": 1760000000000, "tag": "0000_one", "breakpoints": true},
            {"idx": 1, "version": "7", "when": 1760000001000, "tag": "0001_two", "breakpoints": true}]}
        """,
    "migrations/0000_one.sql": "create table \"z_user\" (\"id\" serial primary key, \"name\" text);\n--> statement-breakpoint\ncreate index on \"z_user\" (\"name\");\n",
    "migrations/0001_two.sql": "insert into z_user (name) select 'user ' || i from generate_series(1, 100) i;\n",
    "migrate.js": """
        const { Client } = require("pg");
        const postgres = require("postgres");
        async function main() {
            const pg = process.argv[2] === "pg";
            const client = pg ? new Client({ connectionString: process.env.DATABASE_URL }) : postgres(process.env.DATABASE_URL, { max: 1, onnotice: () => {} });
            const { drizzle } = require(pg ? "drizzle-orm/node-postgres" : "drizzle-orm/postgres-js");
            const { migrate } = require(pg ? "drizzle-orm/node-postgres/migrator" : "drizzle-orm/postgres-js/migrator");
            const query = (sql) => (pg ? client.query(sql) : client.unsafe(sql));
            if (pg) await client.connect();
            await query("select pg_advisory_lock(8150)"); // it has none of its own
            await migrate(drizzle(client), { migrationsFolder: "./migrations" });
            await query("select pg_advisory_unlock(8150)");
            await client.end();
        }
        main().catch((e) => { console.log(e); process.exit(1); });
        """,
}


@pytest.mark.parametrize("driver", ["pg", "postgresjs"])
def test_drizzle_twice(path, postgres, tmp_path, driver):
    database = path.database()
    write(tmp_path, DRIZZLE)
    argv, env = need(drivers.node, "migrate.js", driver)
    statuses, said = twice(argv, dict(env, DATABASE_URL=path.url(database)), cwd=tmp_path)
    assert statuses == [0, 0], said
    assert postgres.value("select count(*) from z_user", database=database) == 100
    assert postgres.value("select count(*) from drizzle.__drizzle_migrations", database=database) == 2


PRISMA = {
    "schema.prisma": """
        generator client {
          provider   = "prisma-client-js"
          engineType = "client"
        }
        datasource db {
          provider = "postgresql"
          url      = env("DATABASE_URL")
        }
        model Account {
          id   Int    @id
          name String
        }
        """,
    "migrations/migration_lock.toml": 'provider = "postgresql"\n',
    "migrations/20260101000000_init/migration.sql": 'create table "Account" ("id" integer primary key, "name" text not null);\nselect pg_sleep(0.2);\n',
    "migrations/20260102000000_rows/migration.sql": "insert into \"Account\" select i, 'name' from generate_series(1, 100) i;\n",
    "prisma.config.mjs": """
        import { createRequire } from "node:module";
        const require = createRequire(process.env.NODE_PATH + "/");
        const pg = require("pg");
        const { PrismaPg } = require("@prisma/adapter-pg");

        // Its adapter doesn't know the type "name", in which its migrations ask for schemas: told as text
        const query = pg.Client.prototype.query;
        const known = (r) => { for (const f of r?.fields ?? []) if (f.dataTypeID === 19) f.dataTypeID = 25; return r; };
        pg.Client.prototype.query = function (config, values, callback) {
            if (typeof callback === "function") return query.call(this, config, values, (e, r) => callback(e, known(r)));
            if (typeof values === "function") return query.call(this, config, (e, r) => values(e, known(r)));
            const answer = query.call(this, config, values);
            return answer?.then ? answer.then(known) : answer;
        };
        export default {
            experimental: { adapter: true },
            engine: "js",
            schema: "schema.prisma",
            migrations: { path: "migrations" },
            adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL, allowExitOnIdle: true }),
        };
        """,
}


def test_prisma_migrate_twice(path, postgres, tmp_path):
    """Its engine in WebAssembly over node-postgres; it takes an advisory lock for the time of the migration."""
    database = path.database()
    write(tmp_path, PRISMA)
    folder = drivers.NODE.folder
    argv, env = need(drivers.node, str(folder / "node_modules/prisma/build/index.js"), "migrate", "deploy", "--config", "prisma.config.mjs")
    (tmp_path / "engine").write_text("")  # or it would ask for native ones, which aren't used
    env = dict(env, DATABASE_URL=path.url(database), CHECKPOINT_DISABLE="1", PRISMA_HIDE_UPDATE_MESSAGE="1",
               PRISMA_QUERY_ENGINE_LIBRARY=str(tmp_path / "engine"), PRISMA_SCHEMA_ENGINE_BINARY=str(tmp_path / "engine"))
    statuses, said = twice(argv, env, cwd=tmp_path)
    assert 0 in statuses, said
    run(argv, env, cwd=tmp_path)
    assert postgres.value('select count(*) from "Account"', database=database) == 100
    assert postgres.value("select count(*) from _prisma_migrations where finished_at is not null", database=database) == 2


def test_that_tools_are_there():
    """PostgreSQL's own never skip."""
    for name in ("psql", "pg_dump", "pg_restore", "pgbench"):
        assert shutil.which(bindir() + "/" + name)

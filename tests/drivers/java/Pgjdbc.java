// pgjdbc with its defaults: statements are prepared on the server at their fifth execution, batches, fetch sizes, COPY, its own
// cancel. ../python/report.py has the format of what it reads and prints.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TimeZone;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public final class Pgjdbc {
	interface Scenario {
		void run(Pgjdbc p) throws Exception;
	}

	interface Work {
		void run() throws Exception;
	}

	static final Map<String, Scenario> SCENARIOS = new LinkedHashMap<>();
	static final String[] ZONES = { "Asia/Tokyo", "Europe/Paris", "UTC" };
	static final String LOOK = "select concat_ws(' ', current_setting('app.user_id'), current_setting('timezone'), current_setting('search_path'))";

	final Map<String, String> how;
	final List<Connection> opened = new ArrayList<>();
	final List<String> seen = new ArrayList<>();

	Pgjdbc(Map<String, String> how) {
		this.how = how;
	}

	static Connection open(Map<String, String> how, String more) throws SQLException {
		Properties p = new Properties();
		p.setProperty("user", how.get("user"));
		for (String key : new String[] { "password", "sslmode", "sslrootcert", "sslcert", "sslkey" })
			if (how.containsKey(key))
				p.setProperty(key, how.get(key));
		if (!p.containsKey("sslmode"))
			p.setProperty("sslmode", "disable");
		return DriverManager.getConnection("jdbc:postgresql://" + how.get("host") + ":" + how.get("port") + "/" + how.get("dbname") + more, p);
	}

	Connection connect(String more) throws SQLException {
		Connection c = open(how, more);
		opened.add(c);
		return c;
	}

	Connection connect() throws SQLException {
		return connect("");
	}

	Connection[] many(int n) throws SQLException {
		Connection[] out = new Connection[n];
		for (int i = 0; i < n; i++)
			out[i] = connect();
		return out;
	}

	void saw(Object... values) {
		for (Object v : values)
			seen.add(String.valueOf(v));
	}

	static void run(Connection c, String sql) throws SQLException {
		try (Statement s = c.createStatement()) {
			s.execute(sql);
		}
	}

	static PreparedStatement bind(PreparedStatement s, Object... args) throws SQLException {
		for (int i = 0; i < args.length; i++)
			s.setObject(i + 1, args[i]);
		return s;
	}

	static List<String> column(Connection c, String sql, Object... args) throws SQLException {
		List<String> out = new ArrayList<>();
		try (PreparedStatement s = c.prepareStatement(sql); ResultSet r = bind(s, args).executeQuery()) {
			while (r.next())
				out.add(r.getString(1));
		}
		return out;
	}

	static String value(Connection c, String sql, Object... args) throws SQLException {
		return column(c, sql, args).get(0);
	}

	static String failure(Work work) throws Exception {
		try {
			work.run();
			return "none";
		} catch (SQLException e) {
			return e.getSQLState();
		}
	}

	static void awaitRunning(Connection watch) throws Exception {
		while (value(watch, "select count(*) from pg_stat_activity where query like 'select ''cancel me''%' and state = 'active'"
			+ " and datname = current_database()").equals("0"))
			Thread.sleep(10);
	}

	static {
		SCENARIOS.put("connect_and_look", p -> {
			Connection c = p.connect();
			for (String s : new String[] { "server_version", "client_encoding", "extra_float_digits", "datestyle", "timezone", "application_name" })
				p.saw(value(c, "select current_setting(?)", s));
			p.saw(c.getMetaData().getDatabaseProductVersion(), c.getMetaData().getUserName(), c.isValid(5));
			p.saw(((PGConnection) c).getParameterStatuses().get("standard_conforming_strings"));
		});
		SCENARIOS.put("prepare", p -> {
			Connection[] conns = p.many(4);
			PreparedStatement[] plus = new PreparedStatement[4];
			for (int n = 0; n < 4; n++)
				plus[n] = conns[n].prepareStatement("select ?::int + " + n % 2);
			for (int i = 0; i < 10; i++)
				for (int n = 0; n < 4; n++)
					try (ResultSet r = bind(plus[n], i).executeQuery()) {
						r.next();
						p.saw(r.getInt(1), value(conns[n], "select ?::text || 'x'", "t" + i));
					}
			p.saw(plus[0].getParameterMetaData().getParameterTypeName(1), plus[1].getMetaData().getColumnTypeName(1));
			p.saw(failure(() -> conns[0].prepareStatement("select * from no_such_table").getMetaData()), value(conns[0], "select 'alive'"));
		});
		SCENARIOS.put("schema_change", p -> {
			Connection[] c = p.many(2);
			run(c[0], "drop table if exists d_schema; create table d_schema as select 1 as i");
			for (int i = 0; i < 8; i++)
				value(c[0], "select * from d_schema");
			run(c[1], "alter table d_schema alter column i type text");
			for (int i = 0; i < 8; i++)
				p.saw(value(c[1], "select * from d_schema"));
			p.saw(value(c[0], "select i from d_schema"));
			run(c[1], "drop table d_schema");
		});
		SCENARIOS.put("batch", p -> {
			Connection[] c = p.many(2);
			run(c[0], "create table d_batch (i int primary key)");
			for (int round = 0; round < 3; round++)
				try (PreparedStatement s = c[0].prepareStatement("insert into d_batch values (?)")) {
					for (int i = 0; i < 300; i++)
						bind(s, round * 1000 + i).addBatch();
					p.saw(Arrays.stream(s.executeBatch()).sum());
				}
			p.saw(value(c[1], "select count(*) from d_batch"));
			try (PreparedStatement s = c[0].prepareStatement("insert into d_batch values (?)")) {
				for (int i : new int[] { 5000, 1, 5001 })
					bind(s, i).addBatch();
				p.saw(failure(s::executeBatch));
			}
			try (Statement s = c[0].createStatement()) {
				s.addBatch("insert into d_batch values (6000)");
				s.addBatch("update d_batch set i = i + 10000 where i >= 6000");
				p.saw(Arrays.toString(s.executeBatch()));
			}
			try (PreparedStatement s = c[0].prepareStatement("insert into d_batch values (7000) returning i", Statement.RETURN_GENERATED_KEYS)) {
				s.executeUpdate();
				s.getGeneratedKeys().next();
			}
			p.saw(value(c[1], "select sum(i) from d_batch"));
			p.saw(failure(() -> run(c[0], "insert into d_batch values (8000); select 1/0")), value(c[1], "select count(*) from d_batch"));
			run(c[1], "drop table d_batch");
		});
		SCENARIOS.put("settings", p -> {
			Connection[] conns = p.many(3);
			for (int i = 0; i < 3; i++) {
				value(conns[i], "select set_config('app.user_id', ?, false)", "user " + i);
				run(conns[i], "set timezone to '" + ZONES[i] + "'");
				conns[i].setSchema("s" + i);
			}
			for (int round = 0; round < 6; round++)
				for (Connection c : conns)
					p.saw(value(c, LOOK), c.getSchema());
			conns[0].setReadOnly(true);
			p.saw(failure(() -> run(conns[0], "create table d_no (i int)")), value(conns[1], "show default_transaction_read_only"));
			conns[0].setReadOnly(false);
			conns[1].setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
			p.saw(value(conns[1], "show transaction_isolation"), value(conns[2], "show transaction_isolation"));
			run(conns[2], "reset all");
			for (Connection c : conns)
				p.saw(value(c, LOOK));
		});
		SCENARIOS.put("startup_options", p -> {
			Connection a = p.connect("?currentSchema=one,two&options=-c%20statement_timeout=54321&ApplicationName=here");
			Connection b = p.connect();
			String look = "select concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'), current_setting('application_name'))";
			for (Connection c : new Connection[] { a, b, a, b })
				p.saw(value(c, look));
			a.setClientInfo("ApplicationName", "there");
			run(a, "set search_path to three");
			p.saw(value(a, look), value(b, look));
			run(a, "reset all");
			p.saw(value(a, look));
		});
		SCENARIOS.put("transaction", p -> {
			Connection[] c = p.many(2);
			run(c[1], "drop table if exists d_tx; create table d_tx (i int primary key)");
			c[0].setAutoCommit(false);
			run(c[0], "insert into d_tx values (1)");
			p.saw(column(c[1], "select i from d_tx"));
			c[0].commit();
			run(c[0], "insert into d_tx values (2)");
			Savepoint s = c[0].setSavepoint();
			p.saw(failure(() -> run(c[0], "insert into d_tx values (1)")));
			c[0].rollback(s);
			run(c[0], "insert into d_tx values (3)");
			c[0].commit();
			run(c[0], "insert into d_tx values (4)");
			c[0].rollback();
			p.saw(column(c[1], "select i from d_tx order by i"));
			c[0].setAutoCommit(true);
			run(c[1], "drop table d_tx");
		});
		SCENARIOS.put("error_in_transaction", p -> {
			Connection c = p.connect();
			c.setAutoCommit(false);
			p.saw(failure(() -> value(c, "select 1/?::int", 0)), failure(() -> value(c, "select 1")));
			c.rollback();
			p.saw(value(c, "select 3"), failure(() -> value(c, "selec")));
			c.rollback();
			c.setAutoCommit(true);
			p.saw(failure(() -> value(c, "select ?::text::int", "text")), value(c, "select 4"));
		});
		SCENARIOS.put("types", p -> {
			Connection c = p.connect();
			String sql = "select ?::int8, ?::text, ?::bytea, ?::int[], ?::numeric, ?::timestamp, ?::bool, ?::text";
			for (int round = 0; round < 7; round++)
				try (PreparedStatement s = c.prepareStatement(sql)) {
					bind(s, 1L << 62, "grüße \ud83d\udc18", new byte[] { 0, 1, -1 }, c.createArrayOf("int", new Object[] { 1, 2, 3 }),
						new java.math.BigDecimal("12345.678901234567890"), java.sql.Timestamp.valueOf("2026-01-02 03:04:05.000006"), true, null);
					try (ResultSet r = s.executeQuery()) {
						r.next();
						p.saw(r.getLong(1), r.getString(2), Arrays.toString(r.getBytes(3)), r.getArray(4), r.getBigDecimal(5), r.getTimestamp(6), r.getBoolean(7), r.getString(8));
					}
				}
		});
		SCENARIOS.put("large_result", p -> {
			Connection c = p.connect();
			List<String> rows = column(c, "select repeat(md5(i::text), 8) from generate_series(1, 40000) i");
			p.saw(rows.size(), rows.get(31415), value(c, "select repeat('x', 5000000)").length());
		});
		SCENARIOS.put("cursor", p -> {
			Connection[] c = p.many(2);
			c[0].setAutoCommit(false);
			for (int round = 0; round < 6; round++)
				try (PreparedStatement s = c[0].prepareStatement("select i from generate_series(1, ?) i")) {
					s.setFetchSize(70);
					long sum = 0;
					try (ResultSet r = bind(s, 1000).executeQuery()) {
						for (int n = 0; r.next(); n++) {
							sum += r.getInt(1);
							if (n == 500)
								p.saw(value(c[1], "select 'b'"));
						}
					}
					p.saw(sum);
				}
			c[0].commit();
			c[0].setAutoCommit(true);
		});
		SCENARIOS.put("copy", p -> {
			Connection[] c = p.many(2);
			run(c[0], "create table d_copy (i int, t text)");
			StringBuilder lines = new StringBuilder();
			for (int i = 0; i < 50000; i++)
				lines.append(i).append("\tline ").append(i).append('\n');
			p.saw(((PGConnection) c[0]).getCopyAPI().copyIn("copy d_copy from stdin", new StringReader(lines.toString())));
			StringWriter out = new StringWriter();
			p.saw(((PGConnection) c[1]).getCopyAPI().copyOut("copy (select * from d_copy order by i) to stdout", out), out.getBuffer().length());
			p.saw(failure(() -> ((PGConnection) c[0]).getCopyAPI().copyIn("copy d_copy from stdin", new StringReader("1\ta\nx\tb\n"))));
			((PGConnection) c[0]).getCopyAPI().copyIn("copy d_copy from stdin").cancelCopy();
			p.saw(value(c[0], "select count(*) from d_copy"));
			run(c[1], "drop table d_copy");
		});
		SCENARIOS.put("cancel", p -> {
			Connection[] c = p.many(2);
			for (int i = 0; i < 2; i++) {
				Statement s = c[0].createStatement();
				Thread killer = new Thread(() -> {
					try {
						awaitRunning(c[1]);
						s.cancel();
					} catch (Exception e) {
						throw new IllegalStateException(e);
					}
				});
				killer.start();
				p.saw(failure(() -> s.execute("select 'cancel me', pg_sleep(20)")));
				killer.join();
				p.saw(value(c[0], "select 'alive'"));
			}
		});
		SCENARIOS.put("timeout", p -> {
			Connection[] c = p.many(2);
			run(c[0], "set statement_timeout = '80ms'");
			p.saw(failure(() -> run(c[0], "select pg_sleep(5)")), value(c[1], "show statement_timeout"), value(c[0], "show statement_timeout"));
			Statement s = c[1].createStatement();
			s.setQueryTimeout(1); // it cancels
			p.saw(failure(() -> s.execute("select pg_sleep(9)")), value(c[1], "select 'alive'"));
		});
		SCENARIOS.put("reconnect", p -> {
			int sum = 0;
			for (int i = 0; i < 15; i++) {
				Connection c = p.connect();
				c.setAutoCommit(false);
				sum += Integer.parseInt(value(c, "select ?::int", i));
				if (i % 3 == 0)
					c.commit();
				if (i % 3 == 2)
					c.abort(Runnable::run);
				else
					c.close();
			}
			p.saw(sum);
		});
		SCENARIOS.put("listen", p -> {
			Connection[] c = p.many(2);
			run(c[0], "listen d_channel");
			run(c[1], "notify d_channel, 'one'");
			value(c[1], "select pg_notify('d_channel', ?)", "two");
			List<PGNotification> got = new ArrayList<>();
			for (long end = System.nanoTime() + 10_000_000_000L; got.size() < 2 && System.nanoTime() < end;)
				got.addAll(Arrays.asList(((PGConnection) c[0]).getNotifications(500)));
			for (PGNotification n : got)
				p.saw(n.getName(), n.getParameter());
			run(c[0], "unlisten *");
		});
		SCENARIOS.put("temp_table", p -> {
			Connection[] c = p.many(2);
			run(c[0], "create temp table d_temp as select 42 as answer");
			p.saw(failure(() -> value(c[1], "select * from d_temp")), value(c[0], "select answer from d_temp"), value(c[1], "select 1"));
			run(c[0], "drop table d_temp");
			p.saw(failure(() -> value(c[0], "select * from d_temp")));
		});
		SCENARIOS.put("advisory_lock", p -> {
			Connection[] c = p.many(2);
			for (int i = 0; i < 2; i++)
				p.saw(value(c[0], "select pg_try_advisory_lock(4711)"), value(c[1], "select pg_try_advisory_lock(4711)"), value(c[0], "select pg_advisory_unlock(4711)"),
					value(c[1], "select pg_try_advisory_lock(4711)"), value(c[1], "select pg_advisory_unlock(4711)"));
		});
		SCENARIOS.put("concurrent", p -> {
			Connection boss = p.connect();
			run(boss, "drop table if exists d_accounts; create table d_accounts (i int primary key, n int)");
			run(boss, "insert into d_accounts select i, 0 from generate_series(0, 4) i");
			ExecutorService tellers = Executors.newFixedThreadPool(10);
			List<Future<?>> done = new ArrayList<>();
			for (int n = 0; n < 10; n++) {
				int me = n;
				Connection c = p.connect();
				c.setAutoCommit(false);
				done.add(tellers.submit(() -> {
					for (int i = 0; i < 20; i++) {
						try (PreparedStatement s = c.prepareStatement("update d_accounts set n = n + ? where i = ?")) {
							bind(s, 1, (me + i) % 5).executeUpdate();
						}
						if (i % 5 == 4)
							c.rollback();
						else
							c.commit();
					}
					return null;
				}));
			}
			for (Future<?> f : done)
				f.get();
			tellers.shutdown();
			p.saw(column(boss, "select n from d_accounts order by i"));
			run(boss, "drop table d_accounts");
		});
	}

	static void say(PrintStream out, boolean ok, String name, List<String> seen) {
		StringBuilder line = new StringBuilder(ok ? "ok " : "not ok ").append(name);
		for (String s : seen)
			line.append('\t').append(s.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n"));
		out.println(line);
	}

	static void runOne(PrintStream out, String name, Scenario scenario, Map<String, String> how) {
		Pgjdbc p = new Pgjdbc(how);
		boolean ok = true;
		try {
			scenario.run(p);
		} catch (Exception e) {
			ok = false;
			p.saw(e);
		}
		for (Connection c : p.opened)
			try {
				c.close();
			} catch (SQLException e) {
				p.saw("close: " + e.getSQLState());
			}
		say(out, ok, name, p.seen);
	}

	static void login(PrintStream out, Map<String, String> how) {
		try (Connection c = open(how, "")) {
			say(out, true, value(c, "select current_user"), List.of());
		} catch (SQLException e) {
			say(out, false, e.getSQLState(), List.of());
		}
	}

	public static void main(String[] args) throws Exception {
		TimeZone.setDefault(TimeZone.getTimeZone("UTC")); // it sends its own
		DriverManager.setLoginTimeout(20);
		PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
		for (String line = in.readLine(); line != null; line = in.readLine()) {
			Map<String, String> how = new HashMap<>();
			for (String part : line.split("\t"))
				how.put(part.substring(0, part.indexOf('=')), part.substring(part.indexOf('=') + 1));
			if (args[0].equals("logins"))
				login(out, how);
			else
				SCENARIOS.forEach((name, scenario) -> runOne(out, name, scenario, how));
		}
		System.exit(0);
	}
}

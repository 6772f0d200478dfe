// The console as monitoring in Java sees it; ../python/console.py has the format of what it reads and prints.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public final class Console {
	static List<String> row(ResultSet r, boolean isHeader) throws SQLException {
		List<String> out = new ArrayList<>();
		for (int i = 1; i <= r.getMetaData().getColumnCount(); i++) {
			String value = isHeader ? r.getMetaData().getColumnName(i) : r.getString(i);
			out.add(value == null ? "NULL" : value);
		}
		return out;
	}

	static String ask(Connection c, String query) {
		try (Statement s = c.createStatement()) {
			if (!s.execute(query))
				return "ok\t\t0\t";
			ResultSet r = s.getResultSet();
			String names = String.join(",", row(r, true)), first = "";
			int n = 0;
			for (; r.next(); n++)
				if (n == 0)
					first = String.join("|", row(r, false));
			return "ok\t" + names + "\t" + n + "\t" + first;
		} catch (SQLException e) {
			return "error\t" + e.getSQLState();
		}
	}

	public static void main(String[] args) throws Exception {
		PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
		Map<String, String> how = new HashMap<>();
		for (String part : in.readLine().split("\t"))
			how.put(part.substring(0, part.indexOf('=')), part.substring(part.indexOf('=') + 1));
		String url = "jdbc:postgresql://" + how.get("host") + ":" + how.get("port") + "/" + how.get("dbname") + "?sslmode=disable";
		try (Connection c = DriverManager.getConnection(url, how.get("user"), "")) {
			for (String query = in.readLine(); query != null; query = in.readLine())
				out.println(ask(c, query));
		}
	}
}

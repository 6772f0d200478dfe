"""What serverless functions usually do with psycopg2, and what they rely on.

Each handler is written as such functions are: a connection in a global, kept between invocations, settings in the
connection string, retries around it. CHECKS are the claims; each raises when its claim is wrong.
"""

import time

import psycopg2
import psycopg2.extensions


class Place:
    """Where the handlers connect: through the pooler; and a superuser past it, for breaking things."""

    def __init__(self, host, port, dbname, user, password, superuser):
        self.params = {"host": host, "port": port, "dbname": dbname, "user": user, "password": password}
        self.superuser = superuser

    def connect(self, **more):
        return psycopg2.connect(**self.params, connect_timeout=5, **more)


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r}")


def value(connection, sql, args=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchone()[0]


class Function:
    """One function: its global connection, and the retry that everybody wraps around it."""

    def __init__(self, place, **more):
        self.place = place
        self.more = more
        self.connection = None
        self.connects = 0

    def get_connection(self):
        if self.connection is None or self.connection.closed:
            self.connection = self.place.connect(**self.more)
            self.connects += 1
        return self.connection

    def forget_connection(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def invoke(self, work, tries=5):
        """Calls work(connection) and commits; after an OperationalError on a new connection, later and later."""
        for attempt in range(tries):
            try:
                connection = self.get_connection()
                result = work(connection)
                connection.commit()
                return result, attempt + 1
            except psycopg2.OperationalError:
                self.forget_connection()
                if attempt + 1 == tries:
                    raise
                time.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")


def global_connection_is_reused(place):
    function = Function(place)
    try:
        for invocation in range(10):
            result, _ = function.invoke(lambda c, n=invocation: value(c, "SELECT balance + %s FROM accounts WHERE id = 1", (n,)))
            expect(result, 1000 + invocation, "balance")
            time.sleep(0.01)
        expect(function.connects, 1, "connections opened")
    finally:
        function.forget_connection()
    return "10 invocations, 1 connection"


def options_statement_timeout_holds(place):
    function = Function(place, options="-c statement_timeout=30000")
    plain = Function(place)
    try:
        for _ in range(5):
            setting, _ = function.invoke(lambda c: value(c, "SHOW statement_timeout"))
            expect(setting, "30s", "statement_timeout of the function that asked for it")
            setting, _ = plain.invoke(lambda c: value(c, "SHOW statement_timeout"))
            expect(setting, "0", "statement_timeout of its neighbour")
    finally:
        function.forget_connection()
        plain.forget_connection()
    return "SHOW statement_timeout = 30s, its neighbour's = 0"


def options_statement_timeout_works(place):
    function = Function(place, options="-c statement_timeout=100")
    try:
        function.invoke(lambda c: value(c, "SELECT pg_sleep(5)"), tries=1)
    except psycopg2.extensions.QueryCanceledError:
        pass
    else:
        raise AssertionError("pg_sleep(5) wasn't cancelled after 100 ms")
    finally:
        function.forget_connection()
    return "pg_sleep(5) is cancelled after 100 ms"


def options_search_path_holds(place):
    function = Function(place, options="-c search_path=public")
    try:
        for _ in range(3):
            setting, _ = function.invoke(lambda c: value(c, "SHOW search_path"))
            expect(setting, "public", "search_path")
        count, _ = function.invoke(lambda c: value(c, "SELECT count(*) FROM accounts"))
        expect(count, 100, "accounts")
    finally:
        function.forget_connection()
    return "SHOW search_path = public"


def commit_and_rollback_do_what_they_say(place):
    connection = place.connect()
    try:
        expect(connection.autocommit, False, "autocommit")
        expect(connection.get_transaction_status(), psycopg2.extensions.TRANSACTION_STATUS_IDLE, "status before")
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO log (line) VALUES ('rolled back')")
            expect(connection.get_transaction_status(), psycopg2.extensions.TRANSACTION_STATUS_INTRANS, "status inside")
            connection.rollback()
            cursor.execute("INSERT INTO log (line) VALUES ('committed')")
            connection.commit()
        with place.connect() as other:
            expect(value(other, "SELECT count(*) FROM log WHERE line = 'rolled back'"), 0, "rows rolled back")
            expect(value(other, "SELECT count(*) FROM log WHERE line = 'committed'"), 1, "rows committed")
        other.close()
    finally:
        connection.close()
    return "autocommit off"


def transfer(connection, source, target, amount):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts SET balance = balance - %s WHERE id = %s", (amount, source))
        cursor.execute("UPDATE accounts SET balance = balance + %s WHERE id = %s", (amount, target))


def transfer_is_all_or_nothing(place):
    function = Function(place)
    try:
        function.invoke(lambda c: transfer(c, 10, 11, 400))
        connection = function.get_connection()
        try:
            with connection.cursor() as cursor: # the other way round: the first statement works, the second one can't
                cursor.execute("UPDATE accounts SET balance = balance + 5000 WHERE id = 10")
                cursor.execute("UPDATE accounts SET balance = balance - 5000 WHERE id = 11")
            raise AssertionError("an account was overdrawn")
        except psycopg2.IntegrityError:
            connection.rollback()
        rows, _ = function.invoke(lambda c: (value(c, "SELECT balance FROM accounts WHERE id = 10"),
                                             value(c, "SELECT balance FROM accounts WHERE id = 11"),
                                             value(c, "SELECT sum(balance) FROM accounts")))
        expect(rows, (600, 1400, 100000), "balances and their sum")
    finally:
        function.forget_connection()
    return "two UPDATEs, one of them refused: both undone"


def health_check_answers(place):
    connection = place.connect()
    connection.autocommit = True
    started = time.monotonic()
    try:
        for _ in range(50):
            expect(value(connection, "SELECT 1"), 1, "SELECT 1")
            expect(connection.get_transaction_status(), psycopg2.extensions.TRANSACTION_STATUS_IDLE, "status")
    finally:
        connection.close()
    return f"50 times SELECT 1, {(time.monotonic() - started) * 20:.2f} ms each"


def kill_server(place, pid):
    with psycopg2.connect(place.superuser) as superuser:
        expect(value(superuser, "SELECT pg_terminate_backend(%s, 5000)", (pid,)), True, "pg_terminate_backend")
    superuser.close()


def reconnect_after_losing_the_server_in_a_transaction(place):
    function = Function(place)
    killed = []

    def deposit(connection):
        pid = value(connection, "SELECT pg_backend_pid()")
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO log (line) VALUES ('deposit')")
            if not killed:
                killed.append(pid)
                kill_server(place, pid)
            cursor.execute("UPDATE accounts SET balance = balance + 1 WHERE id = 20")

    try:
        _, tries = function.invoke(deposit)
        expect(tries, 2, "tries")
        deposits, _ = function.invoke(lambda c: (value(c, "SELECT balance FROM accounts WHERE id = 20"),
                                                 value(c, "SELECT count(*) FROM log WHERE line = 'deposit'")))
        expect(deposits, (1001, 1), "the deposit, made exactly once")
    finally:
        function.forget_connection()
    return "the first try got an OperationalError, the second one committed"


def an_idle_function_survives_losing_all_servers(place):
    function = Function(place)
    try:
        expect(function.invoke(lambda c: value(c, "SELECT 1"))[0], 1, "SELECT 1")
        with psycopg2.connect(place.superuser) as superuser:
            value(superuser, "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                             " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
        superuser.close()
        result, tries = function.invoke(lambda c: value(c, "SELECT 2"))
        expect(result, 2, "SELECT 2")
    finally:
        function.forget_connection()
    return "it noticed nothing" if tries == 1 else f"it took {tries} tries"


CHECKS = [
    ("a global connection is reused between invocations", global_connection_is_reused),
    ("connect_timeout=5, options=-c statement_timeout=30000", options_statement_timeout_holds),
    ("a statement_timeout in options really cancels", options_statement_timeout_works),
    ("options=-c search_path=public", options_search_path_holds),
    ("commit() and rollback()", commit_and_rollback_do_what_they_say),
    ("a transfer is one transaction", transfer_is_all_or_nothing),
    ("health checks", health_check_answers),
    ("reconnect with backoff after OperationalError", reconnect_after_losing_the_server_in_a_transaction),
    ("all servers killed while the function sleeps", an_idle_function_survives_losing_all_servers),
]

"""Load: what was acknowledged is in the table and nothing else, with drivers, pgbench and a small herd."""
import os
import random
import socket
import subprocess
import sys
import threading

import psycopg2
import pytest
from postgres import bindir, unprivileged
from wire import SLOW, wait_until

CLIENTS = 200


@pytest.mark.two_workers
@pytest.mark.settings(default_pool_size=10)
def test_load_psycopg2_clients(via):
    """Many psycopg2 clients, explicit transactions, some rolled back, some cut off: the table holds what was acknowledged."""
    t = via.table("client int, n int")
    acknowledged, errors, lock = set(), [], threading.Lock()
    gate = threading.Semaphore(80)  # PostgreSQL itself takes a hundred

    def work(number):
        rng = random.Random(number)
        host, port = via.address
        c = psycopg2.connect(host=host, port=port, user="app", dbname="test", application_name="load %d" % number)
        cur = c.cursor()
        for n in range(4):
            cur.execute("insert into %s values (%%s, %%s) returning (select current_setting('application_name'))" % t, (number, n))
            assert cur.fetchone() == ("load %d" % number,)
            dice = rng.random()
            if dice < 0.2:
                c.rollback()
            elif dice < 0.3:
                with socket.socket(fileno=os.dup(c.fileno())) as s:
                    s.shutdown(socket.SHUT_RDWR)
                break
            else:
                c.commit()
                with lock:
                    acknowledged.add((number, n))
        try:
            c.close()
        except psycopg2.Error:
            pass

    def guarded(number):
        try:
            if via.is_pooler:
                work(number)
            else:
                with gate:
                    work(number)
        except BaseException as e:
            errors.append("%d: %s" % (number, e))

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(CLIENTS)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    assert not errors, errors[:3]
    wait_until(via.sessions_idle)
    assert sorted(map(tuple, via.postgres.sql("select client, n from " + t, database="test"))) == sorted(acknowledged)


@pytest.fixture(scope="module")
def pgbench_tables(postgres):
    subprocess.run([bindir() + "/pgbench", "-i", "-q", "-s", "2", "-h", postgres.dir, "-p", str(postgres.port), "-U", "app", "test2"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=postgres.dir, **unprivileged())


@pytest.mark.two_workers
@pytest.mark.settings(default_pool_size=5)
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_load_pgbench(via, pgbench_tables, protocol):
    """pgbench's TPC-B in each protocol: no error, and all the balances agree."""
    host, port = via.address
    via.postgres.sql("truncate pgbench_history", "update pgbench_accounts set abalance = 0", "update pgbench_tellers set tbalance = 0",
                     "update pgbench_branches set bbalance = 0", database="test2")
    run = subprocess.run([bindir() + "/pgbench", "-h", host, "-p", str(port), "-U", "app", "-n", "-M", protocol, "-c", "20", "-j", "2", "-T", "2",
                          "test2"], capture_output=True, text=True, timeout=50 * SLOW, cwd=via.postgres.dir, **unprivileged())
    assert run.returncode == 0 and "ERROR" not in run.stderr and "aborted" not in run.stderr, run.stderr[-2000:]
    assert "number of failed transactions: 0 " in run.stdout, run.stdout
    done = int(run.stdout.split("number of transactions actually processed: ")[1].split()[0].split("/")[0])
    sums = via.postgres.sql("select (select count(*) from pgbench_history), (select sum(delta) from pgbench_history), (select sum(abalance) from "
                            "pgbench_accounts), (select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches)",
                            database="test2")[0]
    assert sums[0] == done and sums[1] == sums[2] == sums[3] == sums[4], sums


@pytest.mark.two_workers
@pytest.mark.settings(default_pool_size=5)
def test_load_pgbench_reconnecting(via, pgbench_tables):
    """A connection for each transaction, as functions have it."""
    host, port = via.address
    run = subprocess.run([bindir() + "/pgbench", "-h", host, "-p", str(port), "-U", "app", "-n", "-S", "-C", "-c", "20", "-j", "2", "-T", "2", "test2"],
                         capture_output=True, text=True, timeout=50 * SLOW, cwd=via.postgres.dir, **unprivileged())
    assert run.returncode == 0 and "number of failed transactions: 0 " in run.stdout, run.stderr[-2000:]


@pytest.mark.parametrize("auth", ["trust", "scram-sha-256"])
def test_load_small_herd(auth):
    """herd.py with a few hundred clients; by itself it takes 5,000."""
    import conftest
    conftest.need_pooler()
    here = os.path.dirname(os.path.abspath(__file__))
    run = subprocess.run([sys.executable, here + "/herd.py", "--clients", "400", "--servers", "10", "--auth", auth], capture_output=True, text=True,
                         timeout=55 * SLOW)
    assert run.returncode == 0, run.stdout + run.stderr

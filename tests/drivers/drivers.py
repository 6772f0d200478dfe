#!/usr/bin/env python3
"""drivers - which drivers there are, how each one's program is started, and where their packages come from.

    tests/drivers/drivers.py fetch    fetches the packages into build/drivers, where make check and make check-drivers look for them

Nothing is ever fetched by a test. Versions and checksums are those of the lock files beside the programs. A driver whose toolchain
or packages are missing raises Missing, whose text is the test's reason to skip.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE.parent.parent / "build" / "drivers"
FETCH_LIMIT = 300  # seconds for one kind of package
PGJDBC, PGJDBC_SHA256 = (HERE / "java/pgjdbc.lock").read_text().split()
JAR = "postgresql-%s.jar" % PGJDBC.split(":")[2]
DEBIAN_PGJDBC = pathlib.Path("/usr/share/java/postgresql.jar")

COMMON = ("connect_and_look", "prepare", "schema_change", "settings", "startup_options", "transaction", "error_in_transaction", "types",
          "large_result", "copy", "cancel", "timeout", "reconnect", "listen", "temp_table", "advisory_lock", "concurrent")
SCENARIOS = {
    "libpq": ("connect_and_look", "prepare", "pipeline", "flush", "settings", "transaction", "single_rows", "copy", "cancel", "timeout",
              "listen", "session_state"),
    "psycopg2": tuple(s for s in COMMON if s != "schema_change") + ("cursor", "batch"),
    "psycopg3": COMMON + ("cursor", "batch", "batch_error", "two_phase"),
    "asyncpg": COMMON + ("prepared_unused", "cursor", "batch", "batch_error", "pool"),
    "pg": COMMON + ("cursor", "batch", "pipeline"),
    "postgresjs": COMMON + ("cursor", "pipeline"),
    "pq": COMMON + ("batch",),
    "pgx": COMMON + ("query_modes", "batch", "pipeline"),
    "pgjdbc": COMMON + ("cursor", "batch"),
}


class Missing(Exception):
    """Why a driver can't be run here."""


def tool(name):
    path = shutil.which(name)
    if not path:
        raise Missing("%s isn't installed" % name)
    return path


def run(argv, what, limit=FETCH_LIMIT, **kw):
    try:
        p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit,
                           check=False, **kw)
    except subprocess.TimeoutExpired:
        raise Missing("%s: nothing after %d s" % (what, limit)) from None
    if p.returncode:
        lines = [line for line in p.stdout.splitlines() if line.strip()] or ["exit status %d" % p.returncode]
        raise Missing("%s: %s" % (what, lines[-1]))


class Packages:
    """One kind of package. The stamp says for which lock files the folder's contents were fetched."""

    def __init__(self, name, locks, fetch):
        self.name, self.locks, self.fetch_into = name, [HERE / lock for lock in locks], fetch
        self.folder = CACHE / name

    def version(self):
        h = hashlib.sha256()
        for lock in self.locks:
            h.update(lock.read_bytes())
        return h.hexdigest()

    def need(self):
        stamp = self.folder / "stamp"
        if not stamp.exists() or stamp.read_text() != self.version():
            raise Missing("no %s packages in build/drivers: make check-drivers fetches them" % self.name)
        return self.folder

    def fetch(self):
        try:
            self.need()
            return "there already"
        except Missing:
            pass
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.fetch_into(self.folder)
        (self.folder / "stamp").write_text(self.version())
        return "fetched"


# ---- Python ----

def fetch_python(folder):
    for python in (sys.executable, shutil.which("python3")):
        if python and subprocess.run([python, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            break
    else:
        raise Missing("pip isn't installed")
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:", "--no-cache-dir",
         "--root-user-action", "ignore", "--target", str(folder / "lib"), "-r", str(HERE / "python/requirements.txt")], "pip can't fetch packages")
    (folder / "interpreter").write_text(python)


def python(*argv):
    """Command and environment that run a program with the packages from PyPI."""
    folder = PYTHON.need()
    return [(folder / "interpreter").read_text(), *argv], {"PYTHONPATH": str(folder / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}


# ---- Node.js ----

def fetch_node(folder):
    tool("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "node" / name, folder)
    run([tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(folder / "cache")], "npm can't fetch packages", cwd=folder)
    shutil.rmtree(folder / "cache", ignore_errors=True)


def node(*argv):
    folder = NODE.need()
    return [tool("node"), *argv], {"NODE_PATH": str(folder / "node_modules")}


# ---- Go ----

def go_environment(proxy):
    folder = CACHE / "go"
    return dict(os.environ, GOMODCACHE=str(folder / "mod"), GOCACHE=str(folder / "cache"), GOFLAGS="-modcacherw -mod=readonly -buildvcs=false",
                GOTOOLCHAIN="local", CGO_ENABLED="0", **({} if proxy else {"GOPROXY": "off"}))


def fetch_go(folder):
    run([tool("go"), "mod", "download"], "go can't fetch modules", cwd=HERE / "go", env=go_environment(True))
    build_go(folder)


def build_go(folder):
    run([tool("go"), "build", "-o", str(folder / "drivers"), "."], "go can't build tests/drivers/go", cwd=HERE / "go", env=go_environment(False))
    return str(folder / "drivers")


def go(name):
    return [build_go(GO.need()), name], {}


# ---- Java ----

def fetch_java(folder):
    tool("javac")
    run([tool("mvn"), "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", "-Dartifact=" + PGJDBC,
         "-DoutputDirectory=" + str(folder), "-Dmaven.repo.local=" + str(folder / "repository")], "mvn can't fetch packages", cwd=folder)
    jar = folder / JAR
    if hashlib.sha256(jar.read_bytes()).hexdigest() != PGJDBC_SHA256:
        jar.unlink()
        raise Missing("%s isn't the one that was tested: its checksum differs" % jar.name)
    shutil.rmtree(folder / "repository")


def java():
    """pgjdbc as fetched, or as Debian has it."""
    try:
        jar = JAVA.need() / JAR
    except Missing:
        if not DEBIAN_PGJDBC.exists():
            raise
        jar = DEBIAN_PGJDBC
    classes = CACHE / "java-classes"
    run([tool("javac"), "-cp", str(jar), "-d", str(classes), str(HERE / "java/Pgjdbc.java")], "javac can't compile Pgjdbc.java", 60)
    return [tool("java"), "-cp", "%s:%s" % (jar, classes), "Pgjdbc"], {}


# ---- C ----

def libpq():
    """Never missing: pgweir itself needs libpq."""
    CACHE.mkdir(parents=True, exist_ok=True)
    program = CACHE / "libpq_driver"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libpq"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-o", str(program), str(HERE / "libpq_driver.c"), *flags], check=True)
    return [str(program)], {}


PYTHON = Packages("python", ["python/requirements.txt"], fetch_python)
NODE = Packages("node", ["node/package.json", "node/package-lock.json"], fetch_node)
GO = Packages("go", ["go/go.mod", "go/go.sum"], fetch_go)
JAVA = Packages("java", ["java/pgjdbc.lock"], fetch_java)

PROGRAMS = {
    "libpq": libpq,
    "psycopg2": lambda: (["/usr/bin/python3", str(HERE / "python/psycopg2_driver.py")], {"PYTHONDONTWRITEBYTECODE": "1"}),
    "psycopg3": lambda: python(str(HERE / "python/psycopg3_driver.py")),
    "asyncpg": lambda: python(str(HERE / "python/asyncpg_driver.py")),
    "pg": lambda: node(str(HERE / "node/pg_driver.js")),
    "postgresjs": lambda: node(str(HERE / "node/postgresjs_driver.js")),
    "pq": lambda: go("pq"),
    "pgx": lambda: go("pgx"),
    "pgjdbc": java,
}


def line(**connection):
    """A connection as the programs read it."""
    return "\t".join("%s=%s" % (k, v) for k, v in connection.items() if v is not None) + "\n"


def start(name, mode):
    """Popen arguments of a driver's program; raises Missing."""
    argv, env = PROGRAMS[name]()
    return [*argv, mode], dict(os.environ, LC_ALL="C.UTF-8", **env)


def main():
    if sys.argv[1:] != ["fetch"]:
        sys.exit(__doc__)
    for packages in (PYTHON, NODE, GO, JAVA):
        try:
            print("%s packages: %s" % (packages.name, packages.fetch()), flush=True)
        except Missing as e:
            print("%s packages: none: %s" % (packages.name, e), flush=True)


if __name__ == "__main__":
    main()

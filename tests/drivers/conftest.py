"""Fixtures: PostgreSQL and a pgweir with a pool of two (of three for tools), with the harness of tests/integration."""
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent / "integration")]

import pooler as pooler_module  # noqa: E402
from postgres import Postgres  # noqa: E402


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.timeout(400))


class Weir(pooler_module.Pooler):
    """In its own section: what a session leaves behind pins its server."""

    def write(self):
        super().write()
        with open(self.ini) as f:
            text = f.read()
        with open(self.ini, "w") as f:
            f.write(text.replace("[pgbouncer]", "[pgweir]"))

    def start_quickly(self):
        """AssertionError with what it said, if it ends at once; then there's nothing to end."""
        try:
            self.start()
        except BaseException:
            self.process = None
            raise


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    yield server
    server.destroy()


@pytest.fixture(scope="session")
def new_weir(postgres):
    if not pooler_module.exists():
        pytest.skip("there is no " + pooler_module.binary())
    made = []

    def make(settings, **kw):
        made.append(Weir(postgres, settings, **kw))
        return made[-1]

    yield make
    errors = []
    for p in made:
        try:
            p.destroy()
        except AssertionError as e:
            errors.append(str(e))
    assert not errors, "\n".join(errors)

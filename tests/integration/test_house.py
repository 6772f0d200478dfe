"""The house itself: the test runner counts right, and lint finds what it is there to find."""
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RUN = ROOT / "tests" / "run"
GOOD = "echo '100%: Checks: 3, Failures: 0, Errors: 0'"


def run(tmp_path, *scripts, options=("--unit-only",)):
    programs = []
    for i, script in enumerate(scripts):
        program = tmp_path / f"test_{i}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        programs.append(str(program))
    p = subprocess.run([sys.executable, str(RUN), *options, *programs], stdout=subprocess.PIPE, text=True, check=False)
    return p.returncode, p.stdout.splitlines()[-1]


@pytest.mark.parametrize("scripts, status, line", [
    ((GOOD, GOOD), 0, "6 passed, 0 failed"),
    ((GOOD, "echo '60%: Checks: 5, Failures: 1, Errors: 1'; exit 1"), 1, "6 passed, 2 failed"),
    ((GOOD, "kill -SEGV $$"), 1, "3 passed, 1 failed"),
    ((GOOD, "exit 0"), 1, "3 passed, 1 failed"),  # no summary: not one test is known to have run
    ((GOOD + "; exit 99",), 1, "3 passed, 1 failed"),  # a sanitizer's report at the very end
    (("echo '50%: Checks: 2, Failures: 1, Errors: 0'",), 1, "1 passed, 1 failed"),
    (("echo '100%: Checks: 0, Failures: 0, Errors: 0'",), 1, "0 passed, 0 failed"),
    ((), 1, "0 passed, 0 failed"),
])
def test_runner_counts_unit_programs(tmp_path, scripts, status, line):
    assert run(tmp_path, *scripts) == (status, line)


@pytest.mark.parametrize("script, status, line", [
    ("echo 'stat::number_of_executed_units: 12'", 0, "1 passed, 0 failed"),
    ("echo 'Test unit written to /nowhere/crash-1'; exit 77", 1, "0 passed, 1 failed"),
    ("exit 0", 1, "0 passed, 1 failed"),  # it said nothing of inputs that it ran
])
def test_runner_counts_a_fuzz_target_as_one_test(tmp_path, script, status, line):
    assert run(tmp_path, script, options=("--fuzz", "1")) == (status, line)


@pytest.fixture
def house(tmp_path):
    """A tree with the two lint scripts and nothing to complain about."""
    for folder in ("tests", "src/base", "src/wire", "src/storm", "man"):
        (tmp_path / folder).mkdir(parents=True)
    for script in ("lint_layers.py", "lint_text.py"):
        shutil.copy(ROOT / "tests" / script, tmp_path / "tests")
    (tmp_path / "src/base/base.h").write_text("")
    (tmp_path / "src/wire/msg.h").write_text('#include "base/base.h"\n#include <stdio.h>\n')
    (tmp_path / "src/main.c").write_text('#include "wire/msg.h"\n')
    return tmp_path


def lint(house, script, *args):
    p = subprocess.run([sys.executable, str(house / "tests" / script), *args], stdout=subprocess.PIPE, text=True, check=False)
    return p.returncode, p.stdout


@pytest.mark.parametrize("path, include, complaint", [
    ("src/base/x.c", "wire/msg.h", "src/base/x.c:2: base may not include wire"),
    ("src/wire/x.c", "storm/x.h", "src/wire/x.c:2: wire may not include storm"),
    ("src/wire/x.c", "msg.h", "not a path below src/"),
    ("src/wire/x.c", "wire/none.h", "not a path below src/"),
    ("src/new/x.c", "base/base.h", "src/new: not in the Makefile's LAYERS"),
    ("src/wire/x.c", "base/base.h", None),
    ("src/storm/x.c", "wire/msg.h", None),
])
def test_lint_sees_includes_that_point_upwards(house, path, include, complaint):
    (house / "src/storm/x.h").write_text("")
    (house / path).parent.mkdir(exist_ok=True)
    (house / path).write_text(f'#include "base/base.h"\n#include "{include}"\n')
    status, out = lint(house, "lint_layers.py", "base", "wire")
    assert status == (1 if complaint else 0) and (complaint or "") in out


@pytest.mark.parametrize("path, text, complaint", [
    ("src/base/x.c", "void f(void)\n{\n\tstrcpy(a, b);\n}\n", "src/base/x.c:3: strcpy()"),
    ("src/base/x.c", "/* better than strcpy(a, b) */\nchar *s = \"atoi(x)\";\nmy_strcpy(a);\n", None),
    ("src/base/x.c", "/* TO" "DO: all of it */\n", "src/base/x.c:1: TO" "DO"),
    ("src/base/x.c", "mkstemp(\"/tmp/XXXXXX\");\n", None),
    ("README.md", "see [that](doc/none.md)\n", "README.md:1: no file doc/none.md"),
    ("README.md", "see [that](src/main.c), [there](https://example.org/x)\n", None),
])
def test_lint_sees_forbidden_words_and_dead_links(house, path, text, complaint):
    (house / path).write_text(text)
    status, out = lint(house, "lint_text.py")
    assert status == (1 if complaint else 0) and (complaint or "") in out


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
def test_lint_sees_a_man_page_that_does_not_format(house):
    (house / "man/x.1").write_text(".TH X 1\n.SH NAME\nx \\- y\n.NOSUCHMACRO\n")
    status, out = lint(house, "lint_text.py")
    assert status == 1 and "man/x.1" in out

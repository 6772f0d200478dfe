#!/usr/bin/env python3
"""Forbidden words in the sources, man pages that don't format, dead links between the documents."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
# Functions that can't be told how large their output is, or that can't say that their input was bad
UNSAFE = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|alloca|strtok|tmpnam)\s*\(")
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def lines_matching(pattern, text):
    for match in pattern.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[1]


def sources():
    for folder, suffixes in (("src", (".c", ".h")), ("tests", (".c", ".h", ".py", ".sh")), ("demo", (".py", ".sh"))):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.resolve() != pathlib.Path(__file__).resolve():
                yield path


def bad_words():
    for path in sources():
        text = path.read_text()
        name = path.relative_to(ROOT)
        for line, word in lines_matching(UNFINISHED, text):
            yield f"{name}:{line}: {word}"
        if name.parts[0] == "src":
            for line, word in lines_matching(UNSAFE, NOT_CODE.sub(blank, text)):
                yield f"{name}:{line}: {word}()"


def bad_man_pages():
    for page in sorted((ROOT / "man").glob("*.[1-8]")):
        out = subprocess.run(["groff", "-mandoc", "-ww", "-Tutf8", "-z", str(page)], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        if out.returncode or out.stdout:
            yield f"man/{page.name}: {out.stdout.strip() or 'groff failed'}"


def dead_links():
    for doc in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "doc").glob("*.md"))]:
        for line, target in lines_matching(LINK, doc.read_text()):
            if "://" not in target and not (doc.parent / target).exists():
                yield f"{doc.relative_to(ROOT)}:{line}: no file {target}"


def main():
    found = [*bad_words(), *bad_man_pages(), *dead_links()]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""lint_layers.py LAYER...: an include in src/ points to its own layer or to one named before it, and every layer is named.

src/main.c and src/storm may include any layer; no layer may include them.
"""
import pathlib
import re
import sys

SRC = pathlib.Path(__file__).resolve().parent.parent / "src"
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
ON_TOP = ("storm",)


def complaints(layers):
    rank = {layer: i for i, layer in enumerate(layers)}
    for path in sorted(SRC.rglob("*.[ch]")):
        parts = path.relative_to(SRC).parts
        layer = parts[0] if len(parts) > 1 else None
        if layer and layer not in rank and layer not in ON_TOP:
            yield f"src/{layer}: not in the Makefile's LAYERS"
            continue
        for match in INCLUDE.finditer(path.read_text()):
            line = path.read_text()[: match.start()].count("\n") + 1
            where = f"src/{'/'.join(parts)}:{line}"
            target = match[1].split("/")[0]
            if "/" not in match[1] or target not in (*rank, *ON_TOP) or not (SRC / match[1]).exists():
                yield f"{where}: include \"{match[1]}\": not a path below src/"
            elif layer in rank and (target in ON_TOP or rank[target] > rank[layer]):
                yield f"{where}: {layer} may not include {target}, which is above it"


def main():
    found = list(complaints(sys.argv[1:]))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""tests/unit mirrors the rooms, and each .c file is tested or says by what.

For DIR/NAME.c this is tests/unit/DIR/test_NAME.c, or a sentence in a comment that names the tests:

    Tested by test_other.c.                    in NAME.c or NAME.h
    Tested with its files by test_other.c.     in a header of DIR that NAME.c includes

A folder with a file VENDORED is not ours. The tests that a sentence names must exist. Run in the
root of the repository; it prints what is missing and exits with 1, or says how many files there
are.
"""

import pathlib
import re
import sys

SOURCES = ("daemon", "proto", "client")
TESTS = {path.name for path in pathlib.Path("tests").rglob("test_*")}


def sentences(path: pathlib.Path) -> list[str]:
    """The sentences "Tested ... by ..." in the comments of a file, each on one line."""
    if not path.exists():
        return []
    comments = re.findall(r"/\*.*?\*/", path.read_text(), flags=re.DOTALL)
    text = " ".join(re.sub(r"\s*\n \*\s?", " ", comment) for comment in comments)
    return re.findall(r"Tested[^.]*? by .*?\.(?= |$)", text)


def named(sentence: str) -> list[str]:
    """The files of tests that a sentence names."""
    return re.findall(r"[\w/]*test_\w+\.\w+", sentence)


def is_tested(source: pathlib.Path) -> bool:
    """Whether the file has its unit test, or a sentence that holds for it."""
    if pathlib.Path("tests/unit", source.parent, f"test_{source.stem}.c").exists():
        return True
    own = sentences(source) + sentences(source.with_suffix(".h"))
    includes = re.findall(rf'"{source.parent}/(\w+\.h)"', source.read_text())
    shared = [s for name in includes for s in sentences(source.parent / name)]
    own += [s for s in shared if "with its files" in s]
    return any(named(s) for s in own)


def problems() -> tuple[list[str], int]:
    """What is wrong, a line each, and how many .c files there are."""
    files = [p for top in SOURCES for p in sorted(pathlib.Path(top).rglob("*.[ch]"))]
    found = []
    for path in files:
        for sentence in sentences(path):
            found += [f"{path} names {t}, which is not in tests" for t in named(sentence)
                      if t not in TESTS and not pathlib.Path(t).exists()]
        is_ours = not (path.parent / "VENDORED").exists()
        if path.suffix == ".c" and is_ours and not is_tested(path):
            found.append(f"{path} has no test of its name and does not say what tests it")
    for path in sorted(pathlib.Path("tests/unit").rglob("test_*.c")):
        room = path.parent.relative_to("tests/unit")
        if not any(room.glob("*.c")):
            found.append(f"{path} mirrors no room: {room} has no .c file")
    return found, sum(path.suffix == ".c" for path in files)


def main() -> int:
    """Prints what is wrong; returns the exit status."""
    found, n_sources = problems()
    for line in found:
        print(line)
    if not found:
        print(f"{n_sources} .c files are tested by a file of their name or say by which")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

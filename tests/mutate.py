#!/usr/bin/env python3
"""Changes one operator of the code at a time, and counts the changes that no test notices.

    make mutate [MUTANTS=200] [SEED=1] [MUTATED="proto/wire.c ..."]

Of all places in the files (`<` for `<=`, `+` for `-`, `&&` for `||`, 1 for 0, a negation or a
statement left out) it draws MUTANTS. Each is compiled, linked in front of the archives in place of
its file, and met by the file's own tests (check_tests.py says which). A change that the compiler
turns into the same code is none. What no test notices is printed as a line, with what stands there
now; the score is the share that was noticed.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile

import check_tests

#: What an operator becomes. The order in the expression below is that in which they are tried.
CHANGES = {"<=": ["<"], ">=": [">"], "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"],
           "<": ["<="], ">": [">="], "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"],
           "0": ["1"], "1": ["0", "2"], "!": [""], "true": ["false"], "false": ["true"]}
OPERATORS = re.compile(r"""
    (?<=\ )(?:<=|>=|==|!=|&&|\|\||<|>|\+|-|\*|/)(?=\ )   # between blanks: binary, and no pointer
    | !(?=[a-z(])
    | (?<![\w.])[01](?![\w.])
    | \b(?:true|false)\b""", re.VERBOSE)
#: A call or an assignment that stands alone.
STATEMENT = re.compile(r"^( {4,})(?!return|break|continue|assert|goto|case|default)"
                       r"([a-z][\w>.\[\]-]*(\(| [-+*|]?= ).*;)$")
#: A loop that ends no more is noticed as well.
PATIENCE_S = 60


def is_code(line):
    """Whether a line may be changed: no comment, assertion, declaration of data or directive."""
    text = line.strip()
    return not (text.startswith(("#", "/*", "*", "assert(", "static const")) or '"' in text)


def changes_of(path):
    """All changes of a file: (line number, new line)."""
    found = []
    inside = False
    for number, line in enumerate(path.read_text().splitlines()):
        inside = inside or line == "{"
        comment = line.strip().startswith(("/*", "*"))
        if inside and is_code(line) and not comment:
            for match in OPERATORS.finditer(line.split("/*")[0]):
                found += [(number, line[:match.start()] + new + line[match.end():])
                          for new in CHANGES[match.group()]]
            if STATEMENT.match(line):
                found.append((number, "    ;"))
        inside = inside and line != "}"
    return found


def tests_of(path):
    """The programs that test a file, those of its own name first."""
    header = path.with_suffix(".h")
    texts = check_tests.sentences(path) + check_tests.sentences(header)
    for name in re.findall(rf'"{path.parent}/(\w+\.h)"', path.read_text()):
        texts += [s for s in check_tests.sentences(path.parent / name) if "with its files" in s]
    names = [f"test_{path.stem}.c"] + [pathlib.Path(n).name for s in texts
                                       for n in check_tests.named(s)]
    room = pathlib.Path("tests/unit", *path.parts[:2 if path.parts[0] == "daemon" else 1])
    return list(dict.fromkeys(found.with_suffix("") for name in names
                              for found in sorted(room.rglob(name))))


class Bench:
    """Builds and judges changes."""

    def __init__(self, options):
        self.build = pathlib.Path(options.build)
        self.cc = shlex.split(options.cc)
        self.links = {"daemon/core": shlex.split(options.core_link),
                      "proto": shlex.split(options.link)}

    def compile(self, text, path, out):
        """Whether the text compiles in the file's place."""
        source = out.with_suffix(".c")
        source.write_text(text)
        return subprocess.run([*self.cc, "-w", "-I", str(path.parent), "-c", "-o", out, source],
                              capture_output=True, check=False).returncode == 0

    def link(self, path, test, mutant, out):
        kind = "daemon/core" if path.parts[0] == "daemon" else "proto"
        subprocess.run([*self.cc[:1], "-o", out, self.build / "obj" / f"{test}.o", mutant,
                        self.build / "lib/test.a", *self.links[kind], "-lcmocka"], check=True)

    def is_noticed(self, path, mutant, folder):
        """Whether one of the file's tests fails with the changed object."""
        for test in tests_of(path):
            program = folder / test.name
            self.link(path, test, mutant, program)
            try:
                ended = subprocess.run([program], capture_output=True, timeout=PATIENCE_S,
                                       check=False)
            except subprocess.TimeoutExpired:
                return True
            if ended.returncode:
                return True
        return False

    def judge(self, change):
        """One of "noticed", "survived", "same" (the compiler's view) and "none" (no C)."""
        path, number, line = change
        lines = path.read_text().splitlines()
        with tempfile.TemporaryDirectory(prefix="mutate-") as name:
            folder = pathlib.Path(name)
            before, after = folder / "before.o", folder / "after.o"
            self.compile("\n".join(lines) + "\n", path, before)
            lines[number] = line
            if not self.compile("\n".join(lines) + "\n", path, after):
                return "none"
            if self.code(before) == self.code(after):
                return "same"
            return "noticed" if self.is_noticed(path, after, folder) else "survived"

    @staticmethod
    def code(made):
        """What is in an object but the lines it came from."""
        return subprocess.run(["objdump", "-d", "-r", "-s", "-j", ".text", "-j", ".rodata", made],
                              capture_output=True, check=False).stdout.split(b"file format")[1]


def report(changes, verdicts):
    """Prints the survivors and a row a file; the share that was noticed."""
    counts = {}
    for (path, number, line), verdict in zip(changes, verdicts):
        row = counts.setdefault(path, {"noticed": 0, "survived": 0, "same": 0, "none": 0})
        row[verdict] += 1
        if verdict == "survived":
            old = path.read_text().splitlines()[number].strip()
            print(f"{path}:{number + 1}: {old}\n    survives as: {line.strip()}")
    print(f"{'file':40} noticed survived same")
    for path, row in sorted(counts.items()):
        print(f"{str(path):40} {row['noticed']:7} {row['survived']:8} {row['same']:4}")
    noticed, survived = (sum(row[k] for row in counts.values()) for k in ("noticed", "survived"))
    score = noticed / max(1, noticed + survived)
    print(f"score {score:.1%}: {noticed} of {noticed + survived} changes were noticed")


def main():
    """Draws, judges and reports; always 0: a survivor is to be looked at, not a failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("build", "cc", "core-link", "link"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    bench = Bench(options)
    every = [(path, *change) for path in options.files for change in changes_of(path)]
    changes = random.Random(options.seed).sample(every, min(options.mutants, len(every)))
    print(f"{len(changes)} of {len(every)} changes in {len(options.files)} files", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(bench.judge, changes))
    report(changes, verdicts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

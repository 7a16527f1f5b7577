"""The tables of proto/*.md, as the tests that walk them read them."""

import re

from harness import ROOT

_RULE = re.compile(r"^\|[-| ]+\|$")
_CELL = re.compile(r"(?<!\\)\|")


class Table:
    """One table: `page` ("HTTP"), the `heading` above it, its `header` and its `rows` of cells."""

    def __init__(self, page, heading, header, rows):
        self.page, self.heading, self.header, self.rows = page, heading, header, rows
        self.name = f"{page}, {heading}: {' | '.join(header)}"


def text_of(page):
    return (ROOT / "proto" / f"{page}.md").read_text("utf-8")


def _cells(line):
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]


def tables(page):
    """All tables of a page, in their order."""
    lines = text_of(page).splitlines()
    found, heading, i = [], "", 0
    while i < len(lines):
        if lines[i].startswith("#"):
            heading = lines[i].lstrip("# ")
        if lines[i].startswith("|") and _RULE.match(lines[i + 1]):
            end = i + 2
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            rows = [_cells(line) for line in lines[i + 2:end]]
            found.append(Table(page, heading, _cells(lines[i]), rows))
            i = end
        i += 1
    return found


def all_tables():
    """Those of the three pages that a program is written from."""
    return [t for page in ("HTTP", "FEED", "INGEST") for t in tables(page)]


def quoted(cell):
    """The words in backticks, or the words between commas where nothing is quoted."""
    return re.findall(r"`([^`]+)`", cell) or [word.strip() for word in cell.split(",")]


def members(text):
    """The names of the outermost object that the text writes down: {"a":1,"b"} has a and b."""
    names, depth = [], 0
    for token in re.finditer(r'[{\[]|[}\]]|([{,:]?)\s*"((?:[^"\\]|\\.)*)"|[,:]', text):
        bare = token.group().strip()
        if bare in "{[":
            depth += 1
        elif bare in "}]":
            depth -= 1
            if depth == 0:
                break
        elif token.group(2) is not None:
            if token.group(1) == "{":
                depth += 1
            before = text[:token.start(2) - 1].rstrip()
            if depth == 1 and before[-1] in "{,":
                names.append(token.group(2))
    return names


def methods():
    """{method: (names of its parameters, members of its result or None)} of FEED.md."""
    found = {}
    parts = re.split(r"^\*\*(\w+\.\w+)\*\*", text_of("FEED"), flags=re.M)[1:]
    for name, text in zip(parts[::2], parts[1::2]):
        before, _, result = text.partition("->")
        first = before.partition("\n| parameter")[0]
        params = members(first) if "{" in first else []
        params += [p for row in re.findall(r"^\| ([\w, ]+) \| [^|]*\|", text, re.M)
                   for p in row.split(", ") if "\n| parameter" in text and row != "parameter"]
        quote = re.match(r"\s*`({.*?})`", result, re.S)
        found[name] = (params, members(quote[1]) if quote else None)
    return found

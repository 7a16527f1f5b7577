#!/usr/bin/env python3
"""Each link of a page leads to a file, and to a heading in it; README.md stays short.

Run in the root of the repository; it prints what is wrong and exits with 1, or says how many links
there are. Links to other machines are not followed.
"""

import pathlib
import re
import sys
from typing import Iterator, Optional

README_WORDS = 1200
LINK = re.compile(r"\]\((?!https?:)([^()\s#]*)(?:#([^()\s]+))?\)")


def pages() -> Iterator[pathlib.Path]:
    """The pages of the project, but not what is built or installed."""
    for path in sorted(pathlib.Path().rglob("*.md")):
        if not {"build", "node_modules", "vendor"} & set(path.parts):
            yield path


def text_of(page: pathlib.Path) -> str:
    """The page without its examples."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: pathlib.Path) -> set[str]:
    """The names by which the headings of a page are reached, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fault(page: pathlib.Path, target: str, anchor: str) -> Optional[str]:
    """What is wrong with a link on a page."""
    path = page.parent / target if target else page
    if not path.exists():
        return "no such file"
    if anchor and anchor not in anchors(path):
        return "no such heading"
    return None


def main() -> int:
    """Check all pages."""
    links = [(page, *found) for page in pages() for found in LINK.findall(text_of(page))]
    wrong = [f"{page}: {target}#{anchor}: {told}" for page, target, anchor in links
             if (told := fault(page, target, anchor))]
    words = len(pathlib.Path("README.md").read_text().split())
    if words > README_WORDS:
        wrong.append(f"README.md: {words} words, of at most {README_WORDS}")
    print("\n".join(wrong) or f"{len(links)} links lead somewhere; README.md has {words} words")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

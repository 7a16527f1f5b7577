#!/usr/bin/env python3
"""Makes the man pages and the shells' completions: generate.py BUILD VERSION OUT

The programs' tables of options and commands are printed by their --help, so that is what this
reads, with the comments of include/richd.h. Beside them stands what no table says: the *.in files,
in which @NAMES LIKE THIS@ are replaced. OUT is laid out as PREFIX/share is.
"""

import pathlib
import re
import subprocess
import sys
import textwrap
from typing import Callable, Dict, List, NamedTuple

import completions

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE.parents[1] / "include" / "richd.h"
#: "* --http-host NAME,...   names by which ..."
OPTION = re.compile(r"^([ *]) --([a-z-]+)(?: (\S+))? +(\S.*)$")
#: "  open [RUN]           the link ..."
COMMAND = re.compile(r"^  ([a-z]+)((?: \S+)*)  +(\S.*)$|^  ([a-z]+) (\S+) (\S.*)$")


class Option(NamedTuple):
    """A row of a table of options; `argument` is empty for a flag."""

    name: str
    argument: str
    help: str
    reloads: bool


class Command(NamedTuple):
    """A command of richctl, with the options that it takes beyond those of all."""

    name: str
    arguments: str
    summary: str
    options: List[Option]


def ask(program: pathlib.Path, *arguments: str) -> List[List[str]]:
    """The paragraphs of a program's help, each as its lines."""
    said = subprocess.run([program, *arguments, "--help"], check=True, capture_output=True,
                          text=True)
    return [paragraph.splitlines() for paragraph in said.stdout.strip("\n").split("\n\n")]


def options_in(lines: List[str]) -> List[Option]:
    """The options of a paragraph; none when it is of another kind."""
    found = filter(None, map(OPTION.match, lines))
    return [Option(name, argument or "", text, star == "*") for star, name, argument, text in
            (match.groups() for match in found)]


def read_commands(richctl: pathlib.Path, lines: List[str], shared: List[Option]) -> List[Command]:
    """The commands of a paragraph, each asked for its own help."""
    commands = []
    for line in lines:
        match = COMMAND.match(line)
        if not match:
            continue
        name, arguments, summary = [part or "" for part in match.groups()[:3]]
        if not name:
            name, arguments, summary = match.groups()[3:]
        own = [option for lines in ask(richctl, name) for option in options_in(lines)
               if option not in shared]
        commands.append(Command(name, arguments.strip(), summary, own))
    return commands


# ---- mdoc ----------------------------------------------------------------------------------------


def mdoc(text: str) -> str:
    """Text as lines of a man page: a sentence begins a line, and none looks like a request."""
    text = text.replace("\\", "\\e").replace("--", "\\-\\-")
    text = re.sub("`([^`]*)`", r"\\(lq\1\\(rq", text)
    sentences = re.split(r"(?<=[.!?;:]) +(?=[A-Z0-9])", " ".join(text.split()))
    wrapper = textwrap.TextWrapper(76, break_long_words=False, break_on_hyphens=False)
    lines = [line for sentence in sentences for line in wrapper.wrap(sentence)]
    return "\n".join("\\&" + line if line[0] in ".'" else line for line in lines)


def sentence(text: str) -> str:
    """A help text as a sentence of its own."""
    return mdoc(text[0].upper() + text[1:] + ("" if text.endswith(".") else "."))


def option_list(options: List[Option]) -> str:
    """An item for each option of a command line."""
    lines = [".Bl -tag -width Ds"]
    for option in options:
        lines.append(f".It Fl Fl {option.name} Ar {option.argument}".removesuffix(" Ar "))
        lines.append(sentence(option.help))
        if option.reloads:
            lines.append("SIGHUP changes it.")
    return "\n".join([*lines, ".El"])


def key_list(options: List[Option]) -> str:
    """The same for the file of options."""
    lines = [".Bl -tag -width Ds"]
    for option in options:
        if option.name != "config":
            lines += [f".It Ic {option.name} No = Ar {option.argument}", sentence(option.help)]
    return "\n".join([*lines, ".El"])


def command_list(commands: List[Command]) -> str:
    """A part for each command."""
    lines = []
    for command in commands:
        lines += [f".Ss {command.name} {command.arguments}".rstrip(), sentence(command.summary)]
        if command.options:
            lines.append(option_list(command.options))
    return "\n".join(lines)


# ---- the C library: the header, part by part -----------------------------------------------------


def comment_text(comment: str) -> str:
    """A C comment as mdoc; what is indented further stays as it is."""
    text = re.sub(r"(?m)^ ?\* ?|^/\* ?| ?\*/$", "", comment.strip())
    lines = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    "):
            lines += [".Bd -literal -offset indent", verbatim(textwrap.dedent(paragraph)), ".Ed"]
        else:
            lines += [".Pp", mdoc(paragraph)]
    return "\n".join(lines)


def verbatim(code: str) -> str:
    """Code as it stands."""
    code = code.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in code.splitlines())


def library() -> str:
    """What richd.h declares, in its order: the code, and what it says of it."""
    text = HEADER.read_text()
    body = text[text.index("struct richd_run;"):text.rindex("#ifdef __cplusplus")]
    body = re.sub(r"(?ms)^#define (RICHD_\w+) .*?[^\\]$", r"#define \1 ...", body)
    lines = []
    for part in body.replace("RICHD_API ", "").split("\n\n"):
        comment, code = re.match(r"(?s)\s*(/\*.*?\*/\n)?(.*)", part).groups()
        if code:
            lines += [".Bd -literal", verbatim(code.strip("\n")), ".Ed"]
        if comment:
            lines.append(comment_text(comment))
    return "\n".join(lines)


def opening() -> str:
    """The header's own opening."""
    return comment_text(re.match(r"(?s)/\*.*?\*/", HEADER.read_text())[0]).replace(".Pp\n", "", 1)


def functions() -> List[str]:
    """The names that the library exports."""
    return re.findall(r"(?s)RICHD_API[^;(]*?(richd_\w+)\(", HEADER.read_text())


# ---- all of it -----------------------------------------------------------------------------------


def main(build: str, version: str, out: str) -> None:
    """Writes each page and each completion."""
    richd = ask(pathlib.Path(build, "richd"))
    richctl = ask(pathlib.Path(build, "richctl"))
    options, tasks = filter(None, map(options_in, richd))
    shared, = filter(None, map(options_in, richctl))
    commands = read_commands(pathlib.Path(build, "richctl"), richctl[2], shared)
    parts: Dict[str, Callable[[], str]] = {
        "VERSION": lambda: version,
        "OPTIONS": lambda: option_list(options),
        "TASKS": lambda: option_list(tasks),
        "KEYS": lambda: key_list(options),
        "DAEMON NOTES": lambda: mdoc(" ".join(richd[-1])),
        "SHARED OPTIONS": lambda: option_list(shared),
        "COMMANDS": lambda: command_list(commands),
        "NOTES": lambda: "\n.Pp\n".join(mdoc(" ".join(lines)) for lines in richctl[-2:]),
        "OPENING": opening,
        "LIBRARY": library,
        "NAMES": lambda: " ,\n".join(f".Nm {name}" for name in ["richd", *functions()]),
    }
    files = {f"man/man{page.stem[-1]}/{page.stem}":
             re.sub(r"@([A-Z ]+)@", lambda match: parts[match[1]](), page.read_text())
             for page in HERE.glob("*.in")}
    files.update({f"man/man3/{name}.3": ".so man3/richd.3\n" for name in functions()})
    files.update(completions.all_of([*options, *tasks], shared, commands))
    for name, text in files.items():
        path = pathlib.Path(out, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])

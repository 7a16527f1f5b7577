"""Completions for bash, zsh and fish, from the options and commands that generate.py read.

Names and ids of runs come from the daemon that runs at that moment; without one there are none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, List

if TYPE_CHECKING:
    from generate import Command, Option

#: Each run's id and name, a line each, the newest first.
RUNS = (r"richctl runs --json --limit 300 --timeout 1 2>/dev/null"
        r""" | sed -En 's/^\{"run":"([^"\\]*)","name":"([^"\\]*)".*/\1\n\2/p' | sort -u""")


def kind_of(argument: str) -> str:
    """What the first argument stands for: a folder, a file, a run, a command or a text."""
    words = {"DIR": "folder", "FILE": "file", "PATH": "file", "RUN": "run", "COMMAND": "command"}
    return words.get(argument.split(" ")[0].strip("[]."), "text")


def values_of(option: Option) -> List[str]:
    """The words that an option takes, when its help begins with them: "error, warn or info"."""
    listed = re.match(r"((?:\w+, )+\w+ or \w+)\b", option.help)
    return re.findall(r"\w+", listed[1].replace(" or ", ", ")) if listed else []


def by_name(options: List[Option]) -> List[Option]:
    """One option of each name."""
    return list({option.name: option for option in options}.values())


def quoted(text: str) -> str:
    """A word of bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


# ---- bash ----------------------------------------------------------------------------------------

BASH = """# Completion of {program} for bash, made from its help.

# Those lines that begin with the word, as the shell would quote them.
_{program}_offer() {{
    local line
    while IFS= read -r line; do
        [[ $line != "$word"* ]] || COMPREPLY+=("$(printf %q "$line")")
    done
}}

_{program}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} each command= options= takes=text
    COMPREPLY=()
    case ${{COMP_WORDS[COMP_CWORD - 1]}} in
{values}
    esac
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $each in {commands}) command=$each && break ;; esac
    done
    case $command in
{branches}
    esac
    if [[ $word == -* ]]; then
        _{program}_offer < <(printf '%s\\n' {shared} $options)
    elif [[ $takes == command ]]; then
        _{program}_offer < <(printf '%s\\n' {listed})
    elif [[ $takes == file ]]; then
        compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$word")
    elif [[ $takes == run ]]; then
        _{program}_offer < <({runs})
    fi
}}
complete -F _{program} {program}
"""


def bash_value(program: str, option: Option) -> str:
    """The branch for the word behind an option."""
    if values_of(option):
        offer = f"_{program}_offer < <(printf '%s\\n' {' '.join(values_of(option))})"
    elif kind_of(option.argument) in ("file", "folder"):
        letter = "d" if kind_of(option.argument) == "folder" else "f"
        offer = f'compopt -o filenames && mapfile -t COMPREPLY < <(compgen -{letter} -- "$word")'
    else:
        offer = f"_{program}_offer < <({RUNS})" if kind_of(option.argument) == "run" else ":"
    return f"        --{option.name}) {offer}; return ;;"


def flags(options: List[Option]) -> str:
    """The names of options as words."""
    return " ".join(f"--{option.name}" for option in by_name(options))


def bash(program: str, shared: List[Option], commands: List[Command]) -> str:
    """Completion of a program whose options go with all of its commands, which have their own."""
    every = by_name([*shared, *(option for command in commands for option in command.options)])
    branches = [f"        {c.name}) options={quoted(flags(c.options))}"
                f" takes={kind_of(c.arguments)} ;;" for c in commands]
    branches.append(f"        '') takes={'command' if commands else 'text'} ;;")
    return BASH.format(
        program=program, runs=RUNS, shared=flags(shared),
        values="\n".join(bash_value(program, option) for option in every if option.argument),
        commands="|".join(c.name for c in commands) or "''",
        listed=" ".join(c.name for c in commands), branches="\n".join(branches))


# ---- zsh -----------------------------------------------------------------------------------------

ZSH = """#compdef {program}
# Completion of {program} for zsh, made from its help.

{runs}_{program}() {{
    local curcontext=$curcontext state line
    local -a shared=(
{shared}
    )
{arguments}
}}

_{program} "$@"
"""
ZSH_RUNS = """_{program}_runs() {{
    local -a runs=(${{(f)"$({runs})"}})
    compadd -a runs
}}

"""
ZSH_COMMANDS = """    local -a commands=(
{listed}
    )
    _arguments -C $shared '1:command:->command' '*::argument:->argument' && return
    case $state in
        command) _describe command commands ;;
        argument)
            case $words[1] in
{branches}
            esac ;;
    esac"""
ESCAPED_COLON = "\\:"
#: What completes an argument of a kind.
ZSH_ACTIONS = {"folder": "_files -/", "file": "_files", "run": "_{program}_runs", "text": " "}


def zsh_option(program: str, option: Option) -> str:
    """An option as _arguments wants it."""
    text = re.sub(r"([][:])", r"\\\1", option.help)
    if not option.argument:
        return quoted(f"--{option.name}[{text}]")
    action = ZSH_ACTIONS[kind_of(option.argument)].format(program=program)
    if values_of(option):
        action = f"({' '.join(values_of(option))})"
    return quoted(f"--{option.name}[{text}]:{option.argument}:{action}")


def zsh(program: str, shared: List[Option], commands: List[Command]) -> str:
    """The same for zsh."""
    branches = []
    for c in commands:
        own = [zsh_option(program, option) for option in c.options]
        actions = {**ZSH_ACTIONS, "command": f"({' '.join(each.name for each in commands)})"}
        action = actions[kind_of(c.arguments)].format(program=program)
        rest = [f"'*:{c.arguments.split(' ')[0].strip('[].')}:{action}'"] if c.arguments else []
        branches.append(" ".join([f"            {c.name}) _arguments $shared", *own, *rest, ";;"]))
    listed = [f"        {quoted(c.name + ':' + c.summary.replace(':', ESCAPED_COLON))}"
              for c in commands]
    arguments = ZSH_COMMANDS.format(listed="\n".join(listed), branches="\n".join(branches))
    return ZSH.format(program=program,
                      runs=ZSH_RUNS.format(program=program, runs=RUNS) if commands else "",
                      shared="\n".join(f"        {zsh_option(program, o)}" for o in shared),
                      arguments=arguments if commands else "    _arguments $shared")


# ---- fish ----------------------------------------------------------------------------------------


def fish_option(program: str, option: Option, where: str) -> str:
    """A line for an option."""
    takes = {"folder": " -x -a '(__fish_complete_directories)'", "file": " -r -F",
             "run": f" -x -a '(__{program}_runs)'", "text": " -x"}[kind_of(option.argument)]
    if values_of(option):
        takes = f" -x -a {quoted_for_fish(' '.join(values_of(option)))}"
    return (f"complete -c {program}{where} -l {option.name}{takes if option.argument else ''}"
            f" -d {quoted_for_fish(option.help)}")


def quoted_for_fish(text: str) -> str:
    """A word of fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish(program: str, shared: List[Option], commands: List[Command]) -> str:
    """The same for fish."""
    lines = [f"# Completion of {program} for fish, made from its help.", ""]
    if commands:
        lines += [f"function __{program}_runs", f"    {RUNS}", "end", ""]
    lines.append(f"complete -c {program} -f")
    lines += [fish_option(program, option, "") for option in shared]
    for c in commands:
        lines.append(f"complete -c {program} -n __fish_use_subcommand -a {c.name}"
                     f" -d {quoted_for_fish(c.summary)}")
        where = f" -n '__fish_seen_subcommand_from {c.name}'"
        lines += [fish_option(program, option, where) for option in c.options]
        if kind_of(c.arguments) == "run":
            lines.append(f"complete -c {program}{where} -a '(__{program}_runs)'")
        if kind_of(c.arguments) == "file":
            lines.append(f"complete -c {program}{where} -F")
        if kind_of(c.arguments) == "command":
            names = " ".join(each.name for each in commands)
            lines.append(f"complete -c {program}{where} -a {quoted_for_fish(names)}")
    return "\n".join(lines) + "\n"


def all_of(daemon: List[Option], shared: List[Option], commands: List[Command]) -> Dict[str, str]:
    """The completion of each program for each shell, by its place under share."""
    places = {"bash-completion/completions/{}": bash, "zsh/site-functions/_{}": zsh,
              "fish/vendor_completions.d/{}.fish": fish}
    return {place.format(program): shell(program, *tables) for place, shell in places.items()
            for program, tables in {"richd": (daemon, []), "richctl": (shared, commands)}.items()}

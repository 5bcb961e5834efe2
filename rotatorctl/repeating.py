"""The commands that a result names, for the stack, Region and profile that it was asked for."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from rotatorctl.result import Json, Problem, Result

OPTIONS = ("stack", "region", "profile")
_OF_AWS = {"region": "--region", "profile": "--profile"}
# Each with the names that it has for the options. An operation of AWS has a hyphen, but for a few, so that no prose
# is taken for one; the lookbehind leaves the parts of a path or an address out.
_COMMANDS = (
    (
        re.compile(r"(?<![\w./-])rotatorctl (?:doctor|history|offboard|onboard|rotate|status|unstick)(?![\w-])"),
        {"stack": "--stack"} | _OF_AWS,
    ),
    (
        re.compile(r"(?<![\w./-])aws [a-z0-9]+ (?:[a-z0-9]+(?:-[a-z0-9]+)+|invoke|login|sso|subscribe)(?![\w-])"),
        _OF_AWS,
    ),
    (re.compile(r"(?<![\w./-])sam deploy(?![\w-])"), {"stack": "--stack-name"} | _OF_AWS),
)
# Where a command ends, in a shell or in a sentence.
_END = re.compile(r"[;`|\n]|&&")


def repeating(result: Result, given: Mapping[str, str]) -> Result:
    """The result, whose commands have what was given; tables and what AWS said stay as they are."""
    return replace(
        result,
        data=_data(result.data, given),
        shown=tuple(with_options(each, given) if isinstance(each, str) else each for each in result.shown),
        problems=tuple(_problem(each, given) for each in result.problems),
    )


def with_options(text: str, given: Mapping[str, str]) -> str:
    """The text, in which each command has the options `stack`, `region` and `profile` of `given` that it may have.

    None is put where it stands already: a command for another Region goes there.
    """
    for command, names in _COMMANDS:
        options = [(names[key], value) for key, value in given.items() if key in names]
        text = command.sub(partial(_completed, options), text)
    return text


def _completed(options: list[tuple[str, str]], command: re.Match[str]) -> str:
    rest = _END.split(command.string[command.end() :], maxsplit=1)[0]
    missing = [(name, value) for name, value in options if not re.search(f"{name}[ =]", rest)]
    return command[0] + "".join(f" {name} {shlex.quote(value)}" for name, value in missing)


def _problem(problem: Problem, given: Mapping[str, str]) -> Problem:
    return replace(problem, next_step=with_options(problem.next_step, given))


def _data(data: Json, given: Mapping[str, str]) -> Json:
    """With the commands of the doctor's findings, and those in what `offboard` has left; else it holds facts."""
    told: Json = {}
    if "findings" in data:
        findings = data["findings"]
        told["findings"] = [each | {"command": with_options(each["command"], given)} for each in findings]
    if "left" in data:
        told["left"] = [with_options(each, given) for each in data["left"]]
    return data | told

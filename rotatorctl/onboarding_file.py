"""What `onboard --from FILE` reads: the options of `onboard`, as YAML."""

from collections.abc import Mapping
from typing import Any

import yaml

# Each key with the option that it stands for, as the command's function has it.
_KEYS = {
    "name": "name",
    "host": "host",
    "port": "port",
    "engine": "engine",
    "username": "username",
    "dbname": "dbname",
    "instance": "instance",
    "cluster": "cluster",
    "admin": "admin",
    "passwordFrom": "password_from",
    "schedule": "schedule",
    "window": "window",
}
_DAYS, _TAGS = "rotatePasswordInDays", "tags"


class FileContentError(Exception):
    """What is wrong with the file, in a sentence that quotes nothing of it but keys."""


def read(content: str) -> dict[str, Any]:
    """The options in the file, those that it names; raises FileContentError."""
    given = _loaded(content)
    if not isinstance(given, dict):
        raise FileContentError("it holds no keys; expected name, host, rotatePasswordInDays and the like")
    for key in given:
        _refuse_unknown(str(key))
    options: dict[str, Any] = {_KEYS[key]: _scalar(key, value) for key, value in given.items() if key in _KEYS}
    if _TAGS in given:
        options["tags"] = _tags(given[_TAGS])
    if _DAYS in given:
        options["schedule"] = _days(given)
    return options


def _loaded(content: str) -> object:
    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise FileContentError(f"it is no YAML{f', in line {mark.line + 1}' if mark else ''}") from None
    except RecursionError:
        raise FileContentError("it is nested too deeply; it needs keys with a text or a number each") from None
    except Exception:
        # What PyYAML makes no number or date of ends in errors of many kinds, which are none of its own.
        raise FileContentError("it has a value that looks like a number or a date and is none; quote it") from None


def _refuse_unknown(key: str) -> None:
    if key.lower() == "password":
        raise FileContentError("a password is not read from a file; take it out, it is asked for")
    if key not in (*_KEYS, _DAYS, _TAGS):
        raise FileContentError(f"unknown key {key!r}; there are {', '.join((*_KEYS, _DAYS, _TAGS))}")


def _scalar(key: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise FileContentError(f"the key {key!r} needs a text or a number")
    return str(value)


def _tags(given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise FileContentError(f"the key {_TAGS!r} needs keys and values of its own")
    if "" in given:
        raise FileContentError(f"the key {_TAGS!r} has a tag without a name")
    return {str(key): _scalar(f"{_TAGS}: {key}", value) for key, value in given.items()}


def _days(given: Mapping[str, Any]) -> str:
    if "schedule" in given:
        raise FileContentError(f"it has both {_DAYS} and schedule; leave one out")
    return f"{_scalar(_DAYS, given[_DAYS])}d"

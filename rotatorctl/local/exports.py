"""The settings with which a shell or an SDK talks to the local stack, and to nothing of the user's."""

import shlex
from collections.abc import Iterator, Mapping

from rotatorctl.local.emulator import REGION

# What would lead an SDK elsewhere: https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
_OF_THE_USER = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")


def names(environment: Mapping[str, str]) -> list[str]:
    """Those of the settings of AWS's SDKs there."""
    return [name for name in environment if name.startswith("AWS_")]


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Of the stack's environment. AWS_REGION too, which some tools prefer to AWS_DEFAULT_REGION."""
    return {name: environment[name] for name in names(environment)} | {"AWS_REGION": REGION}


def exports(found: Mapping[str, str]) -> Iterator[str]:
    """Lines for `eval`. None is a comment, which an interactive zsh would run."""
    yield f"unset {' '.join(_OF_THE_USER)}"
    for name, value in found.items():
        yield f"export {name}={shlex.quote(value)}"

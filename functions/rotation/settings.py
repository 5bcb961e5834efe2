"""What the tags `rotation:*` of a secret ask for: how it is rotated, without a deployment."""

from collections.abc import Mapping
from dataclasses import dataclass

from rotation.errors import InvalidSecretError
from rotation.passwords import CHARACTER_SETS, KEYS, new_key, new_password

PREFIX = "rotation:"
SINGLE_USER, ALTERNATING_USERS = "single-user", "alternating-users"
ON, OFF, RETAIN = "on", "off", "retain"

# The first value is what holds without the tag.
_CHOICES = {
    "strategy": ("", SINGLE_USER, ALTERNATING_USERS),
    "generator": ("password", *KEYS),
    "characters": tuple(CHARACTER_SETS),
    "two-passwords": (ON, OFF, RETAIN),
}
# `admin` marks an admin secret for the functions' roles; it asks for nothing here.
_NAMES = {"engine", "key", "length", "reads", "admin", *_CHOICES}
_DEFAULT_LENGTH = 32
# Characters of a password, bytes of a key. Those generators alone take a length.
_LENGTHS = {"password": (8, 128), "base64": (16, 256), "hex": (16, 256)}


@dataclass(frozen=True)
class Settings:
    """The tags of one secret, checked. An empty `engine` or `strategy` is chosen by the secret's value."""

    engine: str
    strategy: str
    key: str
    generator: str
    length: int
    characters: str
    two_passwords: str
    reads: tuple[str, ...]

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> "Settings":
        """The settings in a secret's tags. Raises InvalidSecretError naming the tag, and what it may be."""
        asked = {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}
        for name in asked.keys() - _NAMES:
            raise InvalidSecretError(f"unknown tag {PREFIX + name!r}; this rotator knows {', '.join(sorted(_NAMES))}")
        chosen = {name: _choice(asked, name) for name in _CHOICES}
        return cls(
            engine=asked.get("engine", ""),
            strategy=chosen["strategy"],
            key=asked.get("key", ""),
            generator=chosen["generator"],
            length=_length(asked, chosen["generator"]),
            characters=_characters(asked, chosen),
            two_passwords=chosen["two-passwords"],
            reads=_reads(asked.get("reads", "")),
        )

    def new_value(self) -> str:
        """A new password or key."""
        if self.generator in KEYS:
            return new_key(self.generator, self.length)
        return new_password(self.length, self.characters)


def only_of_a_log_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Those tags that say how to log in and what a log-in proves, if they say something."""
    kept = {f"{PREFIX}engine", f"{PREFIX}key"}
    if tags.get(f"{PREFIX}two-passwords") in _CHOICES["two-passwords"]:
        kept.add(f"{PREFIX}two-passwords")
    return {key: tags[key] for key in tags.keys() & kept}


def _choice(asked: Mapping[str, str], name: str) -> str:
    choices = _CHOICES[name]
    value = asked.get(name, choices[0])
    if value not in choices:
        known = ", ".join(choice for choice in choices if choice)
        raise InvalidSecretError(f"the tag {PREFIX + name!r} is {value!r}; it may be one of {known}")
    return value


def _length(asked: Mapping[str, str], generator: str) -> int:
    text = asked.get("length")
    if text is None:
        return _DEFAULT_LENGTH
    if generator not in _LENGTHS:
        raise InvalidSecretError(f"the tag 'rotation:length' does not go with the generator {generator!r}: it is fixed")
    least, most = _LENGTHS[generator]
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise InvalidSecretError(f"the tag 'rotation:length' is {text!r}; it may be a number from {least} to {most}")
    return int(text)


def _reads(text: str) -> tuple[str, ...]:
    names = tuple(text.split())
    for name in names:
        if not all(name.split(".")):
            raise InvalidSecretError(f"the tag 'rotation:reads' names {name!r}, which is no name of a table or key")
    return names


def _characters(asked: Mapping[str, str], chosen: Mapping[str, str]) -> str:
    if "characters" in asked and chosen["generator"] in KEYS:
        raise InvalidSecretError("the tag 'rotation:characters' goes with the generator 'password' alone")
    return chosen["characters"]

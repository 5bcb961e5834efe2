"""New secret values, from the standard library's `secrets`."""

import base64
import secrets
import string
import uuid
from collections.abc import Callable

from rotation.redaction import conceal

_LETTERS_AND_DIGITS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)

# What a password may consist of, by name; each class occurs in it. None has a character that AWS's own rotation
# functions exclude (/@"'\ and ':').
CHARACTER_SETS = {
    # Needs no quoting in a URL, a shell or a connection string: RFC 3986's unreserved characters.
    "url-safe": (*_LETTERS_AND_DIGITS, "-_.~"),
    "alphanumeric": _LETTERS_AND_DIGITS,
    "punctuation": (*_LETTERS_AND_DIGITS, "!#$%&()*+,-.;<=>?[]^_{|}~"),
}

_KEY_BYTES = 32


def new_password(length: int, character_set: str) -> str:
    """A password of that many characters, the first a letter; each admissible one is equally likely."""
    classes = CHARACTER_SETS[character_set]
    alphabet = "".join(classes)
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(length))
        if password[0] in string.ascii_letters and all(set(password) & set(kind) for kind in classes):
            conceal(password)
            return password


# Values that are no passwords, by the name of their generator; `length` is in bytes.
KEYS: dict[str, Callable[[int], str]] = {
    "base64": lambda length: base64.b64encode(secrets.token_bytes(length)).decode(),
    "hex": secrets.token_hex,
    "uuid": lambda _: str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
    # As long as SHA-256's output, below which RFC 2104 discourages a key.
    "hmac-sha256": lambda _: base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode(),
}


def new_key(generator: str, length: int) -> str:
    """A value of this generator."""
    value = KEYS[generator](length)
    conceal(value)
    return value

"""New passwords, from the standard library's `secrets`."""

import secrets
import string

from rotation.redaction import conceal

# Characters that need no quoting in a URL, a shell or a connection string; none of those that AWS's own rotation
# functions exclude (/@"'\ and ':').
_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.~")
_LENGTH = 32


def new_password() -> str:
    """32 characters with at least one lower-case and upper-case letter, digit and punctuation mark; about 190 bits.

    Drawn again until every class occurs, so that each admissible password is equally likely.
    """
    alphabet = "".join(_CLASSES)
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(_LENGTH))
        if password[0] in string.ascii_letters and all(set(password) & set(kind) for kind in _CLASSES):
            conceal(password)
            return password

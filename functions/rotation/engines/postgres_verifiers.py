"""What PostgreSQL stores in the place of a password, computed here so that the password itself is never sent."""

import hashlib
import hmac
import stringprep
import unicodedata
from base64 import b64encode
from secrets import token_bytes

from rotation.model import Credentials

# What RFC 4013 prohibits, and what Unicode 3.2 did not know.
_PROHIBITED = (
    *(stringprep.in_table_a1, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4),
    *(stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8),
    stringprep.in_table_c9,
)


def password_verifier(kind: str, target: Credentials, prepared: bytes) -> str:
    """What the server stores for this password. Format: https://www.postgresql.org/docs/current/catalog-pg-authid.html"""
    if kind == "md5":
        return "md5" + hashlib.md5((target.password + target.username).encode()).hexdigest()
    salt, iterations = token_bytes(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (b64encode(part).decode() for part in (salt, stored_key, server_key))
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *encoded)


def prepared(password: str) -> bytes:
    """SASLprep as PostgreSQL does it, which other libraries do not: a zero width space becomes a space, and what is
    prohibited is looked for before the text is normalized. Where something is, or nothing is left, its bytes count.

    Source: https://github.com/postgres/postgres/blob/master/src/common/saslprep.c
    """
    space, nothing = stringprep.in_table_c12, stringprep.in_table_b1
    mapped = "".join(" " if space(each) else each for each in password if space(each) or not nothing(each))
    if not mapped or _is_refused(mapped):
        return password.encode()
    return unicodedata.normalize("NFKC", mapped).encode()


def _is_refused(mapped: str) -> bool:
    if any(prohibits(each) for each in mapped for prohibits in _PROHIBITED):
        return True
    from_right = [stringprep.in_table_d1(each) for each in mapped]
    if not any(from_right):
        return False
    return any(map(stringprep.in_table_d2, mapped)) or not (from_right[0] and from_right[-1])

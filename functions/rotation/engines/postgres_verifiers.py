"""What PostgreSQL stores in the place of a password, computed here so that the password itself is never sent."""

import hashlib
import hmac
from base64 import b64encode
from secrets import token_bytes

from rotation.model import Credentials


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

"""What the functions that log in after a change load before they are called.

docs/decisions/0022-functions-start-beside-createsecret.md has the reasons for what is here and what is not.
"""

from contextlib import suppress

from rotation import secret_store
from rotation.errors import InvalidSecretError
from rotation.tls import verified_context


def get_ready() -> None:
    """Make the client and read the authorities to trust, which every log-in needs; call nothing."""
    secret_store.get_ready()
    # That PRIVATE_CA is no certificate is for the step to say.
    with suppress(InvalidSecretError):
        verified_context()

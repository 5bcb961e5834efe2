"""What the functions that stand between a change and its promotion load before they are called.

docs/decisions/0022-functions-start-beside-createsecret.md has the reasons for what is here and what is not.
"""

from contextlib import suppress

from rotation import engines, secret_store
from rotation.errors import InvalidSecretError
from rotation.tls import verified_context

# Their users have one password and are refused until the promotion. So are MongoDB's: its driver takes as long as all
# of this together, and a function that is called before it is ready starts once more.
LOADED = (engines.POSTGRES, engines.MYSQL)


def get_ready() -> None:
    """Load what a log-in needs, and call nothing."""
    secret_store.get_ready()
    for traits in LOADED:
        engines.load(traits)
    # That PRIVATE_CA is no certificate is for the step to say.
    with suppress(InvalidSecretError):
        verified_context()

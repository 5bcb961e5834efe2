"""The TLS context of every engine: certificates are always verified."""

import os
import ssl
from pathlib import Path

from rotation.errors import InvalidSecretError

# Amazon's certificate authorities for RDS and DocumentDB, packaged; see certificates/README.md for source and refresh.
_AMAZON_BUNDLE = Path(__file__).parent.parent / "certificates" / "rds-global-bundle.pem"


def verified_context() -> ssl.SSLContext:
    """A context that trusts the system's store, Amazon's database CAs and the private CA in PRIVATE_CA (PEM text).

    Raises InvalidSecretError if PRIVATE_CA is no certificate: no server can be trusted by it.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=_AMAZON_BUNDLE)
    if private_ca := os.environ.get("PRIVATE_CA"):
        try:
            context.load_verify_locations(cadata=private_ca)
        except (ssl.SSLError, TypeError):
            raise InvalidSecretError("the stack's parameter for PRIVATE_CA holds no certificate as PEM text") from None
    return context

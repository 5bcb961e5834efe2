"""The TLS context of every engine: certificates are always verified."""

import os
import ssl
from pathlib import Path

# Amazon's certificate authorities for RDS and DocumentDB, packaged; see certificates/README.md for source and refresh.
_AMAZON_BUNDLE = Path(__file__).parent.parent / "certificates" / "rds-global-bundle.pem"


def verified_context() -> ssl.SSLContext:
    """A context that trusts the system's store, Amazon's database CAs and the private CA in PRIVATE_CA (PEM text)."""
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=_AMAZON_BUNDLE)
    if private_ca := os.environ.get("PRIVATE_CA"):
        context.load_verify_locations(cadata=private_ca)
    return context

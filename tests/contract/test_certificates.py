"""The packaged bundle is what its README says, and TLS can use all of it."""

import hashlib
import re
import ssl
from pathlib import Path

CERTIFICATES = Path(__file__).parents[2] / "functions" / "certificates"
BUNDLE = CERTIFICATES / "rds-global-bundle.pem"
README = (CERTIFICATES / "README.md").read_text()


def documented(row: str) -> str:
    found = re.search(rf"^\| {row} \| `?(\w+)", README, re.MULTILINE)
    assert found, f"README.md has no row {row!r}"
    return found[1]


def test_every_certificate_of_the_bundle_is_an_authority_that_tls_loads() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    context.load_verify_locations(cafile=BUNDLE)

    loaded = context.cert_store_stats()
    assert loaded["x509_ca"] == loaded["x509"] == BUNDLE.read_text().count("BEGIN CERTIFICATE")


def test_the_readme_gives_the_number_of_certificates() -> None:
    assert int(documented("Certificates")) == BUNDLE.read_text().count("BEGIN CERTIFICATE")


def test_the_readme_gives_the_checksum_of_the_bundle() -> None:
    assert documented("SHA-256") == hashlib.sha256(BUNDLE.read_bytes()).hexdigest()

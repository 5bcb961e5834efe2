"""A client of its own: one log-in to PostgreSQL, as an application would do it.

Run as `python -m rotatorctl.local.login` with host, port, user, password and CA as JSON on standard input, so that the
password is no process argument. Exit code 0 if the server lets it in, 3 if it refuses the password.
"""

import json
import ssl
import sys
from typing import Any

import pg8000.native

_REFUSED = "28P01"
# Python itself ends with 1 after any other trouble.
LETS_IN, REFUSES = 0, 3


def logs_in(credentials: dict[str, Any]) -> bool:
    """Whether the server accepts the credentials, without TLS if there is no CA. Any other trouble is raised."""
    try:
        connection = pg8000.native.Connection(
            credentials["username"],
            host=credentials["host"],
            port=credentials["port"],
            database="postgres",
            password=credentials["password"],
            ssl_context=ssl.create_default_context(cadata=credentials["ca"]) if credentials["ca"] else False,
            timeout=10,
        )
    except pg8000.native.DatabaseError as error:
        if error.args[0].get("C") != _REFUSED:
            raise
        return False
    connection.close()
    return True


if __name__ == "__main__":
    sys.exit(LETS_IN if logs_in(json.load(sys.stdin)) else REFUSES)

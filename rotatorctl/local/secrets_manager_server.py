"""The model of Secrets Manager behind HTTP, for boto3 and the AWS CLI: AWS JSON 1.1 on 127.0.0.1.

The caller's name is taken from the SDK's User-Agent: the setting AWS_SDK_UA_APP_ID is there as `app/<name>`.
Requests are not authenticated: a caller is who it says it is.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rotatorctl.local.secrets_manager import SecretsManager, SecretsManagerError

# Each operation with its required parameters.
OPERATIONS = {
    "CancelRotateSecret": ("SecretId",),
    "CreateSecret": ("Name",),
    "DeleteSecret": ("SecretId",),
    "DescribeSecret": ("SecretId",),
    "GetResourcePolicy": ("SecretId",),
    "GetSecretValue": ("SecretId",),
    "ListSecretVersionIds": ("SecretId",),
    "ListSecrets": (),
    "PutResourcePolicy": ("SecretId", "ResourcePolicy"),
    "PutSecretValue": ("SecretId",),
    "RestoreSecret": ("SecretId",),
    "RotateSecret": ("SecretId",),
    "TagResource": ("SecretId", "Tags"),
    "UntagResource": ("SecretId", "TagKeys"),
    "UpdateSecret": ("SecretId",),
    "UpdateSecretVersionStage": ("SecretId", "VersionStage"),
}


@contextmanager
def serve(model: SecretsManager, port: int = 0) -> Iterator[str]:
    """Serve the model until the block ends; yields the endpoint's URL. Port 0 takes a free one."""
    with ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, model)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    # A client's connection is kept for its next call, and each answer goes out at once and whole.
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True

    def __init__(self, model: SecretsManager, *args: Any) -> None:
        self._model = model
        super().__init__(*args)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            status, answer = HTTPStatus.OK, self._answer(body)
        except SecretsManagerError as error:
            # The service model gives its errors no status of their own, so all of them are 400.
            status, answer = HTTPStatus.BAD_REQUEST, {"__type": error.code, "message": error.message}
        except Exception as error:  # the server outlives a fault of the model; its text may hold a value
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            answer = {"__type": "InternalServiceError", "message": type(error).__name__}
        content = json.dumps(answer, default=_as_json).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the console for those who use it."""

    def _answer(self, body: bytes) -> dict[str, Any]:
        operation = self.headers.get("X-Amz-Target", "").removeprefix("secretsmanager.")
        if operation not in OPERATIONS:
            raise SecretsManagerError("UnknownOperationException", f"{operation} is not modelled.")
        request, caller = _read(operation, body), self._caller()
        self._model.authorize(operation, caller, request)
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        answer: dict[str, Any] = getattr(self._model, method)(caller=caller, **request)
        return answer

    def _caller(self) -> str | None:
        app = re.search(r"(?:^|\s)app/(\S+)", self.headers.get("User-Agent", ""))
        return app[1] if app else None


def _read(operation: str, body: bytes) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(body or b"{}")
    for parameter in OPERATIONS[operation]:
        if parameter not in request:
            raise SecretsManagerError("InvalidParameterException", f"{operation} needs {parameter}.")
    if "SecretBinary" in request:
        request["SecretBinary"] = base64.b64decode(request["SecretBinary"])
    return request


def _as_json(value: object) -> float | str:
    if isinstance(value, datetime):
        return value.timestamp()
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()

"""The processes of the functions: `python -m tests.faults.function_process SOCKET`.

A server forks once per connection, from a process that has imported what functions import and done nothing. A process
is invoked again and again over its connection, as Lambda does it. One that is killed runs no `except` and no `finally`,
and the next invocation starts cold.
"""

import gc
import importlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any
from unittest.mock import patch

from rotation import secret_store
from rotation.model import STEPS
from rotation.tls import verified_context
from tests import sdk
from tests.faults.calls import Watch, watched

# What a fork brings along. The drivers too: importing them takes longer than a whole rotation.
IMPORTED = ["boto3", "pg8000.native", "pymysql", "pymongo", "redis", "rotation.step_handler"]


def module_of(state: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", state).lower()


def serve(path: str) -> None:
    for name in (*IMPORTED, *map(module_of, (*STEPS, "RollBack"))):
        importlib.import_module(name)
    # Reading the authorities to trust takes longer than most invocations; a context remembers them.
    verified_context()
    sdk.remember()
    # A fork would copy each page that its garbage collector looks at.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as lines:
                environment = json.loads(lines.readline())
                os.environ.update(environment)
                make_client = partial(_client, **environment)
                make_client()
                if os.fork() == 0:
                    listener.close()
                    with patch.object(secret_store, "_client", make_client):
                        while words := lines.readline():
                            _invoked(json.loads(words), lines)
                    os._exit(0)


@cache
def _client(**environment: str) -> Any:
    """Made before the fork, for it takes a quarter of an invocation; nothing has been asked with it yet."""
    return secret_store._client.__wrapped__()


def _invoked(told: dict[str, Any], lines: Any) -> None:
    def say(**words: Any) -> None:
        lines.write(json.dumps(words) + "\n")
        lines.flush()

    def put_off(perform: Callable[[], Any]) -> None:
        lines.readline()
        with suppress(Exception):
            perform()

    say(process=os.getpid())
    with watched(Watch(say, **told["fault"], go=lines.readline, put_off=put_off)):
        handler = importlib.import_module(module_of(told["state"])).handler
        try:
            answer = {"answer": handler(told["event"], None)}
        except Exception as error:
            answer = {"error": type(error).__name__, "message": str(error)}
    say(**answer)


if __name__ == "__main__":
    serve(sys.argv[1])

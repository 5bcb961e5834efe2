"""`python -m rotatorctl.local.deploy [Parameter=value ...]`: `sam build` and `sam deploy` to the emulator.

The environment names it, by the lines that `rotatorctl local up` and `make demo KEEP=1` print. The functions are made
to run on this machine. `--delete` deletes the stack, and before that lists the secrets that name its function.
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rotatorctl.aws import Aws
from rotatorctl.deployed import Described, Stack, secrets_of
from rotatorctl.local.build import DeploymentError
from rotatorctl.local.stack import STACK_NAME, delete, deploy
from rotatorctl.result import CommandError


def main(arguments: list[str]) -> None:
    if not os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://127.0.0.1:"):
        sys.exit("No emulator: `bin/rotatorctl local up` starts one, and prints the `export` lines to run first.")
    if arguments == ["--delete"]:
        # Written before the stack is gone, and kept if its deletion fails.
        print(*_listed(), sep="\n", flush=True)
        delete(os.environ)
        return
    parameters = dict(argument.split("=", 1) for argument in arguments)
    with tempfile.TemporaryDirectory(prefix="offline-stack-") as folder:
        try:
            outputs = deploy(os.environ, Path(folder), parameters)
        except DeploymentError as error:
            sys.exit(str(error))
    for name, value in outputs.items():
        print(f"{name}: {value}")


def _listed() -> Iterator[str]:
    try:
        yield from attached(secrets_of(Stack.find(Aws(), STACK_NAME)))
    except CommandError as error:
        yield f"What is attached cannot be listed: {error}."


def attached(secrets: list[Described]) -> Iterator[str]:
    """Lines for people on what names the stack's function; without the stack only AWS's own command detaches."""
    if not secrets:
        yield "No secret names this stack's function."
        return
    yield "These secrets name this stack's function. Without it, each rotation that is still on fails:"
    for secret in secrets:
        detach = f"aws secretsmanager cancel-rotate-secret --secret-id {shlex.quote(secret.name)}"
        yield f"  {secret.name}: " + (f"detach it: {detach}" if secret.rotation_enabled else "its rotation is off")


if __name__ == "__main__":
    main(sys.argv[1:])

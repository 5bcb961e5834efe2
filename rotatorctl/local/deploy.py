"""`python -m rotatorctl.local.deploy [Parameter=value ...]`: `sam build` and `sam deploy` to the emulator.

The environment names it, by the lines that `rotatorctl local up` and `make demo KEEP=1` print. The functions are made
to run on this machine. `--delete` deletes the stack.
"""

import os
import sys
import tempfile
from pathlib import Path

from rotatorctl.local.stack import DeploymentError, delete, deploy


def main(arguments: list[str]) -> None:
    if not os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://127.0.0.1:"):
        sys.exit("No emulator: `bin/rotatorctl local up` starts one, and prints the `export` lines to run first.")
    if arguments == ["--delete"]:
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


if __name__ == "__main__":
    main(sys.argv[1:])

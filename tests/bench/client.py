"""An application, in a process of its own: it reads AWSCURRENT and logs in, again and again as fast as it can.

Run as a module with a secret's ARN. It says "ready" once it was let in, goes on until its standard input is closed, and
prints one line of JSON: for each log-in the seconds of the monotonic clock at which it began to read and at which it
had its answer, and whether it was let in. Any other answer of the server than a refusal ends it with an error.
"""

import json
import select
import sys
import time

import boto3

from rotation import engines
from rotation.errors import LoginRefusedError
from rotation.secret import Secret


def main(arn: str) -> None:
    secrets_manager = boto3.client("secretsmanager")
    # The engine is chosen by tags as well; they do not change.
    tags = {tag["Key"]: tag["Value"] for tag in secrets_manager.describe_secret(SecretId=arn).get("Tags", [])}

    def let_in() -> bool:
        value = secrets_manager.get_secret_value(SecretId=arn)["SecretString"]
        secret = Secret.parse(value, tags, engines.ENGINES)
        try:
            engines.load(secret.traits).verify(secret.credentials)
        except LoginRefusedError:
            return False
        return True

    let_in()
    print("ready", flush=True)
    log_ins: list[tuple[float, float, bool]] = []
    told_to_stop = False
    # The last log-in begins when everything else is over.
    while not told_to_stop:
        told_to_stop = bool(select.select([sys.stdin], [], [], 0)[0])
        begun = time.monotonic()
        answer = let_in()
        log_ins.append((begun, time.monotonic(), answer))
    print(json.dumps(log_ins))


if __name__ == "__main__":
    main(*sys.argv[1:])

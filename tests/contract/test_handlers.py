"""A function's container starts fast and quietly, and a function that logs in to no service loads no driver."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from rotation.engines import ENGINES as REGISTRY
from rotation.report import NOTHING_TOLD
from rotatorctl.local.secrets_manager import SecretsManager
from rotatorctl.local.secrets_manager_server import serve
from tests.contract.imports import ENGINES, FUNCTIONS, HANDLERS, third_party

REGION, ACCOUNT = "us-east-1", "123456789012"
ROTATE_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate"
DRIVERS = {package for name in ENGINES for package in third_party(name)}

# Whatever would reach out of the process fails, so that importing a handler is seen to do nothing but that.
QUIET = """
import socket, boto3, boto3.session

def refuse(*_, **__):
    raise AssertionError("reached out of the process")

socket.socket.connect = socket.getaddrinfo = refuse
boto3.client = boto3.resource = boto3.session.Session.client = refuse
"""
LOADED = "\nimport json, sys\nprint('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded(code: str, **environment: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after running the code, with nothing of the user's settings."""
    settings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(FUNCTIONS)} | environment
    finished = subprocess.run(
        [sys.executable, "-c", code + LOADED], env=settings, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", HANDLERS)
def test_importing_a_handler_makes_no_client_reaches_no_network_and_loads_no_driver(name: str) -> None:
    packages = loaded(f"{QUIET}\nimport {name}\nassert callable({name}.handler)")

    assert "rotation" in packages
    assert packages & DRIVERS == set()


@pytest.mark.parametrize("engine", REGISTRY)
def test_an_engine_loads_its_own_driver_and_no_other(engine: str) -> None:
    packages = loaded(f"from rotation import engines; engines.load(engines.ENGINES[{engine!r}])")

    assert packages & DRIVERS == third_party(f"rotation.engines.{REGISTRY[engine].module}")


class Functions:
    """Calls of Secrets Manager, answered by create_secret and finish_secret, each in an interpreter of its own."""

    def __init__(self, engine: str) -> None:
        self.secrets_manager = SecretsManager(invoke=self._answer, region=REGION, account=ACCOUNT)
        fields = {"engine": engine, "host": "db.example", "username": "app", "password": "first-password"}
        self.arn = self.secrets_manager.create_secret(Name="db", SecretString=json.dumps(fields))["ARN"]
        self.packages: dict[str, set[str]] = {}
        self.url = ""

    def rotate(self) -> str:
        first = self._version("AWSCURRENT")
        self._completed = {"State": "none", "CurrentVersionId": first}
        with serve(self.secrets_manager) as self.url:
            self.secrets_manager.rotate_secret(
                SecretId=self.arn, RotationLambdaARN=ROTATE_ARN, RotationRules={"AutomaticallyAfterDays": 30}
            )
            rotation = self.secrets_manager.wait(self.arn)
        assert rotation is not None
        assert self._version("AWSCURRENT") == rotation.token != first
        return str(rotation.outcome)

    def _answer(self, _: str, event: dict[str, str]) -> None:
        if event["Step"] in ("createSecret", "finishSecret"):
            self._run({"createSecret": "create_secret", "finishSecret": "finish_secret"}[event["Step"]], event)
        if event["Step"] == "finishSecret":
            # The promotion is done, so this answers without an execution.
            self._run("rotate", event)

    def _run(self, handler: str, event: dict[str, Any]) -> None:
        request = {key: event[key] for key in ("SecretId", "ClientRequestToken")}
        request |= {"Mode": "Rotate", "Attempt": 1, "Previous": NOTHING_TOLD, "Execution": "execution"}
        state = {"Request": request, "Completed": self._completed, "RotationToken": event["RotationToken"]}
        context = "type('', (), {'get_remaining_time_in_millis': lambda self: 60_000})()"
        self.packages[handler] = loaded(
            f"import {handler}\n{handler}.handler({event | state!r}, {context})",
            AWS_ENDPOINT_URL_SECRETS_MANAGER=self.url,
            AWS_DEFAULT_REGION=REGION,
            AWS_ACCESS_KEY_ID="testing",
            AWS_SECRET_ACCESS_KEY="testing",
            AWS_SDK_UA_APP_ID=handler.replace("_", "-"),
            CONSOLE_URL="https://console.example/executions",
            STATE_MACHINE_ARN=f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:rotation",
        )

    def _version(self, stage: str) -> str:
        return str(self.secrets_manager.get_secret_value(SecretId=self.arn, VersionStage=stage)["VersionId"])


@pytest.mark.parametrize("engine", {entry.module: name for name, entry in REGISTRY.items()}.values())
def test_functions_that_log_in_to_no_service_load_no_driver_in_a_whole_rotation(engine: str) -> None:
    functions = Functions(engine)

    assert functions.rotate() == "RotationSucceeded"

    assert set(functions.packages) == {"create_secret", "finish_secret", "rotate"}
    for packages in functions.packages.values():
        assert packages & DRIVERS == set()

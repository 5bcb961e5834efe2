"""`sam build`, and its result made to run in the emulator.

The functions of a build have the same code: `sam build` copies it into a folder for each of them. Here they share one
zip, which is made once for the same sources: copying, zipping and unpacking them took most of the time of a deployment.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from rotatorctl.local.emulator import REGION, ROOT

TEMPLATE = ROOT / "template.yaml"
_SAM = ROOT / ".aws-sam"
_BUILT = _SAM.resolve() / "build"
_CODE = "code.zip"
_ARCHITECTURES = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}
# The parameter of the template that follows from where it runs.
THIS_MACHINE = {"Architecture": _ARCHITECTURES[platform.machine()]}

# A resource of a type that the emulator does not know.
_UNKNOWN = re.compile(r"(?m)^  \w+:\n    Type: AWS::Logs::QueryDefinition\n(?:    .*\n|\n)+")

# The emulator's own Python runtime reports every exception as Runtime.HandlerError, so that no error name of ours would
# reach the Retry and Catch of the state machine. A custom runtime is served by a real Runtime API, on which AWS's own
# client tells errors by their names. The code's folder comes first, as in Lambda; boto3 is this environment's, as in
# Lambda it is the runtime's. The application id tells Secrets Manager's model which function calls it. Nobody shares
# the emulator's quotas, so `rotate` looks every two seconds whether an execution has ended: here somebody watches.
_BOOTSTRAP = """#!/bin/sh
export PYTHONPATH="$LAMBDA_TASK_ROOT" AWS_SDK_UA_APP_ID="$AWS_LAMBDA_FUNCTION_NAME"
exec '{python}' -c '
from sys import argv
from awslambdaric.__main__ import main
from rotation import waiting
waiting.EXECUTION_FIRST = waiting.EXECUTION_AGAIN = waiting.LOG_IN_AGAIN = (2, 2)
main(argv)
' "$_HANDLER"
"""


class DeploymentError(Exception):
    """The SAM CLI refused to build or deploy; the message ends with what it wrote."""


def built(template: Path, folder: Path) -> Path:
    """Build into `folder`; returns the built template there. Raises DeploymentError."""
    result = folder / "build"
    shutil.rmtree(result, ignore_errors=True)
    with alone():
        if template == TEMPLATE:
            shutil.copytree(_of_these_sources(folder / "build.log"), result)
        else:
            _build(template, folder / "build.log")
            _pack(result)
    return result / "template.yaml"


def _of_these_sources(log: Path) -> Path:
    """The packed build of the project as it is now, from before if there is one."""
    kept, digest = _SAM / "offline", _digest()
    result = kept / digest
    if result.exists():
        return result
    shutil.rmtree(kept, ignore_errors=True)
    _build(TEMPLATE, log)
    unfinished = kept / "unfinished"
    _pack(unfinished)
    # What was edited meanwhile may be in it or not: then nobody uses it again.
    return unfinished.rename(result) if _digest() == digest else unfinished


def _digest() -> str:
    """Of all that a packed build is made of, and of the paths that it names."""
    folders = (path for name in ("functions", "statemachine") for path in (ROOT / name).rglob("*"))
    files = [path for path in folders if path.is_file() and "__pycache__" not in path.parts]
    digest = hashlib.sha256(repr([str(ROOT), sys.executable, sys.version]).encode())
    for path in sorted([*files, *ROOT.glob("*.yaml"), Path(__file__)]):
        digest.update(f"{path} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()


def _build(template: Path, log: Path) -> None:
    # pip's settings are the user's own.
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**own, "AWS_DEFAULT_REGION": REGION}
    sam(
        ["build", "--template-file", str(template), "--cached"],
        overridden(THIS_MACHINE),
        environment=environment,
        log=log,
    )


def _pack(result: Path) -> None:
    """The built templates, and one zip of the code that their functions share."""
    # The functions whose code is the same by what it was built from.
    definitions = tomllib.loads((_SAM / "build.toml").read_text())["function_build_definitions"].values()
    ((first, *_),) = (definition["functions"] for definition in definitions)
    for template in _BUILT.rglob("template.yaml"):
        copy = result / template.relative_to(_BUILT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(template.relative_to(_BUILT).parts) - 1)
        text = _with_places(_running_here(template.read_text(), f"{up}{_CODE}"), template.parent)
        # As JSON, which is YAML as well: the SAM CLI reads it ten times, and YAML takes it a third of a deployment.
        copy.write_text(json.dumps(yaml.load(text, yaml.CSafeLoader)))
    _zip(_BUILT / first, result / _CODE)


def _zip(code: Path, file: Path) -> None:
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(bootstrap, _BOOTSTRAP.format(python=sys.executable))
        for path in sorted(code.rglob("*")):
            archive.write(path, path.relative_to(code))


def _running_here(template: str, code: str) -> str:
    """The template with functions that the emulator runs as they are meant to be, of this code."""
    text = re.sub(r"(?m)\bRuntime: python3\.\d+$", "Runtime: provided.al2023", _UNKNOWN.sub("", template))
    return re.sub(r"(?m)^(      CodeUri: )\w+Function$", rf"\g<1>{code}", text)


def _with_places(template: str, folder: Path) -> str:
    """The template of that folder, as it can be read elsewhere: paths of what is not built are absolute."""

    def place(match: re.Match[str]) -> str:
        path = (folder / match[1]).resolve()
        return match[0] if path.is_relative_to(_BUILT) else f": {path}"

    return re.sub(r"(?m): (\.\./\S+)$", place, template)


@contextmanager
def alone() -> Iterator[None]:
    """Other offline stacks of this machine wait here: builds share one cache, and one folder for their result."""
    _SAM.mkdir(exist_ok=True)
    with (_SAM / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def overridden(parameters: Mapping[str, str]) -> list[str]:
    """The SAM CLI's arguments for these parameters of a template."""
    quoted = (name + '="' + value.replace('"', '\\"') + '"' for name, value in parameters.items())
    return ["--parameter-overrides", *quoted]


def sam(*arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    """Run the SAM CLI, with its settings beside `log`. Raises DeploymentError."""
    programs, settings = Path(sys.executable).parent, log.parent / "sam"
    settings.mkdir(exist_ok=True)
    # Otherwise it asks its maker's server for a newer release, each time that it has not done so before.
    (settings / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))
    with log.open("wb") as output:
        finished = subprocess.run(
            [programs / "sam", *(argument for part in arguments for argument in part)],
            cwd=ROOT,
            # `sam build` wants this version's Python on PATH.
            env={
                **environment,
                "SAM_CLI_TELEMETRY": "0",
                "__SAM_CLI_APP_DIR": str(settings),
                "SAM_CLI_POLL_DELAY": "0.2",
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode:
        raise DeploymentError(log.read_text(errors="replace"))

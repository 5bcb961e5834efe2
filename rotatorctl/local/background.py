"""`python -m rotatorctl.local.background`: the process that `rotatorctl local up` starts, and that holds all others.

It says on standard output what it does, and lets go of that when everything is up. SIGTERM takes everything down.
"""

import os
import shutil
import signal
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from rotation.redaction import conceal, redacted
from rotatorctl.local.application import MAIL, SECRET, WAITING_SECRET, WAITING_USER, Application
from rotatorctl.local.build import DeploymentError
from rotatorctl.local.detached import let_go_of_output
from rotatorctl.local.emulator import ROOT
from rotatorctl.local.exports import settings
from rotatorctl.local.postgresql import PostgreSQL
from rotatorctl.local.running import Process, Running
from rotatorctl.local.servers import ServerStartError
from rotatorctl.local.signals import sigterm_unwinds
from rotatorctl.local.stack import OfflineStack

# Waits and delays before a retry pass five times as fast as on AWS: here somebody watches.
_WAIT_SCALE = 0.2


def run() -> None:
    """Start everything, and hold it until a signal asks for the end."""
    with ExitStack() as world:
        world.enter_context(sigterm_unwinds())
        world.callback(Running.forget)
        folder = _folder(world)
        running = Running(str(ROOT), str(folder), (Process.of("stack", os.getpid()),)).save()
        _say("starting a PostgreSQL with TLS")
        database = world.enter_context(PostgreSQL.started())
        conceal(database.admin_password)
        running = running.holding("postgresql", database.pid).but(database_port=database.port).save()
        _say("starting the AWS emulator, sam build, sam deploy")
        stack = world.enter_context(_deployed(folder / "stack", database))
        running = running.holding("emulator", stack.emulator_pid).save()
        _say(f"putting the secret {SECRET} under rotation, by a log-in test")
        _put_under_rotation(stack, database)
        Application.created(stack.secrets, database, WAITING_USER, WAITING_SECRET)
        running.but(
            ready=True,
            environment=settings(stack.environment),
            ca_pem=database.ca_pem,
            mail_folder=str(stack.mail_folder),
            secret=SECRET,
            waiting_secret=WAITING_SECRET,
        ).save()
        let_go_of_output()
        while True:
            signal.pause()


def _folder(world: ExitStack) -> Path:
    """The place of everything that servers and stack write."""
    folder = Path(tempfile.mkdtemp(prefix="rotatorctl-local-"))
    world.callback(shutil.rmtree, folder)
    # A server of root's runs as another user, who has to get to its own folder below.
    folder.chmod(0o711)
    tempfile.tempdir = str(folder)
    return folder


def _deployed(folder: Path, database: PostgreSQL) -> AbstractContextManager[OfflineStack]:
    folder.mkdir()
    parameters = {"AlertEmail": MAIL, "PrivateCaCertificate": database.ca_pem}
    return OfflineStack.started(folder, wait_scale=_WAIT_SCALE, parameters=parameters)


def _put_under_rotation(stack: OfflineStack, database: PostgreSQL) -> None:
    application = Application.created(stack.secrets, database)
    stack.secrets.rotate_secret(
        SecretId=application.arn,
        RotationLambdaARN=stack.outputs["RotationFunctionArn"],
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    rotation = stack.model.wait(application.arn)
    if rotation is None or rotation.outcome != "TestRotationSucceeded":
        raise DeploymentError(f"the log-in test of {SECRET} failed: {rotation and rotation.steps}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        run()
    except (ServerStartError, DeploymentError) as error:
        sys.exit(redacted(str(error)))

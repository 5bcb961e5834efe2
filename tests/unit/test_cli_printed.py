"""A standard output that takes no result: that is told, and changes nothing of what the command did."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import click
import pytest
from click.testing import CliRunner

from rotatorctl import cli, command, reporting
from rotatorctl.render import progress_console, show
from rotatorctl.result import Problem, Result

ROTATED = Result("rotate", {"secrets": []}, ("app: rotated",), (Problem("StillRunningError", "b", "c", "d"),))


def told_of(output: str, stdout: IO[str] | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The codes on standard error, where the result is printed to this standard output."""
    stderr = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stdout)
        patched.setattr(sys, "stderr", stderr)
        assert not show(ROTATED, output)
    return [line.partition(":")[0] for line in stderr.getvalue().splitlines() if "Error: " in line]


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_result_that_cannot_be_printed_is_told_with_its_problems(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        assert told_of(output, full, monkeypatch) == ["StillRunningError", "NotPrintedError"]
        # As Python does when it ends: what was not taken is not tried again.
        full.flush()

    assert told_of(output, None, monkeypatch) == ["StillRunningError", "NotPrintedError"]


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_reader_that_has_read_enough_is_told_the_problems_alone(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        assert told_of(output, pipe, monkeypatch) == ["StillRunningError"]


def test_a_result_that_could_not_be_printed_is_not_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_find", lambda *_: None)
    monkeypatch.setattr(cli, "list_secrets", lambda _: Result("status"))
    monkeypatch.setattr(reporting, "show", lambda *_: False)

    assert CliRunner().invoke(cli.cli, ["status"]).exit_code == 1


def test_progress_that_nobody_reads_keeps_nothing_from_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, Path("/dev/full").open("w") as full:
        for stderr in (pipe, full, None):
            monkeypatch.setattr(sys, "stderr", stderr)
            console = progress_console()
            for _ in range(2):
                console.print("CreateSecret")


@pytest.mark.parametrize("arguments", [["--version"], ["status", "--help"]])
def test_a_text_of_help_that_cannot_be_printed_ends_in_a_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "rotatorctl", *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (ran.returncode, ran.stderr) == (1, "It could not be written to standard output: No space left on device.\n")


def test_a_plan_that_nobody_reads_is_carried_out_if_it_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_given", dict)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)

        command.ask("1. Rotation is turned on.", yes=True)
        with pytest.raises(click.UsageError, match="Nothing was changed"):
            command.ask("1. Rotation is turned on.", yes=False)

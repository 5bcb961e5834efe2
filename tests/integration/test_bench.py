"""What `make bench` measures with, on the deployed stack: whether it sees what is not as it should be."""

import re
from dataclasses import replace

import pytest

from rotation import engines
from rotation.model import STEPS
from rotatorctl.local.throttling import throttled
from tests.bench.gap import not_called
from tests.bench.load import at_once, broken
from tests.bench.offline import Offline
from tests.integration.conftest import Deployed, until
from tests.workflow.applications import CASES

pytestmark = pytest.mark.xdist_group("offline stack")


@pytest.fixture
def offline(deployed: Deployed) -> Offline:
    return Offline(deployed.stack, deployed.others)


def test_of_some_rotations_at_once_each_comes_to_what_it_says(offline: Offline) -> None:
    """On a machine that is too slow for the time limits some fail: then AWSCURRENT is what it was, and one is told."""
    applications = [offline.application(case) for case in CASES if case.kind == "mariadb"]

    alone, load = at_once(applications[:1]), at_once(applications[1:])

    assert [each.rotated for each in alone.ended] == [True]
    assert any(each.rotated for each in load.ended)
    assert len(load.ended) > 2
    assert alone.broken + load.broken == []


def test_of_rotations_at_once_that_fail_people_hear_one_by_one(offline: Offline) -> None:
    applications = [offline.application(CASES[-1]) for _ in range(2)]

    with throttled(offline.stack.client("lambda"), offline.physical_id("FinishSecretFunction")):
        load = at_once(applications)

    assert [(each.rotated, each.broken) for each in load.ended] == [(False, []), (False, [])]


def test_what_does_not_hold_after_a_rotation_is_named(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATE_CA", offline.environment["PRIVATE_CA"])
    application = offline.application(next(case for case in CASES if str(case) == "mariadb, single user"))
    (before,) = application.stages()
    application.rotate()
    assert broken(application, "RotationSucceeded", before, 0) == []

    by_hand = replace(application.credentials(), password="changed by hand")
    engines.load(engines.MYSQL).set_password(application.credentials(), by_hand)

    unusable = "mariadb, single user: AWSCURRENT does not log in"
    assert broken(application, "RotationSucceeded", before, 0) == [unusable]
    assert broken(application, "RotationSucceeded", before, 1) == [
        "mariadb, single user: RotationSucceeded, and told 1 times",
        unusable,
    ]
    assert "mariadb, single user: AWSCURRENT" in broken(application, "RotationFailed", before, 1)
    assert "mariadb, single user: RotationFailed, and told 0 times" in broken(application, "RotationFailed", before, 0)


def started(offline: Offline) -> list[str]:
    """The functions of which a process was started so far."""
    log = (offline.stack.work_dir / "emulator.log").read_text()
    return re.findall(r"environment spawned for (\S+) \(cold start\)", log)


def test_functions_that_were_cooled_start_anew(offline: Offline) -> None:
    application = offline.application(CASES[-1])
    with not_called(offline):
        for cool, new in ((True, 5), (False, 0), (True, 5)):
            before = len(started(offline))
            if cool:
                offline.cool()
            application.rotate()
            assert len(started(offline)) - before == new


def test_what_follows_create_secret_starts_beside_it(offline: Offline) -> None:
    """An execution that never gets beyond CreateSecret has started the functions of the other states."""
    create, *others = (offline.physical_id(f"{name}Function") for name in STEPS)
    application = offline.application(CASES[-1])
    offline.cool()
    before = len(started(offline))
    with throttled(offline.stack.client("lambda"), create):
        application.begin()
        assert application.end() == "RotationFailed"

    until(lambda: set(others) <= set(started(offline)[before:]))
    assert create not in started(offline)[before:]

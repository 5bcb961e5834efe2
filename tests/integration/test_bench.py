"""What `make bench` measures with, on the deployed stack: whether it sees what is not as it should be."""

from dataclasses import replace

import pytest

from rotation import engines
from tests.bench.load import at_once, broken
from tests.bench.offline import Offline
from tests.integration.conftest import Deployed
from tests.workflow.applications import CASES

pytestmark = pytest.mark.xdist_group("offline stack")


@pytest.fixture
def offline(deployed: Deployed) -> Offline:
    return Offline(deployed.stack, deployed.others)


def test_of_some_rotations_at_once_each_comes_to_what_it_says(offline: Offline) -> None:
    """On a machine that is too slow for the time limits some fail: then AWSCURRENT is what it was."""
    applications = [offline.application(case) for case in CASES if case.kind == "mariadb"]

    load = at_once(applications)

    assert len(load.ended) == len(applications) > 2
    assert load.broken == []


def test_what_does_not_hold_after_a_rotation_is_named(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATE_CA", offline.environment["PRIVATE_CA"])
    application = offline.application(next(case for case in CASES if str(case) == "mariadb, single user"))
    (before,) = application.stages()
    application.begin()
    assert application.end() == "RotationSucceeded"
    assert broken(application, "RotationSucceeded", before) == []

    by_hand = replace(application.credentials(), password="changed by hand")
    engines.load(engines.MYSQL).set_password(application.credentials(), by_hand)

    assert broken(application, "RotationSucceeded", before) == ["mariadb, single user: AWSCURRENT does not log in"]
    assert "mariadb, single user: AWSCURRENT" in broken(application, "RotationFailed", before)


def test_functions_that_were_cooled_start_anew(offline: Offline) -> None:
    def starts() -> int:
        return (offline.stack.work_dir / "emulator.log").read_text().count("(cold start)")

    application = offline.application(CASES[-1])
    for cool, new in ((True, 5), (False, 0), (True, 5)):
        before = starts()
        if cool:
            offline.cool()
        application.begin()
        assert application.end() == "RotationSucceeded"
        assert starts() - before == new

"""What `rotatorctl local try` says of a module that cannot be imported, and `local drill` of a promise broken."""

import sys
from pathlib import Path

import pytest

from rotatorctl.local import drill
from rotatorctl.local.engine_file import loaded
from rotatorctl.local.running import Running
from rotatorctl.result import CommandError


@pytest.mark.parametrize("raised", ["SystemExit(7)", "SystemExit", "ValueError('no')", "NoSuchName"])
def test_whatever_a_module_raises_it_is_told_as_one_that_cannot_be_imported(
    raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rotation.engines.ledger", sys)
    file = tmp_path / "ledger.py"
    file.write_text(f"raise {raised}")

    with pytest.raises(CommandError) as refused:
        loaded(file)

    assert refused.value.problem.code == "EngineNotLoadedError"


def test_the_history_of_the_drilled_secret_is_asked_for_by_its_name() -> None:
    running = Running("checkout", "folder", (), secret="shop/orders-db")

    assert drill._next(running).startswith("`rotatorctl history shop/orders-db`, ")

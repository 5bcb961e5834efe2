"""What `python -m rotatorctl.local.deploy --delete` says before it deletes."""

from rotatorctl.deployed import Described
from rotatorctl.local.deploy import attached


def test_no_secret_is_said_to_be_attached_where_none_is() -> None:
    assert list(attached([])) == ["No secret names this stack's function."]


def test_each_secret_has_the_command_that_detaches_it_as_a_shell_takes_it() -> None:
    on, off = ({"Name": name, "RotationEnabled": name == "a;b"} for name in ("a;b", "c"))

    _, *lines = attached([Described(on), Described(off)])

    assert lines == [
        "  a;b: detach it: aws secretsmanager cancel-rotate-secret --secret-id 'a;b'",
        "  c: its rotation is off",
    ]

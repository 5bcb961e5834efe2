"""The commands that `rotatorctl doctor` shows for a value do what they are shown for, and show nothing of it."""

import os
import subprocess
from pathlib import Path

import pytest

from rotatorctl.checks.editing import VALUE_EDITED, VALUE_WRITTEN
from tests.unit.examined import ARN, PASSWORD

# It keeps what it is asked to put, and knows these two calls alone.
AWS = f"""#!/bin/sh
case "$*" in
  "secretsmanager get-secret-value --secret-id {ARN} --query SecretString --output text") echo "old {PASSWORD}" ;;
  "secretsmanager put-secret-value --secret-id {ARN} --secret-string file://"*) cat "${{6#file://}}" > put ;;
  *) exit 9 ;;
esac
"""
EDITOR = """#!/bin/sh
[ "$1" = --wait ] && shift
ls -l "$1" | cut -c1-10 > rights
echo "$1" > name
sed 's/^old/new/' "$1" > edited && cat edited > "$1"
[ -s "$1" ] || echo made > "$1"
"""


@pytest.mark.parametrize(("command", "put"), [(VALUE_EDITED, f"new {PASSWORD}\n"), (VALUE_WRITTEN, "made\n")])
def test_a_value_is_put_from_a_file_for_nobody_else_which_is_gone_afterwards(
    command: str, put: str, tmp_path: Path
) -> None:
    for name, script in (("aws", AWS), ("editor", EDITOR)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o700)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "EDITOR": "editor --wait", "TMPDIR": str(tmp_path)}

    ran = subprocess.run(
        command.format(secret=ARN), shell=True, cwd=tmp_path, env=environment, capture_output=True, check=False
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert (tmp_path / "put").read_text() == put
    assert (tmp_path / "rights").read_text() == "-rw-------\n"
    assert not Path((tmp_path / "name").read_text().strip()).exists()

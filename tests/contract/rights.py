"""The least rights that docs/engines.md gives to a rotating user and to an admin, as the tests give them too."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text()
_BLOCK = re.compile(r"<!-- rights: (?P<whose>[a-z ]+) -->\n```\w+\n(?P<text>.*?)\n```", re.DOTALL)
BLOCKS = {found["whose"]: found["text"] for found in _BLOCK.finditer(PAGE)}


def least_rights(whose: str, written: Mapping[str, str]) -> list[str]:
    """The statements for `whose`, such as "postgres admin", with each name of the page replaced by a real one."""
    pattern = re.compile("|".join(map(re.escape, written)) or "(?!)")
    return [pattern.sub(lambda found: written[found[0]], line) for line in BLOCKS[whose].splitlines()]


def mongo_commands(whose: str, written: Mapping[str, str]) -> list[dict[str, Any]]:
    """The same for MongoDB, whose statements are documents. `written` is by the text between quotes."""
    quoted = {json.dumps(name, ensure_ascii=False): json.dumps(real) for name, real in written.items()}
    lines = least_rights(whose, quoted)[1:]
    return [json.loads(line.removeprefix("db.runCommand(").removesuffix(")")) for line in lines]

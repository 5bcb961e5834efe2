"""What is deployed names no partition: it works in AWS's China and GovCloud as in the others."""

import re
from pathlib import Path

import pytest

from rotation.engines import ENGINES
from rotation.secret import Secret
from tests.templates import TEMPLATE

ROOT = Path(__file__).parents[2]
PARTITIONS = {"aws", "aws-cn", "aws-us-gov"}
DEPLOYED = [
    *sorted(ROOT.glob("*.yaml")),
    ROOT / "statemachine/rotation.asl.json",
    *sorted((ROOT / "functions").rglob("*.py")),
]


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_arn_names_a_partition(path: Path) -> None:
    assert re.findall(r"arn:aws[a-z-]*:\S*", path.read_text()) == []


def test_the_console_has_a_host_in_every_partition_and_no_text_names_one() -> None:
    hosts = TEMPLATE["Mappings"]["Console"]

    assert hosts.keys() == PARTITIONS
    for path in DEPLOYED:
        text = path.read_text().partition("\nMappings:")
        assert not re.search(r"console\.(aws\.amazon|amazonaws)", text[0] + text[2].partition("\n\n")[2]), path


@pytest.mark.parametrize("partition", sorted(PARTITIONS))
def test_an_admin_secret_of_any_partition_is_one(partition: str) -> None:
    arn = f"arn:{partition}:secretsmanager:cn-north-1:123456789012:secret:admin-AbCdEf"
    value = f'{{"engine": "postgres", "host": "db", "username": "app", "password": "x-9Kq", "masterarn": "{arn}"}}'

    assert Secret.parse(value, {}, ENGINES).admin_arn == arn

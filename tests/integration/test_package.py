"""What `sam build` packs for a function."""

import pytest

from tests.bench.package import LARGEST, packages, zipped
from tests.integration.conftest import Deployed
from tests.templates import MONITORING, TEMPLATE

pytestmark = pytest.mark.xdist_group("offline stack")


def test_a_function_is_small_and_boto3_is_left_to_the_runtime(deployed: Deployed) -> None:
    folders = packages(deployed.stack.work_dir / "build")

    resources = TEMPLATE["Resources"] | MONITORING["Resources"]
    assert set(folders) == {name for name, body in resources.items() if body["Type"] == "AWS::Serverless::Function"}
    for folder in folders.values():
        assert not [name for name in ("boto3", "botocore", "s3transfer") if (folder / name).exists()]
        assert zipped(folder) <= LARGEST

"""What `sam build` makes of a function."""

import zipfile

import pytest

from tests.bench.package import LARGEST, packages
from tests.integration.conftest import Deployed
from tests.templates import MONITORING, TEMPLATE

pytestmark = pytest.mark.xdist_group("offline stack")


def test_a_function_is_small_and_boto3_is_left_to_the_runtime(deployed: Deployed) -> None:
    zips = packages(deployed.stack.work_dir / "build")

    resources = TEMPLATE["Resources"] | MONITORING["Resources"]
    assert set(zips) == {name for name, body in resources.items() if body["Type"] == "AWS::Serverless::Function"}
    for path in set(zips.values()):
        with zipfile.ZipFile(path) as archive:
            parts = {name.partition("/")[0] for name in archive.namelist()}
        assert {"rotation", "rotate.py", "aws_lambda_powertools"} <= parts
        assert parts & {"boto3", "botocore", "s3transfer"} == set()
        assert path.stat().st_size <= LARGEST

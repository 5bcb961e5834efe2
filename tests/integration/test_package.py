"""What `sam build` packs for a function."""

import io
import zipfile

import pytest

from tests.integration.conftest import Deployed

pytestmark = pytest.mark.xdist_group("offline stack")

LARGEST = 5_000_000


def test_a_function_is_small_and_boto3_is_left_to_the_runtime(deployed: Deployed) -> None:
    folders = list((deployed.stack.work_dir / "build").glob("*Function"))

    assert folders
    for folder in folders:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in folder.rglob("*"):
                archive.write(path, path.relative_to(folder))
        assert not [name for name in ("boto3", "botocore", "s3transfer") if (folder / name).exists()]
        assert packed.tell() <= LARGEST

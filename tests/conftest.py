"""What pytest and its plugins need to know of each other, and what takes time again and again."""

import os

import moto.core.models
import pytest
from _pytest.nodeid import NodeId

from tests import sdk

sdk.remember()
# Each new account of moto's would have hundreds of machine images.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
# It would also answer who calls AWS with the library `requests`, by a thousand patterns for each test: nobody here does.
moto.core.models.RESPONSES_METHODS.clear()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the groups of tests count that share a server or a stack.

    pytest-xdist 3.8 adds a test's group to an attribute that pytest 9.2 reads no more: without a word each group was
    spread over all processes, each of which started its servers.
    """
    if not config.getoption("loadgroup", False):
        return
    for item in items:
        grouped = vars(item).get("_nodeid", "")
        if "@" in grouped:
            item._id = NodeId.parse(grouped)

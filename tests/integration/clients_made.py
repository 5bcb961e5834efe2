"""For the process that forks each command of `rotatorctl`: a client of each service that the tool asks was made.

The descriptions of the services are in memory then, whose reading takes longer than most commands do.
"""

import os
from functools import cached_property
from unittest.mock import patch

from rotatorctl.aws import Aws
from tests import sdk

sdk.remember()
with patch.dict(os.environ, AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none", clear=True):
    _aws = Aws("us-east-1")
    for _name, _value in vars(Aws).items():
        if isinstance(_value, cached_property):
            getattr(_aws, _name)

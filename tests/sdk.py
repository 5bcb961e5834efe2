"""What botocore reads and reckons again for each session and client, though it is the same for all of a process."""

from functools import cache
from typing import Any

import botocore.session
from botocore.hooks import EventAliaser
from botocore.loaders import create_loader


def remember() -> None:
    """From now on it is read and reckoned once: the descriptions of services, and what each event is called."""
    aliases: Any = EventAliaser
    event_name = cache(aliases(None)._alias_event_name)
    aliases._alias_event_name = lambda _, name: event_name(name)
    session: Any = botocore.session
    session.create_loader = cache(create_loader)

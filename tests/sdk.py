"""What botocore reads and reckons again for each session and client, though it is the same for all of a process."""

from functools import cache
from typing import Any

import botocore.session
import botocore.useragent
from botocore.hooks import EventAliaser
from botocore.loaders import create_loader


@cache
def remember() -> None:
    """From now on it is read and reckoned once: descriptions of services, names of events, parts of the User-Agent."""
    aliases: Any = EventAliaser
    event_name = cache(aliases(None)._alias_event_name)
    aliases._alias_event_name = lambda _, name: event_name(name)
    agent: Any = botocore.useragent
    agent.sanitize_user_agent_string_component = cache(agent.sanitize_user_agent_string_component)
    session: Any = botocore.session
    session.create_loader = cache(create_loader)

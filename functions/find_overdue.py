"""Called once a day: measure how old the secrets are, and tell of those that were not rotated in time."""

from rotation.overdue import find_overdue
from rotation.runtime import scheduled_handler

handler = scheduled_handler(find_overdue)

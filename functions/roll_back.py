"""RollBack: make AWSCURRENT log in again, and report what is true now."""

from rotation.change import Change
from rotation.readiness import get_ready
from rotation.rollback import roll_back
from rotation.step_handler import lambda_handler

handler = lambda_handler(roll_back, Change, get_ready)

"""TestSecret: log in with the pending value."""

from rotation import steps
from rotation.readiness import get_ready
from rotation.rotation import Rotation
from rotation.step_handler import lambda_handler

handler = lambda_handler(steps.test_secret, Rotation, get_ready)

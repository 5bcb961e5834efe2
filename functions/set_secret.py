"""SetSecret: make the service accept the pending value."""

from rotation import steps
from rotation.change import Change
from rotation.step_handler import lambda_handler

handler = lambda_handler(steps.set_secret, Change)

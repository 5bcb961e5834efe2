"""SetSecret: make the service accept the pending value."""

from rotation import steps
from rotation.runtime import lambda_handler

handler = lambda_handler(steps.set_secret)

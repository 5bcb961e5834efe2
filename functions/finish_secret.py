"""FinishSecret: move AWSCURRENT to the pending value."""

from rotation import steps
from rotation.step_handler import lambda_handler

handler = lambda_handler(steps.finish_secret)

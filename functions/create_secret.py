"""CreateSecret: stage a new value as AWSPENDING."""

from rotation import steps
from rotation.rotation import Rotation
from rotation.step_handler import lambda_handler

handler = lambda_handler(steps.create_secret, Rotation)

"""FinishSecret: move AWSCURRENT to the pending value."""

from rotation.labels import Labels
from rotation.promotion import finish_secret
from rotation.step_handler import lambda_handler

handler = lambda_handler(finish_secret, Labels)

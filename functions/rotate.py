"""Called by Secrets Manager: start the execution, await it, pass on its verdict."""

from rotation.invocation import answer
from rotation.runtime import rotate_handler

handler = rotate_handler(answer)

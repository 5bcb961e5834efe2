"""Every error a rotation can end in.

The class name is a contract: Step Functions matches it exactly and without inheritance, so it is at once the ASL
`Error`, the reason in the alert and the row in docs/failures.md. The tree is flat on purpose.

RotationError            base, raised nowhere
├── UnavailableError     no answer, or "later": every step of the state machine retries it
├── ThrottledError       CreateSecret may not write yet; only its state retries it, and more patiently
├── LoginRefusedError    the service answered and refused the log-in
├── PasswordRejectedError the service refuses this new value for good
├── RightsDifferError    a user lacks a right that the rotation or its applications need
├── InvalidEventError    the call is not one of Secrets Manager's four steps, or lacks a key
├── InvalidSecretError   the secret's value or tags cannot drive a rotation, or its server cannot be trusted
├── StageConflictError   the staging labels are not what this step needs
├── AccessDeniedError    IAM or KMS refused an action; the message names it
├── StillRunningError    `rotate` reached its time limit; the execution goes on
├── RotationFailedError  the execution ended with a failed rotation that was put right
├── RollbackFailedError  AWSCURRENT could not be proven to log in
└── AlertFailedError     the alert could not be published
"""


class RotationError(Exception):
    """Base of all errors of this package. Messages carry names and ids, never a secret value."""


class UnavailableError(RotationError):
    """A server or an AWS service gave no answer, or asked to come back later."""


class ThrottledError(RotationError):
    """More writes are asked of Secrets Manager than it serves; nothing was written."""


class LoginRefusedError(RotationError):
    """The service answered and refused the credential."""


class PasswordRejectedError(RotationError):
    """The service refuses the new value itself; the same value will never be accepted."""


class RightsDifferError(RotationError):
    """A user lacks a right on the service."""


class InvalidEventError(RotationError):
    """The function was called with something that is not its event."""


class InvalidSecretError(RotationError):
    """The secret's value or its tags cannot drive a rotation; its owner has to act."""


class StageConflictError(RotationError):
    """The secret's staging labels are not what this step needs."""


class AccessDeniedError(RotationError):
    """IAM or KMS refused an action."""


class StillRunningError(RotationError):
    """`rotate` may not wait any longer; the execution goes on and the next call joins it."""


class RotationFailedError(RotationError):
    """The execution of this rotation ended in a failure; the message is its report."""


class RollbackFailedError(RotationError):
    """AWSCURRENT could not be proven to log in after a failed rotation."""


class AlertFailedError(RotationError):
    """An alert could not be published."""

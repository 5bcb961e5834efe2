"""What has to be so before `make smoke-aws` begins, and what a person has to know."""

import boto3
from botocore.credentials import RefreshableCredentials

LONGEST = 75  # minutes
PLAN = f"""\
In account {{account}}, Region {{region}}, as {{caller}}, this
  - makes a bucket, deploys the stack from there as {{name}}, makes two secrets that mean nothing to anybody, and a
    queue;
  - rotates one of the secrets three times, once while the stack is updated, and lets a fourth rotation fail: function
    FinishSecret is refused all concurrency meanwhile. Secrets Manager's own retry of that is awaited for 30 minutes;
  - lets the workflow try the other secret, which it must not be able to read;
  - removes all of it again. Nothing else in the account is touched.
It takes 20 to {LONGEST} minutes and costs some US cents; if it is killed and the stack stays, some US dollars a month.
What could not be removed is named at the end. Nobody is sent a mail.
These stay, because nobody can delete them or somebody else may need them:
  - what CloudTrail and X-Ray recorded of it, and CloudWatch's metrics, namespace SecretRotation, for 15 months;
  - the resource policy AWSLogDeliveryWrite20150319 of CloudWatch Logs, if the account had none: Step Functions makes it
    to write its logs, and for all state machines;
  - here, what `sam build` keeps in .aws-sam.
"""


def obstacle(session: boto3.Session) -> str:
    """Why a run cannot begin, and what to do; empty if it can."""
    if not session.region_name:
        return "No Region is set: export AWS_DEFAULT_REGION, or AWS_PROFILE with a profile that names one."
    credentials = session.get_credentials()
    if credentials is None:
        return "There are no credentials: export AWS_PROFILE, or sign in with the AWS CLI."
    if credentials.method == "env" and _expire_sooner(credentials):
        return (
            "The credentials in the environment expire before a run may end, and what it made would stay: "
            f"export some that last {LONGEST} minutes, or AWS_PROFILE with a profile that renews its own."
        )
    return ""


def warning(session: boto3.Session) -> str:
    """What may stop a run on its way; empty if nothing is known."""
    credentials = session.get_credentials()
    if _expire_sooner(credentials):
        return (
            "The credentials expire before a run may end. They are renewed as long as the session behind them lasts: "
            "see that it does, or what was made stays.\n"
        )
    if credentials and not isinstance(credentials, RefreshableCredentials) and credentials.token:
        return (
            "The credentials are temporary ones, and do not say when they expire. If they last for less than "
            f"{LONGEST} minutes, what was made may stay.\n"
        )
    return ""


def _expire_sooner(credentials: object) -> bool:
    """Whether they are known to expire within the time that a run may take."""
    if not isinstance(credentials, RefreshableCredentials):
        return False
    return bool(credentials.refresh_needed(60 * LONGEST))

"""What most often lies behind a failed execution, each with a code of its own.

Among them are the causes of AWS's page, as far as an execution shows them:
https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html
docs/failures.md#errors has every error.
"""

from dataclasses import dataclass

from rotatorctl.checks.editing import VALUE_EDITED


@dataclass(frozen=True)
class Cause:
    """`words` are in the reason of the failure, `step` is the one that failed; both may be empty.

    The command may have `{secret}`, `{execution}`, `{role}` for SetSecret's, and `{service}` for the command by which
    its administrator asks the service for its rules.
    """

    error: str
    code: str
    why: str
    command: str = ""
    words: str = ""
    step: str = ""


_NETWORK = "aws ec2 describe-vpc-endpoints --filters Name=service-name,Values='*.secretsmanager'"
_DEPLOY = "sam build && sam deploy"
_LOGS = "aws stepfunctions get-execution-history --execution-arn {execution}"
_WRITERS = (
    "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=PutSecretValue "
    "--max-results 20"
)

_ENCRYPTION = (
    "the way in which the service keeps the password is not one by which it lets this user in: in PostgreSQL "
    "password_encryption has to fit the method in pg_hba.conf, in RDS rds.accepted_password_auth_method; the command "
    "shows what it is set to"
)

# The first that fits; of one error those with words or a step come first.
CAUSES = (
    Cause(
        "UnavailableError",
        "PasswordEncryptionDiffers",
        f"the server asks for a log-in that the functions' driver does not know; {_ENCRYPTION}",
        "{service}",
        "Authentication method",
    ),
    *(
        Cause(
            "InvalidSecretError",
            "PasswordEncryptionDiffers",
            "the server asks for a log-in that the functions' driver does not know: give the user another plug-in",
            "{service}",
            words,
        )
        for words in ("by a method that is not supported", "Authentication plugin", "authentication protocol")
    ),
    Cause(
        "LoginRefusedError",
        "PasswordEncryptionDiffers",
        f"SetSecret had just set the new password, which is refused all the same: {_ENCRYPTION}. Or something else "
        "changed the password in between",
        "{service}",
        step="TestSecret",
    ),
    Cause(
        "UnavailableError",
        "SecretsManagerNotReached",
        "the function has no way to Secrets Manager, or is asked to come later: see the check 'way to Secrets Manager'",
        _NETWORK,
        "secretsmanager:",
    ),
    Cause(
        "UnavailableError",
        "ServiceNotReached",
        "no route from the functions to the service, a security group, a service that is stopped, or a lock "
        "(docs/permissions.md#network)",
        _LOGS,
    ),
    Cause(
        "LoginRefusedError",
        "LogInRefused",
        "somebody changed the password by hand, or the service does not let this user in from there: set the password "
        "on the service, or the secret's value by the command",
        VALUE_EDITED,
    ),
    Cause(
        "PasswordRejectedError",
        "PasswordRejected",
        "the service's password policy refuses the new value: the tags rotation:length and rotation:characters change "
        "it (docs/engines.md#tags)",
        "aws secretsmanager tag-resource --secret-id {secret} --tags Key=rotation:length,Value=64",
    ),
    Cause(
        "RightsDifferError",
        "RightsMissing",
        "a user lacks a right on the service, which the error names (docs/engines.md#least-rights)",
        _LOGS,
    ),
    Cause(
        "InvalidSecretError",
        "CertificateNotTrusted",
        "the service's certificate is of a private authority, or for another name: the stack trusts Amazon's, the "
        "system's and the parameter's",
        r'''sam deploy --parameter-overrides "PrivateCaCertificate=\"$(cat ca.pem)\""''',
        "certificate",
    ),
    Cause(
        "InvalidSecretError",
        "ValueRefused",
        "a tag cannot drive a rotation: see the check value, and docs/engines.md#tags",
        "aws secretsmanager describe-secret --secret-id {secret} --query Tags",
        "tag 'rotation:",
    ),
    Cause(
        "InvalidSecretError",
        "ValueRefused",
        "the value or a tag cannot drive a rotation: see the check value",
        VALUE_EDITED,
    ),
    Cause(
        "AccessDeniedError",
        "KmsRefused",
        "the role may not use the secret's key: see the checks key and key policy "
        "(docs/permissions.md#customer-managed-kms-keys)",
        "aws secretsmanager describe-secret --secret-id {secret} --query KmsKeyId",
        "KMS",
    ),
    Cause(
        "AccessDeniedError",
        "RdsRefused",
        "SetSecret's role may not ask RDS for the endpoint of an admin secret that RDS manages. If the command shows "
        "no statement with rds:DescribeDBInstances and rds:DescribeDBClusters, bring the template's back by `sam build "
        "&& sam deploy`, or if that finds nothing to change by a change set with --deployment-mode REVERT_DRIFT. If it "
        "shows one, let the boundary or the policy that the error names allow both; for a database of another account "
        "or Region name an admin secret of your own, with host and port",
        "aws iam get-role-policy --role-name {role} --policy-name SetSecret",
        "rds:",
    ),
    Cause(
        "AccessDeniedError",
        "PutSecretValueRefused",
        "Secrets Manager did not take the RotationToken for that of its own rotation, or a policy denies the call",
        _LOGS,
        "secretsmanager:PutSecretValue",
    ),
    Cause(
        "AccessDeniedError",
        "RoleRefused",
        "IAM refused the role the action that the error names (docs/permissions.md): a policy of the secret, a "
        "boundary, or one of the organization: see the checks roles and resource policy",
        _LOGS,
    ),
    Cause(
        "StageConflictError",
        "ChangedMeanwhile",
        "somebody moved a label, or wrote a value, while it ran: the command shows who writes values",
        _WRITERS,
    ),
    Cause(
        "Lambda.TooManyRequestsException",
        "FunctionThrottled",
        "the function was throttled: its own or the account's concurrency is used up",
        "aws lambda get-account-settings",
    ),
    *(
        Cause(
            error,
            "NoAnswerFromFunction",
            "most often there is no route from the VPC to Secrets Manager: see the check 'way to Secrets Manager'",
            _NETWORK,
        )
        for error in ("States.Timeout", "Sandbox.Timedout")
    ),
    *(
        Cause(error, "CodeNotLoaded", "the deployed code is damaged, or packed for another Python", _DEPLOY)
        for error in ("Runtime.ImportModuleError", "Runtime.HandlerNotFound", "Runtime.UserCodeSyntaxError")
    ),
)


def cause_of(step: str, error: str, reason: str) -> Cause | None:
    """The likely one, if the error has any."""
    fits = (each for each in CAUSES if each.error == error and each.words in reason and each.step in ("", step))
    return next(fits, None)

"""Whether the functions' roles still have what the template gave them for this secret, and for its admin secret."""

from collections.abc import Iterator

from rotation.model import AWSCURRENT, AWSPENDING
from rotatorctl.checks.base import PROBLEM, WARNING, Check, Examined, Finding, Function, drifted
from rotatorctl.checks.policies import ADMIN, LABEL, OWN, READ, Work, admin_of
from rotatorctl.permissions import Context, PolicyError, Role
from rotatorctl.roles import documents_of


def _roles(examined: Examined) -> Iterator[Finding]:
    for name in OWN:
        if (function := examined.functions.get(name)) and function.role:
            yield from _role(examined, name, function)


def _role(examined: Examined, name: str, function: Function) -> Iterator[Finding]:
    iam, role_name = examined.stack.aws.roles, function.role.rpartition("/")[2]
    try:
        boundary = iam.get_role(RoleName=role_name)["Role"].get("PermissionsBoundary")
        role = Role.of(role_name, documents_of(iam, role_name))
    except iam.exceptions.NoSuchEntityException:
        mend = drifted(examined.stack.name, "no rotation works")
        yield Finding(PROBLEM, "RoleMissing", f"the role {role_name} of {function.name} is gone", *mend)
        return
    except PolicyError:
        yield Finding(
            WARNING,
            "RoleUnclear",
            f"the role {role_name} has a policy that is not the template's",
            "what it allows cannot be told from here; a log-in test and a rotation show it",
            f"aws iam list-role-policies --role-name {role_name}",
        )
        return
    yield from _lacks(examined, name, role)
    if boundary:
        yield Finding(
            WARNING,
            "RoleHasBoundary",
            f"the role {role_name} has the permissions boundary {boundary['PermissionsBoundaryArn']}",
            "what the boundary does not allow is refused, whatever the role's policies say (docs/permissions.md): the "
            "command shows what it allows",
            _shows(boundary["PermissionsBoundaryArn"]),
        )


def _shows(policy: str) -> str:
    """The command that shows what a managed policy says now."""
    version = f'"$(aws iam get-policy --policy-arn {policy} --query Policy.DefaultVersionId --output text)"'
    return f"aws iam get-policy-version --policy-arn {policy} --version-id {version}"


def _lacks(examined: Examined, name: str, role: Role) -> Iterator[Finding]:
    ours = {"secretsmanager:resource/AllowRotationLambdaArn": examined.stack.function_arn}
    lacking = list(_refused(role, name, OWN, examined.secret.arn, ours))
    if admin := admin_of(examined):
        tagged = {"secretsmanager:ResourceTag/rotation:admin": examined.stack.name}
        lacking += _refused(role, name, ADMIN, admin.arn, tagged)
    if lacking:
        taken = "the template gives it that right, so somebody has taken it away (docs/permissions.md)"
        mend = drifted(examined.stack.name, taken)
        yield Finding(PROBLEM, "RoleLacksRight", f"the role {role.name} may not do {', '.join(lacking)}", *mend)


def _refused(role: Role, name: str, work: Work, secret: str, keys: Context) -> Iterator[str]:
    for action in work.get(name, ()):
        moves_pending = (name, action) == ("RollBackFunction", LABEL)
        stage = AWSPENDING if moves_pending else AWSCURRENT
        staged = {"secretsmanager:VersionStage": stage} if action in (READ, LABEL) else {}
        if role.refusal(action, secret, {**keys, **staged}):
            yield f"{action} on {secret}"


CHECKS = (Check("roles", "the functions' roles have the rights that the template gives them", _roles),)

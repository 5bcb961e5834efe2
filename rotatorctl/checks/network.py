"""Where the functions that log in run, and whether there is a way from there to Secrets Manager.

In a VPC of yours that is an interface endpoint with private DNS, or a route out by a NAT; a function there has no
public address, so an internet gateway alone leads nowhere:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-internet.html
https://docs.aws.amazon.com/secretsmanager/latest/userguide/vpc-endpoint-overview.html
"""

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_network

from rotatorctl.checks.base import NOTE, PROBLEM, UNCHECKED, WAITS, WARNING, Check, Examined, Finding
from rotatorctl.checks.editing import edited
from rotatorctl.checks.policies import OWN, of_caller
from rotatorctl.checks.resource_policy import DENIED, SILENT, UNCLEAR, Call, verdict
from rotatorctl.checks.vpc import Vpc
from rotatorctl.result import Json

_HTTPS = 443
_WHO = "SetSecretFunction"
_LOG_IN = (_WHO, "TestSecretFunction", "RollBackFunction")
_DNS = ("enableDnsSupport", "enableDnsHostnames")
_SAYS = "a function that does not reach it gives no answer (States.Timeout; docs/permissions.md#network)"


def _where(examined: Examined) -> Iterator[Finding]:
    function = examined.functions.get(_WHO)
    if not function or not function.configuration:
        yield Finding(UNCHECKED, WAITS, "where the functions run", "see the check functions")
        return
    groups = function.configuration.get("VpcConfig", {}).get("SecurityGroupIds", [])
    inside = f"in the subnets {', '.join(function.subnets)} with {', '.join(groups)}"
    yield Finding(
        NOTE,
        "WhereFunctionsRun",
        f"the functions that log in run {inside if function.subnets else 'in no VPC of yours'}",
        "the service and Secrets Manager have to be reached from there (docs/permissions.md#network)",
        f"aws lambda get-function-configuration --function-name {function.name} --query VpcConfig",
    )


def _way(examined: Examined) -> Iterator[Finding]:
    """The three functions that log in have the same VPC."""
    function = examined.functions.get(_WHO)
    if not function or not function.subnets:
        return
    aws = examined.stack.aws
    vpc = Vpc.read(aws.networks, function.configuration["VpcConfig"], aws.region)
    yield from _lets_out(vpc)
    if vpc.endpoint.get("PrivateDnsEnabled"):
        yield from _endpoint(vpc)
        yield from _lets_in(vpc)
        yield from _dns(vpc)
        yield from _endpoint_policy(examined, vpc.endpoint)
    else:
        yield from _routes(vpc)


def _lets_out(vpc: Vpc) -> Iterator[Finding]:
    if not any(_is_for_https(rule) for group in vpc.groups for rule in group["IpPermissionsEgress"]):
        group = vpc.groups[0]["GroupId"]
        yield Finding(
            PROBLEM,
            "SecurityGroupLetsNothingOut",
            f"the security group of the functions, {group}, lets nothing out to port {_HTTPS}",
            _SAYS,
            f"aws ec2 authorize-security-group-egress --group-id {group} --protocol tcp --port {_HTTPS} "
            "--cidr 0.0.0.0/0",
        )


def _endpoint(vpc: Vpc) -> Iterator[Finding]:
    endpoint = vpc.endpoint["VpcEndpointId"]
    if (state := vpc.endpoint["State"]).lower() != "available":
        yield Finding(
            PROBLEM,
            "EndpointNotAvailable",
            f"the endpoint {endpoint} to Secrets Manager is {state}",
            _SAYS,
            f"aws ec2 describe-vpc-endpoints --vpc-endpoint-ids {endpoint}",
        )


def _lets_in(vpc: Vpc) -> Iterator[Finding]:
    if not any(_admits(rule, vpc) for group in vpc.endpoint_groups for rule in group["IpPermissions"]):
        group = vpc.endpoint_groups[0]["GroupId"] if vpc.endpoint_groups else "GROUP"
        yield Finding(
            PROBLEM,
            "EndpointRefusesFunctions",
            f"the security group of the endpoint {vpc.endpoint['VpcEndpointId']} to Secrets Manager, {group}, does not "
            f"let the functions in on port {_HTTPS}",
            _SAYS,
            f"aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port {_HTTPS} "
            f"--source-group {vpc.groups[0]['GroupId']}",
        )


def _dns(vpc: Vpc) -> Iterator[Finding]:
    for attribute in _DNS:
        if attribute not in vpc.dns:
            option = "--enable-dns-support" if attribute == _DNS[0] else "--enable-dns-hostnames"
            yield Finding(
                PROBLEM,
                "VpcWithoutDns",
                f"the VPC {vpc.id} has {attribute} turned off",
                "the private name of the endpoint to Secrets Manager needs it",
                f"aws ec2 modify-vpc-attribute --vpc-id {vpc.id} {option}",
            )


def _endpoint_policy(examined: Examined, endpoint: Json) -> Iterator[Finding]:
    if "PolicyDocument" not in endpoint:
        return
    id_, said = endpoint["VpcEndpointId"], defaultdict[str, list[str]](list)
    for call in _calls(examined, endpoint):
        says = verdict(endpoint["PolicyDocument"], call).said
        said[SILENT if says == DENIED else says].append(f"{call.function.removesuffix('Function')} {call.action}")
    shows = f"aws ec2 describe-vpc-endpoints --vpc-endpoint-ids {id_} --query 'VpcEndpoints[0].PolicyDocument'"
    if said[SILENT]:
        yield Finding(
            PROBLEM,
            "EndpointPolicyRefuses",
            f"the policy of the endpoint {id_} does not let {', '.join(said[SILENT])} through",
            "Secrets Manager is asked through it alone; the command has the present policy edited: allow the roles of "
            "the functions these calls (--reset-policy instead of it would let everybody through)",
            edited(
                shows,
                f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {id_} --policy-document file://policy.json",
            ),
        )
    if said[UNCLEAR]:
        yield Finding(
            WARNING,
            "EndpointPolicyUnclear",
            f"the policy of the endpoint {id_} perhaps does not let {', '.join(said[UNCLEAR])} through",
            "Secrets Manager is asked through it alone; the command shows the policy, and a log-in test what it does",
            f"{shows} --output text",
        )


def _calls(examined: Examined, endpoint: Json) -> Iterator[Call]:
    through = {"aws:sourcevpc": endpoint["VpcId"], "aws:sourcevpce": endpoint["VpcEndpointId"]}
    for name in _LOG_IN:
        if (function := examined.functions.get(name)) and function.role:
            keys = of_caller(function, examined.stack.aws.region) | through
            yield from (Call(name, function.role, action, examined.secret.arn, keys) for action in OWN[name])


def _routes(vpc: Vpc) -> Iterator[Finding]:
    without = [subnet["SubnetId"] for subnet in vpc.subnets if not _leads_out(vpc.table_of(subnet["SubnetId"]))]
    if not without:
        return
    what = f"there is no way from the subnets {', '.join(without)} to Secrets Manager: no NAT"
    if vpc.endpoint:
        endpoint = vpc.endpoint["VpcEndpointId"]
        yield Finding(
            PROBLEM,
            "EndpointWithoutPrivateDns",
            f"{what}, and the endpoint {endpoint} has no private DNS, so that its name leads past it",
            _SAYS,
            f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {endpoint} --private-dns-enabled",
        )
        return
    yield Finding(
        PROBLEM,
        "NoWayToSecretsManager",
        f"{what}, and the VPC {vpc.id} has no endpoint for it",
        f"{_SAYS}; an internet gateway does not help, since a function has no public address: the command makes an "
        "endpoint, with a security group that lets the functions in",
        _new_endpoint(vpc, without),
    )


def _new_endpoint(vpc: Vpc, subnets: list[str]) -> str:
    """EC2 takes one subnet of each zone, and a group of its own lets in whoever it names:
    https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html
    """
    zones = {each["AvailabilityZone"]: each["SubnetId"] for each in vpc.subnets if each["SubnetId"] in subnets}
    return (
        "group=$(aws ec2 create-security-group --group-name secretsmanager-endpoint --description 'Secrets Manager' "
        f"--vpc-id {vpc.id} --query GroupId --output text) && aws ec2 authorize-security-group-ingress "
        f'--group-id "$group" --protocol tcp --port {_HTTPS} --source-group {vpc.groups[0]["GroupId"]} && '
        f"aws ec2 create-vpc-endpoint --vpc-id {vpc.id} --vpc-endpoint-type Interface --service-name {vpc.service} "
        f'--subnet-ids {" ".join(zones.values())} --security-group-ids "$group" --private-dns-enabled'
    )


def _leads_out(table: Json) -> bool:
    return any(
        route.get("DestinationCidrBlock") == "0.0.0.0/0"
        and route.get("State") == "active"
        and not route.get("GatewayId", "").startswith("igw-")
        for route in table.get("Routes", [])
    )


def _is_for_https(rule: Json) -> bool:
    protocol = rule["IpProtocol"]
    return bool(protocol == "-1" or (protocol == "tcp" and rule["FromPort"] <= _HTTPS <= rule["ToPort"]))


def _admits(rule: Json, vpc: Vpc) -> bool:
    """Whether a rule lets the functions in; one by a prefix list is believed to."""
    groups = {pair.get("GroupId") for pair in rule.get("UserIdGroupPairs", [])}
    ranges = [ip_network(each["CidrIp"]) for each in rule.get("IpRanges", [])]
    subnets = [ip_network(subnet["CidrBlock"]) for subnet in vpc.subnets]
    return _is_for_https(rule) and bool(
        rule.get("PrefixListIds")
        or groups & {group["GroupId"] for group in vpc.groups}
        or any(each.overlaps(subnet) for each in ranges for subnet in subnets)
    )


CHECKS = (
    Check("network", "", _where),
    Check("way to Secrets Manager", "the functions are in no VPC of yours, or it has a way to Secrets Manager", _way),
)

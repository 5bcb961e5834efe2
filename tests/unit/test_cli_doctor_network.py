"""The way of the functions to Secrets Manager, as `rotatorctl doctor` finds it in EC2; moto stands in for that."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws

from rotatorctl.checks import network
from rotatorctl.checks.base import Finding
from rotatorctl.checks.vpc import Vpc
from tests.unit.examined import REGION, World, functions, knowing, world

SERVICE = f"com.amazonaws.{REGION}.secretsmanager"


@dataclass
class Network:
    """A VPC with a subnet, and the functions' security group."""

    world: World
    ec2: Any
    vpc: str
    subnet: str
    table: str
    group: str

    def findings(self) -> dict[str, Finding]:
        made = functions(SubnetIds=[self.subnet], SecurityGroupIds=[self.group])
        return knowing(self.world, functions=made).of(network.CHECKS[1:])

    def security_group(self, name: str) -> str:
        made = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)
        return str(made["GroupId"])

    def endpoint(self, *, private: bool = True, group: str = "", **more: Any) -> str:
        """One to Secrets Manager; without a group of its own the functions are let in."""
        if not group:
            group = self.security_group("endpoint")
            self.let_in(group, UserIdGroupPairs=[{"GroupId": self.group}])
        made = self.ec2.create_vpc_endpoint(
            VpcId=self.vpc,
            VpcEndpointType="Interface",
            ServiceName=SERVICE,
            SubnetIds=[self.subnet],
            SecurityGroupIds=[group],
            PrivateDnsEnabled=private,
            **more,
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def let_in(self, group: str, ports: tuple[int, int] = (443, 443), **source: Any) -> None:
        rule = {"IpProtocol": "tcp", "FromPort": ports[0], "ToPort": ports[1], **source}
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])

    def route(self, **target: str) -> None:
        self.ec2.create_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", **target)


@pytest.fixture(scope="module")
def account() -> Iterator[World]:
    """Made once: moto's EC2 takes a while to begin."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield world()


@pytest.fixture
def net(account: World) -> Network:
    ec2 = account.examined.stack.aws.networks
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    net = Network(account, ec2, vpc, subnet, table, "")
    net.group = net.security_group("functions")
    return net


def test_functions_in_no_vpc_need_no_way(net: Network) -> None:
    assert knowing(net.world, functions=functions()).of(network.CHECKS[1:]) == {}


def test_without_endpoint_and_nat_there_is_no_way(net: Network) -> None:
    found = net.findings()

    assert found.keys() == {"NoWayToSecretsManager"}
    assert found["NoWayToSecretsManager"].command == (
        "group=$(aws ec2 create-security-group --group-name secretsmanager-endpoint --description 'Secrets Manager' "
        f"--vpc-id {net.vpc} --query GroupId --output text) && aws ec2 authorize-security-group-ingress "
        f'--group-id "$group" --protocol tcp --port 443 --source-group {net.group} && '
        f"aws ec2 create-vpc-endpoint --vpc-id {net.vpc} --vpc-endpoint-type Interface --service-name {SERVICE} "
        f'--subnet-ids {net.subnet} --security-group-ids "$group" --private-dns-enabled'
    )


def test_a_new_endpoint_is_in_one_subnet_of_each_zone(net: Network) -> None:
    zones = {"10.0.2.0/24": f"{REGION}a", "10.0.3.0/24": f"{REGION}a", "10.0.4.0/24": f"{REGION}b"}
    first, second, other = (
        net.ec2.create_subnet(VpcId=net.vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in zones.items()
    )
    seen = Vpc.read(net.ec2, {"SubnetIds": [first, second, other], "SecurityGroupIds": [net.group]}, REGION)

    named = network._new_endpoint(seen, [first, second, other]).partition("--subnet-ids ")[2].split(" --")[0].split()

    assert len(named) == 2
    assert other in named


def test_an_internet_gateway_is_no_way_for_a_function(net: Network) -> None:
    gateway = net.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    net.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=net.vpc)
    net.route(GatewayId=gateway)

    assert net.findings().keys() == {"NoWayToSecretsManager"}


def test_a_nat_is_a_way(net: Network) -> None:
    net.route(NatGatewayId=net.ec2.create_nat_gateway(SubnetId=net.subnet)["NatGateway"]["NatGatewayId"])

    assert net.findings() == {}


def test_a_subnet_without_a_table_of_its_own_has_the_main_one(net: Network) -> None:
    tables = net.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [net.vpc]}])["RouteTables"]
    (main,) = [table for table in tables if any(each["Main"] for each in table["Associations"])]
    (association,) = [each for table in tables for each in table["Associations"] if each.get("SubnetId") == net.subnet]
    net.ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    net.table = main["RouteTableId"]
    net.route(NatGatewayId=net.ec2.create_nat_gateway(SubnetId=net.subnet)["NatGateway"]["NatGatewayId"])

    assert net.findings() == {}


def test_an_endpoint_with_private_dns_is_a_way(net: Network) -> None:
    net.endpoint()

    assert net.findings() == {}


def test_an_endpoint_without_private_dns_is_passed_by(net: Network) -> None:
    endpoint = net.endpoint(private=False)

    found = net.findings()

    assert found.keys() == {"EndpointWithoutPrivateDns"}
    assert found["EndpointWithoutPrivateDns"].command == (
        f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {endpoint} --private-dns-enabled"
    )


@pytest.mark.parametrize(
    ("source", "ports", "refused"),
    [
        ({"IpRanges": [{"CidrIp": "10.0.0.0/16"}]}, (443, 443), False),
        ({"IpRanges": [{"CidrIp": "10.0.2.0/24"}]}, (443, 443), True),
        ({"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, (0, 65535), False),
        ({"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, (5432, 5432), True),
        ({"PrefixListIds": [{"PrefixListId": "pl-1"}]}, (443, 443), False),
    ],
    ids=str,
)
def test_the_endpoint_has_to_let_the_functions_in(
    net: Network, source: dict[str, Any], ports: tuple[int, int], refused: bool
) -> None:
    group = net.security_group("endpoint")
    net.let_in(group, ports, **source)
    net.endpoint(group=group)

    found = net.findings()

    assert found.keys() == ({"EndpointRefusesFunctions"} if refused else set())
    assert not refused or found["EndpointRefusesFunctions"].command == (
        f"aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port 443 "
        f"--source-group {net.group}"
    )


def test_the_functions_group_has_to_let_them_out(net: Network) -> None:
    net.endpoint()
    anywhere = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    net.ec2.revoke_security_group_egress(GroupId=net.group, IpPermissions=[anywhere])
    database = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
    net.ec2.authorize_security_group_egress(GroupId=net.group, IpPermissions=[database])

    assert net.findings().keys() == {"SecurityGroupLetsNothingOut"}


def test_private_dns_needs_that_of_the_vpc(net: Network) -> None:
    net.endpoint()
    net.ec2.modify_vpc_attribute(VpcId=net.vpc, EnableDnsHostnames={"Value": False})

    found = net.findings()

    assert found["VpcWithoutDns"].command == f"aws ec2 modify-vpc-attribute --vpc-id {net.vpc} --enable-dns-hostnames"


@pytest.mark.parametrize(
    ("statement", "codes"),
    [
        ({"Action": "secretsmanager:*"}, set()),
        ({"Action": "secretsmanager:GetSecretValue"}, {"EndpointPolicyRefuses"}),
        ({"Principal": {"AWS": "arn:aws:iam::999999999999:root"}}, {"EndpointPolicyRefuses"}),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, {"EndpointPolicyUnclear"}),
    ],
    ids=str,
)
def test_the_endpoints_policy_has_to_let_the_calls_through(
    net: Network, statement: dict[str, Any], codes: set[str]
) -> None:
    whole = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"} | statement
    net.endpoint(PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [whole]}))

    found = net.findings()

    assert found.keys() == codes
    assert not any("--reset-policy" in finding.command for finding in found.values())
    assert all(finding.command.startswith("aws ec2 describe-vpc-endpoints ") for finding in found.values())
    assert ("modify" in "".join(each.command for each in found.values())) == ("EndpointPolicyRefuses" in codes)


def test_an_endpoint_that_is_not_ready_is_a_problem(net: Network) -> None:
    endpoint = net.endpoint()
    seen = Vpc.read(net.ec2, {"SubnetIds": [net.subnet], "SecurityGroupIds": [net.group]}, REGION)
    seen.endpoint["State"] = "rejected"

    found = list(network._endpoint(seen))

    assert [finding.code for finding in found] == ["EndpointNotAvailable"]
    assert endpoint in found[0].what


def test_where_the_functions_run_is_told(net: Network) -> None:
    made = functions(SubnetIds=[net.subnet], SecurityGroupIds=[net.group])

    (found,) = knowing(net.world, functions=made).of(network.CHECKS[:1]).values()

    assert found.what == f"the functions that log in run in the subnets {net.subnet} with {net.group}"

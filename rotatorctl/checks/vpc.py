"""The VPC of a function, as far as its way to Secrets Manager goes, as EC2 describes it."""

from dataclasses import dataclass
from typing import Any, Self

from rotatorctl.result import Json


@dataclass(frozen=True)
class Vpc:
    """`groups` are the functions' security groups, `dns` the attributes of the VPC that are turned on."""

    id: str
    service: str
    subnets: list[Json]
    groups: list[Json]
    tables: list[Json]
    # An interface endpoint to Secrets Manager; empty if there is none.
    endpoint: Json
    endpoint_groups: list[Json]
    dns: frozenset[str]

    @classmethod
    def read(cls, ec2: Any, function: Json, region: str) -> Self:
        """`function` is the VpcConfig of a function that is in one."""
        subnets = ec2.describe_subnets(SubnetIds=function["SubnetIds"])["Subnets"]
        vpc = subnets[0]["VpcId"]
        endpoint = _endpoint(ec2, vpc, region)
        return cls(
            id=vpc,
            service=f"com.amazonaws.{region}.secretsmanager",
            subnets=subnets,
            groups=_groups(ec2, function["SecurityGroupIds"]),
            tables=_described(ec2, "route_tables", "RouteTables", vpc),
            endpoint=endpoint,
            endpoint_groups=_groups(ec2, [group["GroupId"] for group in endpoint.get("Groups", [])]),
            dns=frozenset(name for name in ("enableDnsSupport", "enableDnsHostnames") if _has(ec2, vpc, name)),
        )

    def table_of(self, subnet: str) -> Json:
        """The route table of a subnet: its own, else the VPC's main one."""
        own: Json = next(
            (table for table in self.tables if any(each.get("SubnetId") == subnet for each in table["Associations"])),
            {},
        )
        return own or next((table for table in self.tables if any(each["Main"] for each in table["Associations"])), {})


def _endpoint(ec2: Any, vpc: str, region: str) -> Json:
    """One with private DNS before others. In China the service's name begins with `cn.`."""
    found = [
        each
        for each in _described(ec2, "vpc_endpoints", "VpcEndpoints", vpc)
        if each["VpcId"] == vpc and each["ServiceName"].endswith(f"com.amazonaws.{region}.secretsmanager")
    ]
    return max(found, key=lambda each: bool(each.get("PrivateDnsEnabled")), default={})


def _groups(ec2: Any, ids: list[str]) -> list[Json]:
    return list(ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"]) if ids else []


def _described(ec2: Any, kind: str, key: str, vpc: str) -> list[Json]:
    pages = ec2.get_paginator(f"describe_{kind}").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    return [each for page in pages for each in page[key]]


def _has(ec2: Any, vpc: str, attribute: str) -> bool:
    answer = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
    return bool(answer[f"{attribute[0].upper()}{attribute[1:]}"]["Value"])

"""template.yaml and monitoring.yaml as they are read, and their roles as a deployment makes them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from rotatorctl.permissions import Role

type Json = dict[str, Any]

ROOT = Path(__file__).parents[1]


class Loader(yaml.CSafeLoader):
    """Reads the short forms of CloudFormation's functions as one-key mappings: !GetAtt A.Arn is {"GetAtt": "A.Arn"}."""


def _intrinsic(loader: yaml.CSafeLoader, suffix: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    raise yaml.constructor.ConstructorError(None, None, f"!{suffix} of a mapping", node.start_mark)


Loader.add_multi_constructor("!", _intrinsic)


def read(name: str) -> Json:
    template: Json = yaml.load((ROOT / name).read_text(), Loader)
    return template


TEMPLATE, MONITORING = read("template.yaml"), read("monitoring.yaml")

# What AWS::NoValue leaves of the place where it stands.
_NOTHING = object()
_ARNS = {
    "AWS::Serverless::Function": "arn:{partition}:lambda:{region}:{account}:function:{id}",
    "AWS::StepFunctions::StateMachine": "arn:{partition}:states:{region}:{account}:stateMachine:{id}",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{id}:*",
    "AWS::SNS::Topic": "arn:{partition}:sns:{region}:{account}:{id}",
    "AWS::SQS::Queue": "arn:{partition}:sqs:{region}:{account}:{id}",
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role/{id}",
    "AWS::Events::Rule": "arn:{partition}:events:{region}:{account}:rule/{id}",
}
# What !Ref gives of these is their ARN.
_BY_ARN = ("AWS::SNS::Topic", "AWS::StepFunctions::StateMachine")


@dataclass
class Deployment:
    """A template as it is deployed. `ids` are the names of resources, where they are not the logical ones."""

    template: Json
    stack_name: str
    region: str
    account: str
    ids: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def nested(self) -> Self:
        """monitoring.yaml, with the parameters that template.yaml gives it."""
        given = self.resolve(self.template["Resources"]["Monitoring"]["Properties"]["Parameters"])
        return type(self)(MONITORING, f"{self.stack_name}-Monitoring", self.region, self.account, self.ids, given)

    def present(self) -> dict[str, Json]:
        """The properties, as they are written, of each resource that the conditions let be, by its logical id."""
        resources = self.template["Resources"].items()
        there = ((name, body) for name, body in resources if "Condition" not in body or self._holds(body["Condition"]))
        return {name: body["Properties"] for name, body in there}

    def refusals(self) -> list[str]:
        """What the template's rules say against the parameters."""
        assertions = [each for rule in self.template["Rules"].values() for each in rule["Assertions"]]
        return [each["AssertDescription"] for each in assertions if not self.resolve(each["Assert"])]

    def roles(self) -> dict[str, list[Json]]:
        """The policy documents of each role, of both templates, by the role's logical id."""
        found = {name: self._documents(body) for name, body in self._of_type("AWS::IAM::Role").items()}
        by_name = {self._id(name): documents for name, documents in found.items()}
        if "Monitoring" in self.template["Resources"]:
            nested = self.nested()
            inner = nested.roles()
            by_name |= {nested._id(name): documents for name, documents in inner.items()}
            for body in nested._of_type("AWS::IAM::Policy").values():
                for name in nested.resolve(body["Roles"]):
                    by_name[name].append(nested.resolve(body["PolicyDocument"]))
            found |= inner
        return found

    def _documents(self, role: Json) -> list[Json]:
        managed = {self._id(name): body for name, body in self._of_type("AWS::IAM::ManagedPolicy").items()}
        arns = self.resolve({"arns": role.get("ManagedPolicyArns", [])}).get("arns", [])
        attached = [self.resolve(managed[each]) for each in arns]
        return [each["PolicyDocument"] for each in (*self.resolve(role["Policies"]), *attached)]

    def resolve(self, value: Any) -> Any:
        """The value with every function of CloudFormation in it worked out."""
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (name := next(iter(value))) in self._functions:
            return self._functions[name](value[name])
        resolved = {key: self.resolve(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not _NOTHING}

    @property
    def _functions(self) -> Mapping[str, Callable[[Any], Any]]:
        return {
            "Ref": self._ref,
            "GetAtt": self._attribute,
            "Sub": self._substituted,
            "If": lambda given: self.resolve(given[1] if self._holds(given[0]) else given[2]),
            "Join": lambda given: given[0].join(self.resolve(given[1])),
            "Split": lambda given: self.resolve(given[1]).split(given[0]),
            "FindInMap": lambda given: self._mapped(*map(self.resolve, given)),
            "Equals": lambda given: self.resolve(given[0]) == self.resolve(given[1]),
            "Not": lambda given: not self.resolve(given[0]),
            "Or": lambda given: any(map(self.resolve, given)),
            "Fn::EachMemberEquals": lambda given: all(each == given[1] for each in self.resolve(given[0])),
        }

    def _holds(self, condition: str) -> bool:
        return bool(self.resolve(self.template["Conditions"][condition]))

    def _mapped(self, name: str, key: str, inner: str) -> Any:
        return self.template["Mappings"][name][key][inner]

    def _ref(self, name: str) -> Any:
        pseudo: Json = {
            "Partition": "aws",
            "Region": self.region,
            "AccountId": self.account,
            "URLSuffix": "amazonaws.com",
        }
        pseudo |= {"StackName": self.stack_name, "NoValue": _NOTHING}
        if name.startswith("AWS::"):
            return pseudo[name.removeprefix("AWS::")]
        if name in self.template["Parameters"]:
            return self._parameter(name)
        return self._arn(name) if self.template["Resources"][name]["Type"] in _BY_ARN else self._id(name)

    def _parameter(self, name: str) -> Any:
        declared = self.template["Parameters"][name]
        value = self.parameters.get(name, declared.get("Default"))
        listed = declared["Type"] == "CommaDelimitedList" and isinstance(value, str)
        return value.split(",") if listed else value

    def _attribute(self, of: str) -> str:
        name, _, attribute = of.partition(".")
        return self._arn(name) if attribute == "Arn" else f"{self._id(name)}.{attribute}"

    def _substituted(self, given: Any) -> str:
        text, values = (given, {}) if isinstance(given, str) else given

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in values:
                return str(self.resolve(values[name]))
            return str(self._attribute(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([\w:.]+)\}", value, text)

    def _id(self, name: str) -> str:
        properties = self.template["Resources"][name].get("Properties", {})
        given = properties.get("FunctionName", properties.get("LogGroupName", properties.get("Name")))
        return self.ids.get(name) or (str(self.resolve(given)) if given else name)

    def _arn(self, name: str) -> str:
        pattern = _ARNS[self.template["Resources"][name]["Type"]]
        return pattern.format(partition="aws", region=self.region, account=self.account, id=self._id(name))

    def _of_type(self, kind: str) -> dict[str, Json]:
        resources = self.template["Resources"].items()
        return {name: body["Properties"] for name, body in resources if body["Type"] == kind}


def named_roles(documents: Mapping[str, list[Json]]) -> dict[str, Role]:
    return {name: Role.of(name, each) for name, each in documents.items()}

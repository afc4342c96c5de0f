"""Renders a template as CloudFormation does: parameters, conditions and intrinsic functions to plain values."""

import itertools
import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[3] / "cloudformation"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "baton",
    "AWS::NoValue": None,
}
NOTHING = object()


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", short_form)


def load(name):
    return yaml.load((FOLDER / name).read_text(), Loader)


class Rendering:
    """One template with one choice of parameters. References to resources become `<Name>` and `<Name.Attribute>`."""

    def __init__(self, template, parameters, stack="baton"):
        self.template = template
        self.pseudo = {**PSEUDO, "AWS::StackName": stack}
        self.parameters = {name: given.get("Default", NOTHING) for name, given in template["Parameters"].items()}
        self.parameters.update(parameters)
        missing = [name for name, value in self.parameters.items() if value is NOTHING]
        assert not missing, f"no value for {missing}"
        self.conditions = {name: self.value(c) for name, c in template.get("Conditions", {}).items()}
        self.resources = {
            name: self.value({k: v for k, v in resource.items() if k != "Condition"})
            for name, resource in template["Resources"].items()
            if self.there(resource)
        }
        self.outputs = {
            name: self.value(output["Value"])
            for name, output in template.get("Outputs", {}).items()
            if self.there(output)
        }

    def there(self, item):
        return self.conditions[item["Condition"]] if "Condition" in item else True

    def of_type(self, kind):
        return {name: r.get("Properties", {}) for name, r in self.resources.items() if r["Type"] == kind}

    def value(self, node):
        if isinstance(node, dict):
            if len(node) == 1:
                name, argument = next(iter(node.items()))
                if name in ("Ref", "Condition") or name.startswith("Fn::"):
                    return getattr(self, "_" + name.removeprefix("Fn::").lower())(argument)
            values = {key: self.value(child) for key, child in node.items()}
            return {key: value for key, value in values.items() if value is not None}
        if isinstance(node, list):
            values = [self.value(child) for child in node]
            return [value for value in values if value is not None]
        return node

    def _resource(self, name):
        assert name in self.template["Resources"], f"there is no resource {name}"
        assert self.there(self.template["Resources"][name]), f"{name} is used where its condition leaves it out"
        return name

    def _ref(self, name):
        if name in self.parameters:
            return self.parameters[name]
        if name in self.pseudo:
            return self.pseudo[name]
        return f"<{self._resource(name)}>"

    def _getatt(self, path):
        return f"<{self._resource(path[0])}.{path[1]}>"

    def _sub(self, text):
        def replaced(found):
            name, _, attribute = found.group(1).partition(".")
            return str(self._getatt([name, attribute]) if attribute else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", replaced, text)

    def _condition(self, name):
        return self.value(self.template["Conditions"][name])

    def _if(self, argument):
        name, yes, no = argument
        return self.value(yes if self.value(self.template["Conditions"][name]) else no)

    def _equals(self, argument):
        left, right = (str(self.value(side)) for side in argument)
        return left == right

    def _not(self, argument):
        return not self.value(argument[0])

    def _and(self, argument):
        return all(self.value(part) for part in argument)

    def _or(self, argument):
        return any(self.value(part) for part in argument)

    def _select(self, argument):
        return self.value(argument[1])[int(argument[0])]

    def _getazs(self, _):
        return ["us-east-1a", "us-east-1b", "us-east-1c"]


# The values that each parameter is tried with. A parameter that is not here keeps its default.
ROLE = "arn:aws:iam::123456789012:role/LabRole"
CHOICES = {
    "network.yaml": {
        "Block": ["10.42", "192.168"],
        "Outbound": ["endpoints", "nat"],
        "ZoneA": ["", "us-east-1c"],
        "ZoneB": ["", "us-east-1d"],
    },
    "trainer.yaml": {
        "VpcId": ["vpc-1"],
        "SubnetA": ["subnet-1"],
        "SubnetB": ["subnet-2"],
        "RoleArn": ["", ROLE],
        "CodeKey": ["", "trainer/0.zip"],
        "Architecture": ["x86_64", "arm64"],
        "ReservedConcurrency": [0, 10],
        "Throughput": ["bursting", "elastic"],
        "ColdAfter": ["AFTER_30_DAYS", "never"],
        "TableRecovery": ["false", "true"],
        "BudgetEmail": ["", "me@example.org"],
    },
}


def combinations(name):
    keys, values = zip(*CHOICES[name].items())
    return [dict(zip(keys, chosen)) for chosen in itertools.product(*values)]

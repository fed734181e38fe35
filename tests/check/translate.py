"""infra/template.yaml as the CloudFormation that AWS would make of it, without AWS.

`python tests/check/translate.py OUT.json` writes it for cfn-lint; template.py imports it and reads on.
"""

import json
import logging
import os
import sys
from pathlib import Path

# The translator asks for a partition, and boto3 finds it by the region. No call is made.
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")

# It also counts what it does, for a service of AWS that isn't here, and warns that no one collects the counts.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parents[2] / "infra" / "template.yaml"


class NoManagedPolicies:
    """The translator looks up AWS's managed policies by name; the template uses none."""

    def load(self):
        return {}


def translate(text):
    """SAM text to a CloudFormation dictionary. `sam package` has uploaded the code by then: so has this."""
    template = yaml_parse(text)
    template["Globals"]["Function"]["CodeUri"] = "s3://code-bucket/code.zip"
    return transform(template, {}, NoManagedPolicies())


def parameters_of(template, overrides):
    """The parameters' values in a deployment that gives only these; None where one has to be given and is not."""
    return {name: p.get("Default") for name, p in template["Parameters"].items()} | overrides


def resolve(template, overrides, reference=lambda kind, operand: operand):
    """What CloudFormation would create: {logical id: resource} with conditions decided for these parameters.

    `reference` says what stands for a reference, by its kind ("Ref", "Fn::GetAtt" or "Fn::Sub"). By default
    references become short text: a Ref its name, GetAtt "Name.Attribute", Sub its pattern.
    """
    parameters = parameters_of(template, overrides)

    def decide(condition):
        ((operator, operands),) = condition.items()
        if operator == "Condition":
            return decide(template["Conditions"][operands])
        if operator == "Fn::And":
            return all(decide(o) for o in operands)
        if operator == "Fn::Not":
            return not decide(operands[0])
        if operator == "Fn::Equals":
            left, right = (str(value(o)) for o in operands)
            return left == right
        raise ValueError(f"condition with {operator}: teach tests/check/translate.py to decide it")

    def value(operand):
        if isinstance(operand, dict) and "Ref" in operand:
            return parameters[operand["Ref"]]
        if isinstance(operand, dict) and "Fn::Join" in operand:
            separator, parts = operand["Fn::Join"]
            parts = value(parts)
            return separator.join(parts if isinstance(parts, list) else [str(parts)])
        return operand

    conditions = {name: decide(c) for name, c in template["Conditions"].items()}
    no_value = object()

    def settle(node):
        if isinstance(node, list):
            return [s for s in map(settle, node) if s is not no_value]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((key, operand),) = node.items()
            if key == "Ref":
                return no_value if operand == "AWS::NoValue" else reference(key, operand)
            if key == "Fn::GetAtt":
                return reference(key, operand if isinstance(operand, str) else ".".join(operand))
            if key == "Fn::Sub" and isinstance(operand, str):
                return reference(key, operand)
            if key == "Fn::If":
                name, yes, no = operand
                return settle(yes if conditions[name] else no)
        return {key: s for key, s in ((k, settle(v)) for k, v in node.items()) if s is not no_value}

    return {
        name: settle(resource)
        for name, resource in template["Resources"].items()
        if conditions.get(resource.get("Condition"), True)
    }


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(translate(TEMPLATE.read_text()), indent=1))

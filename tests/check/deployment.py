"""What infra/template.yaml deploys, as one JSON object on standard output: for the local stack, and for run_tests.py.

Parameters stand there with their values: the default, or what is given here because a test needs that branch. What AWS
would only know after a deployment stays a reference, `${BackupBucket.Arn}`, whoever has it puts it in.
"""

import json
import re
import sys

from translate import TEMPLATE, parameters_of, resolve, translate

# Branches that are off by default and that tests take: as if the parameter had been given.
GIVEN = {
    "RestoreTargetSecretArn": "${RestoreTargetSecretArn}",
    "ChatNotifications": "true",
    # So that what no door can check is named.
    "BackupKmsKeyArn": "${BackupKmsKeyArn}",
}

# What only `rotate` is given: the webhook would read the pooler's secret, and no other, in every test.
GIVEN_TO_ROTATE = {
    "PoolerSecretArn": "${PoolerSecretArn}",
    "DatabaseAdminSecretArn": "${DatabaseAdminSecretArn}",
}


def as_list(one_or_many):
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def deployed(text):
    """Functions with their environment and policies, schedules, and the metrics that are watched."""
    found = deployed_with(text, GIVEN)
    found["functions"]["rotate"] = deployed_with(text, GIVEN | GIVEN_TO_ROTATE)["functions"]["rotate"]
    return found


def deployed_with(text, given):
    template = translate(text)
    parameters = parameters_of(template, given)

    def known(name):
        value = parameters.get(name)
        return f"${{{name}}}" if value is None else value

    def reference(kind, operand):
        if kind == "Fn::Sub":
            return re.sub(r"\$\{([^}!]+)\}", lambda found: str(known(found.group(1))), operand)
        return known(operand)

    resources = resolve(template, given, reference)

    def of_type(kind):
        return {name: r["Properties"] for name, r in resources.items() if r["Type"] == kind}

    # Logical id -> name below the stack's: `${AWS::StackName}-webhook` is webhook.
    functions = {
        name: properties["FunctionName"].removeprefix("${AWS::StackName}-")
        for name, properties in of_type("AWS::Lambda::Function").items()
    }
    return {
        "functions": {
            functions[name]: {
                "environment": properties["Environment"]["Variables"],
                "statements": statements(resources, properties["Role"]),
            }
            for name, properties in of_type("AWS::Lambda::Function").items()
        },
        "schedules": [
            {
                "name": schedule["Name"].removeprefix("${AWS::StackName}-"),
                "function": functions[schedule["Target"]["Arn"][2:].removesuffix(".Arn}")],
                "input": schedule["Target"]["Input"],
            }
            for schedule in of_type("AWS::Scheduler::Schedule").values()
        ],
        "metrics": sorted(watched(of_type), key=json.dumps),
    }


def statements(resources, role):
    """What a role's own policies say."""
    policies = resources[role[2:].removesuffix(".Arn}")]["Properties"]["Policies"]
    return [
        {
            "effect": statement["Effect"],
            "actions": as_list(statement["Action"]),
            "resources": as_list(statement["Resource"]),
            "condition": statement.get("Condition", {}),
        }
        for policy in policies
        for statement in as_list(policy["PolicyDocument"]["Statement"])
    ]


def watched(of_type):
    """Every metric of an alarm or a dashboard: where it is watched, and what it is."""
    for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
        single = [alarm] if "MetricName" in alarm else []
        for metric in single + [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]:
            dimensions = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
            yield {"where": name, "namespace": metric["Namespace"], "name": metric["MetricName"], "dimensions": dimensions}
    for name, dashboard in of_type("AWS::CloudWatch::Dashboard").items():
        for widget in json.loads(dashboard["DashboardBody"])["widgets"]:
            yield from on_widget(name, widget["properties"].get("metrics", []))


def on_widget(dashboard, lines):
    """The lines of a widget in the form of CloudWatch's "Dashboard body structure and syntax": `.` is the same as above,
    `...` all that is left of the line above."""
    above = []
    for line in lines:
        words = [word for word in line if not isinstance(word, dict)]
        if not words:
            continue  # an expression over other lines
        if words[0] == "...":
            words = above[: len(above) - len(words) + 1] + words[1:]
        words = [above[place] if word == "." else word for place, word in enumerate(words)]
        above = words
        namespace, name, *pairs = words
        dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
        yield {"where": dashboard, "namespace": namespace, "name": name, "dimensions": dimensions}


if __name__ == "__main__":
    json.dump(deployed(TEMPLATE.read_text()), sys.stdout, indent=1)

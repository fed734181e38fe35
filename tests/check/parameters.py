"""What somebody gives at a deployment: every stage of samconfig.toml is one that the template takes, and what is wrong is
refused by CloudFormation before anything is made, with words that say what is wanted. Exit code 1 and a list else."""

import re
import sys
import tomllib
from pathlib import Path

from translate import TEMPLATE, translate

SAMCONFIG = Path(__file__).parents[2] / "samconfig.toml"
STAGES = {"dev", "staging", "prod"}

# What somebody may well type; each must be refused.
WRONG = {
    "Architecture": ["arm", "x86"],
    "LogLevel": ["verbose", "INFO"],
    "LogRetentionDays": ["8", "ever"],
    "ChatNotifications": ["yes", "https://hooks.slack.com/services/x"],
    "StripeLivemode": ["yes", "live"],
    "StripeEventBus": ["default", "aws.partner/other.com/x"],
    "StripeAccounts": ["acct_1 acct_2", "shop", "acct_"],
    "StripeWebhookUrl": ["http://shop.example/webhooks/stripe", "shop.example"],
    "StripeApiVersion": ["latest", "2026"],
    "StripeRateSharePercent": ["0", "101"],
    "WebhookConnections": ["-1", "many"],
    "WebhookRequestsPerSecond": ["0"],
    "DatabaseSecretArn": ["postgres://shop:hunter2@db.example/shop", "shop/database", "arn:aws:s3:::bucket"],
    "RestoreTargetSecretArn": ["postgres://shop:hunter2@db.example/shop", "other"],
    "PoolerSecretArn": ["postgres://shop:hunter2@db.example/shop", "pooler"],
    # The private half, a key for SSH, nothing.
    "BackupAgeRecipients": ["AGE-SECRET-KEY-1QQQ", "ssh-ed25519 AAAA", "", "age1…"],
    "BackupRetentionDaysFull": ["0", "4000"],
    "BackupKmsKeyArn": ["alias/shop", "arn:aws:kms:eu-central-1:123456789012:alias/shop"],
    "BackupLockDays": ["-1"],
    "BackupLockMode": ["governance", "NONE"],
    "ScheduleState": ["on", "enabled"],
    "BackupRpoHours": ["26", "full:26", "full=0"],
}
# Given, these stand for something that exists; no pattern can know it.
KEY = "age1" + "q" * 58


def refusal(parameter, value):
    """Why CloudFormation would not take it; None where it would."""
    allowed = parameter.get("AllowedValues")
    if allowed is not None and value not in [str(a) for a in allowed]:
        return f"is none of {allowed}"
    if "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], value):
        return parameter.get("ConstraintDescription", "")
    if parameter["Type"] == "Number":
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            return "is no number"
        if not parameter.get("MinValue", -1e9) <= float(value) <= parameter.get("MaxValue", 1e9):
            return "is out of range"
    return None


def faults():
    parameters = translate(TEMPLATE.read_text())["Parameters"]
    for name, values in WRONG.items():
        for value in values:
            why = refusal(parameters[name], value)
            if why is None:
                yield f"{name}: takes {value!r}"
            elif not why:
                yield f"{name}: refuses {value!r} with its pattern and no word (ConstraintDescription)"
    for name, parameter in parameters.items():
        if not parameter.get("Description"):
            yield f"{name}: has no description"
        if "Default" in parameter and parameter["Type"] != "CommaDelimitedList":
            if why := refusal(parameter, str(parameter["Default"])):
                yield f"{name}: its default {why}"
    if required := [n for n, p in parameters.items() if "Default" not in p and n != "BackupAgeRecipients"]:
        yield f"has to be given beside the public key: {required}"

    config = tomllib.loads(SAMCONFIG.read_text())
    stages = {name for name, commands in config.items() if name not in ("version", "default")}
    if stages != STAGES:
        yield f"samconfig.toml: stages {sorted(stages)}"
    names = [config[stage]["deploy"]["parameters"]["stack_name"] for stage in stages]
    if len(set(names)) != len(names):
        yield "samconfig.toml: two stages are one stack"
    # With the lines that wait for somebody's own values.
    filled = tomllib.loads(SAMCONFIG.read_text().replace("# \"", "\"").replace("age1…", KEY))
    for stage in sorted(stages):
        given = dict(pair.split("=", 1) for pair in filled[stage]["deploy"]["parameters"]["parameter_overrides"])
        if "BackupAgeRecipients" not in given:
            yield f"samconfig.toml: {stage} has no place for the public key"
        for name, value in given.items():
            if name not in parameters:
                yield f"samconfig.toml: {stage} gives {name}, which the template has not"
            elif why := refusal(parameters[name], value):
                yield f"samconfig.toml: {stage} gives {name}={value}: {why}"
        tags = config[stage]["deploy"]["parameters"].get("tags", [])
        if f"stage={stage}" not in tags:
            yield f"samconfig.toml: {stage} has tags {tags}"
    if config["prod"]["deploy"]["parameters"].get("confirm_changeset") is not True:
        yield "samconfig.toml: prod is changed without a look"


def main():
    found = list(faults())
    for fault in found:
        print(f"infra/template.yaml: {fault}", file=sys.stderr)
    print(f"parameters: {sum(map(len, WRONG.values()))} wrong values tried, {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""Holds infra/aurora.yaml to what its comments promise. Exit code 1 and a list when it does not; `--breaks` proves that
the checks can fail."""

import sys
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

INFRA = Path(__file__).parents[2] / "infra"

BREAKS = [
    ("StorageEncrypted: true", "StorageEncrypted: false"),
    ("    DeletionPolicy: Snapshot\n", ""),
    ("DeletionProtection: !Ref DeletionProtection", "DeletionProtection: false"),
    ("PubliclyAccessible: false", "PubliclyAccessible: true"),
    ('rds.force_ssl: "1"', 'rds.force_ssl: "0"'),
    ("DBClusterParameterGroupName: !Ref ClusterParameters", "Port: 5432"),
    ("          SourceSecurityGroupId: !Ref FunctionsGroup\n", "          CidrIp: 0.0.0.0/0\n"),
    ("VpcSecurityGroupIds: [!Ref DatabaseGroup]", "VpcSecurityGroupIds: [!Ref FunctionsGroup]"),
    ("      SubnetIds: [!Ref PrivateA, !Ref PrivateB]", "      SubnetIds: [!Ref PrivateA, !Ref Public]"),
    ("        GenerateStringKey: password\n", "        GenerateStringKey: secret\n"),
    ('MasterUserPassword: !Sub "{{resolve:secretsmanager:${DatabaseSecret}:SecretString:password}}"', "MasterUserPassword: hunter2hunter2"),
    ("      TargetId: !Ref Cluster\n", "      TargetId: !Ref Instance\n"),
    ("    Value: !Ref DatabaseSecretAttachment", "    Value: !Ref Cluster"),
    ("  VpcSubnetIds:\n    Value", "  SubnetIds:\n    Value"),
    ("      RouteTableId: !Ref PrivateRoutes\n      DestinationCidrBlock", "      RouteTableId: !Ref PublicRoutes\n      DestinationCidrBlock"),
]


def faults(text):
    template = yaml_parse(text)
    resources = {name: r.get("Properties", {}) for name, r in template["Resources"].items()}
    found = []

    def wants(holds, fault):
        if not holds:
            found.append(fault)

    cluster, instance = resources["Cluster"], resources["Instance"]
    wants(cluster.get("StorageEncrypted") is True, "the disk is not encrypted")
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        wants(template["Resources"]["Cluster"].get(policy) == "Snapshot", f"{policy}: the data goes with the stack")
    wants(cluster.get("DeletionProtection") == {"Ref": "DeletionProtection"}, "it is not protected from deletion")
    wants(template["Parameters"]["DeletionProtection"]["Default"] == "true", "it is not protected by default")
    wants(instance.get("PubliclyAccessible") is False, "it has a public address")
    group = {"Ref": "ClusterParameters"}
    wants(cluster.get("DBClusterParameterGroupName") == group, "its parameters are not the group's")
    wants(resources["ClusterParameters"]["Parameters"].get("rds.force_ssl") == "1", "logins without TLS are let in")
    wants(cluster["VpcSecurityGroupIds"] == [{"Ref": "DatabaseGroup"}], "it is in another group")
    (rule,) = resources["DatabaseGroup"]["SecurityGroupIngress"]
    wants(rule.get("SourceSecurityGroupId") == {"Ref": "FunctionsGroup"}, "others than the functions reach it")
    wants("SecurityGroupIngress" not in resources["FunctionsGroup"], "somebody reaches the functions")
    private = [{"Ref": "PrivateA"}, {"Ref": "PrivateB"}]
    wants(resources["SubnetGroup"]["SubnetIds"] == private, "it is in a public subnet")
    route = resources["PrivateDefault"]
    wants(route.get("RouteTableId") == {"Ref": "PrivateRoutes"}, "the functions have no way to Stripe")
    generated = resources["DatabaseSecret"].get("GenerateSecretString", {})
    wants(generated.get("GenerateStringKey") == "password", "the secret has no password that a function reads")
    for field in ("MasterUsername", "MasterUserPassword"):
        wants("{{resolve:secretsmanager:${DatabaseSecret}:" in str(cluster[field]), f"{field} stands in the template")
    attachment = resources["DatabaseSecretAttachment"]
    wants(attachment["TargetId"] == {"Ref": "Cluster"}, "the secret gets another address than the cluster's")
    taken = yaml_parse((INFRA / "template.yaml").read_text())["Parameters"]
    for name in template["Outputs"]:
        wants(name in taken, f"output {name} is no parameter of infra/template.yaml")
    secret = template["Outputs"].get("DatabaseSecretArn", {}).get("Value")
    wants(secret == {"Ref": "DatabaseSecretAttachment"}, "the secret is given before it has an address")
    return found


def main():
    text = (INFRA / "aurora.yaml").read_text()
    if sys.argv[1:] == ["--breaks"]:
        unseen = [old for old, new in BREAKS if old not in text or not faults(text.replace(old, new, 1))]
        for old in unseen:
            print(f"tests/check/aurora.py does not see {old!r} changed", file=sys.stderr)
        print(f"aurora: {len(BREAKS) - len(unseen)} of {len(BREAKS)} deliberate faults found")
        return bool(unseen)
    found = faults(text)
    for fault in found:
        print(f"infra/aurora.yaml: {fault}", file=sys.stderr)
    print(f"aurora: {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

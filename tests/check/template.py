"""Holds infra/template.yaml to what DESIGN and README promise of it. Exit code 1 and a list when it does not.

The policies below are the contract, to the letter: a function that needs one more action needs it here too.
`--breaks` proves that the checks can fail: it breaks the template in many ways and wants each one found.
"""

import json
import re
import sys

from template_watch import check_watch
from translate import TEMPLATE, resolve, translate

# Two deployments that between them take every branch of every condition.
PLAIN = {}
FULL = {
    "AlarmEmail": "a@example.com",
    "ChatNotifications": "true",
    "DatabaseSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf",
    "BackupKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/k",
    "BackupLockDays": 30,
    "DatabaseAdminSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:admin-AbCdEf",
    "PoolerSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pooler-AbCdEf",
    "RestoreTargetSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:other-AbCdEf",
    "StripeWebhookUrl": "https://shop.example/webhooks/stripe",
    "StripeEventBus": "aws.partner/stripe.com/ed_test_1",
    "VpcSubnetIds": ["subnet-1"],
    "VpcSecurityGroupIds": ["sg-1"],
}

# Which functions there are, and the variables that each one reads.
VARIABLES = {
    "Webhook": {
        "RUST_LOG", "DATABASE_SECRET_ID", "STRIPE_WEBHOOK_SECRET_ID", "STRIPE_API_SECRET_ID", "STRIPE_LIVEMODE",
        "STRIPE_ACCOUNTS", "DATABASE_POOLER", "RECOUP_METRICS_NAMESPACE", "RECOUP_METRICS_DIMENSIONS",
    },
    "Backup": {
        "RUST_LOG", "DATABASE_SECRET_ID", "BACKUP_BUCKET", "BACKUP_AGE_RECIPIENTS", "BACKUP_RECIPIENTS_SECRET_ID",
        "BACKUP_SCHEMAS",
        "BACKUP_RETENTION_DAYS_FULL", "BACKUP_RETENTION_DAYS_PAYMENTS", "BACKUP_RETENTION_DAYS_ORDERS",
        "BACKUP_RETENTION_DAYS_TICKETS", "BACKUP_RETENTION_DAYS_TABLES", "BACKUP_PITR_DAYS", "BACKUP_CONNECTIONS",
        "BACKUP_CHANGES_KEEP_HOURS", "BACKUP_ZSTD_LEVEL", "RECOUP_METRICS_NAMESPACE", "RECOUP_METRICS_DIMENSIONS",
    },
    "Verify": {
        "RUST_LOG", "DATABASE_SECRET_ID", "BACKUP_BUCKET", "BACKUP_KEY_SECRET_ID", "STRIPE_API_SECRET_ID",
        "STRIPE_WEBHOOK_SECRET_ID", "BACKUP_RPO_HOURS", "BACKUP_SCHEMAS", "RECOUP_SECRET_DAYS", "RESTORE_CONNECTIONS",
        "RECOUP_METRICS_NAMESPACE", "RECOUP_METRICS_DIMENSIONS",
    },
    "Restore": {"RUST_LOG", "DATABASE_SECRET_ID", "BACKUP_BUCKET", "BACKUP_KEY_SECRET_ID", "RESTORE_CONNECTIONS"},
    "Reconcile": {
        "RUST_LOG", "DATABASE_SECRET_ID", "STRIPE_API_SECRET_ID", "STRIPE_LIVEMODE", "STRIPE_ACCOUNTS",
        "STRIPE_RATE_SHARE_PERCENT", "STRIPE_WEBHOOK_URL", "STRIPE_API_VERSION", "BACKUP_BUCKET",
        "RECOUP_METRICS_NAMESPACE", "RECOUP_METRICS_DIMENSIONS",
    },
    "Operate": {
        "RUST_LOG", "DATABASE_SECRET_ID", "BACKUP_BUCKET", "BACKUP_AGE_RECIPIENTS", "BACKUP_RECIPIENTS_SECRET_ID",
    },
    "Rotate": {
        "RUST_LOG", "DATABASE_SECRET_ID", "STRIPE_WEBHOOK_SECRET_ID", "BACKUP_KEY_SECRET_ID", "STRIPE_API_SECRET_ID",
        "BACKUP_RECIPIENTS_SECRET_ID", "DATABASE_ADMIN_SECRET_ID", "DATABASE_POOLER_SECRET_ID", "STRIPE_LIVEMODE",
        "STRIPE_ACCOUNTS", "STRIPE_WEBHOOK_URL", "ROTATION_OVERLAP_HOURS", "ROTATION_SETTLE_SECONDS",
        "RECOUP_METRICS_NAMESPACE", "RECOUP_METRICS_DIMENSIONS",
    },
    "Notify": {"RUST_LOG", "NOTIFY_WEBHOOK_SECRET_ID"},
}


def functions_of(full):
    """The functions of a deployment: the chat's is there when it is wanted."""
    return [name for name in VARIABLES if full or name != "Notify"]


# Time limits in seconds: Lambda's own, save where somebody waits.
TIMEOUTS = {"Webhook": 29, "Notify": 60}

# Name of the schedule -> (function, what it is called with).
SCHEDULES = {
    **{
        f"Backup{name}": ("Backup", {"backup_type": kind, "scheduled_at": "<aws.scheduler.scheduled-time>"})
        for name, kind in [
            ("ChangesEveryFiveMinutes", "changes"),
            ("FullDaily", "full"), ("PaymentsHourly", "payments"), ("OrdersDaily", "orders"), ("TicketsDaily", "tickets"),
        ]
    },
    "BackupPruneDaily": (
        "Backup",
        {"action": "prune", "dry_run": False, "actor": "schedule", "reason": "daily prune"},
    ),
    "VerifyLatestDaily": ("Verify", {"action": "full", "backup_id": "latest"}),
    "VerifyDrillWeekly": ("Verify", {"action": "drill"}),
    "VerifyChangesDaily": ("Verify", {"action": "changes"}),
    "VerifyDatabaseDaily": ("Verify", {"action": "database"}),
    "VerifySchemaDaily": ("Verify", {"action": "schema"}),
    "VerifyHealthEveryFifteenMinutes": ("Verify", {"action": "health"}),
    "ReconcileEventsHourly": ("Reconcile", {"action": "events", "dry_run": False}),
    "ReconcileObjectsNightly": ("Reconcile", {"action": "objects", "dry_run": False}),
    "ReconcileBalanceNightly": ("Reconcile", {"action": "balance", "dry_run": False}),
    "ReconcileEndpointHourly": ("Reconcile", {"action": "endpoint"}),
    "ReconcileRetryEveryFiveMinutes": ("Reconcile", {"action": "retry", "dry_run": False}),
    "OperateErasuresDaily": (
        "Operate",
        {"action": "replay_erasures", "dry_run": False, "actor": "schedule", "reason": "daily replay"},
    ),
    "RotateOverlapHourly": ("Rotate", {"action": "finish_overlap"}),
}

ROUTES = {("/webhooks/stripe", "post"), ("/health", "get")}


INTERFACE_CALLS = {
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


def allow(actions, resources, condition=None):
    """One statement, in the form that `statements` brings the template's into."""
    resources = resources if isinstance(resources, list) else [resources]
    return json.dumps(["Allow", sorted(actions.split()), sorted(resources), condition], sort_keys=True)


def policies(full):
    """What each function may do, with its own log and secrets."""
    database = "DatabaseSecretArn" if full else "DatabaseSecret"
    prefixes = ["v1/backups/*", "v1/changes/*"]

    def below(*prefixes):
        return [f"${{BackupBucket.Arn}}/{prefix}" for prefix in prefixes]

    def listing(*prefixes):
        return allow("s3:ListBucket", "BackupBucket.Arn", {"StringLike": {"s3:prefix": list(prefixes)}})

    def reading(*prefixes):
        return [allow("s3:GetObject", below(*prefixes)), listing(*prefixes)]

    objects = below(*prefixes)
    through_s3 = {"StringEquals": {"kms:ViaService": "s3.${AWS::Region}.amazonaws.com"}}
    failed = allow("sqs:SendMessage", "DeadLetters.Arn")

    def log(name):
        return allow("logs:CreateLogStream logs:PutLogEvents", f"{name}Logs.Arn")

    def secrets(*names):
        return allow("secretsmanager:GetSecretValue", list(names))

    def key(actions):
        return [allow(actions, "BackupKmsKeyArn", through_s3)] if full else []

    return {
        "Webhook": [
            log("Webhook"),
            secrets("PoolerSecretArn" if full else database, "StripeWebhookSecret", "StripeApiSecret"),
            failed,
        ],
        "Backup": [
            log("Backup"),
            secrets(database, "BackupRecipientsSecret"),
            allow("s3:PutObject s3:AbortMultipartUpload", objects),
            allow("s3:DeleteObject s3:GetObjectRetention s3:GetObjectLegalHold", objects),
            listing(*prefixes),
            allow("s3:ListBucketMultipartUploads", "BackupBucket.Arn"),
            failed,
            *key("kms:GenerateDataKey kms:Decrypt"),
        ],
        "Verify": [
            log("Verify"),
            secrets(database, "BackupKeySecret"),
            allow(
                "secretsmanager:DescribeSecret",
                [database, "BackupKeySecret", "StripeApiSecret", "StripeWebhookSecret"],
            ),
            *reading(*prefixes),
            failed,
            *key("kms:Decrypt"),
            *([allow("lambda:InvokeFunction", "Notify.Arn")] if full else []),
        ],
        "Restore": [
            log("Restore"),
            secrets(database, "BackupKeySecret", *(["RestoreTargetSecretArn"] if full else [])),
            *reading(*prefixes, "v1/erasures/*"),
            *key("kms:Decrypt"),
        ],
        "Reconcile": [
            log("Reconcile"),
            secrets(database, "StripeApiSecret"),
            allow("s3:PutObject", "${BackupBucket.Arn}/v1/reports/*"),
            failed,
            *key("kms:GenerateDataKey"),
        ],
        "Operate": [
            log("Operate"),
            secrets(database, "BackupRecipientsSecret"),
            allow("s3:PutObject", "${BackupBucket.Arn}/v1/erasures/*"),
            failed,
            *key("kms:GenerateDataKey"),
        ],
        "Rotate": [
            log("Rotate"),
            allow(
                "secretsmanager:DescribeSecret secretsmanager:GetSecretValue secretsmanager:PutSecretValue "
                "secretsmanager:UpdateSecretVersionStage",
                [
                    database, "StripeWebhookSecret", "BackupKeySecret", "StripeApiSecret", "BackupRecipientsSecret",
                    *(["PoolerSecretArn"] if full else []),
                ],
            ),
            *([allow("secretsmanager:DescribeSecret secretsmanager:GetSecretValue", "DatabaseAdminSecretArn")] if full else []),
            failed,
        ],
        "Notify": [log("Notify"), secrets("ChatSecret"), failed],
    }


def as_list(one_or_many):
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def statements(role):
    """Every statement of a role's inline policies."""
    return [s for p in role.get("Policies", []) for s in as_list(p["PolicyDocument"]["Statement"])]


def as_text(statement):
    actions, resources = sorted(as_list(statement["Action"])), sorted(as_list(statement["Resource"]))
    return json.dumps([statement["Effect"], actions, resources, statement.get("Condition")], sort_keys=True)


def check_policies(resources, full, fault):
    wanted = policies(full)
    for name in functions_of(full):
        properties = resources[name]["Properties"]
        if properties["Role"] != f"{name}Role.Arn":
            fault(f"{name}: its role is {properties['Role']}, and should be its own, {name}Role")
            continue
        role = resources[f"{name}Role"]["Properties"]
        got, want = {as_text(s) for s in statements(role)}, set(wanted[name])
        for extra in sorted(got - want):
            fault(f"{name}Role: allows more than the function calls: {extra}")
        for missing in sorted(want - got):
            fault(f"{name}Role: lacks what the function calls: {missing}")
        attached = role.get("ManagedPolicyArns", [])
        if attached != (["NetworkInterfacePolicy"] if full else []):
            fault(f"{name}Role: managed policies {attached}")
        trust = role["AssumeRolePolicyDocument"]["Statement"]
        if [s["Principal"] for s in trust] != [{"Service": "lambda.amazonaws.com"}]:
            fault(f"{name}Role: someone other than Lambda may assume it")
    # The one policy that IAM leaves no choice but "*" for.
    shared = {n: r for n, r in resources.items() if r["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy")}
    if set(shared) != ({"NetworkInterfacePolicy"} if full else set()):
        fault(f"policies outside the roles: {sorted(shared)}")
    for name, policy in shared.items():
        attach, take_back = policy["Properties"]["PolicyDocument"]["Statement"]
        if set(attach["Action"]) != INTERFACE_CALLS:
            fault(f"{name}: {sorted(set(attach['Action']) ^ INTERFACE_CALLS)}")
        if (take_back["Effect"], take_back["Action"]) != ("Deny", "ec2:*"):
            fault(f"{name}: the functions' own code may use it")
    for name, resource in resources.items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        for statement in statements(resource["Properties"]):
            for target in as_list(statement["Resource"]):
                if not re.match(r"(\$\{)?[A-Z][A-Za-z]+(\.Arn)?(\}|$)", target):
                    fault(f"{name}: {target} is not one resource of this stack or one parameter")
            for action in as_list(statement["Action"]):
                if "*" in action:
                    fault(f"{name}: allows {action}, which is more than one action")


def check_functions(resources, full, fault):
    functions = {n for n, r in resources.items() if r["Type"] == "AWS::Lambda::Function"}
    if functions != set(functions_of(full)):
        fault(f"functions are {sorted(functions)}, and should be {sorted(functions_of(full))}")
    for name in sorted(functions & set(VARIABLES)):
        properties = resources[name]["Properties"]
        variables = properties["Environment"]["Variables"]
        if set(variables) != VARIABLES[name]:
            fault(f"{name}: variables differ from the contract: {sorted(set(variables) ^ VARIABLES[name])}")
        role = resources.get(f"{name}Role", {}).get("Properties", {"Policies": []})
        readable = {target for s in statements(role) for target in as_list(s["Resource"])}
        for variable, value in variables.items():
            if variable.endswith("_SECRET_ID") and value != "none" and value not in readable:
                fault(f"{name}: {variable} is {value}, which its role may not read")
            # A reference is a bare name here; what is written out could be a secret.
            if value not in PUBLIC and value not in SECRETS:
                fault(f"{name}: {variable} is {value!r}, which is neither a secret's name nor public")
            if (variable.endswith("_SECRET_ID")) != (value in SECRETS) and (variable, value) not in WITHOUT:
                fault(f"{name}: {variable} does not name a secret")
        if properties["Runtime"] != "provided.al2023" or properties["Handler"] != "bootstrap":
            fault(f"{name}: not a Rust binary on provided.al2023")
        if properties["FunctionName"] != f"${{AWS::StackName}}-{name.lower()}":
            fault(f"{name}: RUNBOOK calls it <stack>-{name.lower()}, here it is {properties['FunctionName']}")
        if properties.get("LoggingConfig", {}).get("LogGroup") != f"{name}Logs":
            fault(f"{name}: writes to a log group that is not its own")
        if ("VpcConfig" in properties) != full:
            fault(f"{name}: VpcConfig does not follow the parameter")
        if properties["Timeout"] != TIMEOUTS.get(name, 900):
            fault(f"{name}: time limit {properties['Timeout']} s, and should be {TIMEOUTS.get(name, 900)}")
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Logs::LogGroup" and not resource["Properties"].get("RetentionInDays"):
            fault(f"{name}: keeps logs for ever")


SECRETS = {
    "DatabaseSecret", "DatabaseSecretArn", "DatabaseAdminSecretArn", "PoolerSecretArn", "StripeWebhookSecret", "StripeApiSecret",
    "BackupKeySecret", "BackupRecipientsSecret", "ChatSecret",
}
# Secrets that a stack may do without.
WITHOUT = {("DATABASE_ADMIN_SECRET_ID", "none"), ("DATABASE_POOLER_SECRET_ID", "none")}
PUBLIC = {
    "LogLevel", "StripeLivemode", "StripeAccounts", "StripeRateSharePercent", "StripeWebhookUrl",
    "${Api.ApiEndpoint}/webhooks/stripe", "StripeApiVersion", "BackupBucket", "BackupAgeRecipients", "BackupSchemas",
    "BackupRetentionDaysFull", "BackupRetentionDaysPayments", "BackupRetentionDaysOrders",
    "BackupRetentionDaysTickets", "BackupRetentionDaysTables", "BackupPitrDays", "BackupChangesKeepHours", "1", "2", "BackupRpoHours",
    "SecretMaxAgeDays", "MetricsNamespace", "RotationOverlapHours", "32",
    "Stack=${AWS::StackName}", "none", "transaction",
}


def check_door(resources, full, fault):
    webhook = resources["Webhook"]["Properties"]
    if webhook["Timeout"] >= 30:
        fault("Webhook: its time limit is not under the gateway's 30 s")
    if webhook.get("ReservedConcurrentExecutions") != "WebhookConnections":
        fault("Webhook: reserved concurrency is not the connection budget")
    body = resources["Api"]["Properties"]["Body"]
    routes = {(path, method) for path, methods in body["paths"].items() for method in methods}
    if routes != ROUTES:
        fault(f"Api: routes are {sorted(routes)}")
    stage = resources["ApiApiGatewayDefaultStage"]["Properties"]
    limits = stage.get("DefaultRouteSettings", {})
    if not limits.get("ThrottlingRateLimit") or not limits.get("ThrottlingBurstLimit"):
        fault("Api: not throttled")
    if "sourceIp" in json.dumps(stage.get("AccessLogSettings", {})):
        fault("Api: the access log holds the caller's address")


def check_event_bus(resources, full, fault):
    rules = {n: r["Properties"] for n, r in resources.items() if r["Type"] == "AWS::Events::Rule"}
    if set(rules) != ({"StripeEvents"} if full else set()):
        fault(f"rules of event buses: {sorted(rules)}")
    for name, rule in rules.items():
        if rule["EventBusName"] != "StripeEventBus":
            fault(f"{name}: listens to {rule['EventBusName']}")
        if rule["EventPattern"] != {"source": [{"prefix": "aws.partner/stripe.com/"}]}:
            fault(f"{name}: lets others' events through: {rule['EventPattern']}")
        if [target["Arn"] for target in rule["Targets"]] != ["Webhook.Arn"]:
            fault(f"{name}: calls {rule['Targets']}")
        permission = resources.get(f"{name}Permission", {}).get("Properties", {})
        if (permission.get("Principal"), permission.get("SourceArn")) != ("events.amazonaws.com", f"{name}.Arn"):
            fault(f"{name}Permission: not for this rule alone: {permission}")


def check_schedules(resources, full, fault):
    schedules = {n: r["Properties"] for n, r in resources.items() if r["Type"] == "AWS::Scheduler::Schedule"}
    if set(schedules) != set(SCHEDULES):
        fault(f"schedules are {sorted(schedules)}, and should be {sorted(SCHEDULES)}")
    for name, schedule in schedules.items():
        target = schedule["Target"]
        function, payload = SCHEDULES.get(name, ("", {}))
        if target["Arn"] != f"{function}.Arn" or json.loads(target.get("Input", "{}")) != payload:
            fault(f"{name}: calls {target['Arn']} with {target.get('Input')}")
        if not str(schedule.get("Name")).startswith("${AWS::StackName}-"):
            fault(f"{name}: its name is the same in every stack")
        if target.get("DeadLetterConfig") != {"Arn": "DeadLetters.Arn"} or "RetryPolicy" not in target:
            fault(f"{name}: a run that can't be delivered is lost")
        if schedule.get("ScheduleExpressionTimezone") != "ScheduleTimeZone":
            fault(f"{name}: not in the chosen time zone")
    role = resources["ScheduleRole"]["Properties"]
    may = {as_text(s) for s in statements(role)}
    targets = list({f"{function}.Arn" for function, _ in SCHEDULES.values()})
    if may != {allow("lambda:InvokeFunction", targets), allow("sqs:SendMessage", "DeadLetters.Arn")}:
        fault(f"ScheduleRole: {sorted(may)}")
    if "aws:SourceAccount" not in json.dumps(role["AssumeRolePolicyDocument"]):
        fault("ScheduleRole: another account's schedule may use it")
    if resources["DeadLetters"]["Properties"].get("SqsManagedSseEnabled") is not True:
        fault("DeadLetters: not encrypted")


def outlives(resource):
    """Whether it stays when its stack goes, and leaves nothing behind where the stack never came to be."""
    kept = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
    return kept == ("RetainExceptOnCreate", "Retain")


def check_bucket(resources, full, fault):
    bucket = resources["BackupBucket"]
    properties = bucket["Properties"]
    if not outlives(bucket):
        fault("BackupBucket: goes with the stack, or stays behind where a first deployment fails")
    if "BucketName" in properties:
        fault("BackupBucket: has a name that somebody may have already")
    if properties.get("VersioningConfiguration") != {"Status": "Enabled"}:
        fault("BackupBucket: not versioned")
    rules = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
    algorithms = [r["ServerSideEncryptionByDefault"]["SSEAlgorithm"] for r in rules]
    if algorithms != (["aws:kms"] if full else ["AES256"]):
        fault(f"BackupBucket: encryption {algorithms}")
    block = properties.get("PublicAccessBlockConfiguration", {})
    closed = ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"]
    if [block.get(c) for c in closed] != [True] * 4:
        fault("BackupBucket: public access is not blocked")
    lifecycle = properties.get("LifecycleConfiguration", {}).get("Rules", [])
    if not any("AbortIncompleteMultipartUpload" in r for r in lifecycle):
        fault("BackupBucket: unfinished uploads stay for ever")
    if not any("NoncurrentVersionExpiration" in r for r in lifecycle):
        fault("BackupBucket: deleted versions stay for ever")
    if any({"ExpirationInDays", "ExpirationDate"} & set(r) for r in lifecycle):
        fault("BackupBucket: a lifecycle rule would delete the last good backup")
    if (properties.get("ObjectLockEnabled") is True) != full or ("ObjectLockConfiguration" in properties) != full:
        fault("BackupBucket: Object Lock does not follow the parameter")
    policy = resources["BackupBucketPolicy"]["Properties"]
    tls_only = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["BackupBucket.Arn", "${BackupBucket.Arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    denials = [{k: v for k, v in s.items() if k != "Sid"} for s in policy["PolicyDocument"]["Statement"]]
    if policy["Bucket"] != "BackupBucket" or tls_only not in denials:
        fault("BackupBucketPolicy: plain HTTP is not refused")
    if any(s["Effect"] == "Allow" for s in denials):
        fault("BackupBucketPolicy: opens the bucket to someone")


def check_secrets(resources, full, fault):
    secrets = {n: r for n, r in resources.items() if r["Type"] == "AWS::SecretsManager::Secret"}
    if ("DatabaseSecret" in secrets) == full:
        fault("DatabaseSecret: made beside the one that was given, or not made")
    for name, secret in secrets.items():

        def values(node):
            return [v for child in node.values() for v in values(child)] if isinstance(node, dict) else [node]

        if any(values(json.loads(secret["Properties"]["SecretString"]))):
            fault(f"{name}: the template holds a value")
    if not outlives(secrets["BackupKeySecret"]):
        fault("BackupKeySecret: goes with the stack, and no backup opens after that")


def check_rotation(resources, full, fault):
    schedules = {
        r["Properties"]["SecretId"]: r for r in resources.values() if r["Type"] == "AWS::SecretsManager::RotationSchedule"
    }
    wanted = {"StripeWebhookSecret", "BackupKeySecret"} | (set() if full else {"DatabaseSecret"})
    if set(schedules) != wanted:
        fault(f"rotated by themselves are {sorted(schedules)}, and should be {sorted(wanted)}")
    for secret, schedule in schedules.items():
        properties = schedule["Properties"]
        if properties.get("RotationLambdaARN") != "Rotate.Arn" or "HostedRotationLambda" in properties:
            fault(f"{secret}: somebody else than rotate rotates it")
        if properties.get("RotationRules") != {"AutomaticallyAfterDays": "RotationDays"}:
            fault(f"{secret}: rotates after {properties.get('RotationRules')}")
        if properties.get("RotateImmediatelyOnUpdate") is not False:
            fault(f"{secret}: would be rotated before it is filled")
        if schedule.get("DependsOn") != "RotatePermission":
            fault(f"{secret}: its rotation may be set up before Secrets Manager may call rotate")
    permission = resources.get("RotatePermission", {}).get("Properties", {})
    caller = (permission.get("Principal"), permission.get("SourceAccount"), permission.get("FunctionName"))
    if caller != ("secretsmanager.amazonaws.com", "AWS::AccountId", "Rotate"):
        fault(f"RotatePermission: lets {caller} call")


def check_open_doors(resources, full, fault):
    """Nobody gets in but through the gateway, the schedules and what AWS itself hands on."""
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Lambda::Url":
            fault(f"{name}: a function can be called by anyone who has its address")
        if resource["Type"] == "AWS::Lambda::Permission":
            known = {"apigateway.amazonaws.com", "events.amazonaws.com", "sns.amazonaws.com"}
            if properties.get("Principal") == "secretsmanager.amazonaws.com" and "SourceAccount" in properties:
                continue  # check_rotation
            if properties.get("Principal") not in known or "SourceArn" not in properties:
                fault(f"{name}: lets {properties.get('Principal')} call a function, from anywhere")
        if resource["Type"] in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::SecretsManager::ResourcePolicy"):
            fault(f"{name}: opens what only the roles of this stack have to reach")
    chats = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::SNS::Subscription"]
    for subscription in chats:
        wanted = {"email": "AlarmEmail", "lambda": "Notify.Arn"}
        if wanted.get(subscription["Protocol"]) != subscription["Endpoint"]:
            fault(f"alarms go to {subscription['Endpoint']}")
    if len(chats) != (2 if full else 0):
        fault("the topic of alarms has other subscribers than the mail and the chat")


def check_failures(resources, full, fault):
    """What a function fails at for good is kept, whoever calls it and does not wait."""
    for name in functions_of(full):
        if name == "Restore":
            continue  # operators call it, and wait
        config = resources.get(f"{name}EventInvokeConfig", {}).get("Properties", {})
        destinations = config.get("DestinationConfig", {})
        if destinations.get("OnFailure") != {"Destination": "DeadLetters.Arn"}:
            fault(f"{name}: what it fails at for good is lost")
        handed_on = {"Destination": "Notify.Arn"} if full and name == "Verify" else None
        if destinations.get("OnSuccess") != handed_on:
            fault(f"{name}: what it does well goes to {destinations.get('OnSuccess')}")
    if full and resources["Notify"]["Properties"].get("ReservedConcurrentExecutions") != 1:
        fault("Notify: two instances would tell one incident twice")


CHECKS = [
    check_functions,
    check_policies,
    check_door,
    check_event_bus,
    check_schedules,
    check_bucket,
    check_secrets,
    check_rotation,
    check_open_doors,
    check_failures,
    check_watch,
]


def faults(text):
    """Every way in which this template differs from the contract."""
    found = []
    template = translate(text)
    for name, parameter in template["Parameters"].items():
        if parameter.get("NoEcho"):
            found.append(f"parameter {name}: a secret passes through CloudFormation")
    for name in VARIABLES:
        if template["Outputs"].get(f"{name}Function", {}).get("Value") != {"Ref": name}:
            found.append(f"no output {name}Function names the function")
    for title, overrides in [("plain", PLAIN), ("full", FULL)]:
        resources = resolve(template, overrides)
        for check in CHECKS:
            check(resources, bool(overrides), lambda text: found.append(f"[{title}] {text}"))
    return found


if __name__ == "__main__":
    text = TEMPLATE.read_text()
    if sys.argv[1:] == ["--breaks"]:
        from template_breaks import BREAKS, break_it

        unseen = [b for b in BREAKS if not faults(break_it(text, *b))]
        for old, new in unseen:
            print(f"tests/check/template.py does not see {old!r} turned into {new!r}", file=sys.stderr)
        print(f"template: {len(BREAKS) - len(unseen)} of {len(BREAKS)} deliberate faults found")
        sys.exit(bool(unseen))
    found = faults(text)
    for line in found:
        print(f"infra/template.yaml: {line}", file=sys.stderr)
    print(f"template: {len(found)} faults")
    sys.exit(bool(found))

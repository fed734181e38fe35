"""Ways to break infra/template.yaml, one replacement each, that tests/check/template.py has to find."""

BREAKS = [
    # Policies: more than is called, less than is called, wildcards, someone else's secret.
    ("Action: [s3:PutObject, s3:AbortMultipartUpload]", "Action: [s3:PutObject, s3:GetObject]"),
    ("Action: [s3:PutObject, s3:AbortMultipartUpload]", "Action: s3:PutObject"),
    ("Action: [s3:DeleteObject, s3:GetObjectRetention", "Action: [s3:DeleteObjectVersion, s3:GetObjectRetention"),
    ("s3:GetObjectRetention, s3:GetObjectLegalHold]", "s3:GetObjectRetention, s3:BypassGovernanceRetention]"),
    ("Action: s3:ListBucketMultipartUploads", "Action: s3:ListBucketVersions"),
    ("Action: s3:GetObject\n", "Action: s3:*\n"),
    ('Resource: [!Sub "${BackupBucket.Arn}/v1/backups/*", !Sub "${BackupBucket.Arn}/v1/changes/*"]', 'Resource: "*"'),
    ('Resource: [!Sub "${BackupBucket.Arn}/v1/backups/*", !Sub "${BackupBucket.Arn}/v1/changes/*"]', "Resource: !Sub ${BackupBucket.Arn}/*"),
    ("Condition: {StringLike: {s3:prefix: [v1/backups/*, v1/changes/*]}}", "Condition: {StringLike: {s3:prefix: '*'}}"),
    ("Resource: !Sub ${BackupBucket.Arn}/v1/reports/*", "Resource: !Sub ${BackupBucket.Arn}/*"),
    ("                Action: s3:PutObject\n", "                Action: [s3:PutObject, s3:GetObject]\n"),
    ("                  Action: kms:GenerateDataKey\n", "                  Action: kms:Decrypt\n"),
    ("MetricName: BalanceDrift", "MetricName: EndpointDrift"),
    ("""Input: '{"action":"balance","dry_run":false}'""", """Input: '{"action":"balance"}'"""),
    ("MetricName: ChangesExports", "MetricName: FullBackups"),
    ('Input: \'{"action":"changes"}\'', 'Input: \'{"action":"quick"}\''),
    ("Resource: !GetAtt WebhookLogs.Arn", 'Resource: "*"'),
    ("                  - !Ref StripeWebhookSecret\n", "                  - !Ref BackupKeySecret\n"),
    ("Action: secretsmanager:DescribeSecret", "Action: secretsmanager:GetSecretValue"),
    ("Action: [kms:GenerateDataKey, kms:Decrypt]", "Action: kms:*"),
    ("Principal: {Service: lambda.amazonaws.com}", 'Principal: {AWS: "*"}'),
    ("Role: !GetAtt WebhookRole.Arn", "Role: !GetAtt RestoreRole.Arn"),
    ("Condition: {StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}}", "Sid: Anyone"),
    ("              - ec2:DescribeSubnets\n", "              - ec2:DescribeSubnets\n              - ec2:RunInstances\n"),
    # Functions: the environment contract, secrets in plain variables, limits.
    ("BACKUP_KEY_SECRET_ID: !Ref BackupKeySecret", 'BACKUP_KEY_SECRET_ID: "AGE-SECRET-KEY-1"'),
    ("          BACKUP_BUCKET: !Ref BackupBucket\n", ""),
    ("RUST_LOG: !Ref LogLevel", "RUST_LOG: !Ref LogLevel\n        EXTRA: !Ref LogLevel"),
    ("Timeout: 29", "Timeout: 30"),
    ("!If [ReservesConcurrency, !Ref WebhookConnections, !Ref AWS::NoValue]", "1000"),
    ("LogGroup: !Ref VerifyLogs", "LogGroup: !Ref BackupLogs"),
    ("RetentionInDays: !Ref LogRetentionDays", "KmsKeyId: !Ref AWS::NoValue"),
    ("ThrottlingRateLimit: !Ref WebhookRequestsPerSecond", "DetailedMetricsEnabled: true"),
    ("Path: /health", "Path: /healthz"),
    # Stripe's event bus.
    ("source: [{prefix: aws.partner/stripe.com/}]", "source: [{prefix: aws}]"),
    ("      SourceArn: !GetAtt StripeEvents.Arn", "      SourceAccount: !Ref AWS::AccountId"),
    ("EventBusName: !Ref StripeEventBus", "EventBusName: default"),
    ("    Condition: HasEventBus\n", ""),
    # Schedules.
    ("""Input: '{"action":"events","dry_run":false}'""", """Input: '{"action":"events","dry_run":true}'"""),
    (',"scheduled_at":"<aws.scheduler.scheduled-time>"', ""),
    ("""Input: '{"action":"prune","dry_run":false""", """Input: '{"action":"prune","dry_run":true"""),
    ("""Input: '{"action":"drill"}'""", """Input: '{"action":"quick"}'"""),
    ("DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}", "Description: lost"),
    ("Name: !Sub ${AWS::StackName}-backup-full", "Name: backup-full"),
    ('{"backup_type":"payments",', '{"backup_type":"orders",'),
    ("SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false"),
    ("            Destination: !GetAtt DeadLetters.Arn", "            Destination: !GetAtt Backup.Arn"),
    # Bucket.
    ("VersioningConfiguration: {Status: Enabled}", "VersioningConfiguration: {Status: Suspended}"),
    ("SSEAlgorithm: AES256", 'SSEAlgorithm: "aws:kms"'),
    ("BlockPublicPolicy: true", "BlockPublicPolicy: false"),
    ('aws:SecureTransport: "false"', 'aws:SecureTransport: "true"'),
    ("AbortIncompleteMultipartUpload: {DaysAfterInitiation: 1}", "ExpirationInDays: 90"),
    ("    DeletionPolicy: Retain\n", ""),
    ("ObjectLockEnabled: !If [HasLock, true, !Ref AWS::NoValue]", "ObjectLockEnabled: false"),
    # Secrets and alarms.
    ("""'{"api_key":""}'""", """'{"api_key":"sk_live_1"}'"""),
    ('    Default: ""\n', '    Default: ""\n    NoEcho: true\n'),
    ("AlarmActions: [!Ref AlarmTopic]", "AlarmActions: []"),
    ("TreatMissingData: breaching", "TreatMissingData: ignore"),
    ("MetricName: Throttles", "MetricName: Duration"),
    ("MetricName: FullBackups", "MetricName: PaymentsBackups"),
    ("            Period: 900\n", "            Period: 3600\n"),
    ("MetricName: EventsDead", "MetricName: EventsFailed"),
    ("MetricName: EventsDrift", "MetricName: ObjectsDrift"),
    ("MetricName: BackupsLate", "MetricName: Failing"),
    ("MetricName: DrillsFailed", "MetricName: DrillSeconds"),
    ("MetricName: DrillAgeSeconds", "MetricName: DrillSeconds"),
    ("MetricName: Latency", "MetricName: Received"),
    ("MetricName: 5xx", "MetricName: 4xx"),
    ("MetricName: ApproximateNumberOfMessagesVisible", "MetricName: NumberOfMessagesSent"),
    ("              Dimensions: [{Name: FunctionName, Value: !Ref Restore}]", "              Dimensions: [{Name: FunctionName, Value: !Ref Backup}]"),
    ('RUNBOOK, "Events failed"', 'RUNBOOK, "Events that failed"'),
    ("  VerifyFunction:\n    Value: !Ref Verify", "  VerifyFunction:\n    Value: !Ref Backup"),
    # The dashboard.
    ('"${EventsDead.Arn}",\n', ""),
    ('"BackupAgeSeconds"', '"BackupAge"'),
    ('"x":12,"y":10', '"x":10,"y":10'),
    # Doors that were not there.
    ("  DeadLetters:\n", "  Url:\n    Type: AWS::Lambda::Url\n    Properties: {AuthType: NONE, TargetFunctionArn: !Ref Backup}\n  DeadLetters:\n"),
    ("      Principal: events.amazonaws.com", '      Principal: "*"'),
    ("      Endpoint: !Ref AlarmEmail", "      Endpoint: !Ref MetricsNamespace"),
    # The chat.
    ("NOTIFY_WEBHOOK_SECRET_ID: !Ref ChatSecret", "NOTIFY_WEBHOOK_SECRET_ID: https://hooks.slack.com/services/T0/B0/x"),
    ("Resource: !Ref ChatSecret", "Resource: !Ref StripeApiSecret"),
    ("OnSuccess: !If [HasChat, {Destination: !GetAtt Notify.Arn}, !Ref AWS::NoValue]", "OnSuccess: {Destination: !GetAtt Backup.Arn}"),
    ("!If [ReservesConcurrency, 1, !Ref AWS::NoValue]", "!If [ReservesConcurrency, 5, !Ref AWS::NoValue]"),
    ("      Timeout: 60\n", "      Timeout: 6\n"),
    ("OnFailure: {Destination: !GetAtt DeadLetters.Arn}", "OnFailure: {Destination: !GetAtt AlarmTopic}"),
]


def break_it(text, old, new):
    """The template with the first occurrence replaced."""
    if old not in text:
        raise ValueError(f"infra/template.yaml no longer has {old!r}: change tests/check/template_breaks.py with it")
    return text.replace(old, new, 1)

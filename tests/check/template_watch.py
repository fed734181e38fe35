"""Alarms and the dashboard of infra/template.yaml: each promise is watched, each alarm reaches a person and a page of
RUNBOOK, and the dashboard answers its questions. That the metrics are really emitted is run_tests.py's."""

import json
import re
from pathlib import Path

RUNBOOK = Path(__file__).parents[2] / "RUNBOOK.md"

# (metric, whose it is): what rings.
PROMISES = {
    # Stripe hears 2xx, soon.
    ("5xx", "Api"), ("Latency", "webhook"), ("Throttles", "Webhook"),
    # Nothing that is signed is lost.
    ("EventsDead", "verify"), ("EventsDrift", "reconcile"),
    # A backup is there, new enough, and comes back.
    ("BackupsLate", "verify"), ("DrillsFailed", "verify"), ("DrillAgeSeconds", "verify"),
    # Postgres and Stripe agree.
    ("ObjectsDrift", "reconcile"), ("BalanceDrift", "reconcile"), ("EndpointDrift", "reconcile"),
    # A secret that was not rotated.
    ("RotationsFailed", "rotate"),
    # What a schedule could not do is seen.
    ("ApproximateNumberOfMessagesVisible", "DeadLetters.QueueName"),
}

# Silence rings too: (alarm, what is counted, hours).
SILENCE = [
    ("BackupMissing", {("FullBackups", "backup")}, 26),
    ("PaymentsBackupMissing", {("PaymentsBackups", "backup")}, 2),
    ("ChangesMissing", {("ChangesExports", "backup")}, 0.25),
    ("VerifyMissing", {("Invocations", "Verify"), ("Errors", "Verify")}, 26),
]

# What the dashboard answers, by the metrics that it takes.
QUESTIONS = {
    "are events flowing": {"Received", "Applied", "Latency"},
    "is anything failed or dead": {"EventsFailed", "EventsDead", "Failing", "Errors"},
    "how old is the newest backup": {"BackupAgeSeconds", "ChangesAgeSeconds"},
    "when did a restore last succeed": {"DrillAgeSeconds", "DrillSeconds"},
    "do we agree with Stripe": {"EventsDrift", "ObjectsDrift", "BalanceDrift", "EndpointDrift"},
}


def metrics_of(alarm):
    """(metric, first dimension's value) of all that an alarm looks at."""
    single = [alarm] if "MetricName" in alarm else []
    stats = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
    return {(m["MetricName"], m["Dimensions"][0]["Value"]) for m in single + stats}


def check_watch(resources, full, fault):
    alarms = {n: r for n, r in resources.items() if r["Type"] == "AWS::CloudWatch::Alarm"}
    functions = {n for n, r in resources.items() if r["Type"] == "AWS::Lambda::Function"}
    runbook = set(re.findall(r"^## (.*)$", RUNBOOK.read_text(), re.M))
    watched = set()
    for name, resource in alarms.items():
        alarm = resource["Properties"]
        watched |= metrics_of(alarm)
        if alarm.get("AlarmActions") != ["AlarmTopic"]:
            fault(f"{name}: tells no one")
        page = re.search(r'RUNBOOK, "(.*)"', alarm["AlarmDescription"])
        if page and page.group(1) not in runbook:
            fault(f"{name}: RUNBOOK has no page {page.group(1)!r}")
        if not page and "raise" not in alarm["AlarmDescription"]:
            fault(f"{name}: says not what to do")
    wanted = PROMISES | {("Errors", name) for name in functions}
    # One at a time is how the chat's is meant to run.
    wanted |= {("Throttles", name) for name in functions - {"Notify"}}
    for metric, of in sorted(wanted - watched):
        fault(f"no alarm on {metric} of {of}")
    for name, counted, hours in SILENCE:
        alarm = alarms.get(name, {}).get("Properties", {})
        seconds = {m["MetricStat"]["Period"] * alarm["EvaluationPeriods"] for m in alarm.get("Metrics", []) if "MetricStat" in m}
        found = (alarm.get("TreatMissingData"), metrics_of(alarm), seconds)
        if found != ("breaching", counted, {hours * 3600}):
            fault(f"{name}: {hours} hours without a run do not alarm")
    if ("AlarmMail" in resources) != full:
        fault("AlarmMail: does not follow the parameter")
    check_dashboard(resources, alarms, fault)


def check_dashboard(resources, alarms, fault):
    widgets = json.loads(resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    shown = {alarm for w in widgets if w["type"] == "alarm" for alarm in w["properties"]["alarms"]}
    for name, resource in alarms.items():
        # The dashboard cannot name what may not be there.
        if "Condition" not in resource and f"${{{name}.Arn}}" not in shown:
            fault(f"Dashboard: does not show whether {name} rings")
    taken = {line[1] for w in widgets for line in w["properties"].get("metrics", [])}
    for question, metrics in QUESTIONS.items():
        if metrics - taken:
            fault(f"Dashboard: {question}? It lacks {sorted(metrics - taken)}")
    places = [(w["x"], w["y"], w["width"], w["height"]) for w in widgets]
    for place, (x, y, width, height) in enumerate(places):
        if x + width > 24:
            fault(f"Dashboard: a widget of {widgets[place]['properties']['title']!r} is cut off")
        for x2, y2, width2, height2 in places[:place]:
            if x < x2 + width2 and x2 < x + width and y < y2 + height2 and y2 < y + height:
                fault(f"Dashboard: {widgets[place]['properties']['title']!r} lies over another")

"""What a month costs at AWS, from infra/template.yaml, the benchmark's figures and published unit prices.

docs/cost.md has its tables between two marks; without an argument this fails where they are not what is computed here,
with `--write` it writes them there.
"""

import json
import re
import sys
from pathlib import Path

from deployment import deployed
from translate import TEMPLATE, resolve, translate

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cost.md"
BEGIN, END = "<!-- computed by tests/check/cost.py -->\n", "<!-- end of what is computed -->"

# US dollars for us-east-1, without any free tier, each with where it was last seen. Nobody asked AWS's price list itself:
# these are words of it that others quote.
LIST = "2026-08, AWS's price list, quoted word by word"
PAGE_READ = "2026-09, AWS's pricing page, quoted word by word"
REPORTED = "2026, articles on the price"
PRICES = {
    "Lambda, a GB-second (x86_64)": (0.0000166667, LIST),
    "Lambda, a million requests": (0.20, LIST),
    "HTTP API, a million requests": (1.00, LIST),
    "EventBridge Scheduler, a million invocations": (1.00, LIST),
    "S3 Standard, a GB a month": (0.023, LIST),
    "S3, a thousand PUT, LIST": (0.005, LIST),
    "S3, a thousand GET": (0.0004, LIST),
    "CloudWatch Logs, a GB taken in": (0.50, REPORTED),
    "CloudWatch Logs, a GB a month kept": (0.03, "2024-07, worked out from AWS's price list by Infracost"),
    "CloudWatch, a metric a month": (0.30, REPORTED),
    "CloudWatch, an alarm's metric a month": (0.10, "2024-07, worked out from AWS's price list by Infracost"),
    "CloudWatch, a dashboard a month": (3.00, REPORTED),
    "Secrets Manager, a secret a month": (0.40, PAGE_READ),
    "Secrets Manager, ten thousand calls": (0.05, PAGE_READ),
    "Aurora Serverless v2, a capacity unit an hour": (0.12, REPORTED),
    "Aurora, a GB a month": (0.10, REPORTED),
    "Aurora, a million reads and writes of its storage": (0.20, "2024-07, worked out from AWS's price list by Infracost"),
    "NAT gateway, an hour": (0.045, LIST),
    "NAT gateway, a GB": (0.045, LIST),
    "public address, an hour": (0.005, LIST),
}

DAYS, HOURS = 30, 730

# What is assumed, each with where it comes from. Speeds are half of what bench/results.json has on two processors of a
# desk: a function's are shared.
ASSUMED = {
    "milliseconds that a delivery is billed": 15,
    "bytes of log a delivery (metrics, Lambda's own lines, access log)": 2000,
    "bytes that backups keep of a byte of rows": 0.15,
    "MB of rows a second, backup": 110,
    "MB of rows a second, verify": 540,
    "MB of rows a second, drill": 32,
    "seconds that a run takes beside": 2,
    "bytes of exported changes an event": 1500,
    "objects that a backup writes": 60,
    "share of the rows: payments": 0.15,
    "share of the rows: orders": 0.10,
    "share of the rows: tickets": 0.02,
}

EVENTS = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
ROWS_GB = [0.1, 1, 10, 25]
SHOWN = [(10_000, 1), (100_000, 10), (1_000_000, 25)]


def price(what):
    """Dollars for one."""
    return PRICES[what][0]


def runs_a_month(expression):
    """How often a schedule runs."""
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression):
        minutes = int(rate.group(1)) * {"minute": 1, "hour": 60, "day": 1440}[rate.group(2)]
        return DAYS * 1440 / minutes
    minute, hour, _, _, weekday, _ = re.fullmatch(r"cron\((.*)\)", expression).group(1).split()
    if not minute.isdigit():
        raise ValueError(f"{expression}: teach tests/check/cost.py to count it")
    return DAYS * (24 if hour == "*" else 1) / (7 if weekday.isalpha() else 1)


def template_facts():
    """What the template says: schedules, memory, and how many of everything that is paid by the piece."""
    text = TEMPLATE.read_text()
    template = translate(text)
    values = {name: p.get("Default") for name, p in template["Parameters"].items()}
    resources = resolve(template, {})

    def of_type(kind):
        return {n: r["Properties"] for n, r in resources.items() if r["Type"] == kind}

    memory = {f"{n}.Arn": p["MemorySize"] / 1024 for n, p in of_type("AWS::Lambda::Function").items()}
    schedules = []
    for schedule in of_type("AWS::Scheduler::Schedule").values():
        expression = values.get(schedule["ScheduleExpression"], schedule["ScheduleExpression"])
        what = json.loads(schedule["Target"]["Input"])
        # `full` is a backup's type, and a check's action.
        kind = what.get("backup_type") or f"verify {what['action']}"
        schedules.append((kind, runs_a_month(expression), memory[schedule["Target"]["Arn"]]))
    versions = [
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in resources["BackupBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        if "NoncurrentVersionExpiration" in rule
    ]
    return {
        "schedules": schedules,
        "webhook_gb": memory["Webhook.Arn"],
        # Kept until they expire, and behind their markers until the lifecycle rule drops them.
        "days_full": values["BackupRetentionDaysFull"] + versions[0],
        "days_payments": values["BackupRetentionDaysPayments"] + versions[0],
        "days_orders": values["BackupRetentionDaysOrders"] + versions[0],
        "days_tickets": values["BackupRetentionDaysTickets"] + versions[0],
        "days_changes": values["BackupPitrDays"] + versions[0],
        "log_days": values["LogRetentionDays"],
        "alarm_metrics": sum(1 for m in deployed(text)["metrics"] if m["where"] in of_type("AWS::CloudWatch::Alarm")),
        "dashboards": len(of_type("AWS::CloudWatch::Dashboard")),
        "secrets": len(of_type("AWS::SecretsManager::Secret")),
        "metrics": len(metric_names()),
    }


def metric_names():
    """Every metric that a function can emit."""
    names = set()
    for path in (ROOT / "functions").glob("*/src/**/*.rs"):
        text = path.read_text()
        names |= set(re.findall(r'(?:Metric::(?:one|new)|\bcount|\bdrift)\("([A-Z][A-Za-z]+)"', text))
        names |= set(re.findall(r'::\w+(?:\(_\))? => "([A-Z][A-Za-z]+s?)"', text))
    return names


def month(facts, events, rows_gb):
    """Dollars by part."""
    assumed = ASSUMED.get
    beside = assumed("seconds that a run takes beside")
    share = {kind: assumed(f"share of the rows: {kind}") for kind in ("payments", "orders", "tickets")}

    def seconds(kind):
        mb = rows_gb * 1000
        speed = {"verify drill": "drill", "verify full": "verify", "changes": None}.get(kind, "backup")
        if speed is None or kind not in (*share, "full", "verify full", "verify drill"):
            return beside
        return mb * share.get(kind, 1) / assumed(f"MB of rows a second, {speed}") + beside

    runs = gb_seconds = puts = gets = 0
    for kind, times, memory in facts["schedules"]:
        runs += times
        gb_seconds += times * seconds(kind) * memory
        puts += times * (assumed("objects that a backup writes") if kind in (*share, "full") else 4)
        gets += times * 4
    delivery = assumed("milliseconds that a delivery is billed") / 1000 * facts["webhook_gb"]
    log_gb = events * assumed("bytes of log a delivery (metrics, Lambda's own lines, access log)") / 1e9 + runs * 3000 / 1e9

    kept = {"full": facts["days_full"]}
    kept |= {kind: facts[f"days_{kind}"] * (24 if kind == "payments" else 1) * share[kind] for kind in share}
    stored = rows_gb * assumed("bytes that backups keep of a byte of rows") * sum(kept.values())
    changes = events / DAYS * facts["days_changes"] * assumed("bytes of exported changes an event") / 1e9
    return {
        "deliveries": events / 1e6 * (price("HTTP API, a million requests") + price("Lambda, a million requests"))
        + events * delivery * price("Lambda, a GB-second (x86_64)"),
        "scheduled runs": gb_seconds * price("Lambda, a GB-second (x86_64)")
        + runs / 1e6 * (price("Lambda, a million requests") + price("EventBridge Scheduler, a million invocations")),
        "bucket": (stored + changes) * price("S3 Standard, a GB a month")
        + puts / 1000 * price("S3, a thousand PUT, LIST")
        + gets / 1000 * price("S3, a thousand GET"),
        "logs": log_gb * price("CloudWatch Logs, a GB taken in")
        + log_gb * facts["log_days"] / DAYS * price("CloudWatch Logs, a GB a month kept"),
        "metrics, alarms, dashboard": facts["metrics"] * price("CloudWatch, a metric a month")
        + facts["alarm_metrics"] * price("CloudWatch, an alarm's metric a month")
        + facts["dashboards"] * price("CloudWatch, a dashboard a month"),
        "secrets": facts["secrets"] * price("Secrets Manager, a secret a month")
        + 2 * runs / 1e4 * price("Secrets Manager, ten thousand calls"),
    }


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def size(gb):
    return f"{gb * 1000:.0f} MB" if gb < 1 else f"{gb:.0f} GB"


def computed():
    facts = template_facts()
    whole = [
        [f"{events:,}", *(f"{sum(month(facts, events, gb).values()):,.0f}" for gb in ROWS_GB)] for events in EVENTS
    ]
    parts = [month(facts, *shown) for shown in SHOWN]
    by_part = [
        [part, *(f"{p[part]:,.2f} ({p[part] / sum(p.values()):.0%})" for p in parts)] for part in parts[0]
    ]
    aurora = 0.5 * HOURS * price("Aurora Serverless v2, a capacity unit an hour")
    way_out = HOURS * (price("NAT gateway, an hour") + price("public address, an hour"))
    assumed = [[what, f"{value:g}"] for what, value in ASSUMED.items()]
    prices = [[what, f"{usd:.10f}".rstrip("0").rstrip("."), seen] for what, (usd, seen) in PRICES.items()]
    return "\n\n".join(
        [
            "US dollars a month, by events a month and by the size of the database's rows:",
            table(["events", *map(size, ROWS_GB)], whole),
            "What it is made of, at "
            + ", ".join(f"{events:,} events and {size(gb)}" for events, gb in SHOWN)
            + ":",
            table(["part", *(f"{events:,}, {size(gb)}" for events, gb in SHOWN)], by_part),
            f"With `infra/aurora.yaml` on top: {aurora:.0f} for its least capacity, {way_out:.0f} for the way out and its "
            f"address, {price('Aurora, a GB a month'):.2f} a GB of rows, and what is read and written.",
            f"Counted in the template: {facts['metrics']} metrics, {facts['alarm_metrics']} metrics of alarms, "
            f"{facts['secrets']} secrets, {sum(times for _, times, _ in facts['schedules']):,.0f} scheduled runs a month.",
            table(["assumed", ""], assumed),
            table(["unit price", "USD", "last seen"], prices),
        ]
    ) + "\n\n"


def main():
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        print(f"docs/cost.md: has no place for the tables: {BEGIN.strip()} … {END}", file=sys.stderr)
        return 1
    whole = before + BEGIN + "\n" + computed() + END + after
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(whole)
        return 0
    if whole != text:
        print("docs/cost.md: its tables are not what is computed: run tests/check/cost.py --write", file=sys.stderr)
    print(f"cost: {int(whole != text)} faults")
    return int(whole != text)


if __name__ == "__main__":
    sys.exit(main())

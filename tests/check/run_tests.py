"""Runs `cargo test` with the arguments given, passes its output on as it comes, and ends with one line:

    41 passed, 0 failed

the sum over all test binaries and doc tests. Exit code 0 only if something passed and nothing failed.

Each stack leaves behind what its functions used and emitted (tests/stack/iam/evidence.rs). After a run of all tests that
is held against infra/template.yaml: a permission that no test used, and a metric that is watched and that no function
emitted, are one failure each. (A call that was denied has failed its own test.)
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SUMMARY = re.compile(
    r"test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; \d+ measured; (\d+) filtered out"
)
START = re.compile(r"running \d+ tests?$")

# The services behind the stack's doors. What a role may do elsewhere is Lambda's own work in its name: nothing here can
# see it used. tests/check/template.py holds it to the letter.
ENFORCED = ("s3:", "secretsmanager:")
# Conditions that tests/stack/iam checks. Of others it takes for granted that they hold.
CHECKED = {("StringLike", "s3:prefix")}
# Metrics that AWS itself emits, by the names of their own documentation; our functions have no part in them.
OF_AWS = {
    "AWS/ApiGateway": {"4xx", "5xx", "Count", "IntegrationLatency", "Latency", "DataProcessed"},
    "AWS/Lambda": {"ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles"},
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
}
# What ${AWS::StackName} is in the local stack.
STACK = "recoup-local"


def missing(deployment, left):
    """What the template has and no test showed, a line each."""
    used = {(u["function"], u["action"], u["resource"]) for stack in left for u in stack["used"]}
    emitted = {metric_key(m) for stack in left for m in stack["metrics"]}
    for function, config in sorted(deployment["functions"].items()):
        for statement in config["statements"]:
            for action in statement["actions"]:
                for resource in statement["resources"]:
                    if action.startswith(ENFORCED) and (function, action, resource) not in used:
                        yield f"{function} may {action} on {resource}, and no test used that"
    for metric in deployment["metrics"]:
        if metric["namespace"].startswith("AWS/"):
            if metric["name"] not in OF_AWS.get(metric["namespace"], set()):
                yield f"{metric['where']} watches {metric['namespace']} {metric['name']}, which AWS does not have"
        elif metric_key(metric) not in emitted:
            dimensions = ", ".join(f"{name}={value}" for name, value in sorted(metric["dimensions"].items()))
            yield f"{metric['where']} watches {metric['name']} of {dimensions}, and no function emitted that"


def metric_key(metric):
    """A metric is another one with other dimensions."""
    dimensions = {name: value.replace("${AWS::StackName}", STACK) for name, value in metric["dimensions"].items()}
    return json.dumps([metric["namespace"], metric["name"], dimensions], sort_keys=True)


def unchecked(deployment):
    """The conditions that no door checks, for whoever reads the log."""
    found = set()
    for function, config in deployment["functions"].items():
        for statement in config["statements"]:
            for operator, keys in statement["condition"].items():
                found |= {f"{function}: {operator} {key}" for key in keys if (operator, key) not in CHECKED}
    return sorted(found)


def held_against_the_template(folder):
    """Prints what is missing; gives how many of it."""
    left = [json.loads(file.read_text()) for file in sorted(Path(folder).glob("*.json"))]
    script = Path(__file__).with_name("deployment.py")
    deployment = json.loads(subprocess.run([sys.executable, script], check=True, stdout=subprocess.PIPE).stdout)
    faults = list(missing(deployment, left))
    for fault in faults:
        print(f"infra/template.yaml: {fault}")
    for condition in unchecked(deployment):
        print(f"infra/template.yaml: not checked by the stack's doors: {condition}")
    uses = len({json.dumps(use) for stack in left for use in stack["used"]})
    print(f"{len(left)} stacks used {uses} permissions; {len(faults)} faults")
    return len(faults)


def main():
    command = ["cargo", "test", *sys.argv[1:]]
    started = ended = passed = failed = ignored = filtered = 0
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RECOUP_EVIDENCE": folder}
        # Only stdout is read: libtest prints its summaries there; what cargo says itself goes straight through.
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
            text=True,
            errors="replace",
        ) as cargo:
            for line in cargo.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                if START.match(line):
                    started += 1
                elif summary := SUMMARY.match(line):
                    ended += 1
                    passed, failed, ignored, filtered = (
                        total + int(more)
                        for total, more in zip((passed, failed, ignored, filtered), summary.groups())
                    )
        print()
        # A part of the tests shows a part; and what failed may have ended before it showed something.
        if started == ended and failed == filtered == cargo.returncode == 0 and "--workspace" in command:
            failed += held_against_the_template(folder)

    if started > ended:
        failed += started - ended
        print(f"{started - ended} test binaries died before their summary; each counts as one failure")
    elif cargo.returncode != 0 and failed == 0:
        failed = 1
        print(f"cargo test ended with {cargo.returncode} and no failed test; that counts as one failure")
    if passed + failed == 0:
        print("no test ran, which is a failure too")
    if ignored:
        print(f"{ignored} ignored")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs `cargo test` with the arguments given, passes its output on as it comes, and ends with one line:

    41 passed, 0 failed

the sum over all test binaries and doc tests. Exit code 0 only if something passed and nothing failed.
"""

import re
import subprocess
import sys

SUMMARY = re.compile(
    r"test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; \d+ measured; \d+ filtered out"
)
START = re.compile(r"running \d+ tests?$")


def main():
    command = ["cargo", "test", *sys.argv[1:]]
    started = ended = passed = failed = ignored = 0
    # Only stdout is read: libtest prints its summaries there; what cargo says itself goes straight through.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace") as cargo:
        for line in cargo.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if START.match(line):
                started += 1
            elif summary := SUMMARY.match(line):
                ended += 1
                passed, failed, ignored = (
                    total + int(more) for total, more in zip((passed, failed, ignored), summary.groups())
                )

    print()
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

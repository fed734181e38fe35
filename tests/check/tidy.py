"""Rules for the repository's own files. Exit code 1 and a list when one is broken."""

import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_OURS = {".git", ".venv", ".postgres", "target", ".aws-sam", "node_modules", "__pycache__"}
TEXT = {".rs", ".py", ".sh", ".sql", ".toml", ".yaml", ".yml", ".md", ".json", ".txt", ""}

# A file is one idea; past this it is usually two.
RUST_LINES_MAX = 400
# path: why it is one idea all the same.
LONG_FILES = {}

# Variables that a function reads and that are not set in AWS: why.
NOT_IN_TEMPLATE = {
    "STRIPE_API_BASE": "Stripe's address, for the local stack only; unset it is Stripe itself",
    "BACKUP_ENCRYPTION": "switches encryption off, which nobody is to do by a parameter of a deployment",
}
VARIABLE = re.compile(r'"((?:DATABASE|STRIPE|BACKUP|RESTORE|ROTATION|RECOUP|NOTIFY)_[A-Z0-9_]+|RUST_LOG)"')

# Written in two halves, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|\b(to" + r"do|unimple" + r"mented)!\(")
MACHINE_PATH = re.compile(r"(?<![\w.}$:/*-])/(wo" + r"rk|tm" + r"p|ho" + r"me|ro" + r"ot|Us" + r"ers)/\w")


def files():
    """Every file of the repository. The tree is walked, for git refuses a checkout that someone else owns."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(set(folders) - NOT_OURS)
        for name in sorted(set(names) - NOT_OURS):
            path = Path(folder) / name
            if path.suffix in TEXT and path.is_file() and name not in ("Cargo.lock", "LICENSE"):
                yield path.relative_to(ROOT), path.read_text(errors="replace")


def lines(sources, fault):
    for path, text in sources.items():
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line):
                fault(f"{path}:{number}: unfinished: {line.strip()}")
            if MACHINE_PATH.search(line):
                fault(f"{path}:{number}: a path of one machine: {line.strip()}")
            if line != line.rstrip() and path.suffix != ".md":
                fault(f"{path}:{number}: space at the end of the line")


def lengths(sources, fault):
    for path, text in sources.items():
        count = text.count("\n")
        if path.suffix == ".rs" and count > RUST_LINES_MAX and str(path) not in LONG_FILES:
            fault(f"{path}: {count} lines; split it, or say in tests/check/tidy.py why it is one idea")
    for path in LONG_FILES:
        if sources.get(Path(path), "").count("\n") <= RUST_LINES_MAX:
            fault(f"tests/check/tidy.py: {path} is not long any more; take it off the list")


def payloads(sources, fault):
    """What the pages tell an operator to send is JSON."""
    for path, text in sources.items():
        for payload in re.findall(r"--payload '([^']*)'", text) if path.suffix in (".md", ".yaml") else []:
            try:
                json.loads(payload)
            except ValueError as error:
                fault(f"{path}: payload {payload}: {error}")


def functions(sources, fault):
    """Folders and variables of the functions against infra/template.yaml, as far as text can tell."""
    template = sources[Path("infra/template.yaml")]
    folders = {path.parts[1] for path in sources if path.parts[0] == "functions" and len(path.parts) > 2}
    binaries = set(re.findall(r"^ +Binary: (\S+)$", template, re.M))
    for name in sorted(folders ^ binaries):
        fault(f"functions/{name} and infra/template.yaml: only one of them has {name}")

    def read_in(top):
        return {
            variable
            for path, text in sources.items()
            if path.suffix == ".rs" and path.parts[: len(top)] == top
            for variable in VARIABLE.findall(text)
        }

    shared = read_in(("shared", "src"))
    set_for_all = set(re.findall(r"^        ([A-Z_]+): ", template, re.M))
    for name in sorted(folders & binaries):
        resource = re.search(rf"Binary: {name}\n(.*?)^  [A-Z]\w+:$", template, re.M | re.S)
        set_here = set(re.findall(r"^          ([A-Z_]+): ", resource.group(1), re.M)) | set_for_all
        read_here = read_in(("functions", name, "src"))
        for variable in sorted(read_here - set_here - set(NOT_IN_TEMPLATE)):
            fault(f"functions/{name}: reads {variable}, which infra/template.yaml does not give it")
        for variable in sorted(set_here - read_here - shared - {"RUST_LOG"}):
            fault(f"infra/template.yaml: gives {name} {variable}, which it does not read")
    everything = set(re.findall(r"^ {8,10}([A-Z_]+): ", template, re.M)) | set(NOT_IN_TEMPLATE)
    for variable in sorted(shared - everything):
        fault(f"shared: reads {variable}, which infra/template.yaml gives to no function")


SUPPRESSION = re.compile(r"checkov:skip=(CKV_\w+)(?::(.*))?$", re.M)


def suppressions(sources, fault):
    """A rule of checkov that is not followed has its reason beside it (`make guard` runs them)."""
    for path, text in sources.items():
        for rule, reason in SUPPRESSION.findall(text) if path.parts[0] == "infra" else []:
            if len(reason.split()) < 5:
                fault(f"{path}: {rule} is skipped, and nothing says why")


HARD_CASES = "## What the receiver does in each hard case"
TEST = re.compile(r"#\[(?:tokio::)?test\b[^\]]*\]\n(?:#\[[^\n]*\]\n)*(?:async )?fn (\w+)")


def promises(sources, fault):
    """Each hard case in README is held by a test that exists: `module::name` in tests/e2e."""
    tests = {
        "::".join((*path.with_suffix("").parts[2:], name))
        for path, text in sources.items()
        if path.suffix == ".rs" and path.parts[:2] == ("tests", "e2e")
        for name in TEST.findall(text)
    }
    section = sources[Path("README.md")].partition(HARD_CASES)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!case |--)(.*?) \|(.*)\|$", section, re.M)
    if len(rows) < 30:
        fault(f"README.md: {len(rows)} hard cases")
    for case, rest in rows:
        named = re.findall(r"`(\w+(?:::\w+)+)`", rest.split("|")[-1])
        if not named:
            fault(f"README.md: no test holds the case: {case}")
        for name in named:
            if name not in tests:
                fault(f"README.md: {name}, which is to hold a case, is no test")


def main():
    sources = dict(files())
    found = []
    for rule in (lines, lengths, payloads, functions, suppressions, promises):
        rule(sources, found.append)
    for fault in found:
        print(fault, file=sys.stderr)
    print(f"tidy: {len(sources)} files, {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

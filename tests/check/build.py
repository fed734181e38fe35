"""What `sam build` makes is what was tested, as far as can be told without making it (`make sam` makes it, for minutes):
each function is built by cargo-lambda from the binary of its name, with no other settings than Cargo.toml's, by the versions
that README, the public CI and `make check` share. Exit code 1 and a list else; `--breaks` proves that the checks can fail.
"""

import re
import sys
import tomllib
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
# cargo-lambda puts its own in where a release profile has none, whatever the default is: `panic = "abort"` among them,
# with which a panic ends the function, and is not answered as every test has it.
SETTINGS = ("strip", "lto", "codegen-units", "panic")
FILES = ("infra/template.yaml", "Cargo.toml", "infra/requirements.txt", "tests/requirements.txt", "Makefile",
         "README.md", "samconfig.toml")

BREAKS = [
    ("infra/template.yaml", "      BuildMethod: rust-cargolambda\n", ""),
    ("infra/template.yaml", "        Binary: webhook\n", "        Binary: notify\n"),
    ("Cargo.toml", 'panic = "unwind"\n', ""),
    ("Cargo.toml", 'panic = "unwind"\n', 'panic = "abort"\n'),
    ("infra/requirements.txt", "aws-sam-cli==", "aws-sam-cli==0."),
    ("infra/requirements.txt", "ziglang==", "zig>="),
    ("README.md", "-r infra/requirements.txt", "aws-sam-cli"),
    ("Makefile", "-r infra/requirements.txt", "aws-sam-cli"),
    ("samconfig.toml", "beta_features = true\n", ""),
]


def versions(text):
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.M))


def faults(text):
    template = yaml_parse(text["infra/template.yaml"])
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        built = resource.get("Metadata", {})
        if built.get("BuildMethod") != "rust-cargolambda":
            yield f"infra/template.yaml: {name} is not built by cargo-lambda"
        if built.get("BuildProperties") != {"Binary": name.lower()}:
            yield f"infra/template.yaml: {name} is not built from the binary {name.lower()} alone"
    release = tomllib.loads(text["Cargo.toml"])["profile"]["release"]
    for setting in SETTINGS:
        if setting not in release:
            yield f"Cargo.toml: release has no {setting}, and cargo-lambda puts its own in"
    if release.get("panic") != "unwind":
        yield "Cargo.toml: a panic of a release ends the function, and in the tests it is answered"
    tools, checked = versions(text["infra/requirements.txt"]), versions(text["tests/requirements.txt"])
    if set(tools) != {"aws-sam-cli", "cargo-lambda", "ziglang"}:
        yield f"infra/requirements.txt: has {sorted(tools)}, each to be of one version"
    if tools.get("aws-sam-cli") != checked.get("aws-sam-cli"):
        yield "infra/requirements.txt: its aws-sam-cli is not the one that checks the template"
    for path in ("README.md", "Makefile"):
        if "-r infra/requirements.txt" not in text[path]:
            yield f"{path}: does not build with the versions of infra/requirements.txt"
    build = tomllib.loads(text["samconfig.toml"])["default"]["build"]["parameters"]
    if build != {"template_file": "infra/template.yaml", "beta_features": True}:
        yield f"samconfig.toml: `sam build` without arguments builds with {build}"


def main(arguments):
    text = {path: (ROOT / path).read_text() for path in FILES}
    if arguments == ["--breaks"]:
        unseen = 0
        for path, old, new in BREAKS:
            if old not in text[path] or not list(faults(text | {path: text[path].replace(old, new, 1)})):
                unseen += 1
                print(f"tests/check/build.py does not see {old!r} of {path} turned into {new!r}", file=sys.stderr)
        print(f"build: {len(BREAKS) - unseen} of {len(BREAKS)} deliberate faults found")
        return bool(unseen)
    found = list(faults(text))
    for fault in found:
        print(fault, file=sys.stderr)
    print(f"build: {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

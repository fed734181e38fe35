"""Licences and sources of every crate in Cargo.lock, held to deny.toml without a network.

cargo-deny does the same and knows advisories too, but has to be built and fetches a database; see deny.toml.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def permitted(expression, allowed):
    """Whether an SPDX licence expression can be satisfied with these licences alone.

    Returns (answer, licences of the list that it could be satisfied with). "/" is how crates wrote OR once.
    """
    tokens = re.findall(r"\(|\)|[^\s()]+", re.sub(r"\s*/\s*", " OR ", expression))
    used = set()

    def either():
        answer = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            answer = both() or answer
        return answer

    def both():
        answer = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            answer = one() and answer
        return answer

    def one():
        token = tokens.pop(0)
        if token == "(":
            answer = either()
            if not tokens or tokens.pop(0) != ")":
                raise ValueError(f"unbalanced: {expression}")
            return answer
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        if token in allowed:
            used.add(token)
        return token in allowed

    answer = either()
    if tokens:
        raise ValueError(f"cannot read {' '.join(tokens)!r} in {expression!r}")
    return answer, used


def main():
    policy = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = set(policy["licenses"]["allow"])
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    members = set(metadata["workspace_members"])

    faults, needed = [], set()
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if not package["license"]:
            faults.append(f"{name}: names no licence; see its {package['license_file'] or 'sources'}")
            continue
        answer, used = permitted(package["license"], allowed)
        needed |= used
        if not answer:
            faults.append(f"{name}: licence {package['license']} is not in deny.toml")
        source = package["source"] or ""
        if package["id"] in members:
            continue
        if source.startswith("git+"):
            if not any(source.startswith(f"git+{git}") for git in policy["sources"]["allow-git"]):
                faults.append(f"{name}: comes from {source}, which deny.toml does not allow")
        # Rust's own registry is what cargo-deny allows when deny.toml names none; a path has no source at all.
        elif not source.startswith("registry+https://github.com/rust-lang/"):
            faults.append(f"{name}: comes from {source or package['manifest_path']}, not from the public registry")
    for licence in sorted(allowed - needed):
        faults.append(f"deny.toml: allows {licence}, which nothing needs")

    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"dependencies: {len(metadata['packages'])} crates, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

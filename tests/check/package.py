"""One zip for each function, with SHA256SUMS beside them:

    python tests/check/package.py target/release target/package
    python tests/check/package.py .aws-sam/build target/package
    python tests/check/package.py --functions

The first packs the functions' binaries of a folder, each as the `bootstrap` that Lambda starts; the same binaries make the
same bytes. The second does so with what `sam build` made. It refuses a binary that needs a newer glibc than provided.al2023 has, and one with something in it that looks
like a secret. The third prints the functions, by the template.
"""

import hashlib
import re
import sys
import zipfile
from pathlib import Path

TEMPLATE = Path(__file__).parents[2] / "infra" / "template.yaml"

# Amazon Linux 2023 has 2.34.
GLIBC_MAX = (2, 34)
GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)")

# Whole ones: what they begin with stands in the code that reads them.
SECRETS = {
    "an age identity": rb"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}",
    "a Stripe key": rb"\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}",
    "a signing secret of Stripe": rb"\bwhsec_[0-9A-Za-z+/=]{24,}",
    "an access key of AWS": rb"\bA(?:KIA|SIA)[0-9A-Z]{16}\b",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----[\r\n]+[0-9A-Za-z+/=]{40}",
    "a database's password": rb"\bpostgres(?:ql)?://(?!user:password@)[a-z_][\w-]*:[\w-]{4,}@[a-z0-9]",
    "a chat's address": rb"https://hooks\.slack\.com/services/\w+/\w+/\w+",
}


def functions():
    """Their binaries, by the template."""
    return sorted(set(re.findall(r"^ +Binary: (\S+)$", TEMPLATE.read_text(), re.M)))


def built(source, name):
    """The function's binary; `sam build` leaves each in a folder of the template's name for it."""
    plain = source / name
    return plain if plain.is_file() else source / name.capitalize() / "bootstrap"


def faults(name, binary):
    """Why a binary is not to leave this machine."""
    if not binary.startswith(b"\x7fELF"):
        yield f"{name}: is no program for Linux"
    needed = max((tuple(map(int, version)) for version in GLIBC.findall(binary)), default=(0, 0))
    if needed > GLIBC_MAX:
        built = "build it with cargo-lambda, or on a machine with an older glibc"
        yield f"{name}: needs glibc {needed[0]}.{needed[1]}, and provided.al2023 has 2.34; {built}"
    for what, pattern in SECRETS.items():
        if found := re.search(pattern, binary):
            yield f"{name}: holds {what} at byte {found.start()}"


def pack(binary, path):
    """A zip of one file, without the time at which it was made."""
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, which has the right to execute
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, binary)


def main(arguments):
    if arguments == ["--functions"]:
        print("\n".join(functions()))
        return 0
    source, target = map(Path, arguments)
    target.mkdir(parents=True, exist_ok=True)
    found, sums = [], []
    for name in functions():
        binary = built(source, name).read_bytes()
        found += faults(name, binary)
        path = target / f"{name}.zip"
        pack(binary, path)
        sums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    if found:
        for fault in found:
            print(f"package: {fault}", file=sys.stderr)
        # Nothing is left that somebody could deploy.
        for name in functions():
            (target / f"{name}.zip").unlink()
        return 1
    (target / "SHA256SUMS").write_text("".join(sums))
    print(f"package: {len(sums)} functions in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

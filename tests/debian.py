"""The programs of Debian that tests drive; debian-packages.txt lists them for scripts, too."""

import shutil
from pathlib import Path

import pytest

_PACKAGES = dict(
    line.split()
    for line in Path(__file__).with_name("debian-packages.txt").read_text().splitlines()
    if not line.startswith("#")
)

UNPACKED = Path(__file__).parent.parent / ".tools" / "usr" / "bin"
"""Programs of a newer Debian, which nothing installs."""


def program(name: str) -> Path:
    """The path of a program. One that is missing is a failure that says what installs it."""
    package = _PACKAGES[name]
    if (path := shutil.which(name)) is None:
        pytest.fail(f"{name} is not installed: sudo apt-get install {package}", pytrace=False)
    return Path(path)


def unpacked(name: str) -> Path:
    """The path of a program of Debian 13. One that is missing fails with what fetches it."""
    if not (UNPACKED / name).exists():
        pytest.fail(f"{name} is not there: scripts/unpack-debian13 {name}", pytrace=False)
    return UNPACKED / name

"""The frame holds: what is packed, what the front door says, and what must not creep in."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import pytest

import exporter
from tests.debian import program

ROOT = Path(__file__).parent.parent
LONGEST_MODULE = 450
NAMED_TASK = re.compile(r"(?:^|`)make (\w+)", re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)")  # [text](target#part), not of another site

# In halves, for this file is searched too.
REGISTRIES = [
    first + second
    for first, second in [
        ("pypi", ".org"),
        ("python", "hosted.org"),
        ("npm", "js.org"),
        ("npm", "mirror.com"),
        ("crates", ".io"),
        ("ruby", "gems.org"),
        ("proxy.", "golang.org"),
        ("deb.", "debian.org"),
    ]
]


def test_no_registry_is_named_so_that_each_machine_uses_its_own() -> None:
    named = [
        f"{file.relative_to(ROOT)} names {registry}"
        for file in project_files()
        for registry in REGISTRIES
        if registry.encode() in file.read_bytes()
    ]
    assert named == []


def test_every_module_is_short() -> None:
    modules = [file for file in project_files("exporter") if file.suffix == ".py"]
    lengths = {file.relative_to(ROOT): len(file.read_text().splitlines()) for file in modules}
    assert lengths
    assert {file: length for file, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {str(file.relative_to(ROOT)) for file in project_files("exporter")}
    assert {"exporter/py.typed", "exporter/demo/configuration.yaml"} <= packed


def test_the_wheel_says_what_it_is(wheel: ZipFile) -> None:
    about = f"llm_gateway_exporter-{exporter.__version__}.dist-info"
    metadata = wheel.read(f"{about}/METADATA").decode()
    assert "Name: llm-gateway-exporter\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata
    entry_points = wheel.read(f"{about}/entry_points.txt").decode()
    assert "llm-gateway-exporter = exporter.cli:main\n" in entry_points


def test_make_alone_lists_every_task() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert make_tasks() == phony.split()


def test_every_task_that_the_documentation_names_exists() -> None:
    named = {
        f"{file.relative_to(ROOT)}: make {task}"
        for file in project_files()
        if file.suffix == ".md"
        for task in NAMED_TASK.findall(file.read_text())
        if task not in make_tasks()
    }
    assert named == set()


def test_every_link_within_the_documentation_leads_somewhere() -> None:
    dead = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in project_files()
        if file.suffix == ".md"
        for target in LINK.findall(file.read_text())
        if not (file.parent / target).exists()
    ]
    assert dead == []


def test_a_python_that_is_missing_or_too_old_is_refused_with_what_to_do(tmp_path: Path) -> None:
    assert "apt-get install python3 python3-venv" in refusal_of_create_venv("no-such-python")
    old = tmp_path / "python3.10"
    pretends = "import sys; sys.version_info = (3, 10, 0); exec(sys.argv[1])"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{pretends}' \"$2\"\n")
    old.chmod(0o755)
    message = refusal_of_create_venv(str(old))
    assert f"{old} is Python 3.10; this needs 3.11 or newer." in message
    assert "make run PYTHON=" in message


def test_a_missing_program_fails_a_test_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match=r"sudo apt-get install prometheus$"):
        program("promtool")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = directory.glob("*.whl")
    return ZipFile(built)


def project_files(under: str = ".") -> list[Path]:
    """The files that git keeps, or would keep at the next commit, and that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", under],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


@cache
def make_tasks() -> list[str]:
    """The tasks that `make` alone lists."""
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [line.split()[0] for line in listed.splitlines()]


def refusal_of_create_venv(python: str) -> str:
    """What scripts/create-venv says when it refuses a Python."""
    refused = subprocess.run(
        ["scripts/create-venv"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    return refused.stderr

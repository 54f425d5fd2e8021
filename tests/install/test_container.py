"""The image's recipe: what can be known of it without a container engine."""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import exporter
from tests.daemon import Daemon

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "container"
PIN = re.compile(r"^(?P<pin>\S+==\S+(?: ; [^\\]+)?) \\$", re.MULTILINE)


def instructions() -> dict[str, list[str]]:
    """What stands after each kind of instruction of the Dockerfile, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    found = defaultdict(list)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, rest = line.partition(" ")
        found[name].append(rest)
    return found


def pins(lock: str) -> list[Requirement]:
    """What a lock pins."""
    return [Requirement(found["pin"].strip()) for found in PIN.finditer((LOCKS / lock).read_text())]


def test_it_runs_as_a_user_who_is_a_number_and_not_root() -> None:
    (user,) = instructions()["USER"]
    assert user == "65532:65532"  # A kubelet that must not run root cannot look a name up.


def test_only_wheels_with_known_hashes_are_installed() -> None:
    runs = " && ".join(instructions()["RUN"]).split(" && ")
    installs = [run for run in runs if " install " in run]
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-index --no-deps /wheel/" in install
    assert "PIP_ONLY_BINARY=:all:" in instructions()["ENV"][0]


@pytest.mark.parametrize("lock", ["requirements.lock", "build.lock"])
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    text = (LOCKS / lock).read_text()
    blocks = re.split(r"\n(?=\S)", text)[2:]
    assert len(blocks) == len(pins(lock)) > 3
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (
            "requirements.lock",
            tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"],
        ),
        (
            "build.lock",
            tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"],
        ),
    ],
)
def test_the_locks_hold_what_the_project_wants(lock: str, wanted: list[str]) -> None:
    pinned = {pin.name.lower().replace("_", "-"): pin for pin in pins(lock)}
    for requirement in map(Requirement, wanted):
        pin = pinned[requirement.name.lower().replace("_", "-").replace(".", "-")]
        (version,) = [each.version for each in pin.specifier]
        assert requirement.specifier.contains(version), f"run `make lock`: {requirement}"


def test_what_it_copies_is_let_in_and_nothing_else_is() -> None:
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert rules[0] == "*"
    let_in = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    copied = {
        source
        for copy in instructions()["COPY"]
        if "--from=" not in copy
        for source in copy.split()[:-1]
    }
    assert copied == set(let_in)
    for pattern in let_in:
        assert any(fnmatch(str(path.relative_to(ROOT)), pattern) for path in ROOT.glob(pattern))


def test_its_labels_tell_the_version() -> None:
    assert f"VERSION={exporter.__version__}" in instructions()["ARG"]
    assert 'org.opencontainers.image.version="${VERSION}"' in instructions()["LABEL"][0]


def test_its_health_is_asked_without_a_shell_and_without_proxies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (check,) = instructions()["HEALTHCHECK"]
    python, *arguments = json.loads(check[check.index("[") :])
    assert python == "python3"
    config = tmp_path / "config.yaml"
    config.write_text(f"state_dir: {tmp_path / 'state'}\nsources: [{{name: push, ingest: {{}}}}]\n")
    with Daemon(config) as daemon:
        daemon.wait_ready()
        here = [each.replace("127.0.0.1:9478", daemon.address) for each in arguments]
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("no_proxy", raising=False)
        assert subprocess.run([sys.executable, *here], check=False).returncode == 0
    gone = subprocess.run([sys.executable, *here], check=False, capture_output=True)
    assert gone.returncode != 0


def test_it_is_started_as_the_chart_starts_it() -> None:
    (entry,), (command,) = instructions()["ENTRYPOINT"], instructions()["CMD"]
    assert json.loads(entry) == ["llm-gateway-exporter"]
    assert json.loads(command) == [
        "run",
        "--config.file=/etc/llm-gateway-exporter/config.yaml",
        "--web.listen-address=:9478",
    ]

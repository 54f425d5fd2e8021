"""What a release consists of: a wheel that works where nothing else is, and what goes with it."""

import hashlib
import json
import re
import runpy
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import pytest

import exporter
from tests.daemon import Daemon
from tests.formats.samples import litellm
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
VERSION = exporter.__version__
WHEEL = f"llm_gateway_exporter-{VERSION}-py3-none-any.whl"
pytestmark = pytest.mark.timeout(400)  # On a busy machine pip alone takes a minute.
RELEASE: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "release"))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `scripts/release --build-only` builds."""
    directory = tmp_path_factory.mktemp("dist")
    RELEASE["build"](directory)
    return directory


def test_a_release_is_a_wheel_its_source_the_chart_and_a_bill_of_materials(dist: Path) -> None:
    lines = [line.split("  ") for line in (dist / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert set(sums) == {
        WHEEL,
        f"llm_gateway_exporter-{VERSION}.tar.gz",
        f"llm-gateway-exporter-{VERSION}.tgz",
        "llm-gateway-exporter.cdx.json",
    }
    for name, expected in sums.items():
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == expected


def test_the_wheel_counts_a_log_in_an_environment_that_knows_nothing_of_the_source(
    dist: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", str(dist / WHEEL)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    # Its dependencies are those of this environment, whose own path files are not read there.
    packages = Path(
        sysconfig.get_path("purelib", vars={"base": environment, "platbase": environment})
    )
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    (tmp_path / "litellm.jsonl").write_text(
        "".join(f"{json.dumps(litellm(id=str(number)))}\n" for number in range(9))
    )
    (tmp_path / "config.yaml").write_text(
        f"state_dir: {tmp_path / 'state'}\nsources:\n"
        f"  - {{name: gateway, tail: {{paths: [{tmp_path}/*.jsonl], format: litellm}}}}\n"
    )
    installed = [str(environment / "bin" / "llm-gateway-exporter")]
    where = "import exporter; print(exporter.__file__)"
    found = subprocess.run(
        [python, "-c", where], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout
    assert found.startswith(str(environment))
    with Daemon(tmp_path / "config.yaml", program=installed) as daemon:
        daemon.wait_ready()
        wait_until(lambda: daemon.total("llm_gateway_requests_total") == 9, what="the requests")
        assert daemon.total("llm_gateway_tokens_total", gen_ai_token_type="input") == 9 * 1200
        for page in ("/", "/static/style.css", "/requests", "/api/v1/openapi.json"):
            assert daemon.get(page)[0] == 200


def test_the_source_distribution_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    with tarfile.open(dist / f"llm_gateway_exporter-{VERSION}.tar.gz") as source:
        source.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"llm_gateway_exporter-{VERSION}"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, cwd=unpacked)
    again, first = ZipFile(tmp_path / WHEEL), ZipFile(dist / WHEEL)
    assert {each.filename: each.CRC for each in again.infolist()} == {
        each.filename: each.CRC for each in first.infolist()
    }


def test_the_bill_of_materials_names_what_the_image_holds(dist: Path) -> None:
    bill = json.loads((dist / "llm-gateway-exporter.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == VERSION
    found = {each["name"]: each for each in bill["components"]}
    lock = (ROOT / "deploy" / "container" / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^(\S+)==(\S+) \\$", lock, re.MULTILINE))
    assert {name: each["version"] for name, each in found.items()}.items() >= pinned.items()
    for each in found.values():
        assert each["purl"] == f"pkg:pypi/{each['name']}@{quote(each['version'])}"
        assert {digest["alg"] for digest in each["hashes"]} == {"SHA-256"}


def test_a_release_sets_the_version_everywhere_and_dates_the_changelog() -> None:
    changed = RELEASE["texts"]("9.8.7-rc.1", "2026-12-01")
    assert '__version__ = "9.8.7-rc.1"\n' in changed["exporter/__init__.py"]
    assert "\nARG VERSION=9.8.7-rc.1\n" in changed["Dockerfile"]
    chart = changed["helm/llm-gateway-exporter/Chart.yaml"]
    assert "\nversion: 9.8.7-rc.1\nappVersion: 9.8.7-rc.1\n" in chart
    assert "apiVersion: v2\n" in chart
    before = (ROOT / "CHANGELOG.md").read_text()
    assert changed["CHANGELOG.md"] == before.replace(
        "## Unreleased\n", "## Unreleased\n\n## 9.8.7-rc.1 - 2026-12-01\n"
    )
    said = {line for text in changed.values() for line in text.splitlines() if VERSION in line}
    assert said == set(), "the old version stands somewhere else, too"


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3; rm -rf"])
def test_what_is_no_version_is_not_released(version: str) -> None:
    with pytest.raises(SystemExit, match="is no version"):
        RELEASE["texts"](version, "2026-12-01")

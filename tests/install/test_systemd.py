"""The files for a virtual machine: the unit, its user, and the rotation of a gateway's log."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.daemon import Daemon
from tests.debian import program
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "llm-gateway-exporter.service"
DOCUMENTED = re.compile(r"exposure level of (\d\.\d)")


def settings() -> dict[str, str]:
    """The unit's settings; of one that stands there twice, the last."""
    lines = UNIT.read_text().splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    command = shutil.which("llm-gateway-exporter", path=str(Path(sys.executable).parent))
    assert command is not None
    installed = "/opt/llm-gateway-exporter/bin/llm-gateway-exporter"
    assert installed in settings()["ExecStart"]
    unit.write_text(UNIT.read_text().replace(installed, command))
    verify = [str(program("systemd-analyze")), "verify", "--recursive-errors=no", str(unit)]
    verified = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_is_as_closed_as_the_documentation_says() -> None:
    analyze = [
        str(program("systemd-analyze")),
        "security",
        "--offline=true",
        "--no-pager",
        str(UNIT),
    ]
    answer = subprocess.run(analyze, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", answer)
    documented = DOCUMENTED.search((ROOT / "docs" / "install" / "systemd.md").read_text())
    assert found is not None
    assert documented is not None
    # Each version of systemd adds a check of its own.
    assert float(found[1]) <= float(documented[1]) + 0.5
    assert float(documented[1]) < 2


def test_the_unit_agrees_with_the_daemon() -> None:
    unit = settings()
    assert unit["Type"] == "notify"
    assert unit["RestartPreventExitStatus"] == "2 78"
    assert f"/var/lib/{unit['StateDirectory']}" == "/var/lib/llm-gateway-exporter"
    assert f"--config.file=/etc/{unit['ConfigurationDirectory']}/config.yaml" in unit["ExecStart"]
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert unit["OOMPolicy"] == "continue", "the daemon starts a killed worker again by itself"


def test_systemd_makes_the_unit_a_user(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    config = UNIT.with_name("llm-gateway-exporter.sysusers.conf")
    make = [str(program("systemd-sysusers")), f"--root={tmp_path}", str(config)]
    subprocess.run(make, check=True, capture_output=True)
    users = {line.split(":")[0] for line in (tmp_path / "etc" / "passwd").read_text().splitlines()}
    assert settings()["User"] in users
    groups = [line.split(":") for line in (tmp_path / "etc" / "group").read_text().splitlines()]
    (members,) = [group[3] for group in groups if group[0] == settings()["SupplementaryGroups"]]
    assert members == settings()["User"]


def test_a_log_that_logrotate_rotates_is_counted_once(tmp_path: Path) -> None:
    log = tmp_path / "gateway.jsonl"
    example = (ROOT / "deploy" / "logrotate" / "llm-gateway").read_text()
    mine = example.replace("/var/log/gateway/*.jsonl", str(log))
    mine = re.sub(r"create 0640 gateway adm", "create", mine)
    mine = re.sub(r"\n *systemctl .*", "\n        true", mine)
    (tmp_path / "logrotate.conf").write_text(mine)
    (tmp_path / "config.yaml").write_text(
        f"state_dir: {tmp_path / 'state'}\n"
        f"sources: [{{name: gateway, tail: {{paths: [{log}], format: records}}}}]\n"
    )

    def write(first: int, last: int) -> None:
        with log.open("a") as file:
            for number in range(first, last):
                file.write(f"{json.dumps(a_record(number))}\n")

    def rotate() -> None:
        state = tmp_path / "logrotate.state"
        rules = tmp_path / "logrotate.conf"
        command = [str(program("logrotate")), "--force", f"--state={state}", str(rules)]
        subprocess.run(command, check=True, capture_output=True)

    write(0, 5)
    with Daemon(tmp_path / "config.yaml") as daemon:
        daemon.wait_ready()
        for rotation in range(1, 4):
            rotate()
            write(rotation * 5, rotation * 5 + 5)
        wait_until(lambda: daemon.total("llm_gateway_requests_total") >= 20, what="20 requests")
        rotated = sorted(path.name for path in tmp_path.glob("gateway.jsonl.*"))
        assert rotated == ["gateway.jsonl.1", "gateway.jsonl.2.gz", "gateway.jsonl.3.gz"]
        assert daemon.total("llm_gateway_requests_total") == 20


def a_record(number: int) -> dict[str, object]:
    return {"request_id": str(number), "model": "qwen-plus", "status_code": 200}

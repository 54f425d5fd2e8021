"""The commands, as somebody at a shell meets them."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.cli import EX_CONFIG, main

ROOT = Path(__file__).parent.parent
LOG = ROOT / "tests" / "data" / "litellm.jsonl"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"sources: [{{name: a, tail: {{paths: [{LOG}], format: litellm}}}}]\n")
    return path


def test_a_valid_configuration_passes_the_check(config: Path) -> None:
    result = invoke("check-config", "--config.file", config)
    assert (result.exit_code, result.output) == (0, f"{config}: valid, 1 source(s)\n")


def test_a_mistake_is_told_with_its_line_and_an_exit_status_of_its_own(config: Path) -> None:
    config.write_text(config.read_text().replace("litellm}", "litelm}"))
    result = invoke("check-config", "--config.file", config)
    assert result.exit_code == EX_CONFIG
    assert f"{config}:1: sources[0].tail.format: " in result.output
    assert 'did you mean "litellm"?' in result.output


def test_an_attribute_that_no_source_has_is_told_with_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    proxy = (
        "{listen: '127.0.0.1:0', upstream: 'http://127.0.0.1:1', attributes: {tenant: x-tenant}}"
    )
    config.write_text(
        "sources: [{name: a, tail: {paths: [/x], format: litellm}}, "
        f"{{name: b, proxy: {proxy}}}]\n"
        "labels: {attributes: [team, tenant, api_key_alais]}\n"
    )
    result = invoke("check-config", "--config.file", config)
    assert (result.exit_code, result.stderr) == (
        0,
        (
            "labels.attributes: no source has api_key_alais, which will be empty; "
            "did you mean api_key_alias?\n"
        ),
    )


def test_a_missing_configuration_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    result = invoke("run", "--config.file", tmp_path / "nowhere.yaml")
    assert result.exit_code == EX_CONFIG
    assert "nowhere.yaml" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("file", ["--config.file", "--web.config.file"])
def test_a_file_that_may_not_be_read_is_nothing_that_a_restart_mends(
    file: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = tmp_path / "shut.yaml"
    shut.touch()
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == shut:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    config.write_text(f"state_dir: {tmp_path}/state\n{config.read_text()}")
    result = invoke("run", "--config.file", config, file, shut)
    assert result.exit_code == EX_CONFIG
    assert result.stderr.endswith(f"{shut}: cannot be read: Permission denied\n")


def test_the_schema_is_printed_for_editors() -> None:
    schema = json.loads(invoke("config", "schema").output)
    assert "sources" in schema["properties"]


def test_formats_are_listed_and_shown() -> None:
    assert "envoy-ai-gateway" in invoke("formats", "list").output
    assert "request_id:" in invoke("formats", "show", "kong").output


def test_an_unknown_format_names_the_nearest_one() -> None:
    result = invoke("formats", "show", "kongg")
    assert result.exit_code == EX_CONFIG
    assert 'did you mean "kong"?' in result.output


def test_a_format_is_tried_on_a_log_without_showing_a_prompt() -> None:
    result = invoke("formats", "test", "litellm", LOG, "--lines", "10")
    assert "10 line(s): 10 record(s), 0 skipped, 0 rejected" in result.output
    messages = [json.loads(line)["messages"] for line in LOG.read_text().splitlines()[:10]]
    prompts = {word for of_one in messages for part in of_one for word in part["content"].split()}
    assert prompts
    assert not {word for word in prompts if len(word) > 6 and word in result.output}


@pytest.mark.parametrize(
    ("lines", "status"), [("{}x\n", 1), ('{}x\n{"model": "a", "status_code": 200}\n', 0), ("\n", 0)]
)
def test_a_format_that_fits_no_line_ends_with_status_1(
    tmp_path: Path, lines: str, status: int
) -> None:
    log = tmp_path / "a.log"
    log.write_text(lines)
    assert invoke("formats", "test", "records", log).exit_code == status


def test_a_format_of_ones_own_is_tried_inside_a_containers_envelope(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "sources: [{name: a, tail: {paths: [/x], format: mine}}]\n"
        "formats: {mine: {fields: {model: m, status_code: s}}}\n"
    )
    log = tmp_path / "0.log"
    log.write_text('2026-01-01T00:00:00.1Z stdout F {"m": "tiny", "s": 200}\n')
    result = invoke("formats", "test", "mine", log, "--config.file", config)
    assert "tiny" in result.output
    assert "1 record(s)" in result.output


def test_a_format_is_tried_with_the_time_zone_and_the_attributes_of_the_configuration(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "sources: [{name: a, tail: {paths: [/x], format: records, timezone: Asia/Shanghai}}]\n"
        "labels: {attributes: [team]}\n"
    )
    log = tmp_path / "a.log"
    line = {"model": "m", "status_code": 200, "start_time": "2026-05-04 10:15:00", "team": "red"}
    log.write_text(json.dumps(line) + "\n")
    head, row, _ = invoke(
        "formats", "test", "records", log, "--config.file", config
    ).output.splitlines()
    assert "2026-05-04T02:15:00.000Z" in row
    assert (head.split()[-1], row.split()[-1]) == ("team", "red")


@pytest.mark.parametrize(
    "command",
    [
        ["alerts", "build", str(ROOT / "rules" / "alerts.yaml"), "--out"],
        ["dashboards", "build", "--out"],
    ],
)
def test_a_file_that_cannot_be_written_is_named(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    refused = invoke(*command, tmp_path / "taken" / "within")
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"{tmp_path}/taken/within")
    assert refused.stderr.endswith(": Not a directory\n")


def test_dashboards_of_what_cannot_be_a_label_are_refused(tmp_path: Path) -> None:
    refused = invoke("dashboards", "build", "--out", tmp_path, "--attribute", "Team!")
    assert refused.exit_code == 2
    assert "expected an attribute of the configuration's labels, such as team" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_demo_leaves_the_configuration_of_somebody_else_as_it_is(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("state_dir: /mine\n")
    refused = invoke("demo", "--dir", tmp_path, "--web.listen-address", "nowhere")
    assert refused.exit_code == 2
    assert f"--dir: {config} is not the demo's" in refused.stderr
    assert config.read_text() == "state_dir: /mine\n"
    assert list(tmp_path.iterdir()) == [config]


def test_a_demo_without_requests_is_refused(tmp_path: Path) -> None:
    demo = ("demo", "--dir", tmp_path, "--web.listen-address", "nowhere")
    assert invoke(*demo, "--rate", "0").exit_code == 2

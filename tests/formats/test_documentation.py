"""docs/formats.md is true: its examples run, its formats are ours, and no key is left out."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from exporter.cli import main
from exporter.config import load_config
from exporter.formats import builtin, builtin_names, lines
from exporter.formats.fields import Condition, Fields, Number, Text, Time
from exporter.formats.spec import FormatSpec, paths_of
from exporter.yaml_tree import parse
from tests.formats.reading import named, record

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def section(heading: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    _, _, rest = PAGE.read_text().partition(f"{heading}\n")
    level = heading.split(" ", 1)[0]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of a language under a heading."""
    return re.findall(rf"^```{language}\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)


EXAMPLE = "## An unknown gateway, in ten minutes"


def test_the_worked_example_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (log,), (shown,) = blocks(EXAMPLE, "json"), blocks(EXAMPLE, "text")
    Path("relay.log").write_text(log)
    Path("config.yaml").write_text(blocks(EXAMPLE, "yaml")[1])
    command = ["formats", "test", "relay", "relay.log", "--config.file", "config.yaml"]

    assert CliRunner().invoke(main, command).output == shown


def test_every_configuration_of_the_example_is_valid(tmp_path: Path) -> None:
    for number, text in enumerate(blocks(EXAMPLE, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        assert load_config(path).formats


def test_the_example_of_a_line_of_text_reads_such_a_line() -> None:
    (text,) = [block for block in blocks(EXAMPLE, "yaml") if "relay-text" in block]
    spec = FormatSpec.model_validate(parse(text).value["formats"]["relay-text"])  # type: ignore[index]
    found = record(spec, "04.05.2026 10:15:02 200 1.5s qwen-plus 412/95")

    assert named(found, "model", "latency", "start_time", "input_tokens", "output_tokens") == {
        "model": "qwen-plus",
        "latency": 1.5,
        "start_time": 1777889700.5,
        "input_tokens": 412,
        "output_tokens": 95,
    }


def test_the_example_for_kong_counts_what_its_route_refused() -> None:
    text = blocks("### Kong", "yaml")[1]
    spec = FormatSpec.model_validate(parse(text).value["formats"]["kong-llm"])  # type: ignore[index]

    assert record(spec, {"response": {"status": 401}, "route": {"name": "llm"}}).kind.error_type


def test_the_record_of_our_own_is_read_whole() -> None:
    (line,) = blocks("## Records of your own", "json")
    found = record("records", line.strip(), attributes=["team"])
    unknown = {name for name, value in found._asdict().items() if value is None}

    assert found.kind.attributes == ("search",)
    assert unknown == {
        *("cache_creation_input_tokens", "reasoning_output_tokens", "images", "seconds"),
        *("characters", "upstream_time"),
    }


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("### A mapping", FormatSpec),
        ("### Fields", Fields),
        ("### A name", Text),
        ("### A figure", Number),
        ("### A time", Time),
        ("### A condition", Condition),
    ],
)
def test_every_key_of_the_language_is_documented(heading: str, model: type[BaseModel]) -> None:
    documented = re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE)

    assert documented == [field.alias or name for name, field in model.model_fields.items()]


def test_every_built_in_format_is_on_the_page() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("## The gateways that are known"), re.MULTILINE)
    named_formats = re.findall(r"`([\w-]+)`", " ".join(rows))

    assert sorted([*named_formats, "records"]) == list(builtin_names())


def test_every_reason_for_a_rejection_is_documented() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", section("## Lines that do not count"), re.MULTILINE)
    reasons = {
        *(lines.INVALID_JSON, lines.WRONG_TYPE, lines.TOO_DEEP),
        *(lines.BAD_VALUE, lines.NO_STATUS, lines.NO_MATCH),
    }

    assert set(documented) == reasons


@pytest.mark.parametrize(
    ("name", "heading", "language"),
    [("nginx-json", "### nginx", "nginx"), ("apisix-json", "### APISIX", "yaml")],
)
def test_the_log_format_that_the_page_gives_has_every_key_that_is_read(
    name: str, heading: str, language: str
) -> None:
    (block,) = blocks(heading, language)
    written = set(re.findall(r'"(\w+)":"\$\w+"', block))

    assert written == {path for _, path in paths_of(builtin(name), ())}


def test_the_keys_for_envoy_are_those_that_are_read() -> None:
    written = parse(blocks("### Envoy AI Gateway", "yaml")[1]).value
    read = {path for _, path in paths_of(builtin("envoy-ai-gateway"), ())}

    assert set(written) <= read
    older = {path for path in read if path.startswith("genai_")}
    assert read - set(written) - older == {
        *("trace_id", "traceparent", "token_latency_ttft"),
        *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    }

"""The documentation's examples are what they say."""

import re
from pathlib import Path
from typing import Any

import yaml

from exporter.config import Config
from exporter.documents import load

DOCS = Path(__file__).parents[3] / "docs"
SOURCES = "sources: [{name: log, tail: {paths: [/var/log/x.log], format: litellm}}]\n"


def test_every_example_of_the_page_is_a_valid_configuration() -> None:
    examples = re.findall(r"```yaml\n(otlp:\n.*?)```", (DOCS / "otlp.md").read_text(), re.DOTALL)
    assert len(examples) >= 5
    for example in examples:
        assert load(Path("example.yaml"), Config, SOURCES + example).otlp


def test_the_collectors_pipelines_are_made_of_what_it_defines() -> None:
    collector = yaml.safe_load((DOCS / "examples" / "otel-collector.yaml").read_text())
    service = collector["service"]
    assert set(service["pipelines"]) == {"metrics", "logs"}
    used: dict[str, Any] = {"extensions": service["extensions"]}
    for pipeline in service["pipelines"].values():
        for kind, names in pipeline.items():
            used.setdefault(kind, []).extend(names)
    assert {kind: set(names) for kind, names in used.items()} == {
        kind: set(collector[kind]) for kind in used
    }

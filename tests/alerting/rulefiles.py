"""Definitions in tests, what is made of them, and what promtool says to that."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from exporter.alerting.definitions import Definitions
from exporter.alerting.outputs import files_of

ROOT = Path(__file__).parent.parent.parent


def written(definitions: Definitions, directory: Path) -> Path:
    """The directory, with all that is made of definitions."""
    for name, text in files_of(definitions).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def told(program: Path, *arguments: str | Path) -> str:
    """What a program says; it must be content."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-8000:]
    return said


def checked(directory: Path, promtool: Path) -> None:
    """Let promtool check the rules and run their tests."""
    told(promtool, "check", "rules", "--lint=all", *sorted(directory.glob("prometheus/*.yaml")))
    told(promtool, "test", "rules", *sorted(directory.glob("tests/*.yaml")))


def rules_in(text: str) -> Iterator[Mapping[str, Any]]:
    """All rules of a rule file."""
    for group in yaml.safe_load(text)["groups"]:
        yield from group["rules"]


def all_rules(definitions: Definitions) -> list[Mapping[str, Any]]:
    """All rules that are made of definitions, as Prometheus gets them."""
    return [
        rule
        for name, text in files_of(definitions).items()
        if name.startswith("prometheus/")
        for rule in rules_in(text)
    ]


def one_alert(**alert: object) -> Definitions:
    """Definitions of one alert, by default of the error rate."""
    given: dict[str, object] = {
        "name": "Watched",
        "metric": "error_rate",
        "severities": {"warning": "5%"},
    }
    return Definitions.model_validate({"alerts": [given | alert]})

"""The page of results: a run replaces what it has measured, and nothing else."""

import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks


def test_what_another_run_writes_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\n## Lines\n\nold\n\n## Scrapes\n\nold\n")

    def measure() -> str:
        results.write_text(results.read_text().replace("## Scrapes\n\nold", "## Scrapes\n\nnew"))
        return "measured"

    monkeypatch.setattr(benchmarks, "RESULTS", results)
    monkeypatch.setattr(
        benchmarks, "BENCHMARKS", {"lines": ("Lines", measure), "scrape": ("Scrapes", measure)}
    )
    monkeypatch.setattr(sys, "argv", ["benchmarks", "lines"])
    benchmarks.main()
    lines, scrapes = results.read_text().split("## ")[1:]
    assert lines.endswith("measured\n\n")
    assert scrapes == "Scrapes\n\nnew\n"

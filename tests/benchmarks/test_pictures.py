"""Pictures of results."""

from pathlib import Path

import pytest

from benchmarks import pictures


def test_equal_figures_make_equal_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "DIRECTORY", tmp_path / "pictures")
    texts = []
    for _ in range(2):
        pictures.curves("scrape", ("samples", [100, 10_000]), "ms", {"ours": [0.4, 3.7]})
        shown = pictures.bars(
            "lines", "lines a second", {"ours": 473_000, "mtail": 51}, ours="ours"
        )
        assert shown == "![lines a second](pictures/lines.svg)"
        texts.append([file.read_text() for file in sorted((tmp_path / "pictures").iterdir())])
    assert texts[0] == texts[1]
    lines, scrape = texts[0]
    assert ">473,000<" in lines
    assert ">10,000<" in scrape

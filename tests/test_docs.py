"""The documentation says what is there, and all of it."""

import re
import runpy
from pathlib import Path

from exporter.engine import Metrics
from exporter.web.metrics import WebMetrics

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def own_metrics() -> set[str]:
    """Names that the exporter's metrics about itself are queried by."""
    metrics = Metrics()
    WebMetrics(metrics.registry)
    suffixes = {"counter": "_total", "info": "_info"}
    return {
        family.name + suffixes.get(family.type, "")
        for family in metrics.registry.collect()
        if family.name.startswith("llm_gateway_exporter_")
    }


def test_every_metric_about_itself_is_explained_and_no_other() -> None:
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    tables = re.findall(r"^\| .*$", text, re.MULTILINE)
    explained = set(re.findall(r"`(llm_gateway_exporter_\w+)`", "\n".join(tables)))
    assert own_metrics() - explained == set()
    assert explained - own_metrics() == set()


def test_the_page_of_metrics_is_fresh() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write-metrics-page"))
    assert (DOCS / "metrics.md").read_text() == script["page"](), "run `make generate`"


def test_the_page_of_faults_is_fresh() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write-reliability-page"))
    assert (DOCS / "reliability.md").read_text() == script["page"](), "run `make generate`"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"

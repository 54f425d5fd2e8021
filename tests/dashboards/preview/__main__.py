"""Draws every dashboard: `python -m tests.dashboards.preview OUT [DATA]`.

The numbers come from a real Prometheus, which is filled with two days of made-up traffic. That
takes minutes; with a directory for its data, only the first time.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from exporter.alerting import prometheus as alerting
from exporter.alerting.backtest import backtest
from exporter.alerting.definitions import load_definitions
from exporter.alerting.picture import picture
from tests.dashboards.built import DIRECTORY, NAMES, ROOT, recordings
from tests.dashboards.grafana import Dashboard, Json, Span
from tests.dashboards.history import Request, Scraped, Scrapes, backfill, backfill_rules
from tests.dashboards.preview.traffic import DAY, HOUR, MINUTE, requests
from tests.debian import program
from tests.prometheus import Prometheus

HERE = Path(__file__).parent
DEFINITIONS = ROOT / "rules" / "alerts.yaml"

NOW = 1_763_925_600.0 + 25 * MINUTE
"""2025-11-23, 19:25 UTC."""

BEGAN = NOW - 52 * HOUR
DAYS = 2
"""Of the backtest."""
WIDTHS = {"desktop": 1920, "laptop": 1366}

ALERTS = (
    ("Throttling", "warning", "deepseek-v3", "deepseek", NOW - 6.4 * HOUR, NOW - 5.3 * HOUR),
    ("ErrorRate", "critical", "deepseek-r1", "deepseek", NOW - 6.2 * HOUR, NOW - 5.4 * HOUR),
    ("Latency", "warning", "deepseek-r1", "deepseek", NOW - 40 * MINUTE, NOW),
)


def main() -> None:
    """Fill a Prometheus, ask it what Grafana would, and draw the answers."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(name)
        made = requests(BEGAN - DAY, NOW)
        inputs = _ask(directory, made, out / "backtest.svg")
        jobs = [
            (directory / f"{stem}.json", out / f"{stem}-{size}-{mode}.png", mode, str(width))
            for stem in inputs
            for size, width in WIDTHS.items()
            for mode in ("light", "dark")
        ]
        for stem, text in inputs.items():
            (directory / f"{stem}.json").write_text(text)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_draw, jobs))


def _draw(job: tuple[Path, Path, str, str]) -> None:
    _, picture, *_ = job
    subprocess.run(["node", HERE / "shot.mjs", *job], check=True)
    # Fewer colours make a picture a third as large, and nobody sees it. The usual method gives few
    # pixels of a colour that of others: the legend's 400 that of its 429.
    with Image.open(picture) as drawn:
        fewer = drawn.convert("RGB").quantize(
            256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
        )
    fewer.save(picture, optimize=True)


def _ask(directory: Path, made: list[Request], past: Path) -> dict[str, str]:
    """What there is to draw, by dashboard; a backtest is a picture already."""
    server = program("prometheus")
    if not (directory / "data").exists():
        _fill(directory, server, made)
    with Prometheus(server, directory, "{}") as prometheus:
        asked = alerting.Prometheus(prometheus.url)
        outcomes = list(backtest(load_definitions(DEFINITIONS), asked, NOW, DAYS))
        past.write_text(picture(outcomes, NOW, DAYS))
        return {stem: json.dumps(_input(stem, prometheus, made)) for stem in NAMES}


def _fill(directory: Path, server: Path, made: list[Request]) -> None:
    data, promtool = directory / "data", program("promtool")
    exporter = Scraped(BEGAN - DAY, made, {BEGAN: "gateway-0:9478"})
    backfill(promtool, _with_alerts(Scrapes(BEGAN, NOW).lines([exporter])), data)
    backfill_rules(directory, recordings(), BEGAN, NOW)


def _with_alerts(lines: Iterator[str]) -> Iterator[str]:
    yield from lines
    for number, (alert, severity, model, provider, start, end) in enumerate(ALERTS):
        labels = (
            f'alertname="{alert}",alert_id="{number}",alertstate="firing",severity="{severity}"'
        )
        labels += f',gen_ai_request_model="{model}",gen_ai_provider_name="{provider}"'
        for step in range(int((end - start) // MINUTE) + 1):
            yield f"ALERTS{{{labels}}} 1 {start + step * MINUTE:.3f}\n"


def _input(stem: str, prometheus: Prometheus, made: list[Request]) -> Json:
    """A dashboard, what its queries give, and what stands above it."""
    hour = math.ceil(NOW / HOUR) * HOUR
    span = Span(hour - 25 * HOUR, hour)
    if stem in ("exporter", "alerts"):
        span = Span(NOW - (6 * HOUR if stem == "exporter" else 50 * HOUR), NOW)
    picks = {"one_model": "qwen-plus"} if stem == "model" else {}
    opened = Dashboard.load(DIRECTORY / f"{stem}.json", span, **picks)
    if stem == "logs":
        span = Span(NOW - HOUR, NOW)
        opened = Dashboard(opened.json, span)
        answers = {str(panel["id"]): _of_loki(panel, made) for panel in opened.panels()}
    else:
        opened = opened.resolve(prometheus)
        answers = {
            str(panel["id"]): _of_panel(opened, panel, prometheus) for panel in opened.panels()
        }
    for target in (each for panel in opened.panels() for each in panel.get("targets", ())):
        target["legendFormat"] = opened.fill(target.get("legendFormat", ""))
    return {
        "dashboard": opened.json,
        "answers": answers,
        "from": span.start * 1000,
        "to": span.end * 1000,
        "now": NOW * 1000,
        "variables": _chosen(opened),
    }


def _of_panel(opened: Dashboard, panel: Json, prometheus: Prometheus) -> Json:
    return {
        asked.ref: {"series": asked.answer(prometheus), "stepMs": asked.step_s * 1000}
        for asked in opened.asked(panel)
    }


def _chosen(opened: Dashboard) -> list[tuple[str, str]]:
    """Names and values of the variables that can be seen."""
    found = []
    for variable in opened.variables():
        if variable.get("hide") or variable["type"] == "constant":
            continue
        current = variable.get("current") or {"text": variable.get("query", "")}
        text = opened.picks.get(variable["name"]) or current["text"]
        if variable["type"] == "datasource":
            text = variable["query"].capitalize()
        found.append((variable["label"], str(text)))
    return found


def _of_loki(panel: Json, made: list[Request]) -> Json:
    """What a Loki would give, as frames: Debian has none to ask."""
    recent = [request for request in made if request.end > NOW - HOUR][::-1]
    if panel["type"] == "timeseries":
        return {"A": {"series": list(_counted(recent)), "stepMs": MINUTE * 1000}}
    rows = [_logged(request) for request in recent[:60]]
    numbers = {name: "number" for name in rows[0] if name.endswith(("_tokens", "_duration"))}
    numbers |= {"Time": "time", "gen_ai_response_time_to_first_chunk": "number"}
    fields = [
        {"name": name, "type": numbers.get(name, "string"), "values": [row[name] for row in rows]}
        for name in rows[0]
    ]
    lines = [_line(row) for row in rows]
    return {"A": {"frame": {"fields": [*fields, {"name": "Line", "values": lines}]}}}


def _line(row: Json) -> str:
    known = {name: value for name, value in row.items() if value not in ("", None)}
    return " ".join(f"{name}={value}" for name, value in known.items() if name != "Time")


def _counted(of: list[Request]) -> Iterator[Json]:
    for status_code in sorted({request.status_code for request in of}):
        times = [
            request.end // MINUTE * MINUTE for request in of if request.status_code == status_code
        ]
        yield {
            "metric": {"http_response_status_code": str(status_code)},
            "values": [[time, str(times.count(time))] for time in sorted(set(times))],
        }


def _logged(request: Request) -> Json:
    def known(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {
        "Time": request.end * 1000,
        "llm_gateway_request_id": f"chatcmpl-{int(request.end * 1000):x}",
        "gen_ai_request_model": request.model,
        "gen_ai_provider_name": request.provider,
        "http_response_status_code": str(request.status_code),
        "error_type": request.error_type,
        "llm_gateway_request_duration": known(round(request.latency, 3)),
        "gen_ai_response_time_to_first_chunk": known(round(request.time_to_first_token, 3)),
        "gen_ai_usage_input_tokens": known(request.input_tokens),
        "gen_ai_usage_output_tokens": known(request.output_tokens),
        "team": request.team,
    }


if __name__ == "__main__":
    main()

"""Grafana dashboards, built from the vocabulary, and the recording rules that they rest on."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from exporter.alerting.rulefile import yaml_text
from exporter.dashboards import recordings
from exporter.dashboards.alerts import alerts
from exporter.dashboards.analytics import analytics
from exporter.dashboards.board import Board
from exporter.dashboards.health import health
from exporter.dashboards.logs import request_logs
from exporter.dashboards.model import one_model
from exporter.dashboards.options import Options

__all__ = ["Options", "boards", "files"]

MADE_BY = "Made by `llm-gateway-exporter dashboards build`; changes here are lost."


def boards(options: Options) -> dict[str, Board]:
    """All dashboards, by the stem of their file's name."""
    return {
        "analytics": analytics(options),
        "model": one_model(options),
        "alerts": alerts(options),
        "exporter": health(options),
        "logs": request_logs(options),
    }


def files(options: Options) -> Mapping[PurePosixPath, str]:
    """The text of each file, by its path."""
    texts = {
        PurePosixPath("grafana/dashboards", f"{name}.json"): _dashboard(board)
        for name, board in boards(options).items()
    }
    texts[PurePosixPath("rules/dashboards.rules.yaml")] = (
        f"# {MADE_BY}\n{yaml_text(recordings.document(options))}"
    )
    return texts


def _dashboard(board: Board) -> str:
    # JSON knows no comments; Grafana keeps a key that it does not know.
    known = json.loads(JSONEncoder().encode(board.build()))
    return json.dumps({"__comment": MADE_BY} | known, indent=2, ensure_ascii=False) + "\n"

"""Alert definitions from what other monitoring has: one module for each kind of source."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.alerting.importers import azure, cloudmonitor1, cloudmonitor2, cloudwatch, slo
from exporter.alerting.importers.draft import Draft, ImportFailed
from exporter.errors import reason_of
from exporter.yaml_tree import YamlError, parse_all

KINDS = ("cloudmonitor2", "cloudmonitor1", "cloudwatch", "azure", "sloth", "openslo")


@dataclass(frozen=True, slots=True)
class Hints:
    """What a source does not say and a person knows.

    Attributes:
        duration_unit: of the source's durations, "s" or "ms".
        timezone: of times of the day without one.
        metrics: our metric by the source's, where no counterpart is documented.
    """

    duration_unit: str | None = None
    timezone: str = "Asia/Shanghai"
    metrics: Mapping[str, str] = field(default_factory=dict)


def imported(kind: str, file: Path, hints: Hints) -> Draft:
    """The definitions in a file, with a report.

    Raises:
        ImportFailed: it cannot be read, or not as this kind.
    """
    draft = Draft()
    try:
        _convert(kind, file.read_text(), hints, draft)
        alerts = draft.definitions().alerts
    except YamlError as error:
        line = f":{error.position.line}" if error.position else ""
        raise ImportFailed(f"{file}{line}: cannot be read as {kind}: {error.message}") from None
    except (OSError, ValueError) as error:
        raise ImportFailed(f"{file}: cannot be read as {kind}: {reason_of(error)}") from None
    except RecursionError:
        raise ImportFailed(f"{file}: cannot be read as {kind}: it is nested too deeply") from None
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ImportFailed(f"{file}: is not as {kind} has it: {error!r}") from None
    for alert in alerts:
        least = max(alert.least_traffic(limit) for limit in alert.severities.values())
        if least:
            text = f"windows of fewer than {least} requests do not count; at the source they do"
            draft.remark(alert.title or alert.name, "minimum_traffic", text)
    return draft


def _convert(kind: str, text: str, hints: Hints, draft: Draft) -> None:
    if kind in ("sloth", "openslo"):
        slo.convert(parse_all(text), draft)
        return
    document = json.loads(text)
    if kind == "cloudmonitor2":
        cloudmonitor2.convert(document, draft, hints.duration_unit, hints.timezone)
    elif kind == "cloudmonitor1":
        unit = hints.duration_unit
        cloudmonitor1.convert(document, draft, hints.metrics, hints.timezone, unit)
    elif kind == "cloudwatch":
        cloudwatch.convert(document, draft)
    else:
        azure.convert(document, draft)

"""Tables of burn rates: which part of an error budget may be used up in which windows."""

from collections.abc import Mapping
from importlib.resources import files

import yaml

from exporter.alerting.words import Severity
from exporter.documents import Section
from exporter.quantities import Duration


class BurnWindow(Section):
    """One alert of an objective."""

    severity: Severity
    """Of the alert."""

    budget: float
    """Part of the error budget that is used up within the long window when the alert fires."""

    long: Duration
    """Window that must be over the burn rate."""

    short: Duration
    """Window that must be, too, so that the alert ends soon after the trouble has."""

    def rate(self, window_s: float) -> float:
        """The burn rate at which it fires, of an objective over a window of that length."""
        return self.budget * window_s / self.long


class BurnWindows(Section):
    """A table, with the page that its numbers come from."""

    source: str
    windows: tuple[BurnWindow, ...]


def _tables() -> dict[str, BurnWindows]:
    directory = files("exporter.alerting.windows")
    return {
        file.name.removesuffix(".yaml"): BurnWindows.model_validate(
            yaml.safe_load(file.read_text())
        )
        for file in sorted(directory.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }


SLO_WINDOWS: Mapping[str, BurnWindows] = _tables()
"""Each table by its name."""

"""A backtest as a picture: an SVG that needs nothing else, in light and dark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from xml.etree import ElementTree as ET

from exporter.alerting.backtest import Outcome
from exporter.alerting.words import DAY_S, HOUR_S
from exporter.quantities import Duration

_NAMES, _CHART, _FIGURES = 340, 800, 130
"""Widths in pixels: of the names, of the time beside them, of the figures at the end."""

_HEAD, _LANE, _BAR = 64, 20, 12
"""Heights in pixels."""

_MOST_SERIES = 12
"""Of one alert; the others are told by their number."""

_LONGEST_NAME = 50
_STYLE = """
svg { font: 12px system-ui, sans-serif; background: #fff; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #6e7781 }
.line { stroke: #d8dee4 }
.critical { fill: #cf222e }
.error { fill: #e16f24 }
.warning { fill: #d4a72c }
.info { fill: #218bff }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; fill: #e6edf3 }
  .quiet { fill: #8d96a0 }
  .line { stroke: #30363d }
}
"""


@dataclass(frozen=True, slots=True)
class _Lane:
    """One line of the picture.

    Attributes:
        firing: for each period whether the alert fired.
    """

    outcome: Outcome
    series: str
    firing: Sequence[bool] = ()

    @property
    def name(self) -> str:
        name = " ".join(filter(None, (self.outcome.name, self.outcome.severity, self.series)))
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"

    def stretches(self) -> Iterator[tuple[float, float]]:
        """Begin and end of each stretch of time in which it fired, in epoch seconds."""
        number = 0
        for fired, periods in groupby(self.firing):
            begin, number = number, number + sum(1 for _ in periods)
            if fired:
                start, period_s = self.outcome.start, self.outcome.period_s
                yield start + begin * period_s, start + number * period_s


def picture(outcomes: Sequence[Outcome], end: float, days: float) -> str:
    """A lane of time for each alert: for each series of it that would have fired.

    Args:
        end: of the time that was looked at, in epoch seconds.
    """
    lanes = [lane for outcome in outcomes for lane in _lanes(outcome)]
    width, height = _NAMES + _CHART + _FIGURES, _HEAD + len(lanes) * _LANE + 12
    box = f"0 0 {width} {height}"
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=box, width=str(width))
    ET.SubElement(svg, "style").text = _STYLE
    fired = sum(outcome.incidents for outcome in outcomes)
    span = f"the {Duration(days * DAY_S)} before {_moment(end)} UTC"
    _text(svg, 12, 24, f"{fired} alerts in {span}", "title")
    begin = end - days * DAY_S
    _mark(svg, begin, end, height)
    for number, lane in enumerate(lanes):
        _draw(svg, lane, _HEAD + number * _LANE, begin, end)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _lanes(outcome: Outcome) -> Iterator[_Lane]:
    fired = {labels: series for labels, series in outcome.firing.items() if any(series)}
    if not fired:
        yield _Lane(outcome, "")
    often = sorted(fired, key=lambda labels: (-sum(fired[labels]), labels))
    for labels in often[:_MOST_SERIES]:
        yield _Lane(outcome, " ".join(value for _, value in labels), fired[labels])
    if len(often) > _MOST_SERIES:
        yield _Lane(outcome, f"and {len(often) - _MOST_SERIES} more")


def _draw(svg: ET.Element, lane: _Lane, top: int, begin: float, end: float) -> None:
    """A lane's name, its line, its bars, and how often and how long it fired."""
    stretches = list(lane.stretches())
    style = "" if stretches else "quiet"
    _text(svg, 12, top + 14, lane.name, style)
    _line(svg, _NAMES, top + _LANE / 2, _NAMES + _CHART, top + _LANE / 2)
    for since, until in stretches:
        left, right = (
            _NAMES + _CHART * (max(each, begin) - begin) / (end - begin) for each in (since, until)
        )
        bar = ET.SubElement(
            svg,
            "rect",
            {"class": lane.outcome.severity},
            x=f"{left:.1f}",
            y=str(top + (_LANE - _BAR) // 2),
            width=f"{max(right - left, 1.5):.1f}",
            height=str(_BAR),
        )
        span = f"{_moment(since)} to {_moment(until)} UTC ({Duration(until - since)})"
        ET.SubElement(bar, "title").text = f"{lane.name}: {span}"
    if stretches:
        lasted = Duration(sum(until - since for since, until in stretches))
        figures = f"{len(stretches)} ×, {lasted}"
        _text(svg, _NAMES + _CHART + 12, top + 14, figures)


def _mark(svg: ET.Element, begin: float, end: float, height: int) -> None:
    """Lines at whole hours or days, at most a dozen."""
    steps = (HOUR_S, 3 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, *(DAY_S * days for days in (1, 2, 7, 14)))
    step = next((step for step in steps if (end - begin) / step <= 12), 30 * DAY_S)
    at = begin // step * step + step
    while at < end:
        across = _NAMES + _CHART * (at - begin) / (end - begin)
        _line(svg, across, _HEAD - 8, across, height - 8)
        moment = datetime.fromtimestamp(at, UTC)
        text = f"{moment:%H:%M}" if step < DAY_S and moment.hour else f"{moment:%b} {moment.day}"
        _text(svg, across, _HEAD - 14, text, "quiet", anchor="middle")
        at += step


def _text(
    svg: ET.Element, left: float, top: float, text: str, style: str = "", anchor: str = "start"
) -> None:
    place = {"x": f"{left:.1f}", "y": f"{top:.1f}", "text-anchor": anchor}
    ET.SubElement(svg, "text", place | ({"class": style} if style else {})).text = text


def _line(svg: ET.Element, left: float, top: float, right: float, bottom: float) -> None:
    ends = {"x1": left, "y1": top, "x2": right, "y2": bottom}
    ET.SubElement(
        svg, "line", {"class": "line", **{key: f"{value:.1f}" for key, value in ends.items()}}
    )


def _moment(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}"

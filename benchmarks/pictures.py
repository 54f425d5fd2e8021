"""Pictures beside the tables: the same figures, seen at a glance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIRECTORY = Path(__file__).with_name("pictures")
OURS, OTHERS = "#3274d9", "#9aa0a6"


def bars(name: str, unit: str, values: Mapping[str, float], *, ours: str) -> str:
    """A bar for each contestant; Markdown that shows them."""
    figure = _figure(0.6 + 0.4 * len(values))
    axes = figure.subplots()
    colours = [OURS if contestant.startswith(ours) else OTHERS for contestant in values]
    drawn = axes.barh(list(values), list(values.values()), color=colours)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    return _saved(name, figure, axes, unit)


def curves(
    name: str, x: tuple[str, Sequence[float]], unit: str, values: Mapping[str, Sequence[float]]
) -> str:
    """A curve each, on logarithmic scales; Markdown that shows them."""
    figure = _figure(4 + 0.2 * len(values))
    axes = figure.subplots()
    label, places = x
    for curve, of_each in values.items():
        axes.plot(places, of_each, marker="o", label=curve)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.10g}")
    axes.set_ylabel(unit)
    axes.grid(color="0.9")
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return _saved(name, figure, axes, label)


def _figure(height: float) -> "Figure":
    # Only now: a contestant's peak memory begins with that of the process that starts it.
    from matplotlib.figure import Figure

    return Figure(figsize=(8, height), layout="constrained")


def _saved(name: str, figure: "Figure", axes: "Axes", x_label: str) -> str:
    from matplotlib import rc_context

    axes.set_xlabel(x_label)
    axes.spines[["top", "right"]].set_visible(False)
    DIRECTORY.mkdir(exist_ok=True)
    # Equal figures make equal files, whose text is text.
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(DIRECTORY / f"{name}.svg", metadata={"Date": None})
    return f"![{x_label}](pictures/{name}.svg)"

"""What happens to series in one window after another, in promtool's notation.

A window's traffic comes all at once, in the first sample of the window: each stretch of a window's
length then holds one window's traffic exactly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from exporter.alerting import promql as q
from exporter.alerting.metrics import Age, Down, State
from exporter.alerting.traffic import Increments, SeriesKey


@dataclass
class Timeline:
    """What series grow by, or what a state is, in each window; before them is one sample.

    Attributes:
        steps: samples of a window.
        interval_s: between two samples, in seconds.
    """

    steps: int
    interval_s: float
    windows: list[Increments] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Samples so far, without the one before all windows."""
        return len(self.windows) * self.steps

    def add(self, growth: Increments, windows: int = 1) -> int:
        """Windows that are alike; the number of their first sample."""
        begin = 1 + self.samples
        self.windows.extend([growth] * windows)
        return begin

    def counters(self) -> dict[str, str]:
        """Values of the counters, by selector."""
        keys = dict.fromkeys(key for window in self.windows for key in window)
        return {_selector(key): self._counter(key) for key in keys}

    def _counter(self, key: SeriesKey) -> str:
        total, text = Fraction(0), ["0"]
        for window in self.windows:
            total += window.get(key, Fraction(0))
            text.append(_run(total, self.steps))
        return " ".join(text)

    def states(self, kind: Age | Down | State, labels: Mapping[str, str]) -> dict[str, str]:
        """Values of the series that say a state, by selector."""
        return dict(self._states(kind, tuple(sorted(labels.items()))))

    def _states(
        self, kind: Age | Down | State, labels: tuple[tuple[str, str], ...]
    ) -> Iterator[tuple[str, str]]:
        states = [window[STATE] for window in self.windows]
        if isinstance(kind, Down):
            up = [_run(1 - state, self.steps) for state in states]
            yield _selector(("up", labels)), " ".join(["1", *up])
            yield _selector((kind.series, labels)), f"1+0x{self.samples}"
            return
        if isinstance(kind, State):
            values = [_run(state, self.steps) for state in states]
            meant = tuple((matcher.label, matcher.value) for matcher in kind.matchers)
            selector = _selector((kind.series, (*labels, *meant)))
            yield selector, " ".join([_number(states[0]), *values])
            return
        times = [_number(-states[0])]
        for number, state in enumerate(states):
            begin = (1 + number * self.steps) * Fraction(self.interval_s) - state
            times.append(_run(begin, self.steps, Fraction(self.interval_s)))
        yield _selector((kind.series, labels)), " ".join(times)


STATE: SeriesKey = ("", ())
"""What stands for a state among the increments of a window."""


def _selector(key: SeriesKey) -> str:
    name, labels = key
    return str(q.select(name, (q.Matcher(label, "=", value) for label, value in labels if value)))


def _run(value: Fraction, samples: int, growth: Fraction = Fraction(0)) -> str:
    sign = "-" if growth < 0 else "+"
    return f"{_number(value)}{sign}{_number(abs(growth))}x{samples - 1}"


def _number(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else repr(float(value))

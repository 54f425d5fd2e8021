"""What a soak has shown: whether all totals are those that were sent, and whether anything grew."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.contest import table
from benchmarks.soak.footprint import Sample, trend
from benchmarks.soak.receiver import Received
from benchmarks.soak.sent import Seen, Sent

TOKEN_TYPES = ("input", "output")

HELD = {
    "resident memory, MiB": 0,
    "proportional memory, MiB": 1,
    "private memory, MiB": 2,
    "sockets": 3,
    "other descriptors": 4,
    "threads": 5,
}
"""Columns of samples that are judged."""


@dataclass
class Totals:
    """Sums, as they were sent or as the daemon has them.

    Attributes:
        requests, tokens: as of `Sent`.
    """

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Course:
    """How a soak went.

    Attributes:
        seconds: of the loads.
        counted: by the series.
        logged: by the request log, whose ids `seen` has.
        times: of the samples, seconds since the beginning.
        queued: log records that waited to go out by OTLP, at the times of the samples.
        durations: of readers' answers, seconds.
        failures: of readers.
    """

    seconds: float
    sent: Sequence[Sent]
    counted: Totals
    logged: Totals
    seen: Seen
    received: Received
    times: Sequence[float]
    samples: Sequence[Sample]
    queued: Sequence[int]
    durations: Mapping[str, Sequence[float]]
    failures: Sequence[str]


def _sent(course: Course) -> Totals:
    totals = Totals()
    for one in course.sent:
        totals.requests += one.requests
        totals.tokens += one.tokens
    return totals


def inexact(course: Course) -> Iterator[str]:
    """What is not as it was sent."""
    sent = _sent(course)
    compared = {
        "requests in the series": (sent.requests, course.counted.requests),
        "tokens in the series": (sent.tokens, course.counted.tokens),
        "requests in the request log": (sent.requests, course.logged.requests),
        "tokens in the request log": (sent.tokens, course.logged.tokens),
    }
    for what, (right, found) in compared.items():
        if difference := {k: found[k] - right[k] for k in right | found if found[k] != right[k]}:
            yield f"{what}, more than was sent: {difference}"
    for one in course.sent:
        for what, seen in (("request log", course.seen), ("OTLP", course.received.seen)):
            if missing := seen.missing(one):
                yield f"{missing} requests of {one.source} are missing in the {what}"
    if again := course.seen.again():
        yield f"{again} requests are in the request log more than once"
    for what, told in (("told", course.received.told), ("added", course.received.added)):
        if told.total() != sent.requests.total():
            yield f"{told.total()} requests were {what} by OTLP, {sent.requests.total()} sent"


def report(course: Course, warm_up_s: float) -> str:
    """Markdown of the totals and of what was held after the warm-up."""
    sent = _sent(course)
    rows = {"sent": sent, "series": course.counted, "request log": course.logged}
    totals = [
        [name, f"{one.requests.total():,}", *(f"{_tokens(one, type_):,}" for type_ in TOKEN_TYPES)]
        for name, one in rows.items()
    ]
    received = course.received
    by_otlp = {
        "OTLP, cumulative": received.told.total(),
        "OTLP, sum of the deltas": received.added.total(),
        "OTLP log records, some twice": received.records,
    }
    totals += [[name, f"{requests:,}", "", ""] for name, requests in by_otlp.items()]
    notes = sum((one.notes for one in course.sent), Counter[str]())
    last = course.samples[-1]
    return (
        f"{course.seconds / 60:.0f} minutes, {sent.requests.total() / course.seconds:,.0f} "
        "requests a second: "
        + ", ".join(f"{one.numbers:,} by {one.source}" for one in course.sent)
        + "; "
        + ", ".join(f"{count:,} {what}" for what, count in sorted(notes.items()))
        + ". Each id stands in the request log once, and came by OTLP once at least; requests are "
        "equal by model and status code, tokens by model and type.\n\n"
        + table(["", "requests", *(f"{type_} tokens" for type_ in TOKEN_TYPES)], totals)
        + f"\n\nThe daemon took {last.cpu_s / course.times[-1]:.0%} of a core. What it held, of "
        f"{len(course.samples)} samples after a warm-up of {warm_up_s / 60:.0f} minutes; growth is "
        "the median slope of all pairs of samples (Theil and Sen), and flat what grows by less "
        "than a fiftieth an hour. Log records that waited to go out by OTLP: "
        f"{statistics.median(course.queued):,.0f} in the median, {max(course.queued):,} at most; "
        "endpoints took nothing for ten seconds of every two minutes.\n\n"
        + table(["", "median", "least", "most", "an hour", ""], list(_held(course, warm_up_s)))
        + "\n\nAnswers meanwhile, milliseconds:\n\n"
        + table(["", "number", "median", "99th percentile", "longest"], list(_answers(course)))
        + "\n\n![Memory and descriptors](../docs/pictures/soak.png)"
    )


def _tokens(totals: Totals, type_: str) -> int:
    return sum(count for (_, of_type), count in totals.tokens.items() if of_type == type_)


def _held(course: Course, warm_up_s: float) -> Iterator[list[str]]:
    places = [place for place, time in enumerate(course.times) if time >= warm_up_s]
    hours = [course.times[place] / 3600 for place in places]
    for name, column in HELD.items():
        one = trend(hours, [course.samples[place][column] for place in places])
        figures = (f"{figure:,.1f}" for figure in (one.median, one.least, one.most))
        yield [name, *figures, f"{one.slope:+,.2f}", "flat" if one.is_flat else "**grows**"]


def _answers(course: Course) -> Iterator[list[str]]:
    for name, durations in course.durations.items():
        if len(durations) > 1:
            high = statistics.quantiles(durations, n=100, method="inclusive")[98]
            figures = (statistics.median(durations), high, max(durations))
            yield [name, f"{len(durations):,}", *(f"{figure * 1000:,.0f}" for figure in figures)]

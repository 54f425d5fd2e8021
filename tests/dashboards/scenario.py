"""Nine hours with every trap that an amount can fall into, and what truly happened in them."""

import math
from collections.abc import Callable, Iterable, Iterator
from random import Random

from tests.dashboards.grafana import Span
from tests.dashboards.history import Request, Scraped, Scrapes

HOUR = 3600
MINUTE = 60
START = 1_763_856_000.0
"""2025-11-23, 0:00 UTC."""

BEGAN, ENDED = START - HOUR, START + 8 * HOUR
RANGE = Span(START + 4 * HOUR, ENDED)
BEFORE = Span(START, START + 4 * HOUR)

SCRAPES = Scrapes(BEGAN, ENDED)
QUIET_S = 75
"""No request ends so shortly before a full hour: the first scrape to see it came after it."""


def _times(random: Random, start: float, end: float, mean_s: float) -> Iterator[float]:
    time = start
    while (time := time + random.expovariate(1 / mean_s)) < end:
        if time % HOUR < HOUR - QUIET_S:
            yield round(time, 3)


def _chat(random: Random, end: float, model: str, provider: str) -> Request:
    """A chat request, most of them whole, some of them not."""
    latency = round(random.lognormvariate(1, 0.8), 6)
    streamed = random.random() < 0.7
    asked, answered = random.randint(20, 4000), random.randint(2, 900)
    whole = Request(
        end=end,
        model=model,
        provider=provider,
        streamed=streamed,
        team="search" if provider == "dashscope" else "support",
        latency=latency,
        time_to_first_token=round(latency * 0.2, 6) if streamed else math.nan,
        input_tokens=asked,
        output_tokens=answered,
        cached_input_tokens=asked // 2 if random.random() < 0.3 else math.nan,
        cache_creation_input_tokens=asked // 4 if random.random() < 0.1 else math.nan,
        reasoning_output_tokens=answered // 3 if model == "qwen-max" else math.nan,
        cost=round(answered * 2e-6, 9) if provider == "openai" else math.nan,
        upstream_time=round(latency * 0.97, 6),
    )
    return _mishap(random, whole)


_MISHAPS = {
    "429": (429, 0.03),
    "500": (500, 0.01),
    "timeout": (504, 0.005),
    "stream_aborted": (200, 0.01),
    "client_aborted": (200, 0.02),
}


def _mishap(random: Random, request: Request) -> Request:
    chance = random.random()
    for error_type, (status_code, share) in _MISHAPS.items():
        if (chance := chance - share) < 0:
            return Request(
                end=request.end,
                model=request.model,
                provider=request.provider,
                team=request.team,
                status_code=status_code,
                error_type=error_type,
                latency=0.25,
            )
    if chance < 0.02:  # Nobody reported its usage.
        return Request(
            end=request.end,
            model=request.model,
            provider=request.provider,
            team=request.team,
            latency=request.latency,
        )
    if chance < 0.03:
        return Request(
            end=request.end,
            model=request.model,
            provider=request.provider,
            team=request.team,
            latency=0.01,
            cache_hit=True,
        )
    return request


def _chats(
    random: Random, start: float, end: float, mean_s: float, model: str, provider: str = "dashscope"
) -> list[Request]:
    return [_chat(random, time, model, provider) for time in _times(random, start, end, mean_s)]


def _media(random: Random) -> Iterator[Request]:
    """What is billed by the image, the second and the character."""
    for time in _times(random, BEGAN, ENDED, 400):
        yield Request(
            end=time, model="wan-image", operation="image_generation", latency=9.5, images=2
        )
    for time in _times(random, BEGAN, ENDED, 900):
        yield Request(
            end=time, model="wan-video", operation="video_generation", latency=95, seconds=5
        )
    for time in _times(random, BEGAN, ENDED, 300):
        yield Request(end=time, model="cosy-voice", operation="speech", latency=2.5, characters=120)


def _junk(random: Random) -> Iterator[Request]:
    """Names of models that clients made up."""
    for time in _times(random, BEGAN, ENDED, 1200):
        yield Request(
            end=time,
            model=f"junk-{random.randint(1, 9)}",
            status_code=404,
            error_type="404",
            latency=0.05,
        )


def _steady(random: Random) -> list[Request]:
    """The exporter that was always there; unreachable for twelve minutes."""
    refused = Request(
        end=START + 5.5 * HOUR, model="qwen-max", finish_reason="content_filter", latency=0.4
    )
    once = Request(
        end=START + 6 * HOUR + 671, model="once", latency=2, input_tokens=41, output_tokens=17
    )
    return _ordered(
        [
            *_chats(random, BEGAN - 20 * HOUR, BEGAN, 60, "qwen-plus"),
            *_chats(random, BEGAN, ENDED, 12, "qwen-plus"),
            *_chats(random, BEGAN, ENDED, 25, "qwen-max"),
            *_chats(random, START + 5 * HOUR + 17 * MINUTE, ENDED, 20, "born"),
            *_chats(random, BEGAN, START + 6 * HOUR + 5 * MINUTE, 30, "gone"),
            *_media(random),
            *_junk(random),
            refused,
            once,
        ]
    )


def _met_late(random: Random) -> list[Request]:
    """An exporter with a long past, which Prometheus meets in the middle of an hour."""
    past = _chats(random, START - 100 * HOUR, START, 200, "gpt-4o", "openai")
    return _ordered(
        [*past, *_chats(random, START + 5 * HOUR + 41 * MINUTE, ENDED, 15, "gpt-4o", "openai")]
    )


MOVED = START + 6 * HOUR + 30 * MINUTE


def _moved(random: Random) -> list[Request]:
    """An exporter whose address changes; its gateway pauses while nobody can see it."""
    requests = _chats(random, BEGAN, ENDED, 18, "deepseek-v3", "deepseek")
    return [r for r in requests if not MOVED - 2 * MINUTE < r.end < MOVED + 5 * MINUTE]


def _new(random: Random) -> list[Request]:
    """An exporter that is new, and busy before its first scrape."""
    return _chats(random, START + 4 * HOUR + 50 * MINUTE + 8, ENDED, 3, "claude", "anthropic")


def exporters() -> list[Scraped]:
    """All of them, with all of their requests, seen or not."""
    random = Random(16)
    away = START + 5 * HOUR + 20 * MINUTE
    return [
        Scraped(
            START - 30 * HOUR,
            _steady(random),
            {BEGAN: "steady:9478", away: "", away + 12 * MINUTE: "steady:9478"},
        ),
        Scraped(
            START - 100 * HOUR, _met_late(random), {START + 5 * HOUR + 40 * MINUTE: "late:9478"}
        ),
        Scraped(
            START - 50 * HOUR,
            _moved(random),
            {BEGAN: "moved-1:9478", MOVED: "", MOVED + 3 * MINUTE: "moved-2:9478"},
        ),
        Scraped(START + 4 * HOUR + 50 * MINUTE + 5, _new(random), {START + 4 * HOUR: "new:9478"}),
    ]


def seen(span: Span, keep: Callable[[Request], bool] = lambda request: True) -> list[Request]:
    """The requests of a time range that a Prometheus can know of."""
    return [
        request
        for exporter in exporters()
        for request in exporter.requests
        if span.start < request.end <= span.end and keep(request)
    ]


def known_as(request: Request) -> str:
    """The model's label: names that never succeeded are folded."""
    return "other" if request.model.startswith("junk") else request.model


def _ordered(requests: Iterable[Request]) -> list[Request]:
    return sorted(requests, key=lambda request: request.end)

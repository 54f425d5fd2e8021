"""Two days of requests that look like somebody's, for pictures."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from tests.dashboards.history import Request

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Model:
    """How a made-up model behaves.

    Attributes:
        every_s: mean time between its requests.
        input_tokens, output_tokens: medians.
        speed: tokens a second.
    """

    name: str
    provider: str
    every_s: float
    input_tokens: int
    output_tokens: int
    first_token_s: float
    speed: float
    reasons: bool = False
    operation: str = "chat"


MODELS = (
    Model("qwen-plus", "dashscope", 18, 900, 260, 0.35, 75),
    Model("qwen-max", "dashscope", 45, 1400, 420, 0.7, 40),
    Model("deepseek-v3", "deepseek", 40, 1100, 520, 0.9, 35),
    Model("deepseek-r1", "deepseek", 110, 700, 1800, 1.2, 30, reasons=True),
    Model("gpt-4o-mini", "openai", 32, 650, 180, 0.4, 90),
    Model("claude-sonnet-4", "anthropic", 60, 3200, 480, 1.1, 65),
    Model("text-embedding-v4", "dashscope", 30, 380, 0, 0.06, 1, operation="embeddings"),
)
TEAMS = {"dashscope": "search", "deepseek": "support", "openai": "support", "anthropic": "research"}

FAILURES = (
    ("RateLimitError", 429, 0.010),
    ("BadRequestError", 400, 0.006),
    ("InternalServerError", 500, 0.004),
    ("Timeout", 504, 0.003),
    ("stream_aborted", 200, 0.002),
    ("client_aborted", 200, 0.006),
)


def requests(start: float, end: float) -> list[Request]:
    """All of them, in the order of their ends."""
    random = Random(16)
    made = [request for model in MODELS for request in _of(model, random, start, end)]
    return sorted([*made, *_media(random, start, end)], key=lambda request: request.end)


def _of(model: Model, random: Random, start: float, end: float) -> Iterator[Request]:
    for time in _times(random, start, end, model.every_s):
        yield _request(model, random, time)


def _busy(time: float) -> float:
    return 1 + 0.6 * math.cos(2 * math.pi * (time / DAY - 14 / 24))


def _request(model: Model, random: Random, end: float) -> Request:
    request = Request(
        end=end,
        model=model.name,
        provider=model.provider,
        operation=model.operation,
        team=TEAMS[model.provider],
    )
    throttled = 0.25 if model.provider == "deepseek" and 13 <= end % DAY / HOUR < 14 else 0
    chance = random.random() - throttled
    if chance < 0:
        return replace(request, status_code=429, error_type="RateLimitError", latency=0.08)
    for error_type, status_code, share in FAILURES:
        if (chance := chance - share) < 0:
            latency = 60 if error_type == "Timeout" else 0.4
            return replace(request, status_code=status_code, error_type=error_type, latency=latency)
    if chance < 0.015:
        return replace(request, latency=0.01, cache_hit=True)
    return _answered(request, model, random)


def _answered(request: Request, model: Model, random: Random) -> Request:
    def about(median: float, spread: float) -> float:
        return median * random.lognormvariate(0, spread)

    streamed = model.operation == "chat" and random.random() < 0.75
    asked = 8 + round(about(model.input_tokens, 0.8))
    answered = round(about(model.output_tokens, 0.7))
    first = about(model.first_token_s, 0.45)
    latency = first + answered / about(model.speed, 0.15)
    cached, written = random.random() < 0.3, random.random() < 0.05
    timed = replace(
        request,
        streamed=streamed,
        latency=latency,
        time_to_first_token=first if streamed else math.nan,
        upstream_time=max(0.0, latency - about(0.004, 0.5)),
    )
    if streamed and random.random() < 0.01:
        return timed  # A client that did not ask for usage.
    return replace(
        timed,
        input_tokens=asked,
        output_tokens=answered if model.output_tokens else math.nan,
        cached_input_tokens=int(asked * random.uniform(0.3, 0.9)) if cached else math.nan,
        cache_creation_input_tokens=asked // 10 if written else math.nan,
        reasoning_output_tokens=int(answered * 0.7) if model.reasons else math.nan,
        finish_reason="content_filter" if random.random() < 0.002 else "stop",
        cost=asked * 4e-7 + answered * 1.2e-6,
    )


def _media(random: Random, start: float, end: float) -> Iterator[Request]:
    image = Request(end=0, model="wan-image", operation="image_generation", team="marketing")
    for time in _times(random, start, end, 400):
        yield replace(image, end=time, latency=random.uniform(6, 14), images=1)
    voice = Request(end=0, model="cosy-voice", operation="speech", team="support")
    for time in _times(random, start, end, 300):
        yield replace(voice, end=time, latency=random.uniform(1, 4), characters=140)


def _times(random: Random, start: float, end: float, every_s: float) -> Iterator[float]:
    time = start
    while (time := time + random.expovariate(_busy(time) / every_s)) < end:
        yield time

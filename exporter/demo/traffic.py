"""Requests as clients make them: at random, more by day than by night, some of them failing."""

import heapq
import math
from collections.abc import Iterator
from random import Random
from uuid import UUID

from msgspec.structs import replace

from exporter.demo.gateway import Failure, Model, gateway
from exporter.demo.request import Request, Usage


class Traffic:
    """Requests as they arrive at random, more by day than by night; the same for the same seed."""

    def __init__(self, seed: int, start: float, rate: float) -> None:
        """Begin at an epoch second with `rate` requests a second, averaged over a day."""
        self._random = Random(f"{seed} {start}")
        self._gateway = gateway()
        self._rate = rate
        self._now = start

    def requests(self) -> Iterator[Request]:
        """Without an end, in the order in which they finish, as a log has them."""
        running: list[tuple[float, UUID, Request]] = []
        while True:
            self._now += self._random.expovariate(self._rate * day_curve(self._now))
            while running and running[0][0] <= self._now:
                yield heapq.heappop(running)[2]
            request = self._request()
            heapq.heappush(running, (request.end, request.id, request))

    def _request(self) -> Request:
        random, gateway = self._random, self._gateway
        (model,) = random.choices(gateway.models, [model.share for model in gateway.models])
        team = random.choice(list(gateway.teams))
        arrived = Request(
            id=self._uuid(),
            trace_id=self._uuid(),
            model=model,
            asked_for=model.name,
            team=team,
            key=random.choice(gateway.teams[team]),
            start=round(self._now, 6),
            end=math.inf,
        )
        if failure := self._failure(model):
            return self._failed(arrived, failure)
        return self._answered(arrived)

    def _failure(self, model: Model) -> Failure | None:
        failures = self._gateway.failures
        if provider_is_busy(self._now) and self._random.random() < model.refused:
            return failures[0]
        chance = self._random.random()
        for failure in failures:
            chance -= failure.share
            if chance < 0:
                return failure
        return None

    def _failed(self, request: Request, failure: Failure) -> Request:
        asked_for = self._random.choice(failure.asked_for or (request.model.name,))
        end = request.start + self._about(failure.latency_s, 0.2)
        return replace(request, asked_for=asked_for, end=round(end, 6), failure=failure)

    def _answered(self, request: Request) -> Request:
        random, model = self._random, request.model
        usage = self._usage(model)
        cache_hit = random.random() < 0.02
        streamed = random.random() < model.streamed
        first_token_s = 0.004 if cache_hit else self._about(model.first_token_s, 0.45)
        rest_s = 0 if cache_hit else usage.output / self._about(model.tokens_per_s, 0.15)
        if streamed and random.random() < 0.01:
            usage = Usage()  # A client that did not ask for usage at the stream's end.
        return replace(
            request,
            end=round(request.start + first_token_s + rest_s, 6),
            first_token=round(request.start + first_token_s, 6) if streamed else None,
            overhead_ms=None if streamed else round(self._about(4, 0.5), 3),
            usage=usage,
            finish_reason=random.choices(("stop", "tool_calls", "length"), (85, 11, 4))[0],
            cache_hit=cache_hit,
        )

    def _usage(self, model: Model) -> Usage:
        random = self._random
        asked = round(self._about(model.input_tokens, 0.8)) + 8
        answer = round(self._about(model.output_tokens, 0.7)) + 2 if model.output_tokens else 0
        return Usage(
            input=asked,
            cached=int(asked * random.uniform(0.3, 0.9)) if random.random() < model.cached else 0,
            output=answer,
            reasoning=(
                int(answer * random.uniform(0.5, 0.85)) if random.random() < model.reasoning else 0
            ),
        )

    def _about(self, median: float, spread: float) -> float:
        return median * self._random.lognormvariate(0, spread)

    def _uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


def payloads(seed: int, start: float, rate: float = 2) -> Iterator[dict[str, object]]:
    """The lines of a log as JSON objects, without an end, in the order in which requests finish.

    Args:
        seed: equal seeds and starts give equal lines.
        start: the first request comes soon after this epoch second.
        rate: requests per second, averaged over a day.
    """
    return (request.payload() for request in Traffic(seed, start, rate).requests())


def day_curve(at: float) -> float:
    """How busy an epoch second is against the day's average: most at 14:00 UTC, least at 2:00."""
    return 1 + 0.6 * math.cos(2 * math.pi * (at / 86_400 - 14 / 24))


def provider_is_busy(at: float) -> bool:
    """Whether providers refuse requests at an epoch second: from minute 20 to 26 of each hour."""
    return 20 <= at / 60 % 60 < 26

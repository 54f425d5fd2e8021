"""What the loads of a soak send, and how they keep count of it: each is a process of its own."""

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

import msgspec

MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4", "claude-haiku", "llama-3.3-70b", "qwen-plus")
STATUSES = (200,) * 94 + (429,) * 3 + (500,) * 2 + (503,)
OTHER = "other"
"""The label of models that nobody knows."""

JUNK_SHARE = 0.001
"""Of requests for a model of a name that never comes again, as clients invent them."""

TICK_S = 0.05
"""Between two looks at what is due."""


Result = TypeVar("Result")
_CONTEXT = multiprocessing.get_context("spawn")


Requests = Counter[tuple[str, str]]
"""Requests by model, as series have it, and status code."""


@dataclass
class Sent:
    """What a source must have counted.

    Attributes:
        numbers: ids went from `{source}-000000000` up to this number, itself left out.
        tokens: by model and `input` or `output`.
        notes: whatever else is worth telling: rotations, repeats.
    """

    source: str
    numbers: int = 0
    requests: Requests = field(default_factory=Counter)
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def take_id(self) -> str:
        """The next request's id."""
        self.numbers += 1
        return f"{self.source}-{self.numbers - 1:09}"

    def count(self, model: str, status: int, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Count a request."""
        label = model if model in MODELS else OTHER
        self.requests[label, str(status)] += 1
        if input_tokens:
            self.tokens[label, "input"] += input_tokens
            self.tokens[label, "output"] += output_tokens


class Lines:
    """Draws requests in the format `records`, and counts them."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._random = random.Random(sent.source)

    def line(self) -> bytes:
        """A line of a log."""
        draw = self._random
        id_ = self._sent.take_id()
        latency = draw.lognormvariate(0, 1)
        model, status = draw.choice(MODELS), draw.choice(STATUSES)
        if draw.random() < JUNK_SHARE:
            model, status = f"model-of-{id_}", 404
        request: dict[str, object] = {
            "request_id": id_,
            "model": model,
            "provider": "soak",
            "status_code": status,
            "start_time": round(time.time() - latency, 6),
            "latency_s": round(latency, 5),
        }
        tokens = (0, 0)
        if status == 200:
            tokens = draw.randrange(1, 4000), draw.randrange(1, 1000)
            request["input_tokens"], request["output_tokens"] = tokens
            if draw.random() < 0.7:
                request["streamed"] = True
                request["time_to_first_token_s"] = round(latency / 4, 5)
        self._sent.count(model, status, *tokens)
        return msgspec.json.encode(request) + b"\n"


class Load(Generic[Result]):
    """A process that works until it is told to stop; a context manager that ends it.

    Args:
        work: is called with `arguments`, and an event that says when to stop. A function of a
            module, as a process of its own has to find it.
    """

    def __init__(self, work: Callable[..., Result], *arguments: Any) -> None:
        self._stopping = _CONTEXT.Event()
        self._result, result = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_work, args=(result, work, *arguments, self._stopping), daemon=True
        )
        self._process.start()
        result.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.join()

    def check(self) -> None:
        """Raises:
        RuntimeError: it has failed; its standard error says why.
        """
        if not self._process.is_alive():
            raise RuntimeError("a load has failed")

    def stop(self) -> Result:
        """Tell it to stop; what it returns.

        Raises:
            EOFError: it has failed; its standard error says why.
        """
        self._stopping.set()
        result: Result = self._result.recv()
        return result


def _work(result: Any, work: Callable[..., object], *arguments: Any) -> None:
    result.send(work(*arguments))


class Places:
    """A number of tasks at most: what cannot be done in time is done later, not all at once."""

    def __init__(self, group: asyncio.TaskGroup, most: int) -> None:
        self._group = group
        self._free = asyncio.Semaphore(most)

    async def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin as soon as there is a place."""
        await self._free.acquire()
        self._group.create_task(work).add_done_callback(lambda _: self._free.release())


class Pace:
    """Says how many are due, so that it is `rate` a second on the whole."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._began = time.monotonic()
        self._done = 0

    def due(self) -> int:
        """How many since the last call."""
        due = int((time.monotonic() - self._began) * self._rate) - self._done
        self._done += due
        return due


class Seen:
    """How often each request was seen, by the numbers in the ids that `Sent` gives."""

    def __init__(self) -> None:
        self._times: dict[str, bytearray] = {}

    def see(self, id_: str) -> None:
        """See a request."""
        source, _, number = id_.rpartition("-")
        times, place = self._times.setdefault(source, bytearray()), int(number)
        if place >= len(times):
            times.extend(bytes(max(place + 1 - len(times), len(times))))
        times[place] = min(times[place] + 1, 255)

    def missing(self, sent: Sent) -> int:
        """Requests that were sent and not seen."""
        times = self._times.get(sent.source, b"")[: sent.numbers]
        return times.count(0) + sent.numbers - len(times)

    def again(self) -> int:
        """Requests that were seen more than once."""
        return sum(len(times) - times.count(0) - times.count(1) for times in self._times.values())

"""Senders that push batches, and, as senders do, push some of them again."""

import asyncio
import contextlib
import gzip
import random
from multiprocessing.synchronize import Event

import aiohttp

from benchmarks.soak.sent import TICK_S, Lines, Pace, Places, Sent

BATCH = 100
MOST_AT_ONCE = 32
AGAIN_SHARE = 0.1
"""Of batches that are pushed again although they were taken."""

CUT_SHARE = 0.05
"""Of batches whose sender leaves before the answer, and pushes them again."""

_CUT_AFTER_S = 0.02
_ANSWER_LIMIT_S = 30.0
_RETRY_S = 1.0


def push_batches(url: str, rate: float, stopping: Event) -> Sent:
    """Push so many requests a second."""
    return asyncio.run(_push_batches(url, rate, stopping))


async def _push_batches(url: str, rate: float, stopping: Event) -> Sent:
    sent = Sent("push")
    lines = Lines(sent)
    draw = random.Random(3)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        pace, places = Pace(rate / BATCH), Places(group, MOST_AT_ONCE)
        while not stopping.is_set():
            await asyncio.sleep(TICK_S)
            for _ in range(pace.due()):
                body = b"".join([lines.line() for _ in range(BATCH)])
                sender = _Sender(session, url, body, draw.random() < 0.5, sent)
                await places.start(sender.send(draw.random()))
    return sent


class _Sender:
    def __init__(
        self, session: aiohttp.ClientSession, url: str, body: bytes, packs: bool, sent: Sent
    ) -> None:
        self._session = session
        self._url = url
        self._body = gzip.compress(body, 1) if packs else body
        self._headers = {"Content-Encoding": "gzip"} if packs else {}
        self._sent = sent

    async def send(self, chance: float) -> None:
        if chance < CUT_SHARE:
            self._sent.notes["cut pushes"] += 1
            with contextlib.suppress(TimeoutError):
                await self._post(_CUT_AFTER_S)
        await self._until_taken()
        if chance > 1 - AGAIN_SHARE:
            self._sent.notes["repeated pushes"] += 1
            accepted = await self._until_taken()
            assert accepted == 0, f"{accepted} of a batch that was taken before"

    async def _until_taken(self) -> int:
        while (answer := await self._post(_ANSWER_LIMIT_S)) is None:
            self._sent.notes["pushes to be sent later"] += 1
            await asyncio.sleep(_RETRY_S)
        accepted, repeated = answer
        assert accepted + repeated == BATCH, f"{accepted} accepted, {repeated} repeated"
        return accepted

    async def _post(self, limit_s: float) -> tuple[int, int] | None:
        async with (
            asyncio.timeout(limit_s),
            self._session.post(self._url, data=self._body, headers=self._headers) as answer,
        ):
            if answer.status == 503:
                return None
            answer.raise_for_status()
            told = await answer.json()
            return told["accepted"], told["repeated"]

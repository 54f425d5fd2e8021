"""Which pushed requests were counted already: a sender that got no answer sends them again."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping

from exporter.record import Batch

MOST_REMEMBERED = 500_000
"""Requests; beyond them the oldest are forgotten before their time. They take some 50 MB, and 95
where each was pushed, and committed, by itself."""

_DIGEST_BYTES = 8


class Repeats:
    """Digests of what was counted within a window, kept as positions and so across restarts.

    Each commit's digests are one position, whose key is when they came: `milliseconds since 1970`.

    Args:
        known: the positions of before.
        clock: Unix seconds.
    """

    def __init__(
        self,
        window_s: float,
        known: Mapping[str, bytes],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._window_s = window_s
        self._clock = clock
        self._by_key = {key: known[key] for key in sorted(known)}
        self._digests = {each for digests in known.values() for each in _split(digests)}
        self._new: list[bytes] = []

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> bool:
        """Know it from now on; whether it is new."""
        if digest in self._digests:
            return False
        self._digests.add(digest)
        self._new.append(digest)
        return True

    def positions(self) -> dict[str, bytes | None]:
        """What changed since the last call: the new ones, and those that are forgotten."""
        changed: dict[str, bytes | None] = {}
        forgotten = []
        now_ms = int(self._clock() * 1000)
        if self._new:
            # Later than any before, even if the clock was set back.
            newest = int(next(reversed(self._by_key), "0"))
            key = f"{max(now_ms, newest + 1):015d}"
            self._by_key[key] = changed[key] = b"".join(self._new)
            self._new = []
        for key, digests in self._by_key.items():
            is_old = int(key) < now_ms - self._window_s * 1000
            if not is_old and len(self._digests) <= MOST_REMEMBERED:
                break
            self._digests.difference_update(_split(digests))
            changed[key] = None
            forgotten.append(key)
        for key in forgotten:
            del self._by_key[key]
        return changed


def digest_of(*parts: str | bytes) -> bytes:
    """A short name for some texts; the same in every process.

    A header that is no UTF-8 comes with its bytes as lone surrogates.
    """
    each = (p if isinstance(p, bytes) else p.encode("utf-8", "surrogateescape") for p in parts)
    return hashlib.blake2b(b"\0".join(each), digest_size=_DIGEST_BYTES).digest()


def digests_of(batch: Batch) -> Iterable[bytes | None]:
    """Each request's digest, None for one that has no id.

    The id alone would not do: clients choose ids at some gateways, and may use one twice.
    """
    figures = zip(
        batch.request_ids(),
        batch.kind.tolist(),
        batch.start_times().tolist(),
        batch.numbers.latency.tolist(),
        strict=True,
    )
    for request_id, kind, start_time, latency in figures:
        if not request_id:
            yield None
            continue
        status = batch.kinds[kind].status_code
        yield digest_of(request_id, str(status), repr(start_time), repr(latency))


def _split(digests: bytes) -> list[bytes]:
    starts = range(0, len(digests), _DIGEST_BYTES)
    return [digests[start : start + _DIGEST_BYTES] for start in starts]

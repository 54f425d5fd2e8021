"""The body of an answer on its way to the client, part by part, before the watch's eyes."""

from exporter.sources.proxy.heads import Framing
from exporter.sources.proxy.known_event import KnownEvent
from exporter.sources.proxy.peer import Peer
from exporter.sources.proxy.stream_usage import UsageRemover
from exporter.sources.proxy.watch import Watch


class Passage:
    """Passes parts on.

    Args:
        framing: of the answer, as the client gets it.
        remover: of what the client did not ask for.
    """

    __slots__ = ("_client", "_framing", "_known", "_remover", "_watch")

    def __init__(
        self, client: Peer, watch: Watch, framing: Framing, remover: UsageRemover | None
    ) -> None:
        self._client = client
        self._watch = watch
        self._framing = framing
        self._remover = remover
        self._known: KnownEvent | None = None

    def take(self, part: bytes) -> bool:
        """Pass a part on; whether the client has room for another one."""
        shown = self._remover.feed(part) if self._remover else part
        if shown:
            self._client.write(self._framing.frame(shown))
        self._watch.part(part)
        if self._framing.chunked and not self._remover:
            self._known = self._watch.known_event
        return not self._client.is_writing_paused

    def take_chunk(self, chunk: bytes) -> bool:
        """Pass a chunk on, framing included, if the watch need not see what is in it; whether it
        was."""
        known, client = self._known, self._client
        if known is None or client.is_writing_paused or not known.is_in(chunk):
            return False
        client.write(chunk)
        return True

"""The body of an answer on its way to the client, part by part, before the watch's eyes."""

from exporter.sources.proxy.chunk import LAST_CHUNK
from exporter.sources.proxy.heads import Framing
from exporter.sources.proxy.known_event import KnownEvent
from exporter.sources.proxy.peer import Peer
from exporter.sources.proxy.stream_usage import UsageRemover
from exporter.sources.proxy.upstream import Answer
from exporter.sources.proxy.watch import Watch


class Passage:
    """Passes parts on.

    Args:
        framing: of the answer, as the client gets it.
        remover: of what the client did not ask for.
    """

    __slots__ = ("_answer", "_client", "_framing", "_has_ended", "_known", "_remover", "_watch")

    def __init__(
        self,
        answer: Answer,
        client: Peer,
        watch: Watch,
        framing: Framing,
        remover: UsageRemover | None,
    ) -> None:
        self._answer = answer
        self._client = client
        self._watch = watch
        self._framing = framing
        self._remover = remover
        self._known: KnownEvent | None = None
        self._has_ended = False

    def begin(self, head: bytes) -> None:
        """Write the head, and together with it what there is of the body."""
        part = self._answer.take()
        self._client.write(head + self._framed(part))
        self._watch.answer(self._answer)
        self._see(part)

    def take(self, part: bytes) -> bool:
        """Pass a part on; whether the client has room for another one."""
        if framed := self._framed(part):
            self._client.write(framed)
        self._see(part)
        return not self._client.is_writing_paused

    def take_chunk(self, chunk: bytes) -> bool:
        """Pass a chunk on, framing included, if the watch need not see what is in it; whether it
        was."""
        known, client = self._known, self._client
        try:
            if known is None or client.is_writing_paused or not known.is_in(chunk):
                return False
        except Exception:  # The watch, which sees it then, tells what is wrong.
            return False
        client.write(chunk)
        return True

    def end(self) -> None:
        """Write what ends the body, unless that has gone with its last part."""
        if not self._has_ended and (ending := self._ending()):
            self._client.write(ending)

    def _framed(self, part: bytes) -> bytes:
        """A part as the client gets it; the last one with the end of the body."""
        shown = self._remover.feed(part) if self._remover else part
        framed = self._framing.frame(shown) if shown else b""
        return framed + self._ending() if self._answer.is_whole else framed

    def _ending(self) -> bytes:
        self._has_ended = True
        rest = self._remover.end() if self._remover else b""
        ending = LAST_CHUNK if self._framing.chunked else b""
        return self._framing.frame(rest) + ending if rest else ending

    def _see(self, part: bytes) -> None:
        self._watch.part(part)
        if self._framing.chunked and not self._remover:
            self._known = self._watch.known_event

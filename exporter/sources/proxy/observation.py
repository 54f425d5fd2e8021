"""One exchange as it is watched: what was asked, what was answered, and the record of it."""

import re
from typing import Literal, TypeAlias
from urllib.parse import parse_qs

import msgspec

from exporter.formats.values import LONGEST_NAME
from exporter.record import CLIENT_ABORTED, STREAM_ABORTED, Kind, Record
from exporter.sources.proxy.apis import Asked, asked
from exporter.sources.proxy.documents import NOT_JSON, Document, decode_answer, decode_fitting
from exporter.sources.proxy.event_stream import EVENT_STREAM, EventStream, end_of_event
from exporter.sources.proxy.findings import Findings
from exporter.sources.proxy.known_event import KnownEvent, known_event
from exporter.sources.proxy.session import Session, model_in
from exporter.sources.proxy.unpacking import Unpacker, UnpackError, unpacker

CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client left before there was one."""

CUT = "upstream_aborted"

UNHURRIED = 1 << 14
"""Bytes of a stream that are looked into together, once its first token has come: what follows is
of no interest before the end, and to look into each event by itself costs twice as much."""

FEW = 1 << 9
"""Bytes of events of which it is tried to know the next ones again; twice as many after each trial
in vain."""

ALL_INPUT = frozenset({"embeddings", "rerank"})
"""Operations whose tokens are all input: DashScope tells no more than the total of them."""

_ERROR_TYPE = re.compile(r"[\w.-]{1,64}")


Ending: TypeAlias = Literal["whole", "cut", "client_left"]
"""How an exchange ended."""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before its body.

    Attributes:
        started: Unix seconds.
        attributes: values of the configured attributes, in their order.
    """

    request_id: str
    trace_id: str
    provider: str
    started: float
    attributes: tuple[str, ...]


class Observation(msgspec.Struct, eq=False):
    """Sees the parts of one exchange, in order; holds as much of a body as `most_bytes`.

    Attributes:
        asked: what the body asks for, as far as it was seen.
        findings: what the answer has told so far.
        held_bytes: of the answer, of what is yet to be looked into.
        unparsed: events or bodies that could not be looked into: too long, or not what they say.
    """

    asked: Asked
    caller: Caller
    most_bytes: int
    findings: Findings = msgspec.field(default_factory=Findings)
    held_bytes: int = 0
    unparsed: int = 0
    _status: int = CLIENT_CLOSED_REQUEST
    _error_type: str = ""
    _looks: bool = False
    _unpack: Unpacker | None = None
    _events: EventStream | None = None
    _parts: list[bytes] = []
    _known: KnownEvent | None = None
    _session: Session | None = None
    _patience: int = FEW
    _first_output_s: float | None = None
    _succeeded: bool = False

    def take_request(self, body: bytes, content_type: bytes, encoding: bytes = b"") -> None:
        """See the body of the request, whole."""
        if encoding:
            try:
                body = unpacker(encoding, self.most_bytes)(body)
            except UnpackError:
                self.unparsed += 1
                return
        self.asked = asked(self.asked.api, body, content_type)

    def take_head(self, status: int, content_type: bytes, encoding: bytes) -> None:
        """See the head of the answer."""
        self._status = status
        self._succeeded = 200 <= status < 300
        if content_type.startswith(EVENT_STREAM):
            self._looks, self._events = True, EventStream()
        elif content_type.find(b"json") >= 0:  # `in` raises an error first, to look for a number.
            self._looks = True
        if not encoding:
            return
        try:
            self._unpack = unpacker(encoding, self.most_bytes)
        except UnpackError:
            self._give_up()

    def take_part(self, data: bytes, elapsed_s: float) -> None:
        """See a part of the answer's body, as packed as it goes through.

        Args:
            elapsed_s: since the request.
        """
        if not self._looks or not data:
            return
        if self._unpack is not None:
            try:
                data = self._unpack(data)
            except UnpackError:
                if self._events is not None:  # Those that came before are sound.
                    self._take_events(self._events, elapsed_s)
                self._give_up()
                return
        known = self._known
        if known is not None and not self._parts and known.passed(data) == len(data):
            return
        self._parts.append(data)
        self.held_bytes += len(data)
        if self._events is not None:
            if self._first_output_s is None or self.held_bytes > self._patience:
                self._take_events(self._events, elapsed_s)
        elif self.held_bytes > self.most_bytes:
            self._give_up()

    @property
    def known_event(self) -> KnownEvent | None:
        """An event that need not be seen when it comes next, as a part that is not packed."""
        is_plain = self._looks and self._unpack is None
        return self._known if is_plain and not self._parts else None

    def take_session(self, query: str) -> None:
        """See that a WebSocket begins; the query of its URL names the model, if anything does."""
        self._status, self._succeeded = 200, True
        models = parse_qs(query).get("model", [""])
        self.asked = msgspec.structs.replace(self.asked, model=models[0])
        self._session = Session(self.findings)

    def take_opening(self, message: bytes) -> None:
        """See the client's first message in a WebSocket; DashScope's names the model."""
        if model := model_in(message):
            self.asked = msgspec.structs.replace(self.asked, model=model)

    def take_message(self, message: bytes) -> None:
        """See a message of the upstream's in a WebSocket."""
        if self._session is not None:
            self._session.take(message)

    def take_error(self, status: int, error_type: str) -> None:
        """See that the answer is the proxy's own."""
        self._status, self._succeeded = status, False
        self._error_type = error_type
        self._looks = False

    def _give_up(self) -> None:
        self._looks = False
        self._parts.clear()
        self.unparsed += 1

    def _take_events(self, events: EventStream, elapsed_s: float) -> None:
        """Look into the parts that were gathered."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.held_bytes = 0
        place = self._known.passed(data) if self._known else 0
        while len(data) - place > self._patience:
            end = end_of_event(data, place)
            event, following = data[place:end], data[end : end_of_event(data, end)]
            found = self._take_all(events, event, elapsed_s)
            known = known_event(event, found, self.findings, following)
            place = known.passed(data, end) if known else end
            self._known = known
            if place > end:
                self._patience = FEW
            elif self._patience < UNHURRIED:
                self._patience *= 2
            else:
                break
        if place < len(data):
            self._take_all(events, data[place:], elapsed_s)

    def _take_all(self, events: EventStream, data: bytes, elapsed_s: float) -> list[bytes]:
        self._known = None  # What told nothing new may do so after this.
        found = events.feed(data)
        for event in found:
            self._take_event(event, elapsed_s)
        return found

    def _take_event(self, event: bytes, elapsed_s: float) -> None:
        if event.startswith(b"[DONE]"):
            self.findings.is_final = True
            return
        try:
            document = decode_answer(event)
        except NOT_JSON:
            document = self._fitting(event)
        self.findings.take(document)
        if self._first_output_s is None and self.findings.has_output:
            self._first_output_s = elapsed_s

    def end(self, ending: Ending, elapsed_s: float) -> Record:
        """The record, once the exchange is over."""
        if self._looks and self._events is not None:
            self._take_events(self._events, elapsed_s)
            for event in self._events.end():
                self._take_event(event, elapsed_s)
        elif self._looks and self._parts:
            self._take_body()
        elif self._session is not None:
            self._session.end()
        return self._record(ending, elapsed_s)

    def _take_body(self) -> None:
        body = b"".join(self._parts)
        try:
            document = decode_answer(body)
        except NOT_JSON:
            document = self._fitting(body)
        self.findings.take(document)
        if self.asked.api.operation == "image_generation" and self._succeeded:
            self.findings.count_images(document)

    def _fitting(self, data: bytes) -> Document:
        """What can be looked into of an event or a body that is not what it should be."""
        self.unparsed += 1
        try:
            return decode_fitting(data)
        except NOT_JSON:
            return Document()

    def _record(self, ending: Ending, elapsed_s: float) -> Record:
        found, wanted = self.findings, self.asked
        error_type = self._outcome(ending)
        caller, operation = self.caller, wanted.api.operation
        streamed = self._events is not None or (wanted.streamed and not self._succeeded)
        # By position: by name, these two take three times as long.
        kind = Kind(
            wanted.model[:LONGEST_NAME],
            found.model[:LONGEST_NAME],
            caller.provider,
            operation,
            self._status,
            error_type,
            streamed,
            False,
            found.finish_reason[:LONGEST_NAME],
            caller.attributes,
            "",
        )
        characters, input_tokens = found.characters, found.input_tokens
        if operation == "speech" and self._succeeded and characters is None:
            characters = wanted.characters
        if input_tokens is None and operation in ALL_INPUT and found.output_tokens is None:
            input_tokens = found.total_tokens
        return Record(
            caller.request_id,
            caller.trace_id,
            kind,
            caller.started,
            elapsed_s,
            self._first_output_s,
            input_tokens,
            found.output_tokens,
            found.total_tokens,
            found.cached_input_tokens,
            found.cache_creation_input_tokens,
            found.reasoning_output_tokens,
            found.images,
            found.seconds,
            characters,
        )

    def _outcome(self, ending: Ending) -> str:
        """The error type, "" for a success."""
        if self._error_type:
            return self._error_type
        ended = self.findings.is_final
        if ending == "client_left" and not (ended and self._succeeded):
            return CLIENT_ABORTED
        if not self._succeeded:
            return _error_type(self.findings.error_type) or str(self._status)
        if self.findings.error_type:
            return _error_type(self.findings.error_type) or "error"
        if self._events is not None:
            return "" if ended or (ending == "whole" and self._has_end()) else STREAM_ABORTED
        return CUT if ending == "cut" else ""

    def _has_end(self) -> bool:
        """Whether a stream that stopped in good order had come to its end."""
        api, found = self.asked.api, self.findings
        return bool(not api.streams_end or not self._looks or found.finish_reason)


def _error_type(text: str) -> str:
    """A provider's name of an error, "" if it is more of a sentence."""
    return text if _ERROR_TYPE.fullmatch(text) else ""

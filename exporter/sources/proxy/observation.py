"""One exchange as it is watched: what was asked, what was answered, and the record of it."""

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qs

from exporter.formats.values import name
from exporter.record import CLIENT_ABORTED, STREAM_ABORTED, Kind, Record
from exporter.sources.proxy.apis import Api, Asked, asked
from exporter.sources.proxy.documents import NOT_JSON, decode_answer
from exporter.sources.proxy.event_stream import EventStream
from exporter.sources.proxy.findings import Findings
from exporter.sources.proxy.unpacking import Unpacker, UnpackError, unpacker

CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client left before there was one."""

CUT = "upstream_aborted"

UNHURRIED = 1 << 14
"""Bytes of a stream that are looked into together, once its first token has come: what follows is
of no interest before the end, and to look into each event by itself costs twice as much."""

_ERROR_TYPE = re.compile(r"[\w.-]{1,64}")
_EVENTS, _JSON, _NOTHING = range(3)


class Ending(Enum):
    """How an exchange ended."""

    WHOLE = "whole"
    CUT = "cut"
    CLIENT_LEFT = "client_left"


class Caller(NamedTuple):
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


class Observation:
    """Sees the parts of one exchange, in order; holds as much of a body as `most_bytes`."""

    def __init__(self, api: Api, caller: Caller, most_bytes: int) -> None:
        self._caller = caller
        self._most_bytes = most_bytes
        self._asked = Asked(api)
        self._findings = Findings()
        self._status = CLIENT_CLOSED_REQUEST
        self._error_type = ""
        self._shape = _NOTHING
        self._unpack: Unpacker | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._first_output_s: float | None = None
        self._succeeded = False
        self.is_event_stream = False
        self.unparsed = 0
        """Events or bodies that could not be looked into: too long, or not what they say."""

    @property
    def asked(self) -> Asked:
        """What the body asks for, as far as it was seen."""
        return self._asked

    @property
    def held_bytes(self) -> int:
        """Of the answer, of what is yet to be looked into."""
        return self._size

    @property
    def findings(self) -> Findings:
        """What the answer has told so far."""
        return self._findings

    def take_request(self, body: bytes, content_type: bytes) -> None:
        """See the body of the request, whole."""
        self._asked = asked(self._asked.api, body, content_type)

    def take_head(self, status: int, content_type: bytes, encoding: bytes) -> None:
        """See the head of the answer."""
        self._status = status
        self._succeeded = 200 <= status < 300
        self.is_event_stream = content_type.startswith(b"text/event-stream")
        if self.is_event_stream:
            self._shape = _EVENTS
            self._events = EventStream()
        elif b"json" in content_type:
            self._shape = _JSON
        if not encoding:
            return
        try:
            self._unpack = unpacker(encoding)
        except UnpackError:
            self._give_up()

    def take_part(self, data: bytes, elapsed_s: float) -> None:
        """See a part of the answer's body, as packed as it goes through.

        Args:
            elapsed_s: since the request.
        """
        if self._shape == _NOTHING:
            return
        if self._unpack is not None:
            try:
                data = self._unpack(data)
            except UnpackError:
                if self._shape == _EVENTS:
                    self._take_events(elapsed_s)  # Those that came before are sound.
                self._give_up()
                return
        self._parts.append(data)
        self._size += len(data)
        if self._shape == _EVENTS:
            if self._first_output_s is None or self._size > UNHURRIED:
                self._take_events(elapsed_s)
        elif self._size > self._most_bytes:
            self._give_up()

    def take_session(self, query: str) -> None:
        """See that a WebSocket begins; the query of its URL names the model, if anything does."""
        self._status, self._succeeded = 200, True
        models = parse_qs(query).get("model", [""])
        self._asked = self._asked._replace(model=models[0])

    def take_message(self, message: bytes) -> None:
        """See a message of a WebSocket; each answer in a session tells its own usage."""
        try:
            document = decode_answer(message)
        except NOT_JSON:
            return  # Sound, and whatever else there is.
        one = Findings()
        one.take(document)
        self._findings.add(one)

    def take_error(self, status: int, error_type: str) -> None:
        """See that the answer is the proxy's own."""
        self._status, self._succeeded = status, False
        self._error_type = error_type
        self._shape = _NOTHING

    def _give_up(self) -> None:
        self._shape = _NOTHING
        self._parts.clear()
        self.unparsed += 1

    def _take_events(self, elapsed_s: float) -> None:
        """Look into the parts that were gathered."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        for event in self._events.feed(data):
            self._take_event(event, elapsed_s)

    def _take_event(self, event: bytes, elapsed_s: float) -> None:
        if event.startswith(b"[DONE]"):
            self._findings.is_final = True
            return
        try:
            self._findings.take(decode_answer(event))
        except NOT_JSON:
            self.unparsed += 1
            return
        if self._first_output_s is None and self._findings.has_output:
            self._first_output_s = elapsed_s

    def end(self, ending: Ending, elapsed_s: float) -> Record:
        """The record, once the exchange is over."""
        if self._shape == _EVENTS:
            self._take_events(elapsed_s)
            for event in self._events.end():
                self._take_event(event, elapsed_s)
        elif self._shape == _JSON and self._parts:
            self._take_body()
        return self._record(ending, elapsed_s)

    def _take_body(self) -> None:
        try:
            document = decode_answer(b"".join(self._parts))
            self._findings.take(document)
            if self._asked.api.operation == "image_generation" and self._succeeded:
                self._findings.count_images(document)
        except NOT_JSON:
            self.unparsed += 1

    def _record(self, ending: Ending, elapsed_s: float) -> Record:
        found, wanted = self._findings, self._asked
        error_type = self._outcome(ending)
        caller, operation = self._caller, wanted.api.operation
        streamed = self.is_event_stream or (wanted.streamed and not self._succeeded)
        # By position: by name, these two take three times as long.
        kind = Kind(
            name(wanted.model),
            name(found.model),
            caller.provider,
            operation,
            self._status,
            error_type,
            streamed,
            False,
            name(found.finish_reason),
            caller.attributes,
            "",
        )
        characters = found.characters
        if operation == "speech" and self._succeeded and characters is None:
            characters = wanted.characters
        return Record(
            caller.request_id,
            caller.trace_id,
            kind,
            caller.started,
            elapsed_s,
            self._first_output_s,
            found.input_tokens,
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
        ended = self._findings.is_final
        if ending is Ending.CLIENT_LEFT and not (ended and self._succeeded):
            return CLIENT_ABORTED
        if not self._succeeded:
            return _error_type(self._findings.error_type) or str(self._status)
        if self._findings.error_type:
            return _error_type(self._findings.error_type) or "error"
        if self.is_event_stream:
            return "" if ended or (ending is Ending.WHOLE and self._has_end()) else STREAM_ABORTED
        return CUT if ending is Ending.CUT else ""

    def _has_end(self) -> bool:
        """Whether a stream that stopped in good order had come to its end."""
        api, found = self._asked.api, self._findings
        return bool(not api.streams_end or self._shape != _EVENTS or found.finish_reason)


def _error_type(text: str) -> str:
    """A provider's name of an error, "" if it is more of a sentence."""
    return text if _ERROR_TYPE.fullmatch(text) else ""

"""What the APIs' JSON has that is counted; all else in it is passed over without being built.

One wide type serves all of them: OpenAI's, Anthropic's and DashScope's names hardly collide, and
gateways mix them. Figures are `float | None`: some servers write 12.0.
"""

from contextlib import suppress
from typing import Any

import msgspec

Number = float | None

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoders raise: text that is no UTF-8 has an error of its own, if it is looked at."""


class Details(msgspec.Struct, gc=False):
    """Parts of input or output tokens."""

    cached_tokens: Number = None
    cache_creation_input_tokens: Number = None
    cache_write_tokens: Number = None
    reasoning_tokens: Number = None


class Usage(msgspec.Struct, gc=False):
    """Tokens and units, by the names of all APIs."""

    prompt_tokens: Number = None
    completion_tokens: Number = None
    input_tokens: Number = None
    output_tokens: Number = None
    total_tokens: Number = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None
    input_token_details: Details | None = None
    output_token_details: Details | None = None
    prompt_cache_hit_tokens: Number = None
    cached_tokens: Number = None
    cache_read_input_tokens: Number = None
    cache_creation_input_tokens: Number = None
    reasoning_tokens: Number = None
    image_count: Number = None
    characters: Number = None
    seconds: Number = None
    duration: Number = None
    video_duration: Number = None


class Failure(msgspec.Struct, gc=False):
    """An error's names; its message is not looked at."""

    code: str | int | None = None
    type: str | None = None


class Delta(msgspec.Struct, gc=False):
    """What an event adds to an answer, or a whole message."""

    content: Any = None
    text: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    partial_json: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None
    stop_reason: str | None = None

    @property
    def output(self) -> Any:
        """What of the model's is in it, by the first name that has something."""
        return (
            self.content
            or self.text
            or self.reasoning_content
            or self.reasoning
            or self.thinking
            or self.partial_json
            or self.refusal
            or self.tool_calls
            or self.function_call
            or self.audio
        )


class Choice(msgspec.Struct, gc=False):
    """One of an answer's alternatives."""

    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class Block(msgspec.Struct, gc=False):
    """The begin of a part of an answer: Anthropic's content block, OpenAI's output item."""

    type: str | None = None


class Output(msgspec.Struct, gc=False):
    """DashScope's answer within its envelope."""

    text: Any = None
    choices: list[Choice] | None = None
    finish_reason: str | None = None
    audio: Any = None
    results: msgspec.Raw = msgspec.Raw()
    task_id: str | None = None
    task_status: str | None = None
    code: str | int | None = None


class Incomplete(msgspec.Struct, gc=False):
    """Why a response of OpenAI's is not complete."""

    reason: str | None = None


class Message(msgspec.Struct, gc=False):
    """A whole answer within an event: Anthropic's message, OpenAI's response."""

    model: str | None = None
    usage: Usage | None = None
    status: str | None = None
    stop_reason: str | None = None
    error: Failure | None = None
    incomplete_details: Incomplete | None = None


class Document(msgspec.Struct, gc=False):
    """An answer, or one event of one."""

    model: str | None = None
    type: str | None = None
    usage: Usage | None = None
    error: Failure | str | None = None
    choices: list[Choice] | None = None
    delta: Delta | str | None = None
    message: Message | str | None = None
    response: Message | str | None = None
    content_block: Block | None = None
    item: Block | None = None
    output: Output | list[msgspec.Raw] | str | None = None
    data: msgspec.Raw = msgspec.Raw()
    stop_reason: str | None = None
    incomplete_details: Incomplete | None = None
    duration: float | str | None = None
    code: str | int | None = None


class Header(msgspec.Struct, gc=False):
    """What a message of DashScope's is."""

    event: str | None = None


class SessionMessage(Document, gc=False):
    """A message of a WebSocket; at DashScope's `inference`, what it tells is its payload."""

    header: Header | None = None
    payload: Document | None = None


class Request(msgspec.Struct, gc=False):
    """A request's body; `input` is a text at OpenAI and a mapping at DashScope."""

    model: str | None = None
    stream: Any = None
    input: msgspec.Raw = msgspec.Raw()


class SpokenInput(msgspec.Struct, gc=False):
    """DashScope's `input`, where it is text to speak."""

    text: str | None = None


decode_answer = msgspec.json.Decoder(Document).decode
decode_message = msgspec.json.Decoder(SessionMessage).decode
decode_request = msgspec.json.Decoder(Request).decode
decode_text = msgspec.json.Decoder(str).decode
decode_spoken_input = msgspec.json.Decoder(SpokenInput).decode
decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_FIELDS = {
    field.name: msgspec.json.Decoder(field.type).decode
    for field in msgspec.structs.fields(Document)
}


def decode_fitting(data: bytes) -> Document:
    """What of an answer has the types above, where something else in it has not.

    Raises:
        msgspec.DecodeError, RecursionError, UnicodeDecodeError: it is no object of JSON.
    """
    document, found = Document(), _decode_fields(data)
    for name in _FIELDS.keys() & found.keys():
        with suppress(*NOT_JSON):
            setattr(document, name, _FIELDS[name](found[name]))
    return document

"""What one answer tells, gathered from its body or from its events as they come."""

import math
from contextlib import suppress

import msgspec

from exporter.sources.proxy.documents import (
    NOT_JSON,
    Block,
    Choice,
    Delta,
    Details,
    Document,
    Failure,
    Message,
    Number,
    Output,
    Usage,
    decode_list,
)

FINAL_TYPES = frozenset(
    {
        *("message_stop", "response.completed", "response.incomplete", "response.failed"),
        *("image_generation.completed", "image_edit.completed", "speech.audio.done"),
        *("transcript.text.done", "response.done"),
    }
)
"""Types of events that end an answer: Anthropic's, and OpenAI's other than of chat completions."""

TOOL_BLOCKS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use", "function_call"})
"""Blocks whose begin is output already: it names the tool that the model calls."""

NO_REASON = frozenset({None, "", "null"})
"""Finish reasons of an answer that goes on; "null" is DashScope's."""


class Findings(msgspec.Struct, eq=False, gc=False):
    """See the module; None is unknown, and so is "".

    Attributes:
        has_output: something of the model's own has come.
        is_final: the answer says that this is its end.
        excludes_cache: its input figure lacks cached tokens, as Anthropic's does.
        task: of DashScope's asynchronous calls.
    """

    model: str = ""
    finish_reason: str = ""
    error_type: str = ""
    has_output: bool = False
    is_final: bool = False
    excludes_cache: bool = False
    input_tokens: Number = None
    output_tokens: Number = None
    total_tokens: Number = None
    cached_input_tokens: Number = None
    cache_creation_input_tokens: Number = None
    reasoning_output_tokens: Number = None
    images: Number = None
    seconds: Number = None
    characters: Number = None
    task: str = ""
    task_status: str = ""

    def take(self, document: Document) -> None:
        """Take in an answer, or the next event of one."""
        if document.model:
            self.model = document.model
        if document.error is not None or document.code:
            self._take_error(document)
        if document.choices is not None:
            for choice in document.choices:
                self._take_choice(choice)
        if document.type is not None:
            self._take_typed(document, document.type)
        whole = document.message or document.response
        if whole is not None and isinstance(whole, Message):
            self._take_message(whole)
        if document.output is not None and isinstance(document.output, Output):
            self._take_output(document.output)
        if document.stop_reason is not None:
            self._take_reason(document.stop_reason)
        if document.incomplete_details is not None:
            self._take_reason(document.incomplete_details.reason)
        if document.usage is not None:
            self.take_usage(document.usage)
        if document.duration is not None and self.seconds is None:
            self.seconds = _figure(document.duration)

    def add(self, other: "Findings") -> None:
        """Add the figures of another answer in the same session."""
        self.model = other.model or self.model
        self.finish_reason = other.finish_reason or self.finish_reason
        for name in FIGURES:
            figure = getattr(other, name)
            if figure is not None:
                setattr(self, name, (getattr(self, name) or 0) + figure)

    def count_images(self, document: Document) -> None:
        """Of an answer that has made some."""
        if self.images is not None:
            return
        output = document.output
        made = document.data or (output.results if isinstance(output, Output) else b"")
        with suppress(*NOT_JSON):  # What is no list is not counted.
            self.images = float(len(decode_list(made)))

    def _take_error(self, document: Document) -> None:
        error = document.error
        if isinstance(error, Failure):
            self.error_type = str(error.code or error.type or "error")
        elif error is not None:
            self.error_type = "error"
        elif document.code and not document.choices and not isinstance(document.output, list):
            self.error_type = str(document.code)

    def _take_choice(self, choice: Choice) -> None:
        if not self.has_output:
            part = choice.delta or choice.message
            self.has_output = bool(choice.text or (part and part.output))
        if choice.finish_reason is not None:
            self._take_reason(choice.finish_reason)

    def _take_typed(self, document: Document, type_: str) -> None:
        """An event that says what it is: all but those of chat completions do."""
        delta = document.delta
        if isinstance(delta, Delta):
            self.has_output = bool(self.has_output or delta.output)
            self._take_reason(delta.stop_reason)
        elif delta or type_ in ("speech.audio.delta", "image_generation.partial_image"):
            self.has_output = True
        for begun in (document.content_block, document.item):
            if isinstance(begun, Block) and begun.type in TOOL_BLOCKS:
                self.has_output = True
        self.is_final = self.is_final or type_ in FINAL_TYPES
        if type_ == "error" and not self.error_type:
            self.error_type = str(document.code or "error")

    def _take_message(self, message: Message) -> None:
        self.model = message.model or self.model
        self._take_reason(message.stop_reason)
        if message.incomplete_details is not None:
            self._take_reason(message.incomplete_details.reason)
        if message.status == "failed" or message.error is not None:
            error = message.error or Failure()
            self.error_type = str(error.code or error.type or "error")
        if message.usage is not None:
            self.take_usage(message.usage)

    def _take_output(self, output: Output) -> None:
        for choice in output.choices or ():
            self._take_choice(choice)
        self._take_reason(output.finish_reason)
        self.has_output = bool(self.has_output or output.text or output.audio)
        self.task = output.task_id or self.task
        self.task_status = output.task_status or self.task_status
        if output.code and self.task_status == "FAILED":
            self.error_type = str(output.code)

    def _take_reason(self, reason: str | None) -> None:
        if reason not in NO_REASON:
            self.finish_reason = str(reason)

    def take_usage(self, usage: Usage) -> None:
        """Take figures in; a later event's are newer, and what it leaves out stays."""
        if usage.cache_read_input_tokens is not None and usage.prompt_tokens is None:
            self.excludes_cache = True
        if self.excludes_cache:
            self._take_anthropic_input(usage)
        elif usage.prompt_tokens is not None:
            self.input_tokens = usage.prompt_tokens
        elif usage.input_tokens is not None:
            self.input_tokens = usage.input_tokens
        if usage.completion_tokens is not None:
            self.output_tokens = usage.completion_tokens
        elif usage.output_tokens is not None:
            self.output_tokens = usage.output_tokens
        if usage.total_tokens is not None:
            self.total_tokens = usage.total_tokens
        of_input = (
            usage.prompt_tokens_details or usage.input_tokens_details or usage.input_token_details
        )
        if of_input is not None:
            self._take_input_details(of_input)
        of_output = (
            usage.completion_tokens_details
            or usage.output_tokens_details
            or usage.output_token_details
        )
        if of_output is not None:
            self.reasoning_output_tokens = _either(
                of_output.reasoning_tokens, self.reasoning_output_tokens
            )
        if usage.prompt_tokens is None or self.cached_input_tokens is None:
            self._take_rarer(usage)

    def _take_input_details(self, details: Details) -> None:
        self.cached_input_tokens = _either(details.cached_tokens, self.cached_input_tokens)
        if details.cache_creation_input_tokens is not None:
            self.cache_creation_input_tokens = details.cache_creation_input_tokens
        elif details.cache_write_tokens is not None:
            self.cache_creation_input_tokens = details.cache_write_tokens

    def _take_rarer(self, usage: Usage) -> None:
        """What few servers say, or not of text."""
        if self.cached_input_tokens is None:
            self.cached_input_tokens = _either(usage.prompt_cache_hit_tokens, usage.cached_tokens)
        if usage.reasoning_tokens is not None:
            self.reasoning_output_tokens = usage.reasoning_tokens
        if usage.image_count is not None:
            self.images = usage.image_count
        if usage.characters is not None:
            self.characters = usage.characters
        seconds = _either(_either(usage.video_duration, usage.duration), usage.seconds)
        if seconds is not None:
            self.seconds = seconds

    def _take_anthropic_input(self, usage: Usage) -> None:
        """Anthropic's input has neither what was read from the cache nor what was written to it."""
        read = _either(usage.cache_read_input_tokens, self.cached_input_tokens) or 0
        written = _either(usage.cache_creation_input_tokens, self.cache_creation_input_tokens) or 0
        if usage.input_tokens is not None:
            self.input_tokens = usage.input_tokens + read + written
        self.cached_input_tokens = read
        self.cache_creation_input_tokens = written


def _either(first: Number, second: Number) -> Number:
    """The first that is known."""
    return second if first is None else first


def _figure(value: float | str) -> Number:
    try:
        figure = float(value)
    except ValueError:
        return None
    return figure if math.isfinite(figure) else None


FIGURES = (
    *("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens"),
    *("cache_creation_input_tokens", "reasoning_output_tokens", "images", "seconds", "characters"),
)
"""Attributes of `Findings` that are sums."""

"""The APIs that are understood: which paths, what is asked, and how errors look there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import msgspec

from exporter.sources.proxy.documents import (
    NOT_JSON,
    Request,
    decode_request,
    decode_spoken_input,
    decode_text,
)

Family: TypeAlias = Literal["openai", "anthropic", "dashscope"]
"""Who shaped an API; also the provider where the configuration names none."""

FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True, slots=True)
class Api:
    """A kind of call.

    Attributes:
        operation: as in the vocabulary.
        is_known: else it only goes through.
        streams_end: its event streams say where they end.
        takes_usage_option: it has `stream_options.include_usage`.
    """

    family: Family
    operation: str
    is_known: bool = True
    streams_end: bool = False
    takes_usage_option: bool = False


TASK = Api("dashscope", "task")
"""Asking after an asynchronous call of DashScope's."""

REALTIME = {family: Api(family, "realtime") for family in FAMILIES}
"""WebSockets: one session is one request."""

PASSED = {family: Api(family, "other", is_known=False) for family in FAMILIES}
"""Whatever else there is."""

_AIGC = "/services/aigc/"

APIS: tuple[tuple[str, Api], ...] = (
    (
        r"/chat/completions$",
        Api("openai", "chat", streams_end=True, takes_usage_option=True),
    ),
    (
        r"(?<!/chat)/completions$",
        Api("openai", "text_completion", streams_end=True, takes_usage_option=True),
    ),
    (r"/responses$", Api("openai", "chat", streams_end=True)),
    (r"/v1/messages$", Api("anthropic", "chat", streams_end=True)),
    (r"/services/embeddings/", Api("dashscope", "embeddings")),
    (r"/services/rerank/", Api("dashscope", "rerank")),
    (r"/embeddings$", Api("openai", "embeddings")),
    (r"/reranks?$", Api("openai", "rerank")),  # Not OpenAI's own, but of many that speak its API.
    (r"/images/(generations|edits|variations)$", Api("openai", "image_generation")),
    (r"/audio/speech$", Api("openai", "speech")),
    (r"/audio/transcriptions$", Api("openai", "transcription")),
    (r"/audio/translations$", Api("openai", "translation")),
    (r"/moderations$", Api("openai", "moderation")),
    (
        _AIGC + r"(text-generation|multimodal-generation)/generation$",
        Api("dashscope", "chat", streams_end=True),
    ),
    (_AIGC + r"(video-generation|image2video)/", Api("dashscope", "video_generation")),
    (_AIGC, Api("dashscope", "image_generation")),
    (r"/services/audio/asr/", Api("dashscope", "transcription")),
    (r"/services/audio/tts/", Api("dashscope", "speech")),
    (r"\A(?>.*?/services/audio/).*translat", Api("dashscope", "translation")),
)
"""Ends or parts of paths, of which the first that is found counts. None takes longer than in
proportion to the path, whatever a client has put together."""

SPEECH = Api("dashscope", "speech")

_TASK_PATH = re.compile(r"/api/v1/tasks/([\w-]{1,128})$")
_PATTERNS = tuple((re.compile(pattern), api) for pattern, api in APIS)
_MODEL_PART = re.compile(rb'name="model"\r\n(?:[^\r\n]{1,256}\r\n){0,4}+\r\n([^\r\n]{1,256})\r\n')
"""A form's part with a few more headers at most: a form that begins such a part again and again
would else be gone through from each of them to its end."""

PATH_CLASSES = ("models", "files", "batches", "assistants", "threads", "fine_tuning", "uploads")
"""Paths of which it is told how many went through uncounted; `other` are the rest."""


LONGEST_REMEMBERED = 256
"""Characters of a path whose API is remembered; a client's may have 60,000."""


def api_of(method: str, path: str) -> Api:
    """The API that a path, without its query, belongs to."""
    look_up = _remembered if len(path) <= LONGEST_REMEMBERED else _looked_up
    return look_up(method, path)


def _looked_up(method: str, path: str) -> Api:
    if method == "POST":
        for pattern, api in _PATTERNS:
            if pattern.search(path):
                return api
    if method == "GET" and _TASK_PATH.search(path):
        return TASK
    if path.endswith("/messages") or "/v1/messages/" in path:
        return PASSED["anthropic"]
    return PASSED["dashscope" if "/api/v1/" in path else "openai"]


_remembered = lru_cache(maxsize=1024)(_looked_up)


def session_of(path: str) -> Api:
    """The API of a WebSocket."""
    return REALTIME["dashscope" if "/api-ws/" in path else "openai"]


def task_of(path: str) -> str:
    """The task that a path asks after."""
    found = _TASK_PATH.search(path)
    return found[1] if found else ""


def path_class(path: str) -> str:
    """One of `PATH_CLASSES`, or `other`."""
    steps = path.split("/")
    return next((name for name in PATH_CLASSES if name in steps), "other")


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a request's body asks for.

    Attributes:
        characters: of text that is to be spoken.
    """

    api: Api
    model: str = ""
    streamed: bool = False
    characters: float | None = None


def asked(api: Api, body: bytes, content_type: bytes) -> Asked:
    """What a body asks for; little is known of one that is not what it should be."""
    if content_type.startswith(b"multipart/form-data"):
        found = _MODEL_PART.search(body)
        streamed = b'name="stream"\r\n\r\ntrue\r\n' in body
        return Asked(api, found[1].decode("utf-8", "replace") if found else "", streamed)
    try:
        request = decode_request(body)
    except NOT_JSON:
        return Asked(api)
    text = _spoken(api, request) if request.input else None
    if text is not None and api.operation == "chat":
        api = SPEECH  # DashScope's models that speak are called at the path of those that write.
    characters = None if text is None else float(len(text))
    return Asked(api, request.model or "", request.stream is True, characters)


def _spoken(api: Api, request: Request) -> str | None:
    if not (api.operation == "speech" or api.family == "dashscope"):
        return None
    try:
        if api.family == "openai":
            return decode_text(request.input)
        return decode_spoken_input(request.input).text
    except NOT_JSON:
        return None


def error_body(family: Family, status: int, message: str, error_type: str, id_: str) -> bytes:
    """An error as clients of an API understand it."""
    told: Mapping[str, object]
    match family:
        case "anthropic":
            kind = {503: "overloaded_error", 504: "timeout_error"}.get(status, "api_error")
            told = {
                "type": "error",
                "error": {"type": kind, "message": message},
                "request_id": id_,
            }
        case "dashscope":
            told = {"code": error_type, "message": message, "request_id": id_}
        case "openai":
            error = {"message": message, "type": "gateway_error", "param": None, "code": error_type}
            told = {"error": error}
    return msgspec.json.encode(told)

"""The API's description: OpenAPI 3.1, its schemas made from the types that are sent."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from exporter import __version__
from exporter.requestlog.exports import EXPORT_FORMATS
from exporter.requestlog.request import FIELDS, LoggedRequest
from exporter.web.requests import cursor, problem, query
from exporter.web.requests.api import (
    MOST_ITEMS,
    USUAL_ITEMS,
    ModelCounts,
    RequestPage,
)

Json = dict[str, Any]

_TIME = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}],
    "description": "RFC 3339, or Unix milliseconds",
}


def document(attributes: Iterable[str]) -> Json:
    """The whole document.

    Args:
        attributes: names of the configured extra attributes.
    """
    types = [RequestPage, LoggedRequest, ModelCounts, problem.Problem]
    references, schemas = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    page, request, models, error = references
    filters = _filters(attributes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llm-gateway-exporter: request log",
            "version": __version__,
            "description": "Requests of the model gateway: metadata, never a prompt or an answer.",
        },
        "paths": {
            "/api/v1/requests": _get(
                "listRequests",
                "Requests, newest first, page by page",
                [
                    *filters,
                    _parameter("limit", "Requests of a page.", _LIMIT),
                    _parameter("cursor", "`next` of the page before.", _CURSOR),
                ],
                _answers(page, error, 400, 404, 410),
            ),
            "/api/v1/requests/{id}": _get(
                "getRequest",
                "All that is known of one request: the newest that has this id, or this key",
                [{"name": "id", "in": "path", "required": True, "schema": _ID}],
                _answers(request, error, 400, 404),
            ),
            "/api/v1/requests/export": _get(
                "exportRequests",
                "All requests that match, as a file, day by day in the order in which they came",
                [
                    *filters,
                    _parameter("format", "Of the file.", {"enum": list(EXPORT_FORMATS)}),
                    _parameter("column", "Only these fields, in this order.", _list(_FIELD)),
                    _parameter("raw", "CSV: values as they are, which may be formulas.", _FLAG),
                    _parameter("trailer", "CSV, JSON Lines: a last line with the count.", _FLAG),
                ],
                {
                    "200": {
                        "description": "The file; without its last chunk if it broke off",
                        "content": {
                            export.media_type: {"schema": {}} for export in EXPORT_FORMATS.values()
                        },
                    },
                    **_problems(error, 400, 404, 406, 429),
                },
            ),
            "/api/v1/models": _get(
                "listModels",
                "Models that were asked for, with their requests",
                [
                    *filters,
                    _parameter("search", "Part of a model's name, in any case.", _TEXT),
                    _parameter("limit", "Models of the answer.", _LIMIT),
                ],
                _answers(models, error, 400, 404),
            ),
        },
        "components": {"schemas": schemas},
    }


_FLAG = {"type": "string", "enum": ["true", "false"]}
_FIELD = {"type": "string", "enum": list(FIELDS)}
_ID = {"type": "string", "minLength": 1, "maxLength": query.MOST_CHARACTERS}
_CURSOR = {"type": "string", "minLength": 1, "maxLength": cursor.MOST_CHARACTERS}
_TEXT = {"type": "string", "maxLength": query.MOST_CHARACTERS}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": USUAL_ITEMS}


def _list(of: Json) -> Json:
    return {"type": "array", "items": of, "maxItems": query.MOST_VALUES}


def _filters(attributes: Iterable[str]) -> list[Json]:
    status = {"type": "string", "pattern": f"^({query.STATUS})$"}
    latency = {"type": "number", "minimum": 0, "maximum": query.LONGEST_LATENCY_MS}
    lists = {
        "model": "That was asked for.",
        "provider": "",
        "operation": "",
        "error_type": "",
        "source": "Of the exporter's configuration.",
        **{f"{query.ATTRIBUTE}{name}": "An extra attribute." for name in attributes},
    }
    return [
        _parameter("from", "Earliest start.", _TIME),
        _parameter("to", "Latest start.", _TIME),
        *(_parameter(name, f"{what} Several are alternatives.".strip(), _list(_TEXT))
          for name, what in lists.items()),
        _parameter("status", "A code, a class such as 4xx, error or success.", _list(status)),
        _parameter("streamed", "", _FLAG),
        _parameter("min_latency_ms", "Least latency.", latency),
        _parameter("id", "Of the request, on any day; other filters do not count.", _ID),
    ]  # fmt: skip


def _parameter(name: str, description: str, schema: Mapping[str, Any]) -> Json:
    return {
        "name": name,
        "in": "query",
        "schema": schema,
        **({"description": description} if description else {}),
    }


def _get(operation: str, summary: str, parameters: list[Json], responses: Json) -> Json:
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "parameters": parameters,
            "responses": responses,
        }
    }


def _answers(schema: Json, error: Json, *statuses: int) -> Json:
    return {
        "200": {"description": "Found", "content": {"application/json": {"schema": schema}}},
        **_problems(error, *statuses),
    }


def _problems(error: Json, *statuses: int) -> Json:
    content = {problem.MEDIA_TYPE: {"schema": error}}
    found = {str(status): {"description": "A problem", "content": content} for status in statuses}
    too_long = {"text/plain": {"schema": {"type": "string"}}}  # For a URL of more than 8 KiB.
    return {**found, "400": {"description": "A problem", "content": {**content, **too_long}}}

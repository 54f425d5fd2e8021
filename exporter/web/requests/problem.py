"""Errors as RFC 9457 tells them: `application/problem+json`."""

import http
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

MEDIA_TYPE = "application/problem+json"


class ParameterError(msgspec.Struct, frozen=True):
    """What is wrong with one parameter."""

    parameter: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request could not be answered (RFC 9457)."""

    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str = ""
    errors: list[ParameterError] = []


def told(problem: Problem) -> str:
    """A problem in a line, for a person."""
    errors = (f"{error.parameter}: {error.detail}" for error in problem.errors)
    return "; ".join(errors) or problem.detail


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[ParameterError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        title = http.HTTPStatus(status).phrase
        self._problem = Problem(title, status, detail, list(errors))
        self._headers = headers or {}

    def told(self) -> str:
        """In a line, for a person."""
        return told(self._problem)

    def response(self) -> web.Response:
        """What the client gets."""
        return web.Response(
            status=self._problem.status,
            body=msgspec.json.encode(self._problem),
            content_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", **self._headers},
        )

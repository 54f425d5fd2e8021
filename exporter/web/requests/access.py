"""The request log from outside the daemon: through its API, or straight from its files."""

import base64
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import apsw
import msgspec
from multidict import MultiDict

from exporter.errors import ExporterError, StateError, reason_of
from exporter.requestlog.exports import EXPORT_FORMATS, CountedTables
from exporter.requestlog.filter import Filter
from exporter.requestlog.request import LoggedRequest
from exporter.requestlog.search import RequestSearch
from exporter.web.requests.api import (
    ModelCounts,
    RequestPage,
    export_format,
    page_of,
    request_of,
)
from exporter.web.requests.problem import Problem, ProblemError, told
from exporter.web.requests.query import FILTER_PARAMETERS, Query

Parameters = Sequence[tuple[str, str]]
"""Of the API."""

CHUNK_BYTES = 1 << 16

TIMEOUT_S = 60.0

BUDGET_S = 30.0
"""Time of a query on the files, where nobody else waits."""


class AccessError(ExporterError):
    """The request log cannot be read."""


class Access(Protocol):
    """A request log to ask."""

    def page(self, parameters: Parameters, limit: int) -> RequestPage:
        """The newest requests that match."""
        ...

    def get(self, request_id: str) -> LoggedRequest | None:
        """One request, by its id or key."""
        ...

    def count(self, parameters: Parameters) -> int:
        """How many requests match, or how many of the newest ones if that takes too long."""
        ...

    def export(
        self, parameters: Parameters, format_name: str, columns: Sequence[str], raw: bool
    ) -> Iterator[tuple[bytes, int]]:
        """A file's bytes, and with each part how many requests have been read so far."""
        ...


class FilesAccess:
    """Reads the files of a daemon on this machine, whether it runs or not.

    Raises:
        AccessError: there are none; parameters are wrong.
    """

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise AccessError(f"{directory}: no request log is here")
        self._search = RequestSearch(directory)

    def _wanted(self, parameters: Parameters) -> Filter:
        query = Query(MultiDict(parameters), FILTER_PARAMETERS)
        wanted = query.filter()
        try:
            query.check()
        except ProblemError as problem:
            raise AccessError(problem.told()) from problem
        return wanted

    def page(self, parameters: Parameters, limit: int) -> RequestPage:
        with _reading():
            return page_of(self._search, self._wanted(parameters), limit, None, BUDGET_S)

    def get(self, request_id: str) -> LoggedRequest | None:
        with _reading():
            return request_of(self._search, request_id)

    def count(self, parameters: Parameters) -> int:
        with _reading():
            return self._search.counts(self._wanted(parameters), BUDGET_S).kinds.total()

    def export(
        self, parameters: Parameters, format_name: str, columns: Sequence[str], raw: bool
    ) -> Iterator[tuple[bytes, int]]:
        tables = CountedTables(self._search.export(self._wanted(parameters)))
        export = export_format(format_name, raw=raw)
        with _reading("the export broke off"):
            for chunk in export.chunks(tables, columns):
                yield chunk, tables.rows


@contextmanager
def _reading(failure: str = "the request log cannot be read") -> Iterator[None]:
    """What the files' own errors mean for who asked."""
    try:
        yield
    except (apsw.Error, StateError, OSError) as error:
        raise AccessError(f"{failure}: {error}") from error


class UrlAccess:
    """Asks a running daemon.

    Args:
        url: as `http://user:password@host:9478`.

    Raises:
        AccessError: it cannot be reached, or refuses; says why.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AccessError("--url: expected such as http://127.0.0.1:9478")
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._headers = {}
        if parts.username is not None:
            user = urllib.parse.unquote(parts.username)
            password = urllib.parse.unquote(parts.password or "")
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    def _open(self, path: str, parameters: Parameters = ()) -> http.client.HTTPResponse:
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        request = urllib.request.Request(  # noqa: S310 - the scheme was looked at.
            f"{self._base}{path}{query}", headers=self._headers
        )
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310
                request, timeout=TIMEOUT_S
            )
        except urllib.error.HTTPError as error:
            with error:
                raise _AnswerError(error.code, _told(error.read())) from error
        except OSError as error:
            raise AccessError(f"{self._base}: {reason_of(error)}") from error
        return answer

    def page(self, parameters: Parameters, limit: int) -> RequestPage:
        with self._open("/api/v1/requests", [*parameters, ("limit", str(limit))]) as answer:
            return msgspec.json.decode(answer.read(), type=RequestPage)

    def get(self, request_id: str) -> LoggedRequest | None:
        try:
            with self._open(
                f"/api/v1/requests/{urllib.parse.quote(request_id, safe='')}"
            ) as answer:
                return msgspec.json.decode(answer.read(), type=LoggedRequest)
        except _AnswerError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def count(self, parameters: Parameters) -> int:
        with self._open("/api/v1/models", [*parameters, ("limit", "1")]) as answer:
            return msgspec.json.decode(answer.read(), type=ModelCounts).requests

    def export(
        self, parameters: Parameters, format_name: str, columns: Sequence[str], raw: bool
    ) -> Iterator[tuple[bytes, int]]:
        more = [("format", format_name), *(("column", name) for name in columns)]
        more += [("raw", "true")] if raw else []
        more += [("trailer", "true")]  # A reverse proxy may hide that the daemon broke off.
        rows = 0
        with self._open("/api/v1/requests/export", [*parameters, *more]) as answer:
            parts = iter(lambda: answer.read(CHUNK_BYTES), b"")
            try:
                for chunk in EXPORT_FORMATS[format_name].without_trailer(parts):
                    rows += chunk.count(b"\n") if format_name != "parquet" else 0
                    yield chunk, rows
            except (OSError, http.client.HTTPException) as error:
                raise AccessError("the export broke off: see the daemon's log") from error


class _AnswerError(AccessError):
    """The daemon refuses."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


def _told(body: bytes) -> str:
    try:
        return told(msgspec.json.decode(body, type=Problem))
    except msgspec.DecodeError:
        return body.decode("utf-8", "replace").strip()[:200]

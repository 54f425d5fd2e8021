"""The request log from outside the daemon: through its API, or straight from its files."""

import base64
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
from multidict import MultiDict

from exporter.errors import ExporterError
from exporter.requestlog.exports import EXPORT_FORMATS, RAW_CSV
from exporter.requestlog.filter import Filter
from exporter.requestlog.request import LoggedRequest, Table
from exporter.requestlog.search import RequestSearch
from exporter.web.requests.api import ModelCounts, RequestPage, page_of
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

    def count(self, parameters: Parameters) -> int | None:
        """How many requests match; None if that is not known."""
        ...

    def export(
        self, parameters: Parameters, format_name: str, columns: Sequence[str], raw: bool
    ) -> Iterator[tuple[bytes, int]]:
        """A file's bytes, and how many requests have been read for each part of them."""
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

    def _wanted(self, parameters: Parameters) -> tuple[Filter, str]:
        query = Query(MultiDict(parameters), FILTER_PARAMETERS | {"id"})
        wanted = query.filter()
        request_id = query.one("id", str, "")
        try:
            query.check()
        except ProblemError as problem:
            raise AccessError(problem.told()) from problem
        return wanted, request_id

    def page(self, parameters: Parameters, limit: int) -> RequestPage:
        wanted, request_id = self._wanted(parameters)
        return page_of(self._search, wanted, request_id, limit, None, BUDGET_S)

    def get(self, request_id: str) -> LoggedRequest | None:
        found = self._search.find(request_id)
        return found[0] if found else self._search.get(request_id)

    def count(self, parameters: Parameters) -> int | None:
        wanted, request_id = self._wanted(parameters)
        return None if request_id else self._search.counts(wanted, BUDGET_S).kinds.total()

    def export(
        self, parameters: Parameters, format_name: str, columns: Sequence[str], raw: bool
    ) -> Iterator[tuple[bytes, int]]:
        wanted, request_id = self._wanted(parameters)
        tables = self._search.tables_of(request_id) if request_id else self._search.export(wanted)
        counted = _Counted(tables)
        format_ = RAW_CSV if raw and format_name == "csv" else EXPORT_FORMATS[format_name]
        for chunk in format_.chunks(counted, columns):
            yield chunk, counted.take()


@dataclass
class _Counted:
    """Tables whose rows are counted as they go through."""

    tables: Iterator[Table]
    rows: int = 0

    def __iter__(self) -> Iterator[Table]:
        for table in self.tables:
            self.rows += len(table)
            yield table

    def take(self) -> int:
        """Rows since the last call."""
        rows, self.rows = self.rows, 0
        return rows


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
            raise AccessError(f"{self._base}: {error}") from error
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

    def count(self, parameters: Parameters) -> int | None:
        if any(name == "id" for name, _ in parameters):
            return None
        with self._open("/api/v1/models", parameters) as answer:
            counts = msgspec.json.decode(answer.read(), type=ModelCounts)
        return sum(model.requests for model in counts.items)

    def export(
        self, parameters: Parameters, format_name: str, columns: Sequence[str], raw: bool
    ) -> Iterator[tuple[bytes, int]]:
        more = [("format", format_name), *(("column", name) for name in columns)]
        if raw:
            more.append(("raw", "true"))
        with self._open("/api/v1/requests/export", [*parameters, *more]) as answer:
            try:
                while chunk := answer.read(CHUNK_BYTES):
                    yield chunk, chunk.count(b"\n") if format_name != "parquet" else 0
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

"""The request log on the web: the page, the API and its description."""

from collections.abc import Callable, Sequence

from aiohttp import web

from exporter.requestlog.search import RequestSearch
from exporter.web.pages import Link
from exporter.web.requests.api import RequestApi
from exporter.web.requests.page import RequestPageFiles

LINK = Link("requests", "Requests", "Every request: search, look into, export")


def request_routes(
    search: Callable[[], RequestSearch | None], attributes: Callable[[], Sequence[str]]
) -> list[web.RouteDef]:
    """All routes of the request log.

    Args:
        search: the log as it is configured now, None if it is off.
        attributes: names of the extra attributes as they are configured now.
    """
    return [*RequestApi(search).routes(), *RequestPageFiles(attributes).routes()]

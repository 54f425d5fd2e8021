"""The page at `/requests` and its files; all of it comes from this host."""

import html
import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from string import Template

from aiohttp import web

from exporter.requestlog.request import FIELDS
from exporter.web.pages import static_file
from exporter.web.requests import openapi

_STATIC = files(__package__) / "static"

_TYPES = {
    "requests.css": "text/css",
    "requests.js": "text/javascript",
    "filters.js": "text/javascript",
    "fields.js": "text/javascript",
    "panel.js": "text/javascript",
    "table.js": "text/javascript",
    "text.js": "text/javascript",
}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cache-Control": "no-store",
}


class RequestPageFiles:
    """Handlers of the page, its script and style, and the API's description.

    Args:
        attributes: names of the extra attributes as they are configured now.
    """

    def __init__(self, attributes: Callable[[], Sequence[str]]) -> None:
        self._attributes = attributes
        self._template = Template((_STATIC / "requests.html").read_text("utf-8"))

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/requests", self._page),
            web.get("/api/v1/openapi.json", self._openapi),
            *(static_file(_STATIC / name, type) for name, type in _TYPES.items()),
        ]

    async def _page(self, _: web.Request) -> web.Response:
        names = html.escape(",".join(self._attributes()))
        text = self._template.substitute(attributes=names, fields=",".join(FIELDS))
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def _openapi(self, _: web.Request) -> web.Response:
        text = json.dumps(openapi.document(self._attributes()), indent=2)
        return web.Response(text=text, content_type="application/json")

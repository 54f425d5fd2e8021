"""The web server: routes, who may use them, and what every answer carries."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import cast

import structlog
from aiohttp import StreamReader, web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from exporter.listener import Limits, Listener
from exporter.tls import certificate_names
from exporter.web import pages
from exporter.web.connection import Connection
from exporter.web.exposition import Exposition, Scrapes
from exporter.web.hosts import AllowedHosts
from exporter.web.metrics import WebMetrics
from exporter.web.security import BasicAuth, WatchedPolicy

_log = structlog.get_logger(__name__)

_NAME = "llm-gateway-exporter"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}
_CHALLENGE = {"WWW-Authenticate": f'Basic realm="{_NAME}", charset="UTF-8"'}
_SAFE_METHODS = ("GET", "HEAD")
_DEFAULT_LIMITS = Limits()


class WebServer:
    """Serves the exporter's pages at one or more addresses."""

    def __init__(
        self,
        listen: Sequence[str],
        *,
        exposition: Exposition,
        ready: Callable[[], str | None],
        sources: Callable[[], Sequence[pages.SourceState]],
        reload: Callable[[], Awaitable[str | None]] | None = None,
        web_config: Path | None = None,
        registry: CollectorRegistry | None = None,
        limits: Limits = _DEFAULT_LIMITS,
        open_metrics: bool = False,
        allowed_hosts: Sequence[str] = (),
        web_config_poll_s: float = 2,
    ) -> None:
        """Set it up; nothing is served before `start`.

        Args:
            listen: "host:port", "[IPv6]:port" or ":port"; port 0 takes a free one.
            exposition: what /metrics shows.
            ready: why the exporter is not ready, or None when it is.
            sources: the landing page's table.
            reload: reads the configuration again and returns what is wrong with it, or None;
                without it, /-/reload is refused.
            web_config: the file for TLS and basic authentication.
            registry: takes the listener's own metrics.
            limits: what clients may take up.
            open_metrics: /metrics asks for no password, whatever the web-config file says.
            allowed_hosts: names that it may be asked by, as of `AllowedHosts`.
            web_config_poll_s: how often the web-config file and its certificates are looked at.

        Raises:
            DocumentError: the web-config file is not what it should be.
        """
        self._listen = listen
        self._ready = ready
        self._reload = reload
        self._limits = limits
        self._poll_s = web_config_poll_s
        self._metrics = WebMetrics(registry or CollectorRegistry())
        self._policy = WatchedPolicy(web_config, self._metrics)
        self._basic_auth = BasicAuth()
        self._hosts = AllowedHosts(allowed_hosts)
        self._admits: dict[web.AbstractRoute, Callable[[web.Request], bool | None]] = {}
        self._landing = pages.LandingPage(ready, sources)
        app = web.Application(
            middlewares=[self._guard, self._limit_wait], client_max_size=limits.body_bytes
        )
        app.on_response_prepare.append(self._on_response)
        self._runner = web.AppRunner(app, shutdown_timeout=limits.shutdown_s)
        self._listener: Listener | None = None
        self._watch: asyncio.Task[None] | None = None
        self._add_own_routes(exposition, open_metrics)

    def _add_own_routes(self, exposition: Exposition, open_metrics: bool) -> None:
        self.add_routes(
            [
                web.get("/", self._landing.handle),
                *pages.stylesheets(),
                web.post("/-/reload", self._serve_reload),
                web.put("/-/reload", self._serve_reload),
            ]
        )
        # Whoever restarts it and sends it traffic, such as a kubelet, knows no password.
        self.add_routes(
            [
                web.get("/-/healthy", self._serve_health),
                web.get("/-/ready", self._serve_readiness),
            ],
            admits=_everybody,
        )
        scrape = Scrapes(exposition).handle
        self.add_routes(
            [web.get("/metrics", scrape, allow_head=False), web.head("/metrics", scrape)],
            admits=_everybody if open_metrics else None,
        )

    def add_routes(
        self,
        routes: Iterable[web.RouteDef],
        link: pages.Link | None = None,
        admits: Callable[[web.Request], bool | None] | None = None,
    ) -> None:
        """Serve more, before `start`.

        Args:
            link: leads there from the landing page.
            admits: whether a request has shown what these routes want of it, other than a password
                of the web-config file, which is good for every route; None: they want nothing.
        """
        for route in self._runner.app.add_routes(routes):
            if admits is not None:
                self._admits[route] = admits
        if link is not None:
            self._landing.links.append(link)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening socket; none before `start` and after `stop`."""
        return self._listener.addresses if self._listener else []

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: an address cannot be had; nothing is left listening.
        """
        await self._runner.setup()
        server = cast(web.Server, self._runner.server)
        self._listener = Listener(
            server,
            lambda: Connection(server, self._limits, self._metrics, self._dress),
            lambda: self._policy.current.tls,
            self._limits,
            self._metrics,
        )
        try:
            for address in self._listen:
                self._listener.listen(address)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._policy.watch(self._poll_s))
        scheme = "https" if self._policy.current.tls else "http"
        for host, port in self.addresses:
            _log.info("listening", scheme=scheme, host=host, port=port)

    async def stop(self) -> None:
        """Stop listening, let requests under way end within `shutdown_s`, close the rest."""
        if self._watch is not None:
            self._watch.cancel()
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let those pass whom the web-config file admits."""
        policy = self._policy.current
        own_address, *_ = request.get_extra_info("sockname") or ("",)
        is_protected = bool(policy.users) or policy.tls is not None
        host = request.headers.get("Host", "")
        if not self._hosts.admits(host, own_address, is_protected=is_protected):
            raise web.HTTPForbidden(
                text=f"403: asked for {host[:100]!a}; --web.allowed-host allows further names\n"
            )
        if policy.client_names and policy.client_names.isdisjoint(
            certificate_names(request.get_extra_info("peercert"))
        ):
            raise web.HTTPForbidden(text="403: the client's certificate has no allowed name\n")
        if not await self._knows(request, policy.users):
            self._metrics.requests_unauthorized.inc()
            raise web.HTTPUnauthorized(headers=_CHALLENGE)
        # A browser adds the password that it knows to any page's request; pages of others
        # must not make it act.
        if request.method not in _SAFE_METHODS and request.headers.get("Sec-Fetch-Site") in (
            "cross-site",
            "same-site",
        ):
            raise web.HTTPForbidden(text="403: a page of another site sent this request\n")
        return await handler(request)

    async def _knows(self, request: web.Request, users: Mapping[str, str]) -> bool:
        """Whether the request shows who it is from, as its route wants it."""
        admits = self._admits.get(request.match_info.route)
        admitted = admits(request) if admits else None
        if admitted or (admitted is None and not users):
            return True
        authorization = request.headers.get("Authorization", "")
        return bool(users) and await self._basic_auth.admits(authorization, users)

    @web.middleware
    async def _limit_wait(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """End the wait for a body that does not arrive."""
        clock = asyncio.get_running_loop().call_later(
            self._limits.body_s, _give_up, request.content
        )
        try:
            return await handler(request)
        except _LateBodyError:
            raise web.HTTPRequestTimeout from None
        finally:
            clock.cancel()

    def _dress(self, headers: MutableMapping[str, str]) -> None:
        """Add what every answer carries; a page's own policy goes before the usual one."""
        headers["Server"] = _NAME  # Instead of aiohttp's, which tells versions.
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        for name, value in self._policy.current.headers.items():
            if value:
                headers[name] = value
            else:
                headers.pop(name, None)

    async def _on_response(self, _: web.Request, response: web.StreamResponse) -> None:
        self._dress(response.headers)

    async def _serve_health(self, _: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def _serve_readiness(self, _: web.Request) -> web.Response:
        if (reason := self._ready()) is None:
            return web.Response(text="ready\n")
        return web.Response(status=503, text=f"not ready: {reason}\n")

    async def _serve_reload(self, _: web.Request) -> web.Response:
        if self._reload is None:
            raise web.HTTPForbidden(
                text="403: reloading by HTTP is off; --web.enable-lifecycle turns it on\n"
            )
        if (error := await self._reload()) is None:
            return web.Response(text="reloaded\n")
        return web.Response(status=500, text=f"the configuration before stays in force: {error}\n")


def _everybody(_: web.Request) -> bool:
    return True


class _LateBodyError(TimeoutError):
    """The client took too long to send a request's body."""


def _give_up(body: StreamReader) -> None:
    if not body.is_eof():
        body.set_exception(_LateBodyError())

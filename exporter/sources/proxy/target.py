"""Where requests go: the upstream of each, by the host and the path that are asked for."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.errors import ExporterError
from exporter.sources.proxy.config import ProxyConfig, UpstreamTls
from exporter.sources.proxy.upstream import Patience, Upstream


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream, and the requests that are for it.

    Attributes:
        host: that must be asked for, b"" for any.
        path: that must begin the path, "" for any.
        provider: in series, "" for that of the API.
    """

    host: bytes
    path: str
    upstream: Upstream
    provider: str

    def fits(self, host: bytes, path: str) -> bool:
        """Whether a request is for it."""
        if self.host and host.rpartition(b":")[0] != self.host and host != self.host:
            return False
        begin = self.path.rstrip("/")
        return not begin or path == begin or path.startswith((f"{begin}/", f"{begin}?"))


class Targets:
    """All of a proxy's, in their order; the last one takes what is left."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._last = targets[-1]

    def of(self, host: bytes, path: str) -> Target:
        """The first that fits."""
        if len(self._targets) > 1:
            for target in self._targets:
                if target.fits(host.lower(), path):
                    return target
        return self._last

    def close(self) -> None:
        """End all connections to upstreams."""
        for target in self._targets:
            target.upstream.close()


def targets(config: ProxyConfig) -> Targets:
    """Those that a configuration names.

    Raises:
        ExporterError: a certificate cannot be read.
    """
    patience = Patience(config.connect_timeout, config.answer_timeout, config.idle_timeout)

    def upstream(url: str) -> Upstream:
        tls = config.upstream_tls
        return Upstream(url, patience, lambda: _client_context(tls), tls.server_name)

    usual = config.provider or ""
    found = [
        Target(
            (route.host or "").encode(),
            route.path or "",
            upstream(route.upstream),
            route.provider or usual,
        )
        for route in config.routes
    ]
    return Targets([*found, Target(b"", "", upstream(config.upstream), usual)])


def _client_context(tls: UpstreamTls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except OSError as error:  # ssl.SSLError is one.
        raise ExporterError(f"upstream_tls: {error.strerror or error}") from error
    context.set_alpn_protocols(["http/1.1"])
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

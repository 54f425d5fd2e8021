"""OTLP over HTTP with protobuf bodies (https://opentelemetry.io/docs/specs/otlp/#otlphttp)."""

import asyncio
import email.utils
import gzip
import math
import ssl
import time
from io import BytesIO

import aiohttp
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from exporter import __version__
from exporter.errors import SecretError
from exporter.export.otlp.settings import Destination
from exporter.export.otlp.transport import DeliveryError, Receipt, quoted_message, receipt

GZIP_LEVEL = 1
"""A tenth larger than the usual 6, in a third of the time."""

MOST_ANSWER_BYTES = 64 << 10

_SETUP_STATUSES = frozenset({401, 403, 404, 405, 407})
"""Of a wrong key or address: not the request's fault, so it is kept until someone mends that."""


class HttpTransport:
    """One connection for each request: a kept one would often be closed by its next use.

    aiohttp bounds the whole exchange in time; a timeout of sockets bounds each read only, and a
    receiver that sends a byte now and then would hold the thread for ever.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Receipt] | None] | None = None

    def send(self, request: bytes, timeout_s: float) -> Receipt:
        """See `Transport`."""
        try:
            return asyncio.run(self._post(request, timeout_s))
        except TimeoutError:
            raise DeliveryError("timeout") from None
        except asyncio.CancelledError:
            raise DeliveryError("stopped") from None
        except SecretError as error:
            raise DeliveryError("secret", str(error)) from None
        except ssl.SSLError as error:
            raise DeliveryError("tls", str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            reason = "tls" if isinstance(error, aiohttp.ClientSSLError) else "connection"
            raise DeliveryError(reason, str(error)) from None
        finally:
            self._running = None

    def abort(self) -> None:
        """See `Transport`."""
        if (running := self._running) is not None:
            loop, task = running
            if task is not None and not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

    async def _post(self, request: bytes, timeout_s: float) -> Receipt:
        self._running = asyncio.get_running_loop(), asyncio.current_task()
        headers = self._destination.all_headers()
        secrets = list(headers.values())
        headers["content-type"] = "application/x-protobuf"
        headers["user-agent"] = f"llm-gateway-exporter/{__version__}"
        if self._destination.gzip:
            headers["content-encoding"] = "gzip"
            request = gzip.compress(request, GZIP_LEVEL)
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                connector=aiohttp.TCPConnector(ssl=self._tls(), force_close=True),
                trust_env=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.post(
                self._destination.url,
                data=BytesIO(request),  # Sent in parts; aiohttp warns of whole bodies over 1 MiB.
                headers=headers,
                allow_redirects=False,
            ) as answer,
        ):
            body = await _limited(answer.content)
            if 200 <= answer.status < 300:
                return receipt(self._destination.signal, body)
            raise _refusal(answer, quoted_message(_message(answer, body), secrets))

    def _tls(self) -> ssl.SSLContext | bool:
        """Made for each request, for certificates are replaced while the daemon runs."""
        destination = self._destination
        if not destination.is_encrypted:
            return True
        context = ssl.create_default_context(cafile=destination.ca_file)
        if destination.cert_file:
            context.load_cert_chain(destination.cert_file, destination.key_file)
        return context


async def _limited(content: aiohttp.StreamReader) -> bytes:
    """A body up to the limit; a receiver may be anything, so nothing of it is believed."""
    body = bytearray()
    async for part in content.iter_any():
        body += part
        if len(body) > MOST_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError("the answer is too long")
    return bytes(body)


def _refusal(answer: aiohttp.ClientResponse, message: str) -> DeliveryError:
    """Which statuses may be tried again: section "Failures" of OTLP/HTTP, and all of 5xx.

    The specification would have a 500 end the request; a receiver in trouble says it, too, and the
    requests of that time would be lost.
    """
    status = answer.status
    may_retry = status == 429 or status >= 500 or status < 400 or status in _SETUP_STATUSES
    return DeliveryError(
        str(status),
        message,
        is_final=not may_retry,
        is_too_large=status == 413,
        retry_after_s=_retry_after_s(answer.headers.get("retry-after", "")),
    )


def _retry_after_s(value: str) -> float | None:
    """Seconds or a date (RFC 9110, section 10.2.3)."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _message(answer: aiohttp.ClientResponse, body: bytes) -> str:
    """What the receiver says about its refusal; in OTLP that is a google.rpc.Status."""
    text = body.decode("utf-8", "replace")
    if answer.content_type == "application/x-protobuf":
        try:
            text = Status.FromString(body).message
        except DecodeError:
            text = ""
    return text.strip() or str(answer.reason)

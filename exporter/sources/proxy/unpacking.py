"""Packed bodies, unpacked for the parser; what goes through stays packed."""

import sys
import zlib
from collections.abc import Callable

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class UnpackError(Exception):
    """The body is not packed as its header says, in a way that is unknown, or absurdly."""


Unpacker = Callable[[bytes], bytes]
"""What a part of a body, with those before, unpacks to by now; raises UnpackError."""


def unpacker(encoding: bytes, most_bytes: int) -> Unpacker:
    """For a `Content-Encoding`; for none, the part itself.

    Args:
        most_bytes: that one part may unpack to; a few bytes can claim to be gigabytes.

    Raises:
        UnpackError: the encoding is unknown.
    """
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return bytes
    make = _UNPACKERS.get(name)
    if make is None:
        raise UnpackError("unknown content encoding")
    return make(most_bytes)


def _of_zlib(window_bits: int, most_bytes: int) -> Unpacker:
    stream = zlib.decompressobj(window_bits)

    def unpack(data: bytes) -> bytes:
        out = stream.decompress(data, most_bytes)
        if stream.unconsumed_tail:
            raise UnpackError("too large")
        return out

    return _guarded(unpack)


def _gzip(most_bytes: int) -> Unpacker:
    return _of_zlib(zlib.MAX_WBITS | 16, most_bytes)


def _deflate(most_bytes: int) -> Unpacker:
    """With zlib's head as the RFC has it, or without as some servers do."""
    chosen: list[Unpacker] = []

    def unpack(data: bytes) -> bytes:
        if not chosen and data:
            has_head = data[0] & 0x0F == 8
            window_bits = zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS
            chosen.append(_of_zlib(window_bits, most_bytes))
        return chosen[0](data) if chosen else b""

    return unpack


def _brotli(most_bytes: int) -> Unpacker:
    stream = brotli.Decompressor()

    def unpack(data: bytes) -> bytes:
        out: bytes = stream.process(data, output_buffer_limit=most_bytes)
        if len(out) >= most_bytes or not stream.can_accept_more_data():
            raise UnpackError("too large")
        return out

    return _guarded(unpack)


def _zstd(most_bytes: int) -> Unpacker:
    stream = zstd.ZstdDecompressor()

    def unpack(data: bytes) -> bytes:
        if stream.eof:
            return b""
        out: bytes = stream.decompress(data, most_bytes)
        if not stream.needs_input and not stream.eof:
            raise UnpackError("too large")
        return out

    return _guarded(unpack)


def _guarded(unpack: Callable[[bytes], bytes]) -> Unpacker:
    def guarded(data: bytes) -> bytes:
        try:
            return unpack(data)
        except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
            raise UnpackError(str(error)) from error

    return guarded


_UNPACKERS: dict[bytes, Callable[[int], Unpacker]] = {
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _deflate,
    b"br": _brotli,
    b"zstd": _zstd,
}

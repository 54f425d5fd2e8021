"""Packed bodies, for the parser's copy of them."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd

from exporter.sources.proxy.unpacking import UnpackError, unpacker

MOST_BYTES = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "shouted": (b" GZIP ", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "raw deflate": (b"deflate", raw_deflate),
    "brotli": (b"br", brotli.compress),
    "zstd": (b"zstd", zstd.compress),
    "identity": (b"identity", bytes),
    "none": (b"", bytes),
}


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_body_is_unpacked_in_parts_of_any_size(packing: str, step: int) -> None:
    name, pack = PACKERS[packing]
    body = b"".join(b'data: {"number": %d}\n\n' % number for number in range(200))
    packed = pack(body)
    unpack = unpacker(name, MOST_BYTES)
    parts = [packed[start : start + step] for start in range(0, len(packed), step)]
    assert b"".join(map(unpack, parts)) == body


@pytest.mark.parametrize("packing", ["gzip", "deflate", "raw deflate", "brotli", "zstd"])
def test_a_part_may_unpack_to_almost_as_much_as_is_allowed(packing: str) -> None:
    name, pack = PACKERS[packing]
    body = b"0" * (MOST_BYTES - 1)
    assert unpacker(name, MOST_BYTES)(pack(body)) == body


@pytest.mark.parametrize("packing", ["gzip", "deflate", "raw deflate", "brotli", "zstd"])
def test_a_part_that_claims_to_be_huge_is_given_up(packing: str) -> None:
    name, pack = PACKERS[packing]
    with pytest.raises(UnpackError):
        unpacker(name, MOST_BYTES)(pack(b"0" * (4 * MOST_BYTES)))


@pytest.mark.parametrize("name", [b"gzip", b"deflate", b"br", b"zstd"])
def test_what_is_not_packed_as_it_says_is_given_up(name: bytes) -> None:
    with pytest.raises(UnpackError):
        unpacker(name, MOST_BYTES)(b"\x18this is no packed body at all")


def test_an_unknown_packing_is_given_up() -> None:
    with pytest.raises(UnpackError):
        unpacker(b"compress", MOST_BYTES)

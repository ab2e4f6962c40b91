"""The connection to a server: by one way, and for an answer of limited size. Imported with the client only."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from typing import cast

import httpx2

from rs_textseg_plugin.engine.vlm.endpoint.limits import MOST_BYTES, TooLarge, UnknownCoding
from rs_textseg_plugin.engine.vlm.endpoint.route import Route

_GZIP_OR_DEFLATE = 47  # zlib's number for both, told apart by their first bytes


class LimitedTransport(httpx2.AsyncHTTPTransport):
    """Sends requests by a route, and hands on no more of an answer, be it a success or an error, than its limit.

    Args:
        route: which proxy is used, if any; the environment is not asked again.

    Raises:
        ValueError: the proxy's address cannot be used.
        ImportError: a package for that kind of proxy is not installed.
    """

    def __init__(self, route: Route) -> None:
        super().__init__(proxy=route.proxy or None)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; see `httpx2.AsyncBaseTransport`."""
        request.headers["Accept-Encoding"] = "identity"  # packed, a small answer may be a large one
        response = await super().handle_async_request(request)
        coding = response.headers.pop("Content-Encoding", "identity").strip().lower()
        response.headers.pop("Content-Length", None)  # of the packed answer
        response.stream = _LimitedStream(cast(httpx2.AsyncByteStream, response.stream), coding)
        return response


class _LimitedStream(httpx2.AsyncByteStream):
    """An answer's bytes, unpacked where a server packs them all the same."""

    def __init__(self, stream: httpx2.AsyncByteStream, coding: str) -> None:
        self._stream, self._coding = stream, coding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            unpack = _unpacker(self._coding)
            left = MOST_BYTES
            async for packed in self._stream:
                part = unpack(packed, left + 1)
                left -= len(part)
                if left < 0:
                    raise TooLarge
                yield part
        except (TooLarge, UnknownCoding, zlib.error):
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connection, or give it back where all was read."""
        await self._stream.aclose()


def _unpacker(coding: str) -> Callable[[bytes, int], bytes]:
    """Function that unpacks a part of an answer, to at most as many bytes as its second argument.

    Raises:
        UnknownCoding: no function here reads this coding.
    """
    if coding in ("", "identity"):
        return lambda part, most: part[:most]
    if coding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(_GZIP_OR_DEFLATE).decompress
    raise UnknownCoding(coding)

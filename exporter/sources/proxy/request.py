"""A client's request, and the way back to the client."""

from exporter.sources.proxy.message import Message
from exporter.sources.proxy.peer import Peer


class Request(Message):
    """See the module.

    Attributes:
        sender: the client.
        remote: its address.
        scheme: http or https.
        target: path and query, as they came.
        version: of HTTP, "1.1" mostly.
        keep_alive: the client may send another request after the answer.
        is_session: it asks for a WebSocket, whose bytes are its body.
        is_answered: a part of the answer was sent.
    """

    sender: Peer
    remote: bytes = b""
    scheme: bytes = b""
    target: bytes = b""
    method: str = ""
    version: str = ""
    keep_alive: bool = False
    is_session: bool = False
    is_answered: bool = False

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def query(self) -> str:
        """What follows the path and its question mark."""
        return self.target.partition(b"?")[2].decode("latin-1")

    @property
    def has_body(self) -> bool:
        """Whether one comes, be it empty."""
        return b"content-length" in self.found or b"transfer-encoding" in self.found

    @property
    def length(self) -> int | None:
        """Of the body, where it is told; what is no length, the parser has refused."""
        length = self.found.get(b"content-length")
        return None if length is None else int(length)

    def hint(self, head: bytes) -> None:
        """Send the head of an answer before the answer, such as 100."""
        self.sender.write(head)

    def answer(self, data: bytes) -> None:
        """Send more of the answer."""
        self.is_answered = True
        self.sender.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken what was sent."""
        await self.sender.drain()

    def cut(self) -> None:
        """End the client's connection, so that it sees no end in good order."""
        self.sender.abort()

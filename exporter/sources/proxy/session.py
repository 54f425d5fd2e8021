"""What a WebSocket's messages tell: a session is one request, with the figures of all answers."""

from exporter.sources.proxy.documents import NOT_JSON, decode_message
from exporter.sources.proxy.findings import Findings


class Session:
    """Adds up what the answers in a session tell.

    Args:
        findings: of the session.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._answer = Findings()

    def take(self, message: bytes) -> None:
        """See a message of the upstream's."""
        try:
            document = decode_message(message)
        except NOT_JSON:
            return  # Sound, and whatever else there is.
        header = document.header
        # Of OpenAI's answers, one message tells the usage. DashScope's tasks tell in many messages
        # what they came to so far, and a session may have several, one after the other.
        if header is None or header.event == "task-started":
            self.end()
        self._answer.take(document.payload or document)

    def end(self) -> None:
        """Add the answer that ends now."""
        self._findings.add(self._answer)
        self._answer = Findings()


def model_in(opening: bytes) -> str:
    """The model that a client's first message names, as DashScope's do; "" if it names none."""
    try:
        payload = decode_message(opening).payload
    except NOT_JSON:
        return ""
    return "" if payload is None or payload.model is None else payload.model

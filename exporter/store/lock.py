"""One process owns a state directory: two would count everything twice."""

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from exporter.errors import StateError, StateInUseError

POLL_S = 0.02


class DirectoryLock:
    """A lock on a directory, held until `release` or the process's end.

    Args:
        patience_s: how long to wait for another process that is about to end.

    Raises:
        StateInUseError: another process holds it; the message names that process.
    """

    def __init__(self, directory: Path, patience_s: float = 0.0) -> None:
        path = directory / "lock"
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{path}: cannot be opened for writing: {error.strerror}") from error
        deadline = time.monotonic() + patience_s
        while (refusal := self._refusal()) is not None:
            if time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            holder = os.read(self._file, 200).decode("utf-8", "replace").strip()
            os.close(self._file)
            raise StateInUseError(
                f"{directory}: in use by {holder or 'another process'}; a state directory belongs "
                "to one process, for two would count everything twice"
            ) from refusal
        with suppress(OSError):  # The name is a courtesy: a full disk must not prevent the lock.
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _refusal(self) -> OSError | None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error
        return None

    def release(self) -> None:
        """Let another process have the directory."""
        os.close(self._file)

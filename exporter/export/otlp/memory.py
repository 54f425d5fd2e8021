"""What destinations have been sent, durably: a small SQLite file beside the state.

It is no part of the state's commits: what was sent is the receiver's to keep, and a cursor that a
crash has left behind sends a little again. `synchronous=NORMAL` in WAL mode can lose the last
moves, but never breaks the file.
"""

from pathlib import Path
from typing import Any

import apsw

from exporter.errors import StateError

_TABLE = """
create table if not exists sent (
    destination text, key text, value blob not null, primary key (destination, key)
) without rowid
"""

BUSY_TIMEOUT_MS = 5000


class Memory:
    """What one destination has been sent; used by one thread.

    Raises:
        StateError: the file cannot be used.
    """

    def __init__(self, state_dir: Path, destination: str) -> None:
        path = state_dir / "otlp.db"
        self._destination = destination
        try:
            self._database = apsw.Connection(str(path))
            self._database.set_busy_timeout(BUSY_TIMEOUT_MS)
            for statement in ("pragma journal_mode=WAL", "pragma synchronous=NORMAL", _TABLE):
                self._database.execute(statement).fetchall()
        except apsw.Error as error:
            raise StateError(
                f"{path}: {error}; it may be moved away, to send from now on"
            ) from error

    def read(self) -> dict[str, bytes]:
        """All values by key.

        Raises:
            apsw.Error: they cannot be read.
        """
        query = "select key, value from sent where destination = ?"
        rows: list[Any] = self._database.execute(query, (self._destination,)).fetchall()
        return dict(rows)

    def write(self, values: dict[str, bytes | None]) -> None:
        """Replace values; None forgets one.

        Raises:
            apsw.Error: they cannot be written.
        """
        with self._database:
            for key, value in values.items():
                if value is None:
                    self._database.execute(
                        "delete from sent where destination = ? and key = ?",
                        (self._destination, key),
                    )
                else:
                    self._database.execute(
                        "insert or replace into sent values (?, ?, ?)",
                        (self._destination, key, value),
                    )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

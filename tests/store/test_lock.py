import subprocess
from pathlib import Path

import pytest

from exporter.errors import StateError
from exporter.store.lock import DirectoryLock
from exporter.store.state import StateStore


@pytest.mark.fault("second daemon on one state")
@pytest.mark.scenario("G4")
def test_a_second_process_is_refused_and_told_who_has_the_directory(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(StateError, match=rf"{tmp_path}: in use by process {holder.pid} on \w"):
        StateStore(tmp_path)


@pytest.mark.fault("kill -9 of the daemon")
def test_the_directory_is_free_once_its_process_was_killed(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    holder.kill()
    holder.wait()
    StateStore(tmp_path).close()


def test_a_lock_can_be_had_again_after_its_release(tmp_path: Path) -> None:
    for _ in range(2):
        lock = DirectoryLock(tmp_path)
        with pytest.raises(StateError, match="one process"):
            DirectoryLock(tmp_path)
        lock.release()


def test_a_state_that_cannot_be_opened_leaves_the_directory_free(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StateError):
        StateStore(tmp_path)
    DirectoryLock(tmp_path).release()

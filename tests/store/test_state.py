"""What becomes durable, and what the store makes of a directory that it cannot use."""

import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.errors import StateError
from exporter.store import state
from exporter.store.state import StateStore
from exporter.vocabulary import INSTRUMENTS, REQUEST_DURATION, TOKENS, instruments
from tests.store.committing import Committing

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "NULs": lambda whole: bytes(len(whole)),
    "cut to a page": lambda whole: whole[:4096],
    "cut in a page": lambda whole: whole[: len(whole) - 1000],
    "cut in the header": lambda whole: whole[:50],
    "garbage": lambda whole: b"model: qwen\n" * 1000,
    "garbage inside": lambda whole: whole[:5000] + b"\xff" * 4000 + whole[9000:],
    "a header alone": lambda whole: whole[:100] + bytes(len(whole) - 100),
}


def committed(directory: Path, commits: int = 1) -> None:
    """Make a state with some commits, and close it."""
    committing = Committing(directory)
    for _ in range(commits):
        committing.commit()
    committing.store.close()


def test_positions_are_kept_by_source_until_they_are_forgotten(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.commit([], {"a": {"x": b"1", "y": b"\x00\xff"}, "b": {"x": b""}})
    store.commit([], {"a": {"x": b"3", "z": None}})
    store.commit([], {"a": {"y": None}, "b": {}})
    store.close()
    store = StateStore(tmp_path)
    assert store.positions("a") == {"x": b"3"}
    assert store.positions("b") == {"x": b""}
    assert store.positions("c") == {}
    store.close()


def test_facts_stay_and_commits_are_counted(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "new" / "state", clock=lambda: 1234.5)
    first = store.facts
    assert (first.created, first.replaced_corrupt, first.batch) == (1234.5, False, 0)
    assert len(first.instance_id) == 36
    for _ in range(3):
        store.commit([], {})
    store.close()
    store = StateStore(tmp_path / "new" / "state", clock=lambda: 99.0)
    assert store.facts == state.Facts(1234.5, first.instance_id, replaced_corrupt=False, batch=3)
    store.close()


def test_series_come_back_with_ids_labels_and_birth(tmp_path: Path) -> None:
    committing = Committing(tmp_path)
    committing.commit()
    families = [committing.ledger[TOKENS], committing.ledger[REQUEST_DURATION]]
    written = {
        (family.ids[0], family.instrument.name, family.created[0], *family.values[0])
        for family in families
    }
    committing.store.close()
    store = StateStore(tmp_path)
    series = store.series(INSTRUMENTS)
    assert {(s.id, s.instrument, s.created, *s.value) for s in series} == written
    by_instrument = {stored.instrument: stored for stored in series}
    assert by_instrument[TOKENS.name].labels == {
        "gen_ai.request.model": "qwen",
        "gen_ai.provider.name": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.token.type": "input",
    }
    assert "error.type" not in by_instrument[REQUEST_DURATION.name].labels
    store.forget(series[:1])
    assert [stored.id for stored in store.series(INSTRUMENTS)] == [series[1].id]
    store.close()
    database = sqlite3.connect(tmp_path / "state.db")
    assert database.execute("select id from totals").fetchall() == [(series[1].id,)]
    database.close()


def test_a_histogram_with_other_buckets_begins_at_zero_and_says_so(tmp_path: Path) -> None:
    committed(tmp_path)
    bounds = REQUEST_DURATION.buckets
    moved = instruments({REQUEST_DURATION.name: (0.015, *bounds[1:])})
    with capture_logs() as logs:
        for _ in range(2):
            store = StateStore(tmp_path)
            assert [stored.instrument for stored in store.series(moved)] == [TOKENS.name]
            store.close()
    assert [entry["instrument"] for entry in logs] == [REQUEST_DURATION.name]


@pytest.mark.fault("corrupt state")
@pytest.mark.scenario("G1")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_corrupt_state_is_moved_aside_with_a_loud_log(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    committed(tmp_path, commits=20)
    file = tmp_path / "state.db"
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    with capture_logs() as logs:
        store = StateStore(tmp_path, clock=lambda: 77.0)
    assert (store.facts.created, store.facts.replaced_corrupt, store.facts.batch) == (77, True, 0)
    assert store.series(INSTRUMENTS) == []
    assert store.positions("log") == {}
    assert (tmp_path / "state.db.corrupt-77").read_bytes() == damaged
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert logs[0]["kept"] == str(tmp_path / "state.db.corrupt-77")
    store.commit([], {"log": {"file": b"1"}})
    store.close()
    with capture_logs() as logs:
        store = StateStore(tmp_path)
    assert (store.facts.replaced_corrupt, store.facts.batch) == (True, 1)
    assert logs == []
    store.close()


@pytest.mark.parametrize("moved_before", [True, False], ids=["after a crash", "now"])
def test_the_log_of_a_corrupt_state_is_not_played_into_the_new_one(
    tmp_path: Path, moved_before: bool
) -> None:
    committing = Committing(tmp_path / "original")
    committing.commit()
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    subprocess.run(["cp", tmp_path / "original" / "state.db-wal", state_dir], check=True)
    committing.store.close()
    corrupt = state_dir / ("state.db.corrupt-77" if moved_before else "state.db")
    corrupt.write_bytes(b"no database" * 1000)
    store = StateStore(state_dir)
    assert (store.facts.replaced_corrupt, store.facts.batch) == (True, 0)
    assert store.series(INSTRUMENTS) == []
    store.close()


@pytest.mark.fault("kill -9 at the first start")
def test_what_a_crash_left_of_a_new_state_is_no_hindrance(tmp_path: Path) -> None:
    committed(tmp_path)
    (tmp_path / "state.db").rename(tmp_path / "state.db.new")
    store = StateStore(tmp_path)
    assert store.series(INSTRUMENTS) == []
    assert (store.facts.replaced_corrupt, store.facts.batch) == (False, 0)
    store.close()


@pytest.mark.fault("state of another version")
@pytest.mark.parametrize("schema", [state.SCHEMA + 1, state.SCHEMA - 1])
def test_a_state_of_another_version_is_refused_and_left_alone(tmp_path: Path, schema: int) -> None:
    committed(tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("update facts set value = ? where name = 'schema'", [str(schema)])
        database.execute("delete from facts where name = 'replaced_corrupt'")
    database.close()
    with pytest.raises(
        StateError, match=rf"state.db: written by another version.*tables {schema},"
    ):
        StateStore(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "state.db"]


def test_series_that_cannot_be_read_are_a_refusal(tmp_path: Path) -> None:
    committed(tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("update series set labels = '{\"model' where id = 1")
    database.close()
    store = StateStore(tmp_path)
    with pytest.raises(StateError, match=r"state\.db: "):
        store.series(INSTRUMENTS)
    store.close()


def test_a_directory_in_the_place_of_the_file_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StateError, match=r"state\.db: "):
        StateStore(tmp_path)


def test_a_file_in_the_place_of_the_directory_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StateError, match=str(directory)):
            StateStore(directory)


def opened_by_nobody(directory: Path) -> str:
    command = [sys.executable, "-m", "tests.store.unprivileged", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.fault("read-only or unreadable state")
@pytest.mark.scenario("G2")
@pytest.mark.parametrize(
    ("directory_mode", "file_mode", "lock_mode", "reason"),
    [
        (0o555, None, None, "/lock: cannot be opened for writing: Permission denied"),
        (0o555, 0o666, None, "/lock: cannot be opened for writing: Permission denied"),
        (0o555, 0o666, 0o666, "/state.db: "),
        (0o777, 0o000, 0o666, "/state.db: "),
        (0o777, 0o444, 0o666, "/state.db: cannot be written"),
    ],
)
def test_a_state_that_may_not_be_read_and_written_is_a_refusal(
    public_path: Path,
    directory_mode: int,
    file_mode: int | None,
    lock_mode: int | None,
    reason: str,
) -> None:
    if file_mode is not None:
        committed(public_path)
        (public_path / "state.db").chmod(file_mode)
    if lock_mode is None:
        (public_path / "lock").unlink(missing_ok=True)
    else:
        (public_path / "lock").chmod(lock_mode)
    before = sorted(path.name for path in public_path.iterdir())
    public_path.chmod(directory_mode)
    assert opened_by_nobody(public_path).startswith(f"{public_path}{reason}")
    assert {*before} >= {path.name for path in public_path.iterdir()} - {"lock"}


def test_a_state_that_others_may_use_is_not_refused(public_path: Path) -> None:
    committed(public_path)
    public_path.chmod(0o777)
    for path in public_path.iterdir():
        path.chmod(0o666)
    assert opened_by_nobody(public_path) == "2 series"


@pytest.mark.fault("state locked by another process")
@pytest.mark.scenario("G3")
def test_a_commit_waits_for_nobody_for_long_and_succeeds_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "BUSY_TIMEOUT_MS", 20)
    committing = Committing(tmp_path)
    committing.commit()
    script = (
        "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]);"
        "database.execute('begin immediate'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "state.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        for _ in range(2):
            with pytest.raises(OSError, match="locked"):
                committing.commit()
        committing.check()
        assert committing.position == 1
        other.kill()
    committing.commit()
    committing.check()
    committing.store.close()
    committing = Committing(tmp_path)
    committing.check()
    assert committing.position == 2
    committing.store.close()


class FullFileSystem:
    """A file system of its own, of one MiB."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=True)

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        self._ballast.unlink()

    def end(self) -> None:
        subprocess.run(["umount", self.directory], check=True)


class FileSizeLimit:
    """What any user has instead: no file may grow."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        largest = max(path.stat().st_size for path in self.directory.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, self._before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    def end(self) -> None:
        self.free()


@pytest.fixture(params=[FullFileSystem, FileSizeLimit])
def small_disk(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[FullFileSystem | FileSizeLimit]:
    """A disk to fill; a file system of its own where one may be mounted."""
    try:
        disk = request.param(tmp_path)
    except (subprocess.CalledProcessError, OSError):
        disk = FileSizeLimit(tmp_path)
    yield disk
    disk.end()


def commit_until_it_fails(committing: Committing) -> None:
    with suppress(OSError):
        while True:
            committing.commit()
    committing.check()


@pytest.mark.fault("full disk")
@pytest.mark.scenario("G5")
def test_a_full_disk_loses_nothing_and_counts_nothing_twice(
    small_disk: FullFileSystem | FileSizeLimit,
) -> None:
    committing = Committing(small_disk.directory)
    for _ in range(15):
        committing.commit()
    small_disk.fill()
    commit_until_it_fails(committing)
    succeeded = committing.position
    for _ in range(3):
        with pytest.raises(OSError, match=r"state\.db: "):
            committing.commit()
        committing.check()
        assert committing.position == succeeded
    small_disk.free()
    for _ in range(15):
        committing.commit()
        committing.check()
    committing.store.close()
    reopened = Committing(small_disk.directory)
    reopened.check()
    assert reopened.position == succeeded + 15
    reopened.store.close()


@pytest.mark.fault("full disk")
def test_a_process_that_dies_on_a_full_disk_loses_nothing(
    small_disk: FullFileSystem | FileSizeLimit, tmp_path: Path
) -> None:
    committing = Committing(small_disk.directory)
    committing.commit()
    small_disk.fill()
    commit_until_it_fails(committing)
    small_disk.free()
    with tempfile.TemporaryDirectory() as left:
        for name in ("state.db", "state.db-wal"):
            subprocess.run(["cp", small_disk.directory / name, left], check=True)
        reopened = Committing(Path(left))
        reopened.check()
        assert reopened.position == committing.position
        reopened.store.close()
    committing.store.close()

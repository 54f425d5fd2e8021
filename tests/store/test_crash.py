"""A process that dies in the middle of a commit: totals and positions are of one commit."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.ledger import Ledger
from tests.store.committing import Committing

KILLS = 8


@pytest.mark.fault("kill -9 in a commit")
def test_a_process_killed_at_random_leaves_all_that_it_had_published(quick_path: Path) -> None:
    command = [sys.executable, "-m", "tests.store.committing", str(quick_path)]
    published = 0
    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(random.randrange(1, 40)):
                published = int(process.stdout.readline())
            process.kill()
            rest = process.stdout.read().split()
            published = int(rest[-1]) if rest else published
        committing = Committing(quick_path)
        committing.check()
        assert committing.position in (published, published + 1)
        published = committing.position
        committing.store.close()


@pytest.mark.fault("kill -9 in a commit")
@pytest.mark.parametrize("commits_before", [0, 3])
def test_a_process_that_dies_before_any_statement_leaves_a_whole_state(
    quick_path: Path, commits_before: int
) -> None:
    directory = quick_path / "state"
    directory.mkdir()
    if commits_before:
        committing = Committing(directory)
        for _ in range(commits_before):
            committing.commit()
        committing.store.close()
    command = [sys.executable, "-m", "tests.store.crashing", str(directory), "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    crashes = json.loads(done.stdout)
    assert len(crashes) > 10
    for published, position in crashes:
        assert 0 <= position - max(published, commits_before) <= 1
    assert {position for _, position in crashes} == {
        *(commits_before, commits_before + 1, commits_before + 2)
    }


@pytest.mark.fault("kill -9 in a commit")
def test_a_commit_cut_off_at_any_byte_happened_wholly_or_not_at_all(quick_path: Path) -> None:
    """What a kill between two writes leaves: SQLite only appends to its log in a commit."""
    committing = Committing(quick_path / "state")
    for _ in range(10):
        committing.commit()
    log = quick_path / "state" / "state.db-wal"
    before = log.stat().st_size
    committing.commit()
    after = log.stat().st_size
    found = set()
    for cut in [*range(before, after, 997), after - 1, after]:
        copy = quick_path / f"cut-{cut}"
        copy.mkdir()
        for name in ("state.db", "state.db-wal"):  # cp: our own close would drop SQLite's locks
            subprocess.run(["cp", quick_path / "state" / name, copy], check=True)
        os.truncate(copy / "state.db-wal", cut)
        reopened = Committing(copy)
        reopened.check()
        found.add(reopened.position)
        reopened.store.close()
        shutil.rmtree(copy)
    assert found == {10, 11}
    committing.store.close()


@pytest.mark.fault("kill -9 after a commit")
def test_what_was_committed_and_not_yet_published_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing = Committing(tmp_path)
    committing.commit()

    def die(self: Ledger, changes: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "publish", die)
    with pytest.raises(KeyboardInterrupt):
        committing.commit()
    assert committing.total == 1
    committing.store.close()
    reopened = Committing(tmp_path)
    assert reopened.total == reopened.position == 2
    reopened.store.close()

"""Power is lost: what was not made durable is gone, and no count that was shown with it."""

import shutil
from pathlib import Path

import pytest

from tests.faults.losing_power import LosingPower
from tests.faults.running import Running
from tests.store.committing import Committing


@pytest.mark.fault("loss of power")
def test_what_was_published_outlives_a_loss_of_power(tmp_path: Path) -> None:
    committing = Committing(tmp_path / "state")
    committing.commit()
    committing.store.close()
    with LosingPower(tmp_path / "state", tmp_path / "kept"):
        committing = Committing(tmp_path / "state")
        for number in range(30):
            committing.commit()
            after = tmp_path / f"after-{number}"
            shutil.copytree(tmp_path / "kept", after)
            reopened = Committing(after)
            reopened.check()
            assert reopened.position == committing.position
            reopened.store.close()
        committing.store.close()


@pytest.mark.fault("loss of power")
def test_rows_and_counts_agree_after_a_loss_of_power(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.write(100)
    running.step()
    running.store.close()
    for number in range(5):
        kept, left = tmp_path / f"kept-{number}", tmp_path / f"left-{number}"
        with LosingPower(running.config.state_dir, kept):
            running.start()
            for _ in range(3):
                running.write(1000)
                running.step()
            shutil.copytree(kept, left)
            running.store.close()
        shutil.rmtree(running.config.state_dir)
        left.rename(running.config.state_dir)
        running.start()
        running.step()
        running.check()
        running.store.close()

"""Coverage-guided: `python -m tests.fuzz.guided TARGET -max_total_time=600`, flags as libFuzzer's.

It keeps what reaches new lines of the exporter and goes on from there. `pip install atheris` first;
it has wheels for some versions of Python only, and so is no dependency.
"""

import sys
import tempfile
from pathlib import Path
from random import Random

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

from tests.fuzz.mutation import mutated

with atheris.instrument_imports(include=["exporter"]):
    from tests.fuzz import lines, proxied, queries, written

TARGETS = (*lines.TARGETS, *proxied.TARGETS, *written.TARGETS, *queries.TARGETS)


def _changed(data: bytes, most: int, seed: int) -> bytes:
    """Of libFuzzer's changes and of ours, by turns."""
    changed = mutated(data, Random(seed)) if seed % 2 else atheris.Mutate(data, len(data) + 1)
    return bytes(changed[:most])


def main() -> None:
    """Feed a target until it fails, or its time is up."""
    names = [target.name for target in TARGETS]
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit("expected one of: " + ", ".join(names))
    name = sys.argv.pop(1)
    target = TARGETS[names.index(name)]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds()):
            Path(corpus, str(number)).write_bytes(seed)
        arguments = [*sys.argv, "-max_len=20000", corpus]
        atheris.Setup(arguments, target.feed, custom_mutator=_changed)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

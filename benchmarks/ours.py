"""This exporter's whole pipeline on one log: tail, decode, sum, commit durably, publish.

Prints the totals, the lines and the seconds from the first look at the log to its last commit.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from exporter.allocator import tune_allocator
from exporter.config import load_config
from exporter.engine import Engine, Metrics
from exporter.garbage import search_rarely
from exporter.store.state import StateStore
from exporter.vocabulary import InstrumentKind

REQUEST_LOG = "--request-log"


def totals(engine: Engine) -> dict[str, float]:
    """Each instrument's sum over its series, by the names of a Prometheus exposition."""
    found: dict[str, float] = {}
    for family in engine.ledger.snapshot():
        name = family.instrument.prometheus_name
        if family.instrument.kind is InstrumentKind.HISTOGRAM:
            found[f"{name}_count"] = float(family.values[:, :-1].sum())
            found[f"{name}_sum"] = float(family.values[:, -1].sum())
        else:
            found[name] = float(family.values.sum())
    return {name: total for name, total in found.items() if total}


def main() -> None:
    """Arguments: the log, its format (a name, or a file with a mapping), then extra attributes.

    With `--request-log` among them, each request is logged as well.
    """
    tune_allocator()  # As the daemon does, both.
    search_rarely()
    log, format_, *attributes = [word for word in sys.argv[1:] if word != REQUEST_LOG]
    with tempfile.TemporaryDirectory() as directory:
        mapping = Path(format_)
        config = {
            "state_dir": f"{directory}/state",
            "sources": [
                {
                    "name": "log",
                    "tail": {
                        "paths": [log],
                        "format": "measured" if mapping.exists() else format_,
                        "max_open_files": 2000,  # The others would wait for the next look.
                    },
                }
            ],
            "labels": {"attributes": attributes},
            "request_log": {"enabled": REQUEST_LOG in sys.argv, "retention": "3650d"},
        }
        text = json.dumps(config)
        if mapping.exists():
            indented = mapping.read_text().replace("\n", "\n    ")
            text = f"formats:\n  measured:\n    {indented}\n" + "\n".join(
                f"{key}: {json.dumps(value)}" for key, value in config.items()
            )
        config_file = Path(directory) / "config.yaml"
        config_file.write_text(text)
        loaded = load_config(config_file)
        store = StateStore(loaded.state_dir)
        engine = Engine(loaded, store, Metrics())
        began, cpu_began = time.perf_counter(), time.process_time()
        while engine.pipeline.step():
            pass
        result = {
            "wall_s": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu_began,
            "totals": totals(engine),
        }
        store.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()

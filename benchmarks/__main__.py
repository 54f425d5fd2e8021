"""Run the benchmarks and write their results: all of them, or those that are named."""

import importlib
import platform
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks import lines

RESULTS = Path(__file__).with_name("RESULTS.md")

BENCHMARKS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "lines": ("Log lines", lines.measure),
    "litellm": ("LiteLLM's 12 KB lines", lines.measure_litellm),
    "scrape": ("Scrapes", lambda: importlib.import_module("benchmarks.scrape").measure()),
    "requests": (
        "Request log",
        lambda: importlib.import_module("benchmarks.request_log").measure(),
    ),
    "proxy": ("Proxy", lambda: importlib.import_module("benchmarks.proxy").measure()),
    "otlp": ("OTLP", lambda: importlib.import_module("benchmarks.otlp").measure()),
}
"""Modules that import much are imported late: a child's peak memory begins with its parent's."""


_HEAD = """\
# Results

Made by `make bench`. Machines differ: read the ratios, which are of one run.

"""


def _machine() -> str:
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ("msgspec", "numpy", "apsw", "prometheus-client", "aiohttp")
    versions = [
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in packages),
    ]
    return f"{processor[1] if processor else platform.machine()}; {', '.join(versions)}"


def _section(name: str) -> str:
    title, measure = BENCHMARKS[name]
    return f"## {title}\n\n`python -m benchmarks {name}` on {_machine()}\n\n{measure()}\n"


def main() -> None:
    """Replace the measured sections of RESULTS.md."""
    names = sys.argv[1:] or list(BENCHMARKS)
    old = RESULTS.read_text() if RESULTS.exists() else ""
    kept = {
        section.partition("\n")[0]: "## " + section.rstrip() + "\n"
        for section in old.split("## ")[1:]
    }
    for name in names:
        print(f"measuring {name}", file=sys.stderr)
        kept[BENCHMARKS[name][0]] = _section(name)
        print(kept[BENCHMARKS[name][0]])
    titles = [title for title, _ in BENCHMARKS.values()]
    ordered = [kept[title] for title in titles if title in kept]
    RESULTS.write_text(_HEAD + "\n".join(ordered))


if __name__ == "__main__":
    main()

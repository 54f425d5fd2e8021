"""Run the benchmarks and write their results: all of them, or those that are named."""

import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import apsw
import msgspec
import numpy
import prometheus_client

from benchmarks import lines, scrape

RESULTS = Path(__file__).with_name("RESULTS.md")

BENCHMARKS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "lines": ("Log lines", lines.measure),
    "litellm": ("LiteLLM's 12 KB lines", lines.measure_litellm),
    "scrape": ("Scrapes", scrape.measure),
}


def _machine() -> str:
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = {
        "Python": platform.python_version(),
        "msgspec": msgspec.__version__,
        "numpy": numpy.__version__,
        "SQLite": apsw.sqlite_lib_version(),
        "aiohttp": aiohttp.__version__,
        "prometheus-client": getattr(prometheus_client, "__version__", ""),
    }
    return f"{processor[1] if processor else platform.machine()}; " + ", ".join(
        f"{name} {version}".strip() for name, version in versions.items()
    )


def _section(name: str) -> str:
    title, measure = BENCHMARKS[name]
    return f"## {title}\n\n`python -m benchmarks {name}` on {_machine()}\n\n{measure()}\n"


def main() -> None:
    """Replace the measured sections of RESULTS.md."""
    names = sys.argv[1:] or list(BENCHMARKS)
    old = RESULTS.read_text() if RESULTS.exists() else ""
    kept = {section.partition("\n")[0]: "## " + section.rstrip() + "\n" for section in old.split("## ")[1:]}
    for name in names:
        print(f"measuring {name}", file=sys.stderr)
        kept[BENCHMARKS[name][0]] = _section(name)
        print(kept[BENCHMARKS[name][0]])
    titles = [title for title, _ in BENCHMARKS.values()]
    ordered = [kept[title] for title in titles if title in kept]
    head = "# Results\n\nMade by `make bench`. Machines differ: read the ratios, which are of one run.\n\n"
    RESULTS.write_text(head + "\n".join(ordered))


if __name__ == "__main__":
    main()

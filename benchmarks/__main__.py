"""Run the benchmarks and write their results: those that are named, or all but the soak."""

import argparse
import importlib
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks import lines

RESULTS = Path(__file__).with_name("RESULTS.md")

BENCHMARKS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "lines": ("Log lines", lines.measure),
    "growth": ("Growth", lambda: importlib.import_module("benchmarks.growth").measure()),
    "workers": ("Two processes", lambda: importlib.import_module("benchmarks.workers").measure()),
    "litellm": ("LiteLLM's 12 KB lines", lines.measure_litellm),
    "idle": ("Idle files", lambda: importlib.import_module("benchmarks.idle").measure()),
    "startup": ("Start", lambda: importlib.import_module("benchmarks.startup").measure()),
    "scrape": ("Scrapes", lambda: importlib.import_module("benchmarks.scrape").measure()),
    "requests": (
        "Request log",
        lambda: importlib.import_module("benchmarks.request_log").measure(),
    ),
    "proxy": ("Proxy", lambda: importlib.import_module("benchmarks.proxy").measure()),
    "proxy-streams": (
        "Streams through the proxy",
        lambda: importlib.import_module("benchmarks.proxy_streams").measure(),
    ),
    "proxy-timing": (
        "Times that the proxy tells",
        lambda: importlib.import_module("benchmarks.proxy_timing").measure(),
    ),
    "otlp": ("OTLP", lambda: importlib.import_module("benchmarks.otlp").measure()),
    "alerts": ("Alerts", lambda: importlib.import_module("benchmarks.alerts").measure()),
    "dashboards": (
        "Dashboards",
        lambda: importlib.import_module("benchmarks.dashboards").measure(),
    ),
    "scale": ("Many gateways", lambda: importlib.import_module("benchmarks.scale").measure()),
}
"""Modules that import much are imported late: a child's peak memory begins with its parent's."""

SOAKS: Mapping[str, tuple[str, str]] = {
    "soak": ("Soak", "benchmarks.soak"),
    "proxy-soak": ("Soak of the proxy", "benchmarks.proxy_soak"),
}
"""They take long, and so have to be named."""


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


def _section(name: str, title: str, measure: Callable[[], str]) -> str:
    return f"## {title}\n\n`python -m benchmarks {name}` on {_machine()}\n\n{measure()}\n"


def replace_section(results: Path, title: str, section: str) -> None:
    """Put a section in its place; the others stay, as another run may have written them by now."""
    old = results.read_text() if results.exists() else ""
    kept = {each.partition("\n")[0]: f"## {each}" for each in old.split("## ")[1:]}
    kept[title] = section
    titles = [title for title, _ in (*BENCHMARKS.values(), *SOAKS.values())]
    ordered = [kept[title].rstrip() + "\n" for title in titles if title in kept]
    results.write_text(_HEAD + "\n".join(ordered))


def main() -> None:
    """Replace the measured sections of RESULTS.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BENCHMARKS, *SOAKS, []])
    parser.add_argument("--minutes", type=float, default=60.0, help="of a soak; default: 60")
    arguments = parser.parse_args()

    def soak(module: str) -> str:
        measured: str = importlib.import_module(module).measure(arguments.minutes)
        return measured

    soaks = {name: (title, partial(soak, module)) for name, (title, module) in SOAKS.items()}
    benchmarks: Mapping[str, tuple[str, Callable[[], str]]] = {**BENCHMARKS, **soaks}
    names = arguments.names or list(BENCHMARKS)
    if len(names) > 1:
        # Each by itself: a contestant's peak memory begins with that of the process that starts it.
        minutes = f"--minutes={arguments.minutes}"
        for name in names:
            subprocess.run([sys.executable, "-m", "benchmarks", name, minutes], check=True)
        return
    (name,) = names
    print(f"measuring {name}", file=sys.stderr)
    title, measure = benchmarks[name]
    section = _section(name, title, measure)
    print(section)
    replace_section(RESULTS, title, section)


if __name__ == "__main__":
    main()

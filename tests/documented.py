"""The commands that the documentation shows, and a place of their own to run them in."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SHELL, SESSION = ("sh", "bash"), ("console",)

CURL_FAILS = 'curl() { command curl --fail --silent --show-error "$@"; }\n'
"""A reader sees an error in what comes back; a test sees it in the exit status."""


@dataclass(frozen=True, slots=True)
class Script:
    """Lines of shell in a page; `text` can be run as it is."""

    page: Path
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0]}"

    @property
    def programs(self) -> set[str]:
        """What its lines begin with, those that go on from another line left out."""
        joined = re.sub(r"\\\n\s*", " ", self.text)
        lines = (line.split("#")[0].split() for line in joined.splitlines())
        return {words[0] for words in lines if words}


def scripts() -> Iterator[Script]:
    """Those of all pages. Of a session, a script is what was typed, without what came back."""
    for page in PAGES:
        for language, text in FENCE.findall(page.read_text()):
            if language in SHELL:
                yield Script(page, text)
            elif language in SESSION:
                typed = re.findall(r"^ *\$ ((?:.*\\\n)*.*)$", text, re.MULTILINE)
                yield Script(page, "\n".join(typed) + "\n")


class Sandbox:
    """A directory in which scripts run, with the names that they use standing for what is there.

    Args:
        stands_for: a path, address or name of the documentation, and what it is here.
    """

    def __init__(self, directory: Path, stands_for: Mapping[str, str]) -> None:
        self.directory = directory
        self._stands_for = stands_for

    def here(self, text: str) -> str:
        """The text with the names of this place."""
        for name, meaning in self._stands_for.items():
            text = text.replace(name, meaning)
        return text

    def write(self, name: str, text: str) -> Path:
        """A file of the documentation's, with the names of this place."""
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.here(text))
        return file

    def run(self, script: Script) -> subprocess.CompletedProcess[str]:
        """Run it to its end; the first command that fails ends it."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", CURL_FAILS + self.here(script.text)],
            cwd=self.directory,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

"""A rendered pod's container as a process of this machine: its command, files and user.

Where the machine lets it (as root, or with user namespaces), the process has a root file system of
its own, read-only, on which it can write only where the pod lets it. Elsewhere its paths are moved
below a directory, and everything else is the same.
"""

import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from tests.helm.chart import ROOT, Object
from tests.waiting import wait_until

USER = 65532

Files = Mapping[str, str]
"""Texts by their names within a directory."""

_IMAGE = ("/usr", "/bin", "/lib", "/lib64", sys.base_prefix, sys.prefix, str(ROOT))
"""What stands for the image: this machine's programs, and the project with its environment."""

_ENTER = f"""\
set -eu
root=$1; user=$2; writable=$3; shift 3
mount --bind "$root" "$root"
for part in {" ".join(dict.fromkeys(_IMAGE))}; do
    [ -e "$part" ] || continue
    mkdir -p "$root$part"
    mount --bind "$part" "$root$part"
    mount -o remount,bind,ro "$root$part"
done
for part in /dev /proc $writable; do
    mkdir -p "$root$part"
done
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
for part in $writable; do # With what is mounted below: the project may stand in /tmp.
    mount --rbind "$root$part" "$root$part"
done
mount -o remount,bind,ro "$root"
cd "$root"
exec chroot $user . "$@"
"""


def in_root(command: Sequence[str], root: Path, writable: Sequence[str] = ()) -> list[str]:
    """`command` with `root` as its root file system, on which only `writable` can be written."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    user = f"--userspec={USER}:{USER}" if os.geteuid() == 0 else ""
    return [*unshare, "sh", "-c", _ENTER, "sh", str(root), user, " ".join(writable), *command]


@cache
def has_roots() -> bool:
    """Whether this machine lets a process have a root file system of its own."""
    with TemporaryDirectory() as directory:
        root = Path(directory) / "root"
        root.mkdir()
        command = in_root([sys.executable, "-c", ""], root, ["/tmp"])
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


class Pod:
    """The process of a pod's container; a context manager that ends it.

    Attributes:
        process: the running process.
        log: the file that holds what it says.
    """

    def __init__(
        self, workload: Object, volumes: Mapping[str, Files], directory: Path, **secrets: str
    ) -> None:
        """Start it.

        Args:
            volumes: what is in the volumes that are not to be written, by their names.
            directory: becomes its root; used again, the pod finds its state again.
            secrets: environment, as secrets give it.
        """
        (self._container,) = workload["spec"]["template"]["spec"]["containers"]
        self.log = directory / "pod.log"
        self._root = directory / "root"
        self._root.mkdir(exist_ok=True)
        writable = [
            mount["mountPath"]
            for mount in self._container["volumeMounts"]
            if not self._lay(mount, volumes)
        ]
        arguments: list[str] = self._container["args"]
        if not has_roots():
            arguments = [self._moved(each) for each in arguments]
        command = [sys.executable, "-m", "exporter", *arguments]
        if has_roots():
            command = in_root(command, self._root, writable)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **secrets},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait_ready(self) -> Self:
        """Wait until the kubelet would send it traffic."""
        wait_until(lambda: self.answers("readinessProbe"), 90, "the pod to become ready")
        return self

    def answers(self, probe: str) -> bool:
        """What a probe of the pod finds, asked as the kubelet asks it: without a password."""
        if self.process.poll() is not None:
            raise AssertionError(f"the pod ended:\n{self.log.read_text()}")
        request: Mapping[str, Any] = self._container[probe]["httpGet"]
        scheme = request.get("scheme", "HTTP").lower()
        try:
            return self.get(request["path"], scheme)[0] == 200
        except OSError:
            return False

    def get(self, path: str, scheme: str = "http", data: bytes | None = None) -> tuple[int, str]:
        """Status and body; of a POST if there is `data`."""
        port = self._container["ports"][0]["containerPort"]
        headers = {"Authorization": "Bearer a-token"} if data else {}
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", data, headers)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def _lay(self, mount: Mapping[str, Any], volumes: Mapping[str, Files]) -> bool:
        """Make a mounted directory; whether it is one that cannot be written."""
        inside = self._root / mount["mountPath"].lstrip("/")
        inside.mkdir(parents=True, exist_ok=True)
        if not mount.get("readOnly"):
            if os.geteuid() == 0:
                os.chown(inside, USER, USER)
            return False
        for name, text in volumes[mount["name"]].items():
            (inside / name).parent.mkdir(parents=True, exist_ok=True)
            (inside / name).write_text(text if has_roots() else self._moved(text))
        return True

    def _moved(self, text: str) -> str:
        """A text whose paths lead below the directory."""
        for mount in self._container["volumeMounts"]:
            text = text.replace(mount["mountPath"], str(self._root) + mount["mountPath"])
        return text

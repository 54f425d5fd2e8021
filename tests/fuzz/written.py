"""What people write or bring along: configuration, web-config, alert definitions, imports."""

import re
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel

from exporter.alerting.definitions import Definitions
from exporter.alerting.importers import KINDS, Hints, imported
from exporter.alerting.importers.draft import ImportFailed
from exporter.alerting.outputs import files_of
from exporter.config import Config
from exporter.documents import load
from exporter.errors import DocumentError
from exporter.formats import resolve
from exporter.formats.compile import Decoder
from exporter.record import Kinds
from exporter.web.security import WebConfig
from tests.fuzz.target import Target

M = TypeVar("M", bound=BaseModel)

ROOT = Path(__file__).parents[2]
IMPORTS = ROOT / "tests/alerting/imports"
FILE = Path("document.yaml")
FORMATS = (".json", ".yaml")
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""As YAML counts lines."""

WEB_CONFIG = b"""\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example.com]
  min_version: TLS12
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
http_server_config:
  headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=31536000}
basic_auth_users:
  alice: $2b$04$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu
"""


def _loaded(model: type[M], data: bytes) -> M | None:
    """Only `DocumentError`, whose problems are a line each, and stand where the file has one."""
    text = data.decode("utf-8", "replace")
    try:
        return load(FILE, model, text)
    except DocumentError as error:
        problems = error.problems
    last = len(_LINE_BREAK.findall(text)) + 1
    assert problems
    assert all(problem.line is None or problem.line <= last for problem in problems)
    assert all(len(str(problem).splitlines()) == 1 for problem in problems)
    return None


def _feed_configuration(data: bytes) -> None:
    """The formats of one that is valid can be used."""
    config = _loaded(Config, data)
    if config is None:
        return
    for name in config.formats:
        spec = resolve(name, config.formats)
        Decoder(spec, Kinds(), tuple(spec.attributes)).decode(b"{}\na=1 b\n")


def _feed_web_config(data: bytes) -> None:
    _loaded(WebConfig, data)


def _feed_definitions(data: bytes) -> None:
    """Rules can be made of those that are valid."""
    definitions = _loaded(Definitions, data)
    if definitions is not None:
        files_of(definitions)


def _feed_import(kind: str, data: bytes) -> None:
    """Only `ImportFailed`; what comes out is definitions that are sound."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            draft = imported(kind, Path(file.name), Hints(duration_unit="ms"))
        except ImportFailed:
            return
    assert load(FILE, Definitions, draft.text()).alerts == draft.definitions().alerts


def _keys_alone(file: Path, *needed: str) -> Sequence[bytes]:
    """A document, and each of its keys as a document of its own: small ones are changed faster."""
    data = file.read_bytes()
    document = yaml.safe_load(data)
    always = {key: document[key] for key in needed}
    parts = [{**always, key: value} for key, value in document.items()]
    return [data, *(yaml.safe_dump(part).encode() for part in parts)]


def _definitions() -> Sequence[bytes]:
    files = [ROOT / "rules/alerts.yaml", ROOT / "rules/alerts.example.yaml"]
    alerts = [alert for file in files for alert in yaml.safe_load(file.read_bytes())["alerts"]]
    return [
        *(file.read_bytes() for file in files),
        *(yaml.safe_dump({"alerts": [alert]}).encode() for alert in alerts),
    ]


def _imports(kind: str) -> Sequence[bytes]:
    return [file.read_bytes() for file in IMPORTS.glob(f"{kind}.*") if file.suffix in FORMATS]


TARGETS = (
    Target(
        "configuration",
        _feed_configuration,
        partial(_keys_alone, ROOT / "config.example.yaml", "formats", "sources"),
    ),
    Target("web-config", _feed_web_config, lambda: [WEB_CONFIG]),
    Target("alert definitions", _feed_definitions, _definitions),
    *(
        Target(f"import of {kind}", partial(_feed_import, kind), partial(_imports, kind))
        for kind in KINDS
    ),
)

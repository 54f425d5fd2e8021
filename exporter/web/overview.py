"""What the landing page says of each source, by the metrics about the exporter itself."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client.registry import Collector

from exporter.config import SourceConfig
from exporter.web.pages import SourceState

_PREFIX = "llm_gateway_exporter"
_RECORDS = f"{_PREFIX}_records_total"
_SKIPPED = f"{_PREFIX}_lines_skipped_total"
_REJECTED = f"{_PREFIX}_lines_rejected_total"
_FILE_ERRORS = f"{_PREFIX}_tail_file_errors_total"
_FILES = (f"{_PREFIX}_tail_known_files", f"{_PREFIX}_tail_open_files")
_ASKED = frozenset((_RECORDS, _SKIPPED, _REJECTED, _FILE_ERRORS, *_FILES))


def source_states(
    sources: Iterable[SourceConfig], problem: str | None, about_itself: Collector
) -> list[SourceState]:
    """A row for each source; `problem` is why none of them can be relied on, if there is one."""
    figures = _Figures(about_itself)
    rows = []
    for source in sources:
        trouble = problem or figures.trouble(source)
        rows.append(
            SourceState(
                name=source.name,
                kind=source.kind,
                healthy=trouble is None,
                state=trouble or ("reading" if source.tail else "open"),
                counted=figures.counted(source.name),
                place=_place(source),
            )
        )
    return rows


def _place(source: SourceConfig) -> str:
    """Where requests are learnt of."""
    if source.tail:
        return ", ".join(source.tail.paths)
    return source.proxy.listen if source.proxy else "/ingest/{format}"


class _Figures:
    """Since the process began, by metric and source."""

    def __init__(self, about_itself: Collector) -> None:
        self._values: Counter[tuple[str, str]] = Counter()
        self._reasons: dict[str, list[str]] = {}
        for family in about_itself.collect():
            for sample in family.samples:
                if sample.name not in _ASKED:
                    continue
                source = sample.labels["source"]
                self._values[sample.name, source] += int(sample.value)
                if sample.name == _REJECTED and sample.value:
                    self._reasons.setdefault(source, []).append(sample.labels["reason"])

    def trouble(self, source: SourceConfig) -> str | None:
        """Why nothing comes of a source, None if something does or may."""
        name = source.name
        if source.tail and not any(self._values[metric, name] for metric in _FILES):
            return "nothing can be read" if self._values[_FILE_ERRORS, name] else "no file found"
        if self._values[_REJECTED, name] and not self._values[_RECORDS, name]:
            return "no line fits the format"
        return None

    def counted(self, name: str) -> str:
        """What became of the lines of a source."""
        records, rejected, skipped, errors = (
            self._values[metric, name] for metric in (_RECORDS, _REJECTED, _SKIPPED, _FILE_ERRORS)
        )
        parts = [f"{records:,} counted"]
        if rejected:
            parts.append(f"{rejected:,} rejected ({', '.join(sorted(self._reasons[name]))})")
        if skipped:
            parts.append(f"{skipped:,} skipped")
        if errors:
            parts.append(f"file errors: {errors:,} (see the log)")
        return ", ".join(parts)

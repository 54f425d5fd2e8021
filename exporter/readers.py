"""What is made of the series and of the request log: scrapes, pushes, searches."""

from pathlib import Path

from prometheus_client.registry import Collector

from exporter.config import Config
from exporter.export.otlp.metrics import OtlpMetrics
from exporter.export.otlp.push import Push, ReadRequestLog
from exporter.export.scrape import Exposition
from exporter.ledger import SeriesReader
from exporter.requestlog.search import Published, RequestSearch


class Readers:
    """Of one configuration, from `start` to `stop`.

    Args:
        about_itself: the metrics about the exporter.
        published: what of the request log may be shown.
        instance_id: of the state.

    Attributes:
        about_itself: as given.
        exposition: what a scrape gets.
        search: reads the request log, None if there is none.
    """

    def __init__(
        self,
        config: Config,
        series: SeriesReader,
        *,
        about_itself: Collector,
        published: Published,
        instance_id: str,
        metrics: OtlpMetrics,
    ) -> None:
        directory: Path | None = config.request_log_dir if config.request_log.enabled else None
        self.about_itself = about_itself
        self.exposition = Exposition(series, about_itself)
        self.search = RequestSearch(directory, published) if directory else None
        self._push = Push(
            config.otlp,
            series=series,
            about_itself=about_itself,
            request_log=ReadRequestLog(directory, published) if directory else None,
            state_dir=config.state_dir,
            instance_id=instance_id,
            metrics=metrics,
        )

    def start(self) -> None:
        """Begin to push."""
        self._push.start()

    def stop(self) -> None:
        """Push the last state; nothing may be published after it."""
        self._push.stop()

"""What differs from one team's dashboards to another's."""

from dataclasses import dataclass

from exporter.vocabulary import prometheus_label

REQUESTS_URL = "http://localhost:9478"

TAKEN_TITLES = (
    *("Model", "Models", "Provider", "Operation", "Status", "Time"),
    *("Request", "Error", "Latency", "Granularity"),
)
"""What something else is called on a dashboard."""


@dataclass(frozen=True, slots=True)
class Options:
    """How dashboards are built.

    Attributes:
        datasource: name of the Prometheus data source to begin with; "": Grafana's default one.
        attributes: names of the extra attributes that series carry, as in the configuration.
        job_label: the label by which exporters are chosen.
        requests_url: where a browser finds the exporter's page of requests.
        reset_proof: build amounts that bear counters which begin again at zero, as other gateways'
            do, at some fifteen times the cost.
        scrape_interval_s: of Prometheus; reset-proof amounts rest on it.
    """

    datasource: str = ""
    attributes: tuple[str, ...] = ()
    job_label: str = "job"
    requests_url: str = REQUESTS_URL
    reset_proof: bool = False
    scrape_interval_s: int = 30

    @property
    def attribute_labels(self) -> tuple[str, ...]:
        """The Prometheus labels of the extra attributes."""
        return tuple(prometheus_label(attribute) for attribute in self.attributes)

    @property
    def attribute_titles(self) -> dict[str, str]:
        """What each extra attribute is called on a dashboard, by its label."""
        titles = {}
        for attribute, label in zip(self.attributes, self.attribute_labels, strict=True):
            title = attribute.capitalize()
            titles[label] = f"{title} (attribute)" if title in TAKEN_TITLES else title
        return titles

    @property
    def identity(self) -> tuple[str, ...]:
        """Labels that tell one exporter's series from another's of the same name and attributes."""
        return (self.job_label, "instance")

"""Exporter: the daemon's own health, for the person who runs it."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from exporter.alerting.labels import LE
from exporter.alerting.promql import Promql, aggregate, binary, call, number
from exporter.dashboards import board
from exporter.dashboards.board import Board, Section
from exporter.dashboards.doors import doors, files, otlp, request_log
from exporter.dashboards.options import Options
from exporter.dashboards.own import PREFIX, Own
from exporter.dashboards.panels import (
    ERROR_LEVELS,
    SOURCE,
    About,
    Column,
    Key,
    Levels,
    PanelBuilder,
    Query,
    heat,
    lines,
    rows,
    stat,
)

UID = "llm-gateway-exporter"

UP_LEVELS: Levels = (("red", None), ("green", 1.0))
BEHIND_LEVELS: Levels = (("green", None), ("orange", 30.0), ("red", 300.0))


def health(options: Options) -> Board:
    """The dashboard."""
    own = Own(options)
    return Board(
        uid=UID,
        title="LLM gateway / Exporter",
        description="Whether the exporter keeps up, commits, understands its logs and is scraped.",
        sections=[
            Section("", _state(own)),
            Section("Reading", _reading(own)),
            Section("Committing", _committing(own)),
            Section("Series", _series(own)),
            Section("Log files", files(own)),
            Section("Request log and OTLP", [*request_log(own), *otlp(own)]),
            Section("Push door and proxy", doors(own)),
            Section("Process and web", _process(own)),
        ],
        variables=[board.datasource(options), board.job(options)],
        times=("now-6h", "now"),
        annotations=[
            _annotation("Restarts", "orange", own.changes("process_start_time_seconds")),
            _annotation(
                "Reloads",
                "blue",
                own.changes(f"{PREFIX}config_last_reload_success_timestamp_seconds"),
            ),
        ],
    )


def _annotation(name: str, colour: str, expression: Promql) -> Builder[model.AnnotationQuery]:
    return (
        build.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(expression)
    )


def _state(own: Own) -> list[PanelBuilder]:
    def about(title: str, description: str, unit: str = "short", width: int = 4) -> About:
        return About(title, description, unit, width=width, height=4, empty="No exporter")

    age = binary(
        call("time"),
        "-",
        aggregate("min", own.series(f"{PREFIX}last_commit_timestamp_seconds").select()),
    )
    return [
        stat(
            about("Up", "The share of exporters that Prometheus can scrape.", "percentunit"),
            aggregate("avg", own.of_exporters(own.series("up").select())),
            levels=UP_LEVELS,
        ),
        stat(
            about(
                "Last commit",
                "How long ago all that had been read was last committed, on the exporter where "
                "that is longest ago. Requests are shown once they are committed. It is seconds, "
                "with an idle gateway too, unless commits fail or wait for the disk.",
                "s",
            ),
            age,
        ),
        stat(
            about("Behind", "Age of the oldest bytes in a log that are not read yet.", "s"),
            aggregate("max", own.series(f"{PREFIX}tail_behind_seconds").select()),
            levels=BEHIND_LEVELS,
        ),
        stat(
            about("Rejected lines", "In the time range. Their requests are counted nowhere."),
            own.in_range("lines_rejected"),
            levels=ERROR_LEVELS,
        ),
        stat(
            about(
                "Commits that failed", "In the time range. Each is tried again until it succeeds."
            ),
            own.in_range("commit_failures"),
            levels=ERROR_LEVELS,
        ),
        stat(
            about(
                "Configuration",
                "1 when the last loading of the configuration succeeded on every exporter; with "
                "0 the one before it is in force.",
            ),
            aggregate("min", own.series(f"{PREFIX}config_last_reload_successful").select()),
            levels=UP_LEVELS,
        ),
    ]


def _reading(own: Own) -> list[PanelBuilder]:
    return [
        lines(
            About("Lines read", "Complete lines that were read and committed, a second.", "short"),
            Query(own.per_second("lines", "source"), "{{source}}"),
        ),
        lines(
            About(
                "Requests counted",
                "Lines that told of a request, a second. Far fewer than lines are read means "
                "that the log holds much else, or is misunderstood: see the reasons below.",
                "short",
            ),
            Query(own.per_second("records", "source"), "{{source}}"),
        ),
        lines(
            About(
                "Behind the writer",
                "Age of the oldest bytes that are not read yet. It should be under a second; "
                "where it climbs, the exporter reads slower than the gateway writes.",
                "s",
                width=8,
            ),
            Query(own.gauge("tail_behind_seconds", by=("source",)), "{{source}}"),
        ),
        lines(
            About(
                "Rejected lines by reason",
                "Lines that could not be read, a second. Look at them with `formats test`: a "
                "gateway's new version may write another shape.",
                "short",
                width=8,
                empty="None",
            ),
            Query(own.trouble("lines_rejected", "source", "reason"), "{{source}}: {{reason}}"),
        ),
        lines(
            About(
                "Skipped lines by reason",
                "Lines that are no model request (health checks, model lists), a second. This is "
                "normal.",
                "short",
                width=8,
                empty="None",
            ),
            Query(own.per_second("lines_skipped", "source", "reason"), "{{source}}: {{reason}}"),
        ),
    ]


def _committing(own: Own) -> list[PanelBuilder]:
    commits = own.series(f"{PREFIX}commit_duration_seconds_bucket").select("$__rate_interval")
    return [
        heat(
            About(
                "Commit duration",
                "How long commits took, waiting for the disk included. More than a tenth of a "
                "second points to a slow or a full disk.",
                "s",
                width=9,
            ),
            aggregate("sum", call("increase", commits), by=(LE,)),
            exemplars=False,
        ),
        lines(
            About(
                "Commit duration, percentiles",
                "The same as numbers.",
                "s",
                width=5,
            ),
            Query(own.quantile(0.5, "commit_duration_seconds"), "p50"),
            Query(own.quantile(0.99, "commit_duration_seconds"), "p99"),
        ),
        lines(
            About(
                "Failed commits",
                "A second. The batch is kept and tried again; a failure that lasts is a full disk "
                "or a state directory that cannot be written.",
                "short",
                width=5,
                empty="None",
            ),
            Query(own.trouble("commit_failures", "instance"), "{{instance}}"),
        ),
        lines(
            About(
                "Workers down",
                "Workers that do not run, and how many ended by themselves, a second. Each is "
                "started again, and its files wait meanwhile: look at the log for why it ended, "
                "and at the memory limit.",
                "short",
                width=5,
                empty="None",
            ),
            Query(_workers_down(own), "{{instance}}: down"),
            Query(own.trouble("worker_restarts", "instance"), "{{instance}}: ended"),
        ),
    ]


def _workers_down(own: Own) -> Promql:
    down = binary(own.series(f"{PREFIX}worker_up").select(), "==", number(0))
    return aggregate("count", down, by=("instance",))


def _series(own: Own) -> list[PanelBuilder]:
    replaced = own.gauge("state_corrupt_replaced_timestamp_seconds")
    return [
        lines(
            About(
                "Series",
                "Series in the ledger, a histogram's buckets not counted. Growth without new "
                "models is an attribute with too many values.",
                "short",
                width=8,
            ),
            Query(own.gauge("series"), "{{instance}}"),
        ),
        lines(
            About(
                "Requests folded into other",
                "A second, by the label whose value was not let in. Models fold until their first "
                "success; beyond the limit they fold for good: raise it, or look for junk names.",
                "short",
                width=8,
                empty="None",
            ),
            Query(own.trouble("series_folded", "label"), "{{label}}"),
        ),
        rows(
            About(
                "State",
                "When each exporter's state began, on which exact amounts rest, and when it took "
                "the place of a corrupt one, with which its counters began again at zero.",
                width=8,
            ),
            [Key("instance", "Exporter")],
            [
                Column(
                    "Since",
                    binary(own.gauge("state_created_timestamp_seconds"), "*", number(1000)),
                    "dateTimeAsIso",
                    width=170,
                ),
                Column(
                    "Replaced a corrupt one",
                    binary(binary(replaced, ">", number(0)), "*", number(1000)),
                    "dateTimeAsIso",
                    width=170,
                ),
            ],
            "Since",
        ),
    ]


def _process(own: Own) -> list[PanelBuilder]:
    def of_process(name: str) -> Promql:
        gauge = own.of_exporters(own.series(f"process_{name}").select())
        return aggregate("max", gauge, by=("instance",))

    cpu = call("rate", own.series("process_cpu_seconds_total").select("$__rate_interval"))
    descriptors = binary(of_process("open_fds"), "/", of_process("max_fds"))
    refused = {
        "unauthorized": "web_requests_unauthorized",
        "failed": "web_requests_failed",
        "connections refused": "web_connections_refused",
    }
    web = own.gauge("web_config_last_reload_successful", "min")
    build_info = aggregate(
        "max", own.series(f"{PREFIX}build_info").select(), by=("instance", "version", "python")
    )
    return [
        lines(
            About("Processor", "Cores in use.", "short", width=6),
            Query(aggregate("sum", own.of_exporters(cpu), by=("instance",)), "{{instance}}"),
        ),
        lines(
            About(
                "Memory",
                "Resident. It grows with series and files, not with traffic.",
                "bytes",
                width=6,
            ),
            Query(of_process("resident_memory_bytes"), "{{instance}}"),
        ),
        lines(
            About(
                "File descriptors",
                "The share of those allowed. Near 100 % logs can't be opened: raise the limit.",
                "percentunit",
                width=6,
            ),
            Query(descriptors, "{{instance}}"),
        ),
        lines(
            About(
                "Web requests refused",
                "A second: without the right password, failed inside, or one connection too many.",
                "short",
                width=6,
                empty="None",
            ),
            *(Query(own.trouble(name), title) for title, name in refused.items()),
        ),
        rows(
            About(
                "Versions",
                "What runs where, and whether its web-config file is in force.",
                width=24,
                height=5,
            ),
            [
                Key("instance", "Exporter"),
                Key("version", "Version", width=160),
                Key("python", "Python", width=160),
            ],
            [
                Column("Running", build_info, "short", width=100),
                Column("Web config in force", _beside(web, build_info), "short", width=180),
            ],
            "Running",
        ),
    ]


def _beside(values: Promql, labelled: Promql) -> Promql:
    """The values with the labels of the other vector, so that a table has both in one row."""
    return binary(labelled, "* on (instance) group_left ()", values)

"""What goes in and out of the exporter: log files, pushes, the proxy, the request log, OTLP."""

from exporter.alerting.promql import binary, number
from exporter.dashboards.own import Own
from exporter.dashboards.panels import (
    ERROR_LEVELS,
    About,
    Column,
    Key,
    PanelBuilder,
    Query,
    lines,
    rows,
    stat,
)


def files(own: Own) -> list[PanelBuilder]:
    """The log files that are tailed."""
    troubles = {
        "too long": "tail_lines_too_long",
        "truncated": "tail_truncations",
        "gzip broken off": "tail_gzip_errors",
        "pieces dropped": "tail_partial_records_dropped",
        "file errors": "tail_file_errors",
        "reading failed": "source_failures",
    }
    return [
        lines(
            About(
                "Files",
                "Held open, and remembered. Remembered ones that grow without end are logs that "
                "are never deleted.",
                "short",
                width=8,
            ),
            Query(own.gauge("tail_open_files", "sum", ("source",)), "{{source}}: open"),
            Query(own.gauge("tail_known_files", "sum", ("source",)), "{{source}}: known"),
        ),
        lines(
            About(
                "Bytes not read yet",
                "In all files of a source.",
                "bytes",
                width=8,
            ),
            Query(own.gauge("tail_behind_bytes", "sum", ("source",)), "{{source}}"),
        ),
        lines(
            About(
                "Trouble with files",
                "A second: lines longer than the limit, files truncated in place, archives that "
                "broke off, records whose last piece never came, errors of the file system, and "
                "reading that failed.",
                width=8,
                empty="None",
            ),
            *(Query(own.trouble(name), title) for title, name in troubles.items()),
        ),
        rows(
            About(
                "Lost and recognised",
                "In the time range. Abandoned bytes were deleted before they were read: their "
                "requests are counted nowhere. Copies are rotated files recognised and not read "
                "twice. NUL bytes are what a crash leaves at a file's end.",
                width=24,
                height=5,
            ),
            [Key("source", "Source")],
            [
                Column(
                    "Abandoned bytes",
                    own.in_range("tail_abandoned_bytes", "source"),
                    "bytes",
                    ERROR_LEVELS,
                    180,
                ),
                Column("Copies", own.in_range("tail_copies", "source"), width=120),
                Column("NUL bytes", own.in_range("tail_nul_bytes_skipped", "source"), width=120),
            ],
            "Abandoned bytes",
        ),
    ]


def request_log(own: Own) -> list[PanelBuilder]:
    """What is written down of each request."""
    oldest = own.gauge("request_log_oldest_day_timestamp_seconds", "min", ())
    return [
        lines(
            About("Requests logged", "Written to the request log, a second.", width=6),
            Query(own.per_second("request_log_rows"), "logged"),
        ),
        lines(
            About(
                "Requests not logged",
                "A second, counted but not logged: older than the retention, or today alone has "
                "reached the size limit. Raise the limit, or live with less.",
                width=6,
                empty="None",
            ),
            Query(own.trouble("request_log_rows_dropped", "reason"), "{{reason}}"),
        ),
        lines(
            About("Size of the request log", "Of all of its files.", "bytes", width=6),
            Query(own.gauge("request_log_bytes", "sum"), "{{instance}}"),
        ),
        stat(
            About(
                "Requests reach back to",
                "Begin of the oldest day in the request log. Later than the retention asks for "
                "means that the size limit came first.",
                "dateTimeAsIso",
                width=6,
                empty="No request log",
            ),
            binary(binary(oldest, ">", number(0)), "*", number(1000)),
            size=24,
        ),
    ]


def otlp(own: Own) -> list[PanelBuilder]:
    """What is sent, and what waits."""
    by = ("destination", "signal")
    return [
        lines(
            About(
                "OTLP: taken",
                "Requests that destinations took, a second. One that stands still is down or slow.",
                width=6,
                empty="No OTLP",
            ),
            Query(own.per_second("otlp_exports", *by), "{{destination}} {{signal}}"),
        ),
        lines(
            About(
                "OTLP: failed and refused",
                "Failed requests a second, which are tried again, by reason; and points or records "
                "that were refused for good: these are lost there.",
                width=6,
                empty="None",
            ),
            Query(
                own.trouble("otlp_failures", "destination", "reason"), "{{destination}} {{reason}}"
            ),
            Query(own.trouble("otlp_refused", "destination"), "{{destination}} refused"),
        ),
        lines(
            About(
                "OTLP: waiting", "Log records that are not delivered yet.", width=6, empty="No OTLP"
            ),
            Query(own.gauge("otlp_queued", "sum", by), "{{destination}} {{signal}}"),
        ),
        lines(
            About(
                "OTLP: oldest undelivered",
                "Its age. Near the request log's retention, records are about to be lost.",
                "s",
                width=6,
                empty="No OTLP",
            ),
            Query(
                own.gauge("otlp_oldest_unsent_age_seconds", "max", by), "{{destination}} {{signal}}"
            ),
        ),
    ]


def doors(own: Own) -> list[PanelBuilder]:
    """What comes in other than by a log."""
    troubles = {
        "refused": "requests_refused",
        "bodies not understood": "bodies_unparsed",
        "not counted": "accounting_failures",
        "lost": "records_lost",
        "connections refused": "connections_refused",
        "failed inside": "requests_failed",
    }
    return [
        lines(
            About("Pushes", "By status code, a second.", width=6, empty="No push"),
            Query(own.per_second("ingest_pushes", "code"), "{{code}}"),
            Query(own.trouble("ingest_requests_repeated"), "pushed again"),
        ),
        lines(
            About(
                "Passed through the proxy",
                "Requests that are no model request, by class of path; and those that were sent "
                "again because a kept connection had ended. This is normal.",
                width=6,
                empty="No proxy",
            ),
            Query(own.per_second("proxy_requests_passed", "path"), "{{path}}"),
            Query(own.trouble("proxy_upstream_retries"), "sent again"),
        ),
        lines(
            About(
                "The proxy's upstream",
                "Requests that it gave no whole answer to, a second.",
                width=6,
                empty="None",
            ),
            Query(own.trouble("proxy_upstream_errors", "error_type"), "{{error_type}}"),
        ),
        lines(
            About(
                "Trouble in the proxy",
                "A second. Requests that were lost or not counted went through all the same, and "
                "are missing in every figure.",
                width=6,
                empty="None",
            ),
            *(Query(own.trouble(f"proxy_{name}"), title) for title, name in troubles.items()),
        ),
    ]

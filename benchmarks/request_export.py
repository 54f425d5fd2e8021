"""Exports the last days of a request log to nowhere, and tells its time: a process of its own."""

import json
import sys
import time
from pathlib import Path

from exporter.requestlog.exports import EXPORT_FORMATS, CountedTables
from exporter.requestlog.files import DAY_S
from exporter.requestlog.filter import Filter
from exporter.requestlog.request import FIELDS
from exporter.requestlog.search import RequestSearch


def main() -> None:
    """Arguments: directory, format, Unix seconds of the log's end, days before it."""
    directory, format_name, end, days = sys.argv[1:]
    wanted = Filter(earliest=round((float(end) - float(days) * DAY_S) * 1e6))
    tables = CountedTables(RequestSearch(Path(directory)).export(wanted))
    began = time.process_time()
    size = sum(map(len, EXPORT_FORMATS[format_name].chunks(tables, FIELDS)))
    cpu_s = time.process_time() - began
    print(json.dumps({"cpu_s": cpu_s, "rows": tables.rows, "bytes": size}))


if __name__ == "__main__":
    main()

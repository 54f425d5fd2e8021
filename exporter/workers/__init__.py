"""More than one process: workers, each with a part of the files and a state of its own.

The main process serves the web, takes pushes, reads its own part as if it were alone, and says
whose each file is (`exporter/sources/tail/division.py`). It opens the ports of proxies, at which
all accept (`exporter/sources/proxy/doors.py`). A worker reads, serves, commits and publishes by
itself, and tells the main process of each commit; readers see the sum. No state is shared between
them and nothing locked, so that one that dies takes nothing with it: it is started again and goes
on from its last commit, while its totals stay in the sum.
"""

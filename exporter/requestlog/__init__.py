"""The request log: one row a request, kept for days, to be searched, looked into and exported.

A file a day, so that retention is unlinking one. In it, blocks of up to 2,048 requests, a blob for
each column of a block, and a summary by which a search skips blocks. `docs/request-log.md`
describes the file.
"""

"""What outlives the process: one SQLite file for series and positions."""

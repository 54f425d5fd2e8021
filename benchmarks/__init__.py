"""What is measured, against which peers: `python -m benchmarks` runs it and writes RESULTS.md."""

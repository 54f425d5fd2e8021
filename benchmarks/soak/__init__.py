"""Everything at once, for an hour: is what was counted what was sent, and does nothing grow?"""

from benchmarks.soak.run import measure

__all__ = ["measure"]

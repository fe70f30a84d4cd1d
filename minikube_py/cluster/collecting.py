"""When the garbage collector may stop the loop, and for how long.

A collection stops everything for about a microsecond per object it looks at. What the start has made (150,000 objects, modules mostly) lives as long
as the process, so nobody looks at it again: it is frozen without a collection, which would take 0.1 s to find a few thousand objects.
After that the young generations are kept small enough for the loop's budget of 10 ms: with Python's thresholds of that many allocations, the
oldest one is looked at once in ten million allocations that were not freed.
"""

from __future__ import annotations

import gc

#: allocations not freed until the youngest generation is looked at, how many times that until the middle one, and the oldest
THRESHOLDS = (1_000, 5, 2_000)


def settle() -> None:
    """Call once, when the process has started what it is for. Until then collections may be off."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()

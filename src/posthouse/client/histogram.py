"""A histogram of durations with constant relative error, for latencies.

Values below 128 have a bucket each; above, every power of two is cut into 64 buckets, so a bucket
is at most 1/64 (1.6 %) of its values wide. Bucket of v: with s the least shift for which ``v >> s
< 128``, the number is ``s * 64 + (v >> s)``. The state is one bytearray of u64 counters:
histograms of several processes are added up.

Kernel: compiled with ``histogram.pxd``. Used by `posthouse.client.load`.
"""

from __future__ import annotations

from posthouse.core import mem

BUCKETS = 4096


class Histogram:
    """Counts of values from 0 to 2**63 - 1, in nanoseconds wherever a method names a unit."""

    def __init__(self) -> None:
        self.data = bytearray(BUCKETS * 8)
        self.b = mem.quads(self.data)
        self.count = 0
        self.max = 0

    def add(self, value: int) -> None:
        """Count one value; negative ones count as 0 (a clock read earlier than the stamp)."""
        self.add_many(value, 1)

    def add_many(self, value: int, times: int) -> None:
        """Count ``times`` equal values."""
        if value < 0:
            value = 0
        shift = 0
        while value >> shift >= 32768:
            shift += 8
        while value >> shift >= 128:
            shift += 1
        b = self.b
        b[shift * 64 + (value >> shift)] += times
        self.count += times
        if value > self.max:
            self.max = value

    def clear(self) -> None:
        """Forget everything: the warm-up is over."""
        self.data = bytearray(BUCKETS * 8)
        self.b = mem.quads(self.data)
        self.count = 0
        self.max = 0

    def merge(self, other: Histogram) -> None:
        """Add the counts of ``other``."""
        b = self.b
        o = other.b
        i = 0
        while i < BUCKETS:
            b[i] += o[i]
            i += 1
        self.count += other.count
        if other.max > self.max:
            self.max = other.max

    def quantile(self, share: float) -> int:
        """The lower edge of the bucket in which the value of rank ``round(share * count)`` lies; 0
        when empty.
        """
        want = int(share * self.count + 0.5)
        if want < 1:
            want = 1
        b = self.b
        seen = 0
        i = 0
        while i < BUCKETS:
            seen += b[i]
            if seen >= want:
                if i < 128:
                    return i
                shift = i // 64 - 1
                edge = i - shift * 64
                return edge << shift
            i += 1
        return 0

    def quantile_us(self, share: float) -> float:
        """`quantile` in microseconds."""
        return self.quantile(share) / 1000.0

    def dump(self) -> tuple[bytes, int, int]:
        """State for another process's `load`: counters, count, maximum."""
        return bytes(self.data), self.count, self.max

    def load(self, state: tuple[bytes, int, int]) -> None:
        """Take over the state that `dump` gave.

        Raises:
            ValueError: the counters are not `BUCKETS` long.
        """
        raw, count, largest = state
        if len(raw) != BUCKETS * 8:
            raise ValueError(f"{len(raw)} bytes of counters, not {BUCKETS * 8}")
        self.data = bytearray(raw)
        self.b = mem.quads(self.data)
        self.count = count
        self.max = largest

"""The per-message path of the load generator: AMQP 0-9-1 in client role, many messages at a time.

A `PublishLane` sends from ``units``, a buffer of whole publishes (method, header and body frames)
that was encoded once, all of the same size; it keeps the window of publisher confirms. A
`ConsumeLane` walks received frames in place. Both count; neither owns a socket. `feed` takes what
was received and returns how much of it is an incomplete frame, which it has moved to the front of
the buffer. Methods other than deliver, ack, nack and return end up as payloads in ``cold``;
whatever makes the stream meaningless is told in ``failure``, after which nothing is read any more.

Times are nanoseconds of one monotonic clock, given by the caller once per batch.

Kernel: compiled with ``load.pxd``. Used by `posthouse.cli.perf`.
"""

from __future__ import annotations

from posthouse.client.histogram import Histogram
from posthouse.core import mem

# class << 16 | method
DELIVER = 3932220
RETURN = 3932210
ACK = 3932240
NACK = 3932280

FRAME_MAX = 1048568  # of the receive buffer; the negotiated maximum is 131072 or less
FRAME_END = 206
SEND_MAX = 262144
UNLIMITED = 1 << 62
SLOTS_MIN = 1024


class PublishLane:
    """One publishing channel.

    Invariants: ``base <= sent``; all tags up to ``base`` are confirmed, and of those above it
    exactly the ones marked in the ring; ``confirmed <= sent``; at most ``window`` messages (0: no
    bound) are sent and not confirmed; at most ``quota`` (0: no bound) are sent.
    """

    def __init__(self, units: bytes, unit: int, window: int, quota: int, stamp_at: int) -> None:
        """``units``: encoded publishes of ``unit`` bytes each; ``stamp_at``: offset of the body in
        a unit.
        """
        if unit <= 0 or len(units) == 0 or len(units) % unit or not 0 <= stamp_at <= unit:
            raise ValueError("the units must be whole and of one size")
        if window < 0 or quota < 0:
            raise ValueError("window and quota are not negative")
        self.units = units
        self.u = units
        self.unit = unit
        self.total = len(units)
        self.offset = 0
        self.window = window
        self.quota = quota
        self.stamp_at = stamp_at
        self.sent = 0
        self.confirmed = 0
        self.base = 0
        self.nacked = 0
        self.returned = 0
        self.first_sent = 0
        self.next_due = 0
        self.interval = 0
        slots = SLOTS_MIN
        while slots < window * 2 + 16:
            slots *= 2
        self.mask = slots - 1
        self.marks = bytearray(slots)
        self.m = mem.address(self.marks)
        self.due = bytearray(slots * 8)
        self.d = mem.quads(self.due)
        self.latency = Histogram()
        self.cold: list[bytes] = []
        self.failure = ""

    def allowance(self) -> int:
        """How many more messages may be sent now."""
        count = UNLIMITED
        if self.quota:
            count = self.quota - self.sent
        if self.window:
            room = self.window - (self.sent - self.confirmed)
            if room < count:
                count = room
        return count

    def sendable(self, is_stopping: bool) -> int:
        """How many bytes of ``units`` may be sent from ``offset`` on; 0 when the window, the quota
        or the stop forbids.

        A message that was sent in part may always be finished.
        """
        part = self.offset % self.unit
        count = 0
        if not is_stopping:
            count = self.allowance()
        if part and count <= 0:
            count = 1
        if count <= 0:
            return 0
        size = self.total - self.offset
        if count <= self.total // self.unit:
            limit = count * self.unit - part
            if limit < size:
                size = limit
        if self.unit * 4 > self.total and size > self.unit:
            size = self.unit - part
        if size > SEND_MAX:
            size = SEND_MAX
        return size

    def advance(self, size: int, now: int) -> None:
        """``size`` bytes from ``offset`` on were handed to the socket."""
        part = self.offset % self.unit
        whole = (part + size) // self.unit
        if not self.first_sent:
            self.first_sent = now
        if self.window and whole:
            d = self.d
            tag = self.sent + 1
            last = self.sent + whole
            while tag <= last:
                d[tag & self.mask] = now
                tag += 1
        self.sent += whole
        self.offset += size
        if self.offset == self.total:
            self.offset = 0

    def schedule(self, first: int, interval: int) -> None:
        """Send at a fixed rate: the first message is due at ``first``, each next one ``interval``
        later.
        """
        if interval <= 0:
            raise ValueError("the interval is positive")
        self.next_due = first
        self.interval = interval

    def write_due(self, out: bytearray, used: int, now: int) -> int:
        """Copy the messages that are due behind the ``used`` bytes of ``out``, each body stamped
        with its due time.

        The stamp is the native u64 at the body's start. Returns the new number of used bytes. What
        does not fit stays due.
        """
        o = mem.address(out)
        room = len(out)
        while self.next_due <= now and used + self.unit <= room and self.allowance() > 0:
            mem.copy(o, used, self.u, self.offset, self.unit)
            mem.put_le64(o, used + self.stamp_at, self.next_due)
            used += self.unit
            self.offset += self.unit
            if self.offset == self.total:
                self.offset = 0
            self.sent += 1
            if self.window:
                d = self.d
                d[self.sent & self.mask] = self.next_due
            if not self.first_sent:
                self.first_sent = now
            self.next_due += self.interval
        return used

    def confirm(self, tag: int, multiple: bool, now: int) -> None:
        """The broker confirmed ``tag``, or all up to it."""
        if tag <= self.base or tag > self.sent + 1:
            if not multiple:
                self.failure = f"confirm of tag {tag}, but {self.base} to {self.sent} were open"
            return
        m = self.m
        d = self.d
        if multiple:
            i = self.base + 1
            while i <= tag:
                at = i & self.mask
                if m[at]:
                    m[at] = 0
                else:
                    self.confirmed += 1
                    self.latency.add(now - d[at])
                i += 1
            self.base = tag
        else:
            at = tag & self.mask
            if m[at]:
                self.failure = f"tag {tag} was confirmed twice"
                return
            m[at] = 1
            self.confirmed += 1
            self.latency.add(now - d[at])
        while self.base < self.sent and m[(self.base + 1) & self.mask]:
            self.base += 1
            m[self.base & self.mask] = 0

    def feed(self, buffer: bytearray, size: int, now: int) -> int:
        """Handle the ``size`` bytes received; the rest, an incomplete frame, is moved to the front
        and its length returned.
        """
        p = mem.address(buffer)
        at = 0
        while size - at >= 8 and not self.failure:
            n = mem.ld32(p, at + 3)
            if n > FRAME_MAX:
                self.failure = "a frame is too large"
                break
            end = at + 7 + n
            if end >= size:
                break
            if p[end] != FRAME_END:
                self.failure = "a frame does not end with 0xCE"
                break
            if p[at] == 1:
                method = mem.ld32(p, at + 7)
                if method == ACK:
                    self.confirm(mem.ld64(p, at + 11), (p[at + 19] & 1) != 0, now)
                elif method == NACK:
                    self.nacked += 1
                    self.confirm(mem.ld64(p, at + 11), (p[at + 19] & 1) != 0, now)
                elif method == RETURN:
                    self.returned += 1
                else:
                    self.cold.append(mem.take(p, at + 7, n))
            at = end + 1
        rest = size - at
        mem.copy(p, 0, p, at, rest)
        return rest


class ConsumeLane:
    """One consuming channel.

    Invariants: ``acked_tag <= last_tag``; ``received`` counts whole messages only.
    """

    def __init__(self, body_size: int, is_stamped: bool) -> None:
        """``is_stamped``: each body starts with the native u64 time at which it was due (see
        `PublishLane.write_due`).
        """
        self.body_size = body_size
        self.is_stamped = is_stamped
        self.is_in_body = False
        self.is_first = False
        self.body_left = 0
        self.last_tag = 0
        self.acked_tag = 0
        self.received = 0
        self.last_received = 0
        self.latency = Histogram()
        self.cold: list[bytes] = []
        self.failure = ""

    def ackable(self) -> int:
        """The tag of the last message of which all is here; that of the last delivery may still be
        on its way.
        """
        if self.is_in_body or self.received < self.last_tag:
            return self.last_tag - 1
        return self.last_tag

    def feed(self, buffer: bytearray, size: int, now: int) -> int:
        """Handle the ``size`` bytes received; the rest, an incomplete frame, is moved to the front
        and its length returned.
        """
        p = mem.address(buffer)
        at = 0
        before = self.received
        while size - at >= 8 and not self.failure:
            n = mem.ld32(p, at + 3)
            if n > FRAME_MAX:
                self.failure = "a frame is too large"
                break
            end = at + 7 + n
            if end >= size:
                break
            if p[end] != FRAME_END:
                self.failure = "a frame does not end with 0xCE"
                break
            kind = p[at]
            if kind == 3:
                self.body(p, at + 7, n, now)
            elif kind == 2:
                self.header(mem.ld64(p, at + 11))
            elif kind == 1:
                if mem.ld32(p, at + 7) == DELIVER:
                    tag = mem.ld64(p, at + 12 + p[at + 11])
                    if tag != self.last_tag + 1:
                        self.failure = f"delivery tag {tag} follows {self.last_tag}"
                    self.last_tag = tag
                else:
                    self.cold.append(mem.take(p, at + 7, n))
            elif kind != 8:
                self.failure = f"a frame of type {kind}"
                break
            at = end + 1
        if self.received != before:
            self.last_received = now
        rest = size - at
        mem.copy(p, 0, p, at, rest)
        return rest

    def header(self, body_size: int) -> None:
        """A content header came."""
        if body_size != self.body_size:
            self.failure = f"a body of {body_size} bytes instead of {self.body_size}"
        self.body_left = body_size
        self.is_in_body = True
        self.is_first = True
        if body_size == 0:
            self.is_in_body = False
            self.received += 1

    def body(self, p: bytearray, at: int, n: int, now: int) -> None:
        """A body frame of ``n`` octets came."""
        if not self.is_in_body or n > self.body_left:
            self.failure = "an unexpected body frame"
            return
        if self.is_first and self.is_stamped and n >= 8:
            self.latency.add(now - mem.le64(p, at))
        self.is_first = False
        self.body_left -= n
        if self.body_left == 0:
            self.is_in_body = False
            self.received += 1

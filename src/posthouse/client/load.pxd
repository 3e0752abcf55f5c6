from libc.stdint cimport int64_t, uint32_t

from posthouse.client.histogram cimport Histogram
from posthouse.core cimport mem

import cython

cdef uint32_t DELIVER, RETURN, ACK, NACK
cdef int64_t FRAME_MAX, FRAME_END, SEND_MAX, UNLIMITED, SLOTS_MIN

@cython.final
cdef class PublishLane:
    cdef readonly bytes units
    cdef const unsigned char *u
    cdef readonly int64_t unit
    cdef readonly int64_t total
    cdef readonly int64_t offset
    cdef readonly int64_t window
    cdef readonly int64_t quota
    cdef readonly int64_t stamp_at
    cdef readonly int64_t sent
    cdef readonly int64_t confirmed
    cdef readonly int64_t base
    cdef readonly int64_t nacked
    cdef readonly int64_t returned
    cdef readonly int64_t first_sent
    cdef readonly int64_t next_due
    cdef readonly int64_t interval
    cdef int64_t mask
    cdef bytearray marks
    cdef unsigned char *m
    cdef bytearray due
    cdef unsigned long long *d
    cdef readonly Histogram latency
    cdef readonly list cold
    cdef readonly str failure

    @cython.locals(count=int64_t, room=int64_t)
    cpdef int64_t allowance(self) noexcept
    @cython.locals(part=int64_t, count=int64_t, size=int64_t, limit=int64_t)
    cpdef int64_t sendable(self, bint is_stopping) noexcept
    @cython.locals(part=int64_t, whole=int64_t, tag=int64_t, last=int64_t, d="unsigned long long *")
    cpdef void advance(self, int64_t size, int64_t now) noexcept
    @cython.locals(o="unsigned char *", room=int64_t, d="unsigned long long *")
    cpdef int64_t write_due(self, bytearray out, int64_t used, int64_t now) except -1
    @cython.locals(m="unsigned char *", d="unsigned long long *", i=int64_t, at=int64_t)
    cdef confirm(self, int64_t tag, bint multiple, int64_t now)
    @cython.locals(p="unsigned char *", at=int64_t, n=int64_t, end=int64_t, method=uint32_t, rest=int64_t)
    cpdef int64_t feed(self, bytearray buffer, int64_t size, int64_t now) except -1

@cython.final
cdef class ConsumeLane:
    cdef readonly int64_t body_size
    cdef readonly bint is_stamped
    cdef bint is_in_body
    cdef bint is_first
    cdef int64_t body_left
    cdef readonly int64_t last_tag
    cdef public int64_t acked_tag
    cdef readonly int64_t received
    cdef readonly int64_t last_received
    cdef readonly Histogram latency
    cdef readonly list cold
    cdef readonly str failure

    cpdef int64_t ackable(self) noexcept
    @cython.locals(p="unsigned char *", at=int64_t, before=int64_t, n=int64_t, end=int64_t, kind=uint32_t, tag=int64_t, rest=int64_t)
    cpdef int64_t feed(self, bytearray buffer, int64_t size, int64_t now) except -1
    cdef header(self, int64_t body_size)
    cdef body(self, unsigned char *p, int64_t at, int64_t n, int64_t now)

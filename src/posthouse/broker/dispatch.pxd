from libc.stdint cimport uint32_t, uint64_t

from posthouse.broker.index cimport QueueIndex
from posthouse.core cimport layout, mem
from posthouse.journal.block cimport Block, BlockTable, LogBuffer

import cython

cdef Py_ssize_t RUN_MAX, ACK_RANGES_MAX

cdef class Consumer:
    cdef readonly QueueCore queue
    cdef readonly long long priority

    cpdef Py_ssize_t take(self, Py_ssize_t limit) except -1
    cpdef cancelled(self)

cdef class Dispatcher:
    cdef readonly BlockTable blocks
    cdef readonly LogBuffer transient
    cdef readonly LogBuffer durable
    cdef readonly Py_ssize_t ring_max
    cdef public uint64_t next_commit
    cdef public bint must_commit
    cdef readonly uint64_t changed
    cdef public uint64_t committed
    cdef public bint alarm
    cdef public bint is_behind
    cdef public list held
    cdef public Py_ssize_t arrivals
    cdef readonly uint64_t damaged_records
    cdef public object on_damaged
    cdef readonly list dirty
    cdef readonly list acked
    cdef public list settled
    cdef public list touched
    cdef readonly dict waiters
    cdef readonly dict holders

    cpdef note_change(self)
    @cython.locals(queue=QueueCore)
    cpdef void mark(self, QueueCore queue)
    @cython.locals(queues=list, queue=QueueCore, done=Py_ssize_t)
    cpdef bint pump(self) except -1
    cpdef bint has_dirty(self)
    @cython.locals(queues=list, queue=QueueCore, done=Py_ssize_t)
    cpdef void write_acks(self)

cdef class QueueCore:
    cdef readonly Dispatcher dispatcher
    cdef BlockTable blocks
    cdef readonly uint32_t number
    cdef readonly QueueIndex index
    cdef readonly list consumers
    cdef Py_ssize_t turn
    cdef bint dirty
    cdef public bint deleted
    cdef public bint is_throttled
    cdef public bint is_congested
    cdef public Py_ssize_t bytes_low
    cdef public uint64_t published
    cdef public uint64_t delivered
    cdef public uint64_t acknowledged
    cdef public Py_ssize_t unacked
    cdef uint64_t ack_first
    cdef uint64_t ack_last
    cdef uint64_t ack_sequence
    cdef Py_ssize_t ack_count
    cdef bytearray ranges
    cdef Py_ssize_t range_count
    cdef readonly list unread

    @cython.locals(consumers=list, n=Py_ssize_t, index=QueueIndex, start=Py_ssize_t, end=Py_ssize_t, first=Consumer, other=Consumer)
    cdef int pump(self) except -1
    @cython.locals(consumers=list, n=Py_ssize_t, index=QueueIndex, run=Py_ssize_t, blocked=Py_ssize_t, consumer=Consumer, taken=Py_ssize_t)
    cdef int pump_equals(self, Py_ssize_t start, Py_ssize_t end) except -1
    cpdef drained(self)
    @cython.locals(block=Block, lsn=uint64_t)
    cpdef void settle(self, uint64_t sequence, uint32_t block_id, uint32_t offset, uint32_t flags)
    @cython.locals(dispatcher=Dispatcher, block=Block)
    cpdef lose(self, uint64_t sequence, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags)
    cpdef void requeue(self, uint64_t sequence, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags)
    @cython.locals(at=Py_ssize_t, p="unsigned char *")
    cdef void close_range(self)
    @cython.locals(dispatcher=Dispatcher, log=LogBuffer, first=uint64_t, position=uint64_t)
    cpdef settle_all_but(self, list held)
    @cython.locals(log=LogBuffer, size=Py_ssize_t, block=Block, p="unsigned char *", at=Py_ssize_t, source="unsigned char *")
    cdef void flush_ranges(self)
    cdef void write_acks(self)
    @cython.locals(index=QueueIndex, n=Py_ssize_t)
    cpdef Py_ssize_t drop_ready(self)

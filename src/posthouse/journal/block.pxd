from libc.stdint cimport uint32_t, uint64_t

from posthouse.core cimport layout, mem
from posthouse.journal cimport entry

import cython

cdef Py_ssize_t BLOCK_SIZE, POOL_MAX, KEPT_MAX
cdef uint32_t ENTRY_MAGIC

@cython.final
cdef class Block:
    cdef readonly bytearray data
    cdef unsigned char *p
    cdef readonly uint64_t base
    cdef readonly uint32_t id
    cdef public Py_ssize_t used
    cdef readonly Py_ssize_t capacity
    cdef public Py_ssize_t refs
    cdef public Py_ssize_t pins
    cdef public bint is_durable
    cdef readonly Py_ssize_t page
    cdef readonly bint is_whole
    cdef readonly bint is_out
    cdef bint is_listed
    cdef public uint64_t place
    cdef bint is_restored
    cdef public bint is_watched
    cdef public Py_ssize_t live

@cython.final
cdef class BlockTable:
    cdef readonly list blocks
    cdef readonly list free_ids
    cdef readonly list pool
    cdef readonly Py_ssize_t bytes_live
    cdef readonly Py_ssize_t pool_low
    cdef public Py_ssize_t memory_max
    cdef public Py_ssize_t block_size
    cdef public object pager
    cdef list cold

    cpdef Block new(self, uint64_t base, Py_ssize_t size)
    @cython.locals(block=Block)
    cpdef Block adopt(self, uint64_t base, bytearray data)
    @cython.locals(block=Block)
    cpdef Block adopt_absent(self, uint64_t base, Py_ssize_t used)
    cpdef shrink(self)
    cpdef void release(self, Block block) noexcept
    cpdef void pin(self, Block block) noexcept
    cpdef unpin(self, Block block)
    cpdef void drop(self, Block block) noexcept
    cdef void reuse(self, Block block) noexcept
    @cython.locals(cold=list, block=Block)
    cdef balance(self)
    cdef bint move_out(self, Block block) except -1
    cpdef bint bring(self, Block block, Py_ssize_t offset) except -1
    cpdef bint bring_whole(self, Block block) except -1
    @cython.locals(outcome=int, data=bytearray)
    cdef bint move_in(self, Block block) except -1

@cython.final
cdef class LogBuffer:
    cdef readonly BlockTable table
    cdef readonly bint durable
    cdef readonly Block current
    cdef readonly uint64_t position
    cdef readonly uint64_t epoch
    cdef Py_ssize_t entry_start
    cdef Py_ssize_t entry_frames
    cdef list sealed
    cdef readonly object history

    @cython.locals(block=Block)
    cpdef uint64_t oldest_live(self)
    @cython.locals(i=Py_ssize_t)
    cpdef relocate(self, Block block, uint64_t place)
    cpdef uint64_t append_alone(self, bytes frame)

    @cython.locals(block=Block, need=Py_ssize_t)
    cdef Block reserve(self, Py_ssize_t size)
    cpdef ensure(self, Py_ssize_t size)
    cdef void turn(self, Py_ssize_t size)
    cpdef rotate(self)
    @cython.locals(block=Block)
    cdef void advance(self, Py_ssize_t size) noexcept
    @cython.locals(block=Block, start=Py_ssize_t, p="unsigned char *")
    cdef void close_entry(self)
    cpdef list seal(self)
    @cython.locals(block=Block, size=Py_ssize_t, p="const unsigned char *", position=uint64_t)
    cpdef uint64_t append(self, bytes frame)
    @cython.locals(block=Block, offset=Py_ssize_t, r="const unsigned char *", c="const unsigned char *", b="const unsigned char *", q="const unsigned char *")
    cpdef Py_ssize_t append_message(self, uint32_t flags, bytes route, bytes props, bytes body, bytes queues)
    @cython.locals(tail=Py_ssize_t, ids_at=Py_ssize_t, size=Py_ssize_t, block=Block, p="unsigned char *", offset=Py_ssize_t)
    cdef Py_ssize_t open_record(self, uint32_t flags, const unsigned char *route, Py_ssize_t route_at, Py_ssize_t route_len, const unsigned char *props, Py_ssize_t props_at, Py_ssize_t props_len, Py_ssize_t body_len, const unsigned char *queues, Py_ssize_t queues_len)

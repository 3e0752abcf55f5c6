from libc.stdint cimport uint32_t, uint64_t

from posthouse.broker.dispatch cimport Dispatcher
from posthouse.core cimport mem
from posthouse.journal.block cimport Block

import cython

cdef uint32_t BASIC_CLASS
cdef unsigned char FRAME_END
cdef Py_ssize_t OUT_MIN, OUT_KEEP, EXTENT_MIN, PIECES_MAX

cdef class Outlet:
    cdef readonly Dispatcher dispatcher
    cdef readonly bytearray out
    cdef unsigned char *o
    cdef Py_ssize_t out_cap
    cdef readonly Py_ssize_t on
    cdef readonly Py_ssize_t oo
    cdef public Py_ssize_t out_high
    cdef public Py_ssize_t body_max
    cdef public Py_ssize_t transport_bytes
    cdef readonly object barriers
    cdef readonly object extents
    cdef readonly uint64_t sent_total
    cdef public bint throttled
    cdef public bint is_touched

    @cython.locals(pending=Py_ssize_t, cap=Py_ssize_t, fresh=bytearray, q="unsigned char *")
    cdef void room(self, Py_ssize_t size)
    @cython.locals(n=Py_ssize_t, p="const unsigned char *")
    cpdef put(self, bytes data)
    cpdef touch(self)
    cpdef barrier(self)
    @cython.locals(end=uint64_t)
    cpdef take_back(self)
    cpdef Py_ssize_t sendable(self)
    cpdef sent(self, Py_ssize_t size)
    cpdef shrink_output(self)
    cpdef discard_output(self)
    @cython.locals(size=Py_ssize_t)
    cdef Py_ssize_t content_room(self, Py_ssize_t props_len, Py_ssize_t left) noexcept
    @cython.locals(r="unsigned char *", o="unsigned char *", at=Py_ssize_t, source=Py_ssize_t, part=Py_ssize_t)
    cdef int put_content(self, uint32_t number, Block block, Py_ssize_t at_props, Py_ssize_t props_len, Py_ssize_t left) except -1
    @cython.locals(block=Block, r="unsigned char *", left=Py_ssize_t, props_len=Py_ssize_t)
    cpdef put_message(self, uint32_t number, bytes method, uint32_t block_id, uint32_t offset)
    cdef int add_extent(self, Py_ssize_t at, Block block, Py_ssize_t start, Py_ssize_t size) except -1
    @cython.locals(end=Py_ssize_t, at=Py_ssize_t, offset=Py_ssize_t, block=Block)
    cpdef list views(self)
    @cython.locals(gap=Py_ssize_t, taken=Py_ssize_t)
    cdef Py_ssize_t sent_extents(self, Py_ssize_t size) except -1
    cpdef on_low(self)

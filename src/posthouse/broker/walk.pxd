from libc.stdint cimport int64_t, uint32_t, uint64_t

from posthouse.broker.dispatch cimport QueueCore
from posthouse.broker.index cimport QueueIndex
from posthouse.journal.block cimport BlockTable

import cython

cdef class Walker:
    cdef readonly BlockTable blocks
    cdef readonly uint64_t slice
    cdef readonly int64_t next

    cpdef bint ready(self, QueueCore queue, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags) except -1
    cpdef hold(self, QueueCore queue, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags)
    @cython.locals(index=QueueIndex, s=uint64_t, end=uint64_t, i=uint64_t, w="uint32_t *")
    cpdef walk_ring(self, QueueCore queue, uint64_t sequence)
    @cython.locals(index=QueueIndex, k=Py_ssize_t, i=Py_ssize_t)
    cpdef walk_returned(self, QueueCore queue)

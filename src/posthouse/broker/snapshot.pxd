from libc.stdint cimport uint32_t, uint64_t

from posthouse.broker.dispatch cimport QueueCore
from posthouse.broker.index cimport QueueIndex
from posthouse.broker.walk cimport Walker
from posthouse.core cimport layout, mem
from posthouse.journal.block cimport Block, BlockTable, LogBuffer

import cython

cdef bytes ENTRY

cdef class Exporter(Walker):
    cdef readonly uint64_t start
    cdef bytearray out
    cdef Py_ssize_t count
    cdef readonly dict held
    cdef readonly dict blocks_seen
    cdef Block block

    @cython.locals(block=Block)
    cdef uint64_t locate(self, uint32_t block_id, uint32_t offset) except? 18446744073709551615
    @cython.locals(position=uint64_t)
    cpdef bint ready(self, QueueCore queue, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags) except -1
    @cython.locals(position=uint64_t, entries=bytearray)
    cpdef hold(self, QueueCore queue, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags)
    @cython.locals(p="unsigned char *")
    cdef int put(self, bytearray entries, Py_ssize_t at, uint64_t position, uint32_t size, uint32_t flags) except -1
    cpdef bytes take_ready(self)

@cython.final
cdef class Restorer:
    cdef BlockTable blocks
    cdef LogBuffer log
    cdef dict queues
    cdef readonly uint64_t first
    cdef readonly uint64_t last
    cdef uint32_t flags
    cdef dict places
    cdef list bases
    cdef list ends
    cdef list found
    cdef dict held
    cdef Py_ssize_t at
    cdef uint64_t end
    cdef readonly uint64_t entries
    cdef public object missing

    @cython.locals(p="unsigned char *", at=Py_ssize_t)
    cpdef add_held(self, number, bytearray data)
    @cython.locals(queue=QueueCore, p="unsigned char *", at=Py_ssize_t, position=uint64_t, size=uint32_t, flags=uint32_t)
    cpdef add_ready(self, number, bytearray data)
    @cython.locals(at=Py_ssize_t, found=list, block=Block)
    cdef push(self, QueueCore queue, uint64_t position, uint32_t size, uint32_t flags)
    cdef miss(self, QueueCore queue, uint64_t position)
    @cython.locals(queue=QueueCore, block=Block, position=uint64_t, size=uint32_t, flags=uint32_t)
    cpdef finish(self)

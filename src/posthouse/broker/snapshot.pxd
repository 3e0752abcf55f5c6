from libc.stdint cimport int64_t, uint32_t, uint64_t

from posthouse.broker.dispatch cimport QueueCore
from posthouse.broker.index cimport QueueIndex
from posthouse.core cimport layout, mem
from posthouse.journal.block cimport Block, BlockTable, LogBuffer

import cython

@cython.final
cdef class Exporter:
    cdef BlockTable blocks
    cdef readonly uint64_t start
    cdef readonly Py_ssize_t slice
    cdef readonly dict blocks_seen
    cdef readonly dict held
    cdef Block block
    cdef readonly int64_t next

    @cython.locals(block=Block)
    cdef uint64_t locate(self, uint32_t block_id, uint32_t offset) except? 18446744073709551615
    @cython.locals(index=QueueIndex, out=bytearray, o="unsigned char *", n=Py_ssize_t, s=uint64_t, end=uint64_t, i=uint64_t, position=uint64_t)
    cpdef bytearray ready(self, QueueCore queue, uint64_t sequence)
    @cython.locals(position=uint64_t, entry=bytearray, o="unsigned char *")
    cpdef hold(self, uint32_t number, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags)
    @cython.locals(index=QueueIndex, k=Py_ssize_t, i=Py_ssize_t)
    cpdef returned(self, QueueCore queue)

@cython.final
cdef class Restorer:
    cdef BlockTable blocks
    cdef LogBuffer log
    cdef dict queues
    cdef readonly uint64_t first
    cdef uint32_t flags
    cdef list bases
    cdef list found
    cdef dict held
    cdef Py_ssize_t at
    cdef readonly uint64_t entries

    @cython.locals(p="unsigned char *", at=Py_ssize_t)
    cpdef add_held(self, number, bytearray data)
    @cython.locals(queue=QueueCore, p="unsigned char *", at=Py_ssize_t, position=uint64_t, size=uint32_t, flags=uint32_t)
    cpdef add_ready(self, number, bytearray data)
    @cython.locals(at=Py_ssize_t, found=list, block=Block)
    cdef push(self, QueueCore queue, uint64_t position, uint32_t size, uint32_t flags)
    @cython.locals(queue=QueueCore, block=Block, position=uint64_t, size=uint32_t, flags=uint32_t)
    cpdef finish(self)

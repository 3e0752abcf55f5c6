from libc.stdint cimport uint32_t, uint64_t

from posthouse.broker.dispatch cimport QueueCore
from posthouse.broker.index cimport QueueIndex
from posthouse.core cimport layout, mem
from posthouse.journal.block cimport Block, BlockTable

import cython

@cython.final
cdef class Replayer:
    cdef BlockTable blocks
    cdef dict queues
    cdef readonly uint64_t messages
    cdef readonly uint64_t acks
    cdef Py_ssize_t dead

    @cython.locals(p="unsigned char *", at=Py_ssize_t, size=Py_ssize_t, kind=int)
    cpdef replay(self, Block block, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(p="unsigned char *", count=Py_ssize_t, ids_at=Py_ssize_t, i=Py_ssize_t, queue=QueueCore)
    cdef enqueue(self, Block block, Py_ssize_t at, Py_ssize_t size)
    @cython.locals(p="unsigned char *", count=Py_ssize_t, i=Py_ssize_t, queue=QueueCore)
    cdef acknowledge(self, Block block, Py_ssize_t at)
    @cython.locals(i=uint64_t, block=Block)
    cdef uint64_t position(self, QueueIndex index, uint64_t sequence)
    @cython.locals(low=uint64_t, high=uint64_t, middle=uint64_t, i=uint64_t, block=Block)
    cdef forget(self, QueueIndex index, uint64_t first, uint64_t last)
    @cython.locals(total=Py_ssize_t, queue=QueueCore)
    cpdef Py_ssize_t finish(self)
    @cython.locals(index=QueueIndex, fresh=QueueIndex, block=Block)
    cdef compact(self, QueueCore queue)

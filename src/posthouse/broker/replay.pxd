from libc.stdint cimport uint32_t, uint64_t

from posthouse.broker.dispatch cimport QueueCore
from posthouse.broker.index cimport QueueIndex
from posthouse.core cimport layout, mem
from posthouse.journal.block cimport Block, BlockTable, LogBuffer

import cython

@cython.final
cdef class Replayer:
    cdef BlockTable blocks
    cdef LogBuffer log
    cdef dict moved
    cdef dict queues
    cdef public object salvage
    cdef public object missing
    cdef readonly uint64_t messages
    cdef readonly uint64_t acks
    cdef Py_ssize_t dead

    @cython.locals(p="unsigned char *", at=Py_ssize_t, size=Py_ssize_t, kind=int)
    cpdef replay(self, Block block, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(p="unsigned char *", count=Py_ssize_t, ids_at=Py_ssize_t, i=Py_ssize_t, queue=QueueCore)
    cdef enqueue(self, Block block, Py_ssize_t at, Py_ssize_t size)
    @cython.locals(p="unsigned char *", base=uint64_t, count=Py_ssize_t, target=Block, record=Py_ssize_t, i=Py_ssize_t, k=Py_ssize_t, offset=Py_ssize_t, ids_at=Py_ssize_t, queue=QueueCore)
    cdef move(self, Block block, Py_ssize_t at, Py_ssize_t start)
    @cython.locals(index=QueueIndex, low=uint64_t, moved=list, found=Py_ssize_t)
    cdef add_moved(self, QueueCore queue, uint64_t position, Block target, uint32_t size)
    @cython.locals(p="unsigned char *", count=Py_ssize_t, i=Py_ssize_t, queue=QueueCore, first=uint64_t, last=uint64_t)
    cdef acknowledge(self, Block block, Py_ssize_t at)
    @cython.locals(i=uint64_t, block=Block)
    cdef uint64_t position(self, QueueIndex index, uint64_t sequence)
    @cython.locals(low=uint64_t, high=uint64_t, middle=uint64_t)
    cdef uint64_t first_at(self, QueueIndex index, uint64_t first)
    @cython.locals(low=uint64_t, i=uint64_t, block=Block)
    cdef forget(self, QueueIndex index, uint64_t first, uint64_t last)
    @cython.locals(moved=list, start=Py_ssize_t, end=Py_ssize_t, block=Block)
    cdef forget_moved(self, number, uint64_t first, uint64_t last)
    @cython.locals(total=Py_ssize_t, queue=QueueCore)
    cpdef Py_ssize_t finish(self)
    @cython.locals(index=QueueIndex, fresh=QueueIndex, block=Block)
    cdef compact(self, QueueCore queue)
    cdef push_moved(self, QueueIndex fresh, tuple moved)

from libc.stdint cimport uint32_t, uint64_t

from posthouse.broker.dispatch cimport QueueCore
from posthouse.broker.walk cimport Walker
from posthouse.core cimport layout, mem
from posthouse.journal.block cimport Block, BlockTable

import cython

cdef class Census(Walker):
    cdef dict named

    cpdef watch(self, Block block)
    cpdef bint ready(self, QueueCore queue, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags) except -1
    @cython.locals(block=Block)
    cpdef hold(self, QueueCore queue, uint32_t block_id, uint32_t offset, uint32_t size, uint32_t flags)
    cpdef forget(self, list settled)
    @cython.locals(queues=dict, offset=Py_ssize_t, queue=QueueCore, numbers=list, offsets=list, p="unsigned char *", head=Py_ssize_t, size=Py_ssize_t, out=bytearray, o="unsigned char *", at=Py_ssize_t, to=Py_ssize_t, length=Py_ssize_t)
    cpdef bytes frame(self, Block block)
    @cython.locals(o="unsigned char *", ids_at=Py_ssize_t)
    cdef int address(self, bytearray out, Py_ssize_t at, list numbers) except -1

from libc.stdint cimport uint32_t

from posthouse.broker.dispatch cimport QueueCore
from posthouse.core cimport mem

import cython

cdef uint32_t SLOTS
cdef int PROBES

@cython.final
cdef class Route:
    cdef readonly bytes blob
    cdef readonly list queues
    cdef readonly bytes durable_ids
    cdef readonly object exchange
    cdef readonly bint plain
    cdef uint32_t hash
    cdef readonly Py_ssize_t blob_len
    cdef readonly Py_ssize_t queue_count
    cdef readonly Py_ssize_t ids_len
    cdef const unsigned char *b
    cdef const unsigned char *ids

    cdef bint matches(self, const unsigned char *p, Py_ssize_t at) noexcept

@cython.final
cdef class RouteTable:
    cdef object resolve
    cdef list slots
    cdef readonly Py_ssize_t generation
    cdef bint is_used

    cpdef clear(self)
    @cython.locals(p="const unsigned char *")
    cpdef Route lookup(self, bytes blob)
    @cython.locals(h=uint32_t, slots=list, i=Py_ssize_t, _=int, route=Route)
    cdef Route find(self, const unsigned char *p, Py_ssize_t at, Py_ssize_t size)

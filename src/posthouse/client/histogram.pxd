from libc.stdint cimport int64_t

from posthouse.core cimport mem

import cython

cdef int64_t BUCKETS

@cython.final
cdef class Histogram:
    cdef bytearray data
    cdef unsigned long long *b
    cdef readonly int64_t count
    cdef readonly int64_t max

    cpdef void add(self, int64_t value) noexcept
    @cython.locals(shift=int64_t, b="unsigned long long *")
    cpdef void add_many(self, int64_t value, int64_t times) noexcept
    cpdef clear(self)
    @cython.locals(i=int64_t, b="unsigned long long *", o="unsigned long long *")
    cpdef merge(self, Histogram other)
    @cython.locals(want=int64_t, seen=int64_t, i=int64_t, shift=int64_t, edge=int64_t, b="unsigned long long *")
    cpdef int64_t quantile(self, double share) noexcept

from libc.stdint cimport uint32_t, uint64_t, int64_t

from posthouse.core cimport mem

import cython

cdef int64_t SLOT, SLOTS_MIN

@cython.final
cdef class Unacked:
    cdef readonly bytearray ring
    cdef unsigned char *p
    cdef int64_t mask
    cdef int64_t first
    cdef int64_t last
    cdef readonly Py_ssize_t count

    @cython.locals(p="unsigned char *", at=int64_t)
    cpdef void add(self, uint64_t tag, uint32_t block, uint32_t offset, uint32_t size, uint32_t flags, uint64_t sequence, uint32_t subscriber)
    @cython.locals(span=int64_t, slots=int64_t, fresh=bytearray, q="unsigned char *", p="unsigned char *", n=int64_t, i=int64_t, at=int64_t)
    cdef void make_room(self)
    @cython.locals(p="unsigned char *", low=int64_t, high=int64_t, lowest=uint64_t, distance=uint64_t, middle=int64_t, at=int64_t)
    cpdef int64_t find(self, uint64_t tag) noexcept
    @cython.locals(p="unsigned char *")
    cpdef void clear(self, int64_t at)
    @cython.locals(p="unsigned char *")
    cpdef void skip_settled(self)
    cpdef int64_t front(self) noexcept
    @cython.locals(p="unsigned char *", i=int64_t, at=int64_t)
    cpdef list tags(self)

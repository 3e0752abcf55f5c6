from libc.stdint cimport uint32_t, uint64_t

from posthouse.core cimport mem

import cython

cdef uint64_t RING_MIN, SHRINK_AT, LOW_WORD

cdef uint64_t _wide(uint64_t word) noexcept

@cython.final
cdef class QueueIndex:
    cdef bytearray ring
    cdef unsigned int *w
    cdef uint64_t mask
    cdef readonly uint64_t head
    cdef readonly uint64_t tail
    cdef bytearray returned
    cdef unsigned int *r
    cdef unsigned char *rb
    cdef Py_ssize_t r_start
    cdef Py_ssize_t r_end
    cdef readonly Py_ssize_t bytes_ready
    cdef readonly uint32_t block
    cdef readonly uint32_t offset
    cdef readonly uint32_t size
    cdef readonly uint32_t flags
    cdef readonly uint64_t sequence

    cpdef Py_ssize_t ready(self) noexcept
    @cython.locals(w="unsigned int *", i=uint64_t)
    cpdef void push(self, uint32_t block, uint32_t offset, uint32_t size, uint32_t flags)
    @cython.locals(old="unsigned int *", old_mask=uint64_t, ring=bytearray, w="unsigned int *", mask=uint64_t, s=uint64_t, i=uint64_t, j=uint64_t)
    cdef void resize(self, uint64_t slots)
    @cython.locals(r="unsigned int *", w="unsigned int *", i=uint64_t)
    cpdef bint pop(self)
    @cython.locals(r="unsigned int *", at=Py_ssize_t, i=Py_ssize_t)
    cpdef void give_back(self, uint64_t sequence, uint32_t block, uint32_t offset, uint32_t size, uint32_t flags)
    @cython.locals(count=Py_ssize_t, slots=Py_ssize_t, start=Py_ssize_t, fresh=bytearray, target="unsigned char *", source="unsigned char *")
    cdef void make_room(self)
    @cython.locals(r="unsigned int *", w="unsigned int *", i=uint64_t, k=Py_ssize_t, s=uint64_t)
    cpdef list entries(self)

from libc.stdint cimport uint32_t, uint64_t

from posthouse.core cimport mem

import cython

cdef uint64_t RING_MIN, LOW_WORD, NEVER
cdef Py_ssize_t RINGS_KEPT

cdef uint64_t _wide(uint64_t word) noexcept

@cython.final
cdef class QueueIndex:
    cdef readonly object pages
    cdef readonly uint64_t ring_max
    cdef bytearray ring
    cdef unsigned int *w
    cdef uint64_t mask
    cdef bytearray last
    cdef unsigned int *lw
    cdef uint64_t lmask
    cdef readonly object between
    cdef uint64_t top
    cdef readonly uint64_t head
    cdef readonly uint64_t tail
    cdef uint64_t limit
    cdef unsigned int *cw
    cdef bytearray copy
    cdef Py_ssize_t copy_of
    cdef public uint64_t entries_lost
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
    cdef void extend(self)
    @cython.locals(page=Py_ssize_t)
    cdef void set_between(self, bytearray ring)
    @cython.locals(ring=bytearray)
    cdef void next_ring(self)
    @cython.locals(data=bytearray)
    cdef bytearray fetched(self, object ring)
    @cython.locals(n=uint64_t, ring=bytearray)
    cdef uint64_t seek(self, uint64_t sequence, bint is_peek) except? 18446744073709551615
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

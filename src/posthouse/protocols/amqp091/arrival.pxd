from posthouse.core cimport mem
from posthouse.journal.block cimport Block

import cython

@cython.final
cdef class Arrival:
    cdef public int number
    cdef readonly Block block
    cdef readonly Py_ssize_t offset
    cdef Py_ssize_t at
    cdef readonly Py_ssize_t left
    cdef readonly bint is_persistent
    cdef readonly Py_ssize_t frame_size
    cdef readonly Py_ssize_t gap
    cdef public bint in_frame

    cdef void begin_frame(self, Py_ssize_t size) noexcept
    @cython.locals(n=Py_ssize_t)
    cdef Py_ssize_t fill(self, const unsigned char *p, Py_ssize_t at, Py_ssize_t size) noexcept
    cpdef void filled(self, Py_ssize_t size) noexcept
    cpdef view(self)
    cpdef bytes frame(self)

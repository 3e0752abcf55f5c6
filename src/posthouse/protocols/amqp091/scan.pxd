from libc.stdint cimport uint32_t, uint64_t

from posthouse.core cimport mem

import cython

cdef uint32_t BASIC_CLASS, PROPS_CHECKED
cdef unsigned char FRAME_END
cdef Py_ssize_t PROPS_MAX

@cython.locals(n=Py_ssize_t, left=uint64_t, at=Py_ssize_t)
cdef Py_ssize_t find_end(uint32_t number, const unsigned char *p, Py_ssize_t header, Py_ssize_t size, Py_ssize_t frame_max, uint64_t body_max) noexcept

@cython.final
cdef class PropsCheck:
    cdef bytearray props
    cdef unsigned char *p
    cdef Py_ssize_t size
    cdef readonly bint persistent

    @cython.locals(flags=uint32_t, end=Py_ssize_t, persistent=bint, o=Py_ssize_t, bit=uint32_t)
    cdef bint is_plain(self, const unsigned char *p, Py_ssize_t at, Py_ssize_t size) noexcept

from libc.stdint cimport int64_t, uint32_t, uint64_t

from posthouse.core cimport mem
from posthouse.journal cimport crc

import cython

cdef uint32_t MAGIC, VERSION, FLAG_CLAIM
cdef int64_t UNKNOWN
cdef Py_ssize_t HEADER_SIZE, INCOMPLETE, BAD, RECORD_HEADER, ALIGN_4, ALIGN_8
cdef unsigned char KIND_ENQ, KIND_ACK, KIND_MOVE, KIND_DEF

@cython.locals(p="unsigned char *", seed=uint32_t)
cpdef uint32_t checksum(bytearray data, Py_ssize_t start, Py_ssize_t end)
cpdef uint32_t crc_of(bytearray data, Py_ssize_t start, Py_ssize_t end)
@cython.locals(p="unsigned char *")
cpdef finish(bytearray data, Py_ssize_t start, Py_ssize_t end, int64_t unsynced)
@cython.locals(p="unsigned char *", unsynced=uint64_t, position=uint64_t)
cpdef int64_t synced_to(bytearray data, Py_ssize_t at)
@cython.locals(p="unsigned char *", length=uint32_t, end=Py_ssize_t)
cpdef Py_ssize_t measure(bytearray data, Py_ssize_t at, Py_ssize_t size, uint64_t lsn)
@cython.locals(p="unsigned char *", found=list, length=Py_ssize_t, entry_epoch=int64_t)
cpdef scan(bytearray data, Py_ssize_t at, Py_ssize_t size, uint64_t base, int64_t epoch)
@cython.locals(p="unsigned char *", d="unsigned char *", at=Py_ssize_t, count=Py_ssize_t, record=Py_ssize_t, i=Py_ssize_t, offset=Py_ssize_t, size=Py_ssize_t)
cpdef unpack_move(bytearray found, bytearray data)
@cython.locals(size=Py_ssize_t, route=Py_ssize_t, parts=Py_ssize_t, exchange=Py_ssize_t)
cdef bint record_fits(const unsigned char *p, Py_ssize_t at, Py_ssize_t end) noexcept
@cython.locals(run=Py_ssize_t, count=Py_ssize_t, record=Py_ssize_t, i=Py_ssize_t, size=Py_ssize_t)
cdef bint move_fits(const unsigned char *p, Py_ssize_t at, Py_ssize_t end) noexcept
@cython.locals(size=Py_ssize_t, kind="unsigned char")
cdef bint frames_fit(const unsigned char *p, Py_ssize_t at, Py_ssize_t end) noexcept

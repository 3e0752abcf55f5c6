# The compiled form of mem.py: C inline functions over pointers, without bounds checks.
# Callers check ranges once at their boundary; the interpreted form checks every access.
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint32_t ph_ld16(const unsigned char *p, size_t o){return ((uint32_t)p[o]<<8)|p[o+1];}
    static inline uint32_t ph_ld32(const unsigned char *p, size_t o){uint32_t v;memcpy(&v,p+o,4);return __builtin_bswap32(v);}
    static inline uint64_t ph_ld64(const unsigned char *p, size_t o){uint64_t v;memcpy(&v,p+o,8);return __builtin_bswap64(v);}
    static inline void ph_st16(unsigned char *p, size_t o, uint32_t v){p[o]=(unsigned char)(v>>8);p[o+1]=(unsigned char)v;}
    static inline void ph_st32(unsigned char *p, size_t o, uint32_t v){v=__builtin_bswap32(v);memcpy(p+o,&v,4);}
    static inline void ph_st64(unsigned char *p, size_t o, uint64_t v){v=__builtin_bswap64(v);memcpy(p+o,&v,8);}
    static inline uint32_t ph_le16(const unsigned char *p, size_t o){uint16_t v;memcpy(&v,p+o,2);return v;}
    static inline uint32_t ph_le32(const unsigned char *p, size_t o){uint32_t v;memcpy(&v,p+o,4);return v;}
    static inline uint64_t ph_le64(const unsigned char *p, size_t o){uint64_t v;memcpy(&v,p+o,8);return v;}
    static inline void ph_put_le16(unsigned char *p, size_t o, uint32_t x){uint16_t v=(uint16_t)x;memcpy(p+o,&v,2);}
    static inline void ph_put_le32(unsigned char *p, size_t o, uint32_t v){memcpy(p+o,&v,4);}
    static inline void ph_put_le64(unsigned char *p, size_t o, uint64_t v){memcpy(p+o,&v,8);}
    static inline void ph_copy(unsigned char *d, size_t o, const unsigned char *s, size_t so, size_t n){memmove(d+o,s+so,n);}
    static inline int ph_equal(const unsigned char *a, size_t ao, const unsigned char *b, size_t bo, size_t n){return memcmp(a+ao,b+bo,n)==0;}
    static inline uint32_t ph_hash(const unsigned char *p, size_t o, size_t n){
        uint64_t h=1469598103934665603ULL^n;p+=o;
        while(n>=8){uint64_t v;memcpy(&v,p,8);h=(h^v)*0x9E3779B97F4A7C15ULL;h^=h>>32;p+=8;n-=8;}
        while(n--){h=(h^*p++)*1099511628211ULL;}
        h^=h>>29;return (uint32_t)h;}
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "posthouse's kernels need a little-endian machine"
    #endif
    """
    uint32_t ld16 "ph_ld16"(const unsigned char *p, size_t o) noexcept nogil
    uint32_t ld32 "ph_ld32"(const unsigned char *p, size_t o) noexcept nogil
    uint64_t ld64 "ph_ld64"(const unsigned char *p, size_t o) noexcept nogil
    void st16 "ph_st16"(unsigned char *p, size_t o, uint32_t v) noexcept nogil
    void st32 "ph_st32"(unsigned char *p, size_t o, uint32_t v) noexcept nogil
    void st64 "ph_st64"(unsigned char *p, size_t o, uint64_t v) noexcept nogil
    uint32_t le16 "ph_le16"(const unsigned char *p, size_t o) noexcept nogil
    uint32_t le32 "ph_le32"(const unsigned char *p, size_t o) noexcept nogil
    uint64_t le64 "ph_le64"(const unsigned char *p, size_t o) noexcept nogil
    void put_le16 "ph_put_le16"(unsigned char *p, size_t o, uint32_t v) noexcept nogil
    void put_le32 "ph_put_le32"(unsigned char *p, size_t o, uint32_t v) noexcept nogil
    void put_le64 "ph_put_le64"(unsigned char *p, size_t o, uint64_t v) noexcept nogil
    void copy "ph_copy"(unsigned char *d, size_t do, const unsigned char *s, size_t so, size_t n) noexcept nogil
    bint equal "ph_equal"(const unsigned char *a, size_t ao, const unsigned char *b, size_t bo, size_t n) noexcept nogil
    uint32_t hash_bytes "ph_hash"(const unsigned char *p, size_t o, size_t n) noexcept nogil

cdef inline bytes take(const unsigned char *p, size_t o, size_t n):
    return PyBytes_FromStringAndSize(<const char *>(p + o), n)

cdef inline unsigned char *address(bytearray b) noexcept:
    return <unsigned char *>PyByteArray_AS_STRING(b)

cdef inline unsigned int *words(bytearray b) noexcept:
    return <unsigned int *>PyByteArray_AS_STRING(b)

cdef inline unsigned long long *quads(bytearray b) noexcept:
    return <unsigned long long *>PyByteArray_AS_STRING(b)

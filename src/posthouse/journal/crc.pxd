# The compiled form of crc.py: SSE4.2 where the processor has it, a table elsewhere.
from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static uint32_t ph_crc_rows[256];
    static void ph_crc_fill(void){for(uint32_t i=0;i<256;i++){uint32_t n=i;for(int k=0;k<8;k++)n=(n>>1)^((n&1)?0x82F63B78u:0);ph_crc_rows[i]=n;}}
    static uint32_t ph_crc_slow(const unsigned char *p, size_t n, uint32_t c){if(!ph_crc_rows[1])ph_crc_fill();while(n--)c=(c>>8)^ph_crc_rows[(c^*p++)&255];return c;}
    #if defined(__x86_64__) && defined(__GNUC__)
    __attribute__((target("sse4.2"))) static uint32_t ph_crc_fast(const unsigned char *p, size_t n, uint32_t c){
        uint64_t w=c;while(n>=8){uint64_t v;memcpy(&v,p,8);w=__builtin_ia32_crc32di(w,v);p+=8;n-=8;}
        c=(uint32_t)w;while(n--)c=__builtin_ia32_crc32qi(c,*p++);return c;}
    static uint32_t ph_crc32c(const unsigned char *p, size_t o, size_t n, uint32_t seed){
        uint32_t c=~seed;p+=o;
        c=__builtin_cpu_supports("sse4.2")?ph_crc_fast(p,n,c):ph_crc_slow(p,n,c);return ~c;}
    #else
    static uint32_t ph_crc32c(const unsigned char *p, size_t o, size_t n, uint32_t seed){return ~ph_crc_slow(p+o,n,~seed);}
    #endif
    """
    uint32_t crc32c "ph_crc32c"(const unsigned char *p, size_t o, size_t n, uint32_t seed) noexcept nogil

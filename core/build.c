/* How this engine was built. */
#include "hash.h"
#include "header.h"
#include "kv.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

#if XXH_VECTOR == XXH_AVX512
#define CPU_PATH "AVX-512"
#elif XXH_VECTOR == XXH_AVX2
#define CPU_PATH "AVX2"
#elif XXH_VECTOR == XXH_SSE2
#define CPU_PATH "SSE2"
#elif XXH_VECTOR == XXH_NEON
#define CPU_PATH "NEON"
#else
#define CPU_PATH "scalar"
#endif

_Static_assert(KV_FORMAT_VERSION == 1, "kv_build names the format");

const char *kv_build(void)
{
    return "file format 1; XXH3 " TEXT(XXH_VERSION_MAJOR) "." TEXT(XXH_VERSION_MINOR) "." TEXT(
        XXH_VERSION_RELEASE) ", " CPU_PATH;
}

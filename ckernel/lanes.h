/* Vectors of doubles, one small vocabulary for three instruction sets.
 *
 * Included once per set, by tile_kernels.c, with LANES_AVX512, LANES_AVX2 or neither defined; it defines
 *   LANES               points per vector
 *   TARGET              the attribute that lets a function use the set
 *   vec                 LANES doubles
 *   LOAD, STORE         from and to aligned memory; LOAD_ANY from any
 *   SET(x)              one double in every lane
 *   FMA(a, b, c)        a b + c
 *   SUB(a, b)           a - b
 *   KEEP_SMALLER(...)   the running minimum and its index, first one kept on ties
 *   SELECT(a, b, x, y)  x where a < b, else y
 *   LESS_BITS(a, b)     a bit per lane: whether a < b
 *   ABS(x)              |x|
 *   STORE_LABELS        an index vector as 32-bit integers
 * The register counts that the unrollings are chosen for: 32 with AVX-512, 16 otherwise.
 */
#undef LANES
#undef TARGET
#undef REGISTERS
#undef vec
#undef LOAD
#undef STORE
#undef LOAD_ANY
#undef SET
#undef FMA
#undef SUB
#undef KEEP_SMALLER
#undef SELECT
#undef LESS_BITS
#undef ABS
#undef STORE_LABELS

#if defined(LANES_AVX512)

#define LANES 8
#define REGISTERS 32
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx512cd,avx2,fma,bmi,bmi2")))
#define vec __m512d
#define LOAD(p) _mm512_load_pd(p)
#define STORE(p, x) _mm512_store_pd(p, x)
#define LOAD_ANY(p) _mm512_loadu_pd(p)
#define SET(x) _mm512_set1_pd(x)
#define FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define SUB(a, b) _mm512_sub_pd(a, b)
#define KEEP_SMALLER(f, k, best, index)                                                                \
    do {                                                                                               \
        (index) = _mm512_mask_mov_pd(index, _mm512_cmp_pd_mask(f, best, _CMP_LT_OQ), k);               \
        (best) = _mm512_min_pd(f, best);                                                               \
    } while (0)
#define SELECT(a, b, x, y) _mm512_mask_mov_pd(y, _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), x)
#define LESS_BITS(a, b) ((unsigned)_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ))
#define ABS(x) _mm512_abs_pd(x)
#define STORE_LABELS(p, index) _mm256_storeu_si256((__m256i *)(p), _mm512_cvttpd_epi32(index))

#elif defined(LANES_AVX2)

#define LANES 4
#define REGISTERS 16
#define TARGET __attribute__((target("avx2,fma,bmi,bmi2")))
#define vec __m256d
#define LOAD(p) _mm256_load_pd(p)
#define STORE(p, x) _mm256_store_pd(p, x)
#define LOAD_ANY(p) _mm256_loadu_pd(p)
#define SET(x) _mm256_set1_pd(x)
#define FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define SUB(a, b) _mm256_sub_pd(a, b)
#define KEEP_SMALLER(f, k, best, index)                                                                \
    do {                                                                                               \
        (index) = _mm256_blendv_pd(index, k, _mm256_cmp_pd(f, best, _CMP_LT_OQ));                      \
        (best) = _mm256_min_pd(f, best);                                                               \
    } while (0)
#define SELECT(a, b, x, y) _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LT_OQ))
#define LESS_BITS(a, b) ((unsigned)_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ)))
#define ABS(x) _mm256_andnot_pd(_mm256_set1_pd(-0.0), x)
#define STORE_LABELS(p, index) _mm_storeu_si128((__m128i *)(p), _mm256_cvttpd_epi32(index))

#else /* any processor: two doubles, in the compilers' portable vectors (SSE2, NEON) */

#define LANES 2
#define REGISTERS 16
#define TARGET
#define vec pair
#define LOAD(p) (*(const pair *)(p))
#define STORE(p, x) (*(pair *)(p) = (x))
#define LOAD_ANY(p) ((pair){(p)[0], (p)[1]})
#define SET(x) pair_of(x)
#define FMA(a, b, c) ((a) * (b) + (c))
#define SUB(a, b) ((a) - (b))
#define KEEP_SMALLER(f, k, best, index)                                                                \
    do {                                                                                               \
        const pair_mask less = (pair_mask)((f) < (best));                                              \
        (index) = (pair)((less & (pair_mask)(k)) | (~less & (pair_mask)(index)));                      \
        (best) = (pair)((less & (pair_mask)(f)) | (~less & (pair_mask)(best)));                        \
    } while (0)
#define SELECT(a, b, x, y) select_less(a, b, x, y)
#define LESS_BITS(a, b) less_bits(a, b)
#define ABS(x) ((pair)((pair_mask)(x) & (pair_mask){INT64_MAX, INT64_MAX}))
#define STORE_LABELS(p, index) ((p)[0] = (int32_t)(index)[0], (p)[1] = (int32_t)(index)[1])

#endif

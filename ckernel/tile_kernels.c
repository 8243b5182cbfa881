/* The tile kernels, compiled once per instruction set; the processor chooses at run time. */
#include "tile_kernels.h"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(name, INSTRUCTION_SET)
#define STRING_(name) #name
#define STRING(name) STRING_(name)

typedef double pair __attribute__((vector_size(16), may_alias));
typedef int64_t pair_mask __attribute__((vector_size(16), may_alias));
static inline pair pair_of(double x) { return (pair){x, x}; }
static inline unsigned less_bits(pair a, pair b)
{
    const pair_mask less = (pair_mask)(a < b);
    return (unsigned)(less[0] & 1) | (unsigned)(less[1] & 2);
}
static inline pair select_less(pair a, pair b, pair x, pair y)
{
    return (pair){a[0] < b[0] ? x[0] : y[0], a[1] < b[1] ? x[1] : y[1]};
}

#define THE_KERNELS                                                                                    \
    static const struct tile_kernels NAME(kernels) = {                                                 \
        .name = STRING(INSTRUCTION_SET),                                                               \
        .assign = {NAME(assign_linear), NAME(assign_round), NAME(assign_axes), NAME(assign_triangular)}, \
        .candidates = NAME(candidates),                                                                \
        .distances = NAME(distances),                                                                  \
        .move_points = NAME(move_points),                                                              \
        .add_tile = NAME(add_tile),                                                                    \
        .squares = NAME(squares),                                                                      \
        .transform = NAME(transform),                                                                  \
        .exercise = NAME(exercise),                                                                    \
    };

#define INSTRUCTION_SET baseline
#include "lanes.h"
#include "tile_loops.h"
#include "sum_loops.h"
#include "box_loops.h"
THE_KERNELS
#undef INSTRUCTION_SET

#if defined(__x86_64__)
#include <immintrin.h>

#define INSTRUCTION_SET avx2
#define LANES_AVX2
#include "lanes.h"
#include "tile_loops.h"
#include "sum_loops.h"
#include "box_loops.h"
THE_KERNELS
#undef LANES_AVX2
#undef INSTRUCTION_SET

#define INSTRUCTION_SET avx512
#define LANES_AVX512
#include "lanes.h"
#include "tile_loops.h"
#include "sum_loops.h"
#include "box_loops.h"
THE_KERNELS
#undef LANES_AVX512
#undef INSTRUCTION_SET
#endif

const struct tile_kernels *tile_kernels(int instruction_set)
{
#if defined(__x86_64__)
    const int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const int has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd");
    if (has_avx512 && (instruction_set == BEST || instruction_set == AVX512))
        return &kernels_avx512;
    if (has_avx2 && (instruction_set == BEST || instruction_set == AVX2))
        return &kernels_avx2;
#endif
    if (instruction_set == BEST || instruction_set == BASELINE)
        return &kernels_baseline;
    return NULL;
}

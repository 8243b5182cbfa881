/* The loops of the tile kernels, in the vocabulary of lanes.h. No include guard: tile_kernels.c
 * includes this file once per instruction set.
 *
 * Every inner function takes the number of columns and of vectors (`d`, `u`) as arguments that its
 * callers give as constants: inlined, the loops over them unroll and the arrays become registers.
 */
#ifndef UNROLLED
#define UNROLLED _Pragma("GCC unroll 64")
#define INLINE static inline __attribute__((always_inline))
#define MANY 4
#define CLUSTER_GROUP 4
#endif

/* f = c + |A x + b|^2 with the whole point in registers.
 * Coefficients: c; then per row r: b_r, A_r0 .. A_rr. */
INLINE TARGET void NAME(triangular_small)(const int d, const int u, const double *tile, int n_clusters,
                                          const double *rule, double *cost, int32_t *label)
{
    for (int first = 0; first < TILE; first += u * LANES) {
        vec x[SMALL_D][MANY], best[MANY], index[MANY];
        UNROLLED for (int j = 0; j < d; j++)
            UNROLLED for (int i = 0; i < u; i++)
                x[j][i] = LOAD(tile + j * TILE + first + i * LANES);
        UNROLLED for (int i = 0; i < u; i++) {
            best[i] = SET(__builtin_inf());
            index[i] = SET(0);
        }
        const double *a = rule;
        for (int k = 0; k < n_clusters; k++) {
            vec f[MANY], y[MANY];
            UNROLLED for (int i = 0; i < u; i++)
                f[i] = SET(a[0]);
            a++;
            UNROLLED for (int r = 0; r < d; r++) {
                UNROLLED for (int i = 0; i < u; i++)
                    y[i] = SET(a[0]);
                a++;
                UNROLLED for (int j = 0; j <= r; j++) {
                    const vec by = SET(*a++);
                    UNROLLED for (int i = 0; i < u; i++)
                        y[i] = FMA(by, x[j][i], y[i]);
                }
                UNROLLED for (int i = 0; i < u; i++)
                    f[i] = FMA(y[i], y[i], f[i]);
            }
            const vec cluster = SET((double)k);
            UNROLLED for (int i = 0; i < u; i++)
                KEEP_SMALLER(f[i], cluster, best[i], index[i]);
        }
        UNROLLED for (int i = 0; i < u; i++) {
            STORE(cost + first + i * LANES, best[i]);
            STORE_LABELS(label + first + i * LANES, index[i]);
        }
    }
}

/* Rows r .. r + rows - 1 of A x + b, squared and added to f. Coefficients: b of each row; then per
 * column j the entries of the rows that reach it. */
INLINE TARGET const double *NAME(row_group)(const int rows, const int u, int r, const double *x,
                                            const double *a, vec *f)
{
    vec y[ROW_GROUP][MANY];
    UNROLLED for (int q = 0; q < rows; q++) {
        const vec b = SET(*a++);
        UNROLLED for (int i = 0; i < u; i++)
            y[q][i] = b;
    }
    for (int j = 0; j < r; j++, a += rows) {
        vec point[MANY];
        UNROLLED for (int i = 0; i < u; i++)
            point[i] = LOAD(x + j * TILE + i * LANES);
        UNROLLED for (int q = 0; q < rows; q++) {
            const vec by = SET(a[q]);
            UNROLLED for (int i = 0; i < u; i++)
                y[q][i] = FMA(by, point[i], y[q][i]);
        }
    }
    UNROLLED for (int j = 0; j < rows; j++) {
        vec point[MANY];
        UNROLLED for (int i = 0; i < u; i++)
            point[i] = LOAD(x + (r + j) * TILE + i * LANES);
        UNROLLED for (int q = j; q < rows; q++) {
            const vec by = SET(*a++);
            UNROLLED for (int i = 0; i < u; i++)
                y[q][i] = FMA(by, point[i], y[q][i]);
        }
    }
    UNROLLED for (int q = 0; q < rows; q++)
        UNROLLED for (int i = 0; i < u; i++)
            f[i] = FMA(y[q][i], y[q][i], f[i]);
    return a;
}

/* f = c + |A x + b|^2, ROW_GROUP rows at a time. */
INLINE TARGET void NAME(triangular_large)(const int u, const double *tile, int d, int n_clusters,
                                          const double *rule, double *cost, int32_t *label)
{
    const size_t size = rule_size(TRIANGULAR, d);
    for (int first = 0; first < TILE; first += u * LANES) {
        const double *x = tile + first;
        vec best[MANY], index[MANY];
        UNROLLED for (int i = 0; i < u; i++) {
            best[i] = SET(__builtin_inf());
            index[i] = SET(0);
        }
        for (int k = 0; k < n_clusters; k++) {
            const double *a = rule + (size_t)k * size;
            vec f[MANY];
            UNROLLED for (int i = 0; i < u; i++)
                f[i] = SET(a[0]);
            a++;
            int r = 0;
            for (; r + ROW_GROUP <= d; r += ROW_GROUP)
                a = NAME(row_group)(ROW_GROUP, u, r, x, a, f);
            switch (d - r) {
            case 3: NAME(row_group)(3, u, r, x, a, f); break;
            case 2: NAME(row_group)(2, u, r, x, a, f); break;
            case 1: NAME(row_group)(1, u, r, x, a, f); break;
            default: break;
            }
            const vec cluster = SET((double)k);
            UNROLLED for (int i = 0; i < u; i++)
                KEEP_SMALLER(f[i], cluster, best[i], index[i]);
        }
        UNROLLED for (int i = 0; i < u; i++) {
            STORE(cost + first + i * LANES, best[i]);
            STORE_LABELS(label + first + i * LANES, index[i]);
        }
    }
}

static TARGET void NAME(assign_triangular)(const double *tile, int d, int n_clusters, const double *rule,
                                           double *cost, int32_t *label)
{
    enum { WIDE = REGISTERS == 32 ? 4 : 2, NARROW = REGISTERS == 32 ? 2 : 1 };
    switch (d) {
    case 1: NAME(triangular_small)(1, WIDE, tile, n_clusters, rule, cost, label); break;
    case 2: NAME(triangular_small)(2, WIDE, tile, n_clusters, rule, cost, label); break;
    case 3: NAME(triangular_small)(3, WIDE, tile, n_clusters, rule, cost, label); break;
    case 4: NAME(triangular_small)(4, NARROW, tile, n_clusters, rule, cost, label); break;
    case 5: NAME(triangular_small)(5, NARROW, tile, n_clusters, rule, cost, label); break;
    case 6: NAME(triangular_small)(6, NARROW, tile, n_clusters, rule, cost, label); break;
    default: NAME(triangular_large)(WIDE, tile, d, n_clusters, rule, cost, label); break;
    }
}

/* The costs of a few clusters in the forms that need one pass over the columns, f = c + sum_j term(x_j):
 * a column is loaded once for all of them. */
INLINE TARGET void NAME(columns)(const enum form form, const int clusters, const int u, int d,
                                 const double *x, const double *a, vec f[CLUSTER_GROUP][MANY])
{
    const size_t size = rule_size(form, d);
    UNROLLED for (int q = 0; q < clusters; q++)
        UNROLLED for (int i = 0; i < u; i++)
            f[q][i] = SET(form == ROUND ? 0 : a[q * size]);
    for (int j = 0; j < d; j++) {
        vec point[MANY];
        UNROLLED for (int i = 0; i < u; i++)
            point[i] = LOAD(x + j * TILE + i * LANES);
        UNROLLED for (int q = 0; q < clusters; q++) {
            const vec by = SET(a[q * size + (form == ROUND ? 2 : 1) + j]);
            const vec shift = form == AXES ? SET(a[q * size + 1 + d + j]) : by;
            UNROLLED for (int i = 0; i < u; i++) {
                if (form == LINEAR) {
                    f[q][i] = FMA(by, point[i], f[q][i]);
                } else {
                    const vec y = form == ROUND ? SUB(point[i], by) : FMA(by, point[i], shift);
                    f[q][i] = FMA(y, y, f[q][i]);
                }
            }
        }
    }
    if (form == ROUND)
        UNROLLED for (int q = 0; q < clusters; q++)
            UNROLLED for (int i = 0; i < u; i++)
                f[q][i] = FMA(f[q][i], SET(a[q * size + 1]), SET(a[q * size]));
}

INLINE TARGET void NAME(columns_tile)(const enum form form, const int group, const int u, int d,
                                      const double *tile, int n_clusters, const double *rule, double *cost,
                                      int32_t *label)
{
    const size_t size = rule_size(form, d);
    for (int first = 0; first < TILE; first += u * LANES) {
        const double *x = tile + first;
        vec best[MANY], index[MANY], f[CLUSTER_GROUP][MANY];
        UNROLLED for (int i = 0; i < u; i++) {
            best[i] = SET(__builtin_inf());
            index[i] = SET(0);
        }
        int k = 0;
        for (; k + group <= n_clusters; k += group) {
            NAME(columns)(form, group, u, d, x, rule + (size_t)k * size, f);
            UNROLLED for (int q = 0; q < group; q++) {
                const vec cluster = SET((double)(k + q));
                UNROLLED for (int i = 0; i < u; i++)
                    KEEP_SMALLER(f[q][i], cluster, best[i], index[i]);
            }
        }
        for (; k < n_clusters; k++) {
            NAME(columns)(form, 1, u, d, x, rule + (size_t)k * size, f);
            const vec cluster = SET((double)k);
            UNROLLED for (int i = 0; i < u; i++)
                KEEP_SMALLER(f[0][i], cluster, best[i], index[i]);
        }
        UNROLLED for (int i = 0; i < u; i++) {
            STORE(cost + first + i * LANES, best[i]);
            STORE_LABELS(label + first + i * LANES, index[i]);
        }
    }
}

#define COLUMNS_BY_DIMENSION(name, form)                                                               \
    static TARGET void NAME(name)(const double *tile, int d, int n_clusters, const double *rule,       \
                                  double *cost, int32_t *label)                                        \
    {                                                                                                  \
        enum { WIDE = REGISTERS == 32 ? 4 : 2 };                                                       \
        switch (d) {                                                                                   \
        case 1: NAME(columns_tile)(form, 1, MANY, 1, tile, n_clusters, rule, cost, label); break;      \
        case 2: NAME(columns_tile)(form, 1, MANY, 2, tile, n_clusters, rule, cost, label); break;      \
        case 3: NAME(columns_tile)(form, 1, MANY, 3, tile, n_clusters, rule, cost, label); break;      \
        case 4: NAME(columns_tile)(form, 1, MANY, 4, tile, n_clusters, rule, cost, label); break;      \
        default:                                                                                       \
            NAME(columns_tile)(form, CLUSTER_GROUP, WIDE, d, tile, n_clusters, rule, cost, label);     \
            break;                                                                                     \
        }                                                                                              \
    }
COLUMNS_BY_DIMENSION(assign_linear, LINEAR)
COLUMNS_BY_DIMENSION(assign_round, ROUND)
COLUMNS_BY_DIMENSION(assign_axes, AXES)
#undef COLUMNS_BY_DIMENSION

static TARGET void NAME(distances)(const double *tile, int d, const double *center, double *squared)
{
    for (int first = 0; first < TILE; first += MANY * LANES) {
        vec sum[MANY];
        UNROLLED for (int i = 0; i < MANY; i++)
            sum[i] = SET(0);
        for (int j = 0; j < d; j++) {
            const vec at = SET(center[j]);
            UNROLLED for (int i = 0; i < MANY; i++) {
                const vec y = SUB(LOAD(tile + j * TILE + first + i * LANES), at);
                sum[i] = FMA(y, y, sum[i]);
            }
        }
        UNROLLED for (int i = 0; i < MANY; i++)
            STORE(squared + first + i * LANES, sum[i]);
    }
}

static TARGET void NAME(transform)(double *tile, int d, const double *matrix)
{
    /* From the last row on, so that a row only reads columns that are still as they were. */
    for (int first = 0; first < TILE; first += MANY * LANES)
        for (int r = d - 1; r >= 0; r--) {
            const double *row = matrix + PACKED(r);
            vec y[MANY];
            UNROLLED for (int i = 0; i < MANY; i++)
                y[i] = SET(0);
            for (int j = 0; j <= r; j++) {
                const vec by = SET(row[j]);
                UNROLLED for (int i = 0; i < MANY; i++)
                    y[i] = FMA(by, LOAD(tile + j * TILE + first + i * LANES), y[i]);
            }
            UNROLLED for (int i = 0; i < MANY; i++)
                STORE(tile + r * TILE + first + i * LANES, y[i]);
        }
}

static TARGET size_t NAME(exercise)(size_t rounds, double *sink)
{
    enum { CHAINS = 12 };
    vec sum[CHAINS], by = SET(0.999999), plus = SET(*sink);
    UNROLLED for (int i = 0; i < CHAINS; i++)
        sum[i] = SET((double)i);
    for (size_t round = 0; round < rounds; round++)
        UNROLLED for (int i = 0; i < CHAINS; i++)
            sum[i] = FMA(sum[i], by, plus);
    _Alignas(ALIGNMENT) double last[LANES];
    UNROLLED for (int i = 0; i < CHAINS; i++) {
        STORE(last, sum[i]);
        *sink += last[0];
    }
    return CHAINS * LANES;
}

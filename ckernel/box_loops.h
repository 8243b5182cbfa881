/* Which clusters can win anywhere in a tile: the loops, once per instruction set. Included by
 * tile_kernels.c after tile_loops.h.
 *
 * Within the box |x - m| <= h around a tile's points, a cost f(x) = c + |A (x - mu)|^2 is
 *     f(m + e) = f(m) + g' e + |A e|^2,   g = 2 A' A (m - mu),   0 <= |A e|^2 <= sum_r (sum_j |A_rj| h_j)^2,
 * so cluster k costs more than cluster l all over the box when
 *     f_k(m) - f_l(m) - sum_j |g_kj - g_lj| h_j - sum_r (sum_j |A_l,rj| h_j)^2 > 0.
 * For l we take the cluster that is cheapest at m. For a LINEAR cost, g is w and the last term is zero.
 */

/* f(m) and g of cluster k at the middles of LANES boxes; and, where half is given, the bound of |A e|^2. */
INLINE TARGET vec NAME(expand)(const enum form form, const int d, const struct box_rule *rule, int k,
                               const vec *middle, const vec *half, vec *gradient, vec *square)
{
    const double *row = rule->rule + (size_t)k * rule_size(form, d);
    vec value = SET(row[0]);
    vec bound = SET(0);
    if (form == LINEAR) {
        for (int j = 0; j < d; j++) {
            gradient[j] = SET(row[1 + j]);
            value = FMA(gradient[j], middle[j], value);
        }
    } else {
        const double *a = rule->precision
            + (size_t)k * spread_size(form == ROUND ? SPHER : form == AXES ? DIAG : FULL, d);
        const double *center = rule->centers + (size_t)k * d;
        for (int j = 0; j < d; j++)
            gradient[j] = SET(0);
        for (int r = 0; r < d; r++) {
            const double *line = form == TRIANGULAR ? a + PACKED(r) : form == AXES ? a + r : a;
            const int first = form == TRIANGULAR ? 0 : r;
            vec y = SET(0), reach = SET(0);
            for (int j = first; j <= r; j++) {
                const vec by = SET(line[j - first]);
                y = FMA(by, SUB(middle[j], SET(center[j])), y);
                if (half)
                    reach = FMA(ABS(by), half[j], reach);
            }
            const vec twice = FMA(y, SET(2), SET(0));
            for (int j = first; j <= r; j++)
                gradient[j] = FMA(SET(line[j - first]), twice, gradient[j]);
            value = FMA(y, y, value);
            bound = FMA(reach, reach, bound);
        }
    }
    if (half)
        *square = bound;
    return value;
}

INLINE TARGET void NAME(candidates_of)(const enum form form, const int d, const struct box_rule *rule,
                                       const double *middle, const double *half, size_t stride, uint64_t *mask)
{
    for (int first = 0; first < TILE; first += LANES) {
        vec m[MAX_BOX_D], h[MAX_BOX_D], gradient[MAX_BOX_D], least_gradient[MAX_BOX_D];
        vec square, least_square = SET(0), least = SET(__builtin_inf());
        for (int j = 0; j < d; j++) {
            m[j] = LOAD_ANY(middle + (size_t)j * stride + first);
            h[j] = LOAD_ANY(half + (size_t)j * stride + first);
            least_gradient[j] = SET(0);
        }
        for (int k = 0; k < rule->n_clusters; k++) {
            const vec value = NAME(expand)(form, d, rule, k, m, h, gradient, &square);
            least_square = SELECT(value, least, square, least_square);
            for (int j = 0; j < d; j++)
                least_gradient[j] = SELECT(value, least, gradient[j], least_gradient[j]);
            least = SELECT(value, least, value, least);
        }
        uint64_t bits[LANES] = {0};
        const vec limit = FMA(least_square, SET(1), least);
        for (int k = 0; k < rule->n_clusters; k++) {
            const vec value = NAME(expand)(form, d, rule, k, m, NULL, gradient, NULL);
            vec lowest = value;
            for (int j = 0; j < d; j++)
                lowest = FMA(SUB(SET(0), h[j]), ABS(SUB(gradient[j], least_gradient[j])), lowest);
            /* What rounding could make of the costs is far below this share of them. */
            lowest = FMA(SET(-1e-11), FMA(SET(1), ABS(value), ABS(least)), SUB(lowest, SET(1e-11)));
            const unsigned pruned = LESS_BITS(limit, lowest);
            UNROLLED for (int i = 0; i < LANES; i++)
                bits[i] |= (uint64_t)(~pruned >> i & 1) << k;
        }
        for (int i = 0; i < LANES; i++)
            mask[first + i] = bits[i];
    }
}

static TARGET void NAME(candidates)(const struct box_rule *rule, const double *middle, const double *half,
                                    size_t stride, uint64_t *mask)
{
#define CANDIDATES_BY_DIMENSION(form)                                                                  \
    switch (rule->d) {                                                                                 \
    case 1: NAME(candidates_of)(form, 1, rule, middle, half, stride, mask); break;                     \
    case 2: NAME(candidates_of)(form, 2, rule, middle, half, stride, mask); break;                     \
    case 3: NAME(candidates_of)(form, 3, rule, middle, half, stride, mask); break;                     \
    default: NAME(candidates_of)(form, rule->d, rule, middle, half, stride, mask); break;              \
    }
    switch (rule->form) {
    case LINEAR: CANDIDATES_BY_DIMENSION(LINEAR); break;
    case ROUND: CANDIDATES_BY_DIMENSION(ROUND); break;
    case AXES: CANDIDATES_BY_DIMENSION(AXES); break;
    default: CANDIDATES_BY_DIMENSION(TRIANGULAR); break;
    }
#undef CANDIDATES_BY_DIMENSION
}

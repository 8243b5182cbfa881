/* Which clusters can win anywhere in a tile: the loops, once per instruction set. Included by
 * tile_kernels.c after tile_loops.h; plain C, which the compiler vectorises over the boxes.
 *
 * Within the box |x - m| <= h around a tile's points, a cost f(x) = c + |A (x - mu)|^2 is
 *     f(m + e) = f(m) + g' e + |A e|^2,   g = 2 A' A (m - mu),   0 <= |A e|^2 <= sum_r (sum_j |A_rj| h_j)^2,
 * so cluster k costs more than cluster l all over the box when
 *     f_k(m) - f_l(m) - sum_j |g_kj - g_lj| h_j - sum_r (sum_j |A_l,rj| h_j)^2 > 0.
 * For l we take the cluster that is cheapest at m. For a LINEAR cost, g is w and the last term is zero.
 */

/* f(m), g and the bound of |A e|^2 of cluster k at each box. */
INLINE TARGET void NAME(expand)(const struct box_rule *rule, int k, const double *middle, const double *half,
                                size_t stride, double value[TILE], double gradient[MAX_BOX_D][TILE],
                                double *square)
{
    const int d = rule->d;
    const double *row = rule->rule + (size_t)k * rule_size(rule->form, d);
    for (int i = 0; i < TILE; i++)
        value[i] = row[0];
    if (rule->form == LINEAR) {
        for (int j = 0; j < d; j++)
            for (int i = 0; i < TILE; i++) {
                value[i] += row[1 + j] * middle[j * stride + i];
                gradient[j][i] = row[1 + j];
            }
        if (square)
            for (int i = 0; i < TILE; i++)
                square[i] = 0;
        return;
    }
    const double *a = rule->precision + (size_t)k * spread_size(rule->shape, d);
    const double *center = rule->centers + (size_t)k * d;
    for (int j = 0; j < d; j++)
        for (int i = 0; i < TILE; i++)
            gradient[j][i] = 0;
    if (square)
        for (int i = 0; i < TILE; i++)
            square[i] = 0;
    for (int r = 0; r < d; r++) {
        const int first = rule->shape == FULL ? 0 : r;
        const double *line = rule->shape == FULL ? a + PACKED(r) : a;
        double y[TILE] = {0}, reach[TILE] = {0};
        for (int j = first; j <= r; j++) {
            const double by = line[rule->shape == SPHER ? 0 : j], at = center[j], size = by < 0 ? -by : by;
            for (int i = 0; i < TILE; i++)
                y[i] += by * (middle[j * stride + i] - at);
            if (square)
                for (int i = 0; i < TILE; i++)
                    reach[i] += size * half[j * stride + i];
        }
        for (int j = first; j <= r; j++) {
            const double twice = 2 * line[rule->shape == SPHER ? 0 : j];
            for (int i = 0; i < TILE; i++)
                gradient[j][i] += twice * y[i];
        }
        for (int i = 0; i < TILE; i++)
            value[i] += y[i] * y[i];
        if (square)
            for (int i = 0; i < TILE; i++)
                square[i] += reach[i] * reach[i];
    }
}

static TARGET void NAME(candidates)(const struct box_rule *rule, const double *middle, const double *half,
                                    size_t stride, uint64_t *mask)
{
    const int d = rule->d;
    double value[TILE], square[TILE], gradient[MAX_BOX_D][TILE];
    double least[TILE], least_square[TILE], least_gradient[MAX_BOX_D][TILE];
    for (int i = 0; i < TILE; i++)
        least[i] = __builtin_inf();
    for (int k = 0; k < rule->n_clusters; k++) {
        NAME(expand)(rule, k, middle, half, stride, value, gradient, square);
        double cheaper[TILE];
        for (int i = 0; i < TILE; i++) {
            cheaper[i] = value[i] < least[i] ? 1 : 0;
            least[i] = value[i] < least[i] ? value[i] : least[i];
            least_square[i] = cheaper[i] != 0 ? square[i] : least_square[i];
        }
        for (int j = 0; j < d; j++)
            for (int i = 0; i < TILE; i++)
                least_gradient[j][i] = cheaper[i] != 0 ? gradient[j][i] : least_gradient[j][i];
    }
    for (int i = 0; i < TILE; i++)
        mask[i] = 0;
    for (int k = 0; k < rule->n_clusters; k++) {
        NAME(expand)(rule, k, middle, half, stride, value, gradient, NULL);
        double margin[TILE];
        for (int i = 0; i < TILE; i++)
            margin[i] = value[i] - least[i] - least_square[i];
        for (int j = 0; j < d; j++)
            for (int i = 0; i < TILE; i++)
                margin[i] -= __builtin_fabs(gradient[j][i] - least_gradient[j][i]) * half[j * stride + i];
        /* What rounding could make of the costs is far below this. An empty cluster's is infinite. */
        const uint64_t bit = (uint64_t)1 << k;
        for (int i = 0; i < TILE; i++) {
            const double slack = 1e-11 * (__builtin_fabs(value[i]) + __builtin_fabs(least[i]) + 1);
            mask[i] |= margin[i] > slack ? 0 : value[i] < __builtin_inf() ? bit : 0;
        }
    }
}

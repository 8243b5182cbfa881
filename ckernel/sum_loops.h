/* Sums over points, once per instruction set. Included by tile_kernels.c after tile_loops.h. */

/* row += by * y, over whole vectors. */
INLINE TARGET void NAME(add_row)(const double *y, size_t doubles, double by, double *row)
{
    const vec scale = SET(by);
    for (size_t j = 0; j < doubles; j += LANES)
        STORE(row + j, FMA(scale, LOAD(y + j), LOAD(row + j)));
}

INLINE TARGET void NAME(add_sums)(double *y, int d, double sign, double *row)
{
    NAME(add_row)(y, PAD8(d + 1), sign, row);
}

INLINE TARGET void NAME(add_square)(double *y, int d, double sign, double *row)
{
    double square = 0;
    for (int j = 1; j <= d; j++)
        square += y[j] * y[j];
    y[d + 1] = square;
    NAME(add_row)(y, PAD8(d + 2), sign, row);
    y[d + 1] = 0;
}

INLINE TARGET void NAME(add_squares)(double *y, int d, double sign, double *row)
{
    const size_t half = PAD8(d + 1);
    const vec scale = SET(sign), zero = SET(0);
    for (size_t j = 0; j < half; j += LANES) {
        const vec own = LOAD(y + j), signed_own = FMA(scale, own, zero);
        STORE(row + j, FMA(scale, own, LOAD(row + j)));
        STORE(row + half + j, FMA(signed_own, own, LOAD(row + half + j)));
    }
}

INLINE TARGET void NAME(add_outer)(double *y, int d, double sign, double *row)
{
    for (int r = 0; r <= d; r++)
        NAME(add_row)(y, PAD8(r + 1), sign * y[r], row + ROW8(r));
}

/* Points i of a tile, from the rows of one cluster to those of another; or, without `from`, only to. */
INLINE TARGET void NAME(move_as)(const enum sums sums, const double *tile, int d, const double *centers,
                                 const struct move *moves, int count, double *rows, size_t row)
{
    _Alignas(ALIGNMENT) double y[PAD8(d + 2)];
    for (size_t j = 0; j < PAD8(d + 2); j++)
        y[j] = 0;
    y[0] = 1;
    for (int m = 0; m < count; m++) {
        const double *x = tile + moves[m].place;
        const double *center = centers ? centers + (size_t)moves[m].center * d : NULL;
        for (int j = 0; j < d; j++)
            y[1 + j] = x[j * TILE] - (center ? center[j] : 0);
        for (int step = moves[m].from < 0; step < 2; step++) {
            double *target = rows + (size_t)(step ? moves[m].to : moves[m].from) * row;
            const double sign = step ? 1 : -1;
            if (sums == SUMS)
                NAME(add_sums)(y, d, sign, target);
            else if (sums == SQUARE)
                NAME(add_square)(y, d, sign, target);
            else if (sums == SQUARES)
                NAME(add_squares)(y, d, sign, target);
            else
                NAME(add_outer)(y, d, sign, target);
        }
    }
}

static TARGET void NAME(move_points)(const double *tile, int d, enum sums sums, const double *centers,
                                     const struct move *moves, int count, double *rows, size_t row)
{
#define MOVE_BY_DIMENSION(sums)                                                                        \
    switch (d) {                                                                                       \
    case 2: NAME(move_as)(sums, tile, 2, centers, moves, count, rows, row); break;                     \
    case 3: NAME(move_as)(sums, tile, 3, centers, moves, count, rows, row); break;                     \
    default: NAME(move_as)(sums, tile, d, centers, moves, count, rows, row); break;                    \
    }
    switch (sums) {
    case SUMS: MOVE_BY_DIMENSION(SUMS); break;
    case SQUARE: MOVE_BY_DIMENSION(SQUARE); break;
    case SQUARES: MOVE_BY_DIMENSION(SQUARES); break;
    default: MOVE_BY_DIMENSION(OUTER); break;
    }
#undef MOVE_BY_DIMENSION
}

/* sum_i x_i y_i over a tile. */
INLINE TARGET double NAME(product)(const double *x, const double *y)
{
    vec sum[MANY];
    UNROLLED for (int m = 0; m < MANY; m++)
        sum[m] = SET(0);
    UNROLLED for (int i = 0; i < TILE; i += MANY * LANES)
        UNROLLED for (int m = 0; m < MANY; m++)
            sum[m] = FMA(LOAD(x + i + m * LANES), LOAD(y + i + m * LANES), sum[m]);
    _Alignas(ALIGNMENT) double lane[MANY * LANES];
    UNROLLED for (int m = 0; m < MANY; m++)
        STORE(lane + m * LANES, sum[m]);
    double total[MANY] = {0};
    UNROLLED for (int i = 0; i < MANY * LANES; i += MANY)
        UNROLLED for (int m = 0; m < MANY; m++)
            total[m] += lane[i + m];
    return (total[0] + total[1]) + (total[2] + total[3]);
}

static TARGET void NAME(squares)(const double *tile, int d, int products, double *sums)
{
    for (int r = 0; r < d; r++)
        for (int c = products ? 0 : r; c <= r; c++)
            sums[products ? PACKED(r) + (size_t)c : (size_t)r] +=
                NAME(product)(tile + r * TILE, tile + c * TILE);
}

static TARGET void NAME(add_tile)(const double *tile, int d, enum sums sums, double *row)
{
    for (int r = 0; r <= d; r++) {
        if (sums == OUTER) {
            for (int c = 0; c <= r; c++)
                row[ROW8(r) + (size_t)c] += NAME(product)(tile + r * TILE, tile + c * TILE);
            continue;
        }
        row[r] += NAME(product)(tile + r * TILE, tile);
        if (sums != SUMS && r > 0)
            row[sums == SQUARE ? (size_t)d + 1 : PAD8(d + 1) + (size_t)r] +=
                NAME(product)(tile + r * TILE, tile + r * TILE);
    }
}

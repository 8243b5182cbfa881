#include "order.h"

#include <stdlib.h>

/* Cells per column between these bounds, in units of the frame, where every column has variance 1. */
static const double RANGE = 2.5;
enum { MAX_BITS = 20, POINTS_PER_CELL = 8 };

struct cells {
    int bits;              /* of a cell's number */
    int levels[MAX_BITS];  /* bits of each of the first columns */
    int columns;           /* that have any */
};

static struct cells choose_cells(size_t n, int d)
{
    struct cells cells = {0};
    while (cells.bits < MAX_BITS && ((size_t)POINTS_PER_CELL << cells.bits) < n)
        cells.bits++;
    for (int bit = 0; bit < cells.bits; bit++)
        cells.levels[bit % (d < MAX_BITS ? d : MAX_BITS)]++;
    cells.columns = d < cells.bits ? d : cells.bits;
    return cells;
}

/* The cell numbers of one tile: the bits of the columns' levels, interleaved, highest first. */
CLONES static void cell_numbers(const struct cells *cells, const double *tile, uint32_t *number)
{
    int32_t level[MAX_BITS][TILE];
    for (int j = 0; j < cells->columns; j++) {
        const double count = (double)(1 << cells->levels[j]), scale = count / (2 * RANGE);
        for (int i = 0; i < TILE; i++) {
            double x = (tile[j * TILE + i] + RANGE) * scale;
            x = x < 0 ? 0 : x;
            x = x > count - 1 ? count - 1 : x;
            level[j][i] = (int32_t)x;
        }
    }
    for (int i = 0; i < TILE; i++)
        number[i] = 0;
    for (int depth = 0; depth < MAX_BITS; depth++)
        for (int j = 0; j < cells->columns && depth < cells->levels[j]; j++)
            for (int i = 0; i < TILE; i++)
                number[i] = number[i] << 1 | (uint32_t)(level[j][i] >> (cells->levels[j] - 1 - depth) & 1);
}

enum status spatial_order(const struct tiles *tiles, uint32_t *rows)
{
    /* A counting sort that computes each cell twice rather than storing it. */
    const struct cells cells = choose_cells(tiles->n, tiles->d);
    uint32_t *begin = calloc(((size_t)1 << cells.bits) + 1, sizeof(uint32_t)), number[TILE];
    if (!begin)
        return OUT_OF_MEMORY;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t t = 0; t < tiles->n_tiles; t++) {
            cell_numbers(&cells, tiles->values + t * (size_t)tiles->d * TILE, number);
            const size_t first = t * TILE;
            const int points = tiles->n - first < TILE ? (int)(tiles->n - first) : TILE;
            for (int i = 0; i < points; i++)
                if (pass == 0)
                    begin[number[i] + 1]++;
                else
                    rows[begin[number[i]]++] = (uint32_t)(first + i);
        }
        if (pass == 0)
            for (size_t cell = 0; cell < (size_t)1 << cells.bits; cell++)
                begin[cell + 1] += begin[cell];
    }
    free(begin);
    return OK;
}

CLONES void tile_boxes(const struct tiles *tiles, double *middle, double *half)
{
    const size_t stride = tiles->n_tiles + TILE;
    for (int j = 0; j < tiles->d; j++) {
        for (size_t t = 0; t < tiles->n_tiles; t++) {
            const double *x = tiles->values + (t * (size_t)tiles->d + (size_t)j) * TILE;
            const int points = tiles->n - t * TILE < TILE ? (int)(tiles->n - t * TILE) : TILE;
            double low = x[0], high = x[0];
            for (int i = 1; i < points; i++) {
                low = x[i] < low ? x[i] : low;
                high = x[i] > high ? x[i] : high;
            }
            middle[j * stride + t] = (low + high) / 2;
            /* A little more, because the middle is rounded. */
            half[j * stride + t] = (high - low) / 2 * (1 + 1e-15) + 1e-300;
        }
        for (size_t t = tiles->n_tiles; t < stride; t++)
            middle[j * stride + t] = half[j * stride + t] = 0;
    }
}

#include "statistics.h"

#include <string.h>

/* sum += sign y y' in the shape of the model. */
static inline void add_square(enum shape shape, int d, const double *y, double sign, double *sum)
{
    if (shape == SPHER) {
        double square = 0;
        for (int j = 0; j < d; j++)
            square += y[j] * y[j];
        sum[0] += sign * square;
    } else if (shape == DIAG) {
        for (int j = 0; j < d; j++)
            sum[j] += sign * y[j] * y[j];
    } else {
        for (int r = 0; r < d; r++) {
            const double by = sign * y[r];
            double *row = sum + PACKED(r);
            for (int c = 0; c <= r; c++)
                row[c] += by * y[c];
        }
    }
}

static inline __attribute__((always_inline)) void add_point(int d, enum shape shape, int tied, double *row,
                                                            const double *tile, int i, double sign)
{
    double x[64];
    row[0] += sign;
    if (d <= 64) {
        for (int j = 0; j < d; j++) {
            x[j] = tile[j * TILE + i];
            row[1 + j] += sign * x[j];
        }
        if (!tied)
            add_square(shape, d, x, sign, row + 1 + d);
        return;
    }
    for (int j = 0; j < d; j++)
        row[1 + j] += sign * tile[j * TILE + i];
    if (tied)
        return;
    double *second = row + 1 + d;
    for (int r = 0; r < d; r++) {
        const double own = tile[r * TILE + i], by = sign * own;
        if (shape == SPHER)
            second[0] += by * own;
        else if (shape == DIAG)
            second[r] += by * own;
        else
            for (int c = 0; c <= r; c++)
                second[PACKED(r) + c] += by * tile[c * TILE + i];
    }
}

void moments_add(const struct moments *layout, double *row, const double *tile, int i, double sign)
{
    const enum shape shape = shape_of(layout->covariance);
    const int tied = is_tied(layout->covariance);
    if (shape == FULL && !tied)
        switch (layout->d) {
        case 2: add_point(2, FULL, 0, row, tile, i, sign); return;
        case 3: add_point(3, FULL, 0, row, tile, i, sign); return;
        default: break;
        }
    add_point(layout->d, shape, tied, row, tile, i, sign);
}

struct summing {
    const struct tiles *tiles;
    const label_t *labels;
    const struct moments *moments;
    int segments;
    double *sums;
};

static void sum_segment(void *context, int segment)
{
    const struct summing *summing = context;
    const struct moments *moments = summing->moments;
    const struct tiles *tiles = summing->tiles;
    const size_t table = (size_t)moments->n_clusters * moments->row;
    double *rows = summing->sums + (size_t)segment * table;
    memset(rows, 0, table * sizeof(double));
    const struct range range = segment_range(tiles->n_tiles, summing->segments, segment);
    for (size_t t = range.begin; t < range.end; t++) {
        const double *tile = tiles->values + t * (size_t)tiles->d * TILE;
        const label_t *labels = summing->labels + t * TILE;
        const int points = tiles->n - t * TILE < TILE ? (int)(tiles->n - t * TILE) : TILE;
        for (int i = 0; i < points; i++)
            moments_add(moments, rows + labels[i] * moments->row, tile, i, 1);
    }
}

void moments_of(const struct tiles *tiles, const label_t *labels, struct team *team, int segments,
                double *sums, struct moments *moments)
{
    struct summing summing = {tiles, labels, moments, segments, sums};
    const size_t table = (size_t)moments->n_clusters * moments->row;
    team_run(team, sum_segment, &summing, segments);
    memcpy(moments->rows, sums, table * sizeof(double));
    for (int s = 1; s < segments; s++)
        for (size_t j = 0; j < table; j++)
            moments->rows[j] += sums[(size_t)s * table + j];
}

void total_scatter(const struct tiles *tiles, enum shape shape, double *total)
{
    const int d = tiles->d;
    memset(total, 0, spread_size(shape, d) * sizeof(double));
    for (size_t t = 0; t < tiles->n_tiles; t++) {
        const double *tile = tiles->values + t * (size_t)d * TILE;
        for (int r = 0; r < d; r++)
            for (int c = shape == FULL ? 0 : r; c <= r; c++) {
                const double *x = tile + r * TILE, *y = tile + c * TILE;
                double lanes[8] = {0};
                for (int i = 0; i < TILE; i += 8)
                    for (int j = 0; j < 8; j++)
                        lanes[j] += x[i + j] * y[i + j];
                total[shape == FULL ? PACKED(r) + c : shape == DIAG ? (size_t)r : 0] +=
                    ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))
                    + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
            }
    }
}

void scatter_from_moments(const struct moments *moments, const double *total, double *scatter)
{
    const int d = moments->d, tied = is_tied(moments->covariance);
    const enum shape shape = shape_of(moments->covariance);
    const size_t size = spread_size(shape, d);
    if (tied)
        memcpy(scatter, total, size * sizeof(double));
    for (int k = 0; k < moments->n_clusters; k++) {
        const double *row = moments->rows + (size_t)k * moments->row;
        double *own = tied ? scatter : scatter + (size_t)k * size;
        if (!tied)
            memcpy(own, row + 1 + d, size * sizeof(double));
        if (row[0] > 0)
            add_square(shape, d, row + 1, -1 / row[0], own);
    }
}

void scatter_about(const struct tiles *tiles, const label_t *labels, enum covariance covariance,
                   int n_clusters, const double *centers, double *point, double *scatter)
{
    const int d = tiles->d, tied = is_tied(covariance);
    const enum shape shape = shape_of(covariance);
    const size_t size = spread_size(shape, d);
    memset(scatter, 0, (tied ? 1 : (size_t)n_clusters) * size * sizeof(double));
    for (size_t i = 0; i < tiles->n; i++) {
        const double *x = tiles->values + (i / TILE) * (size_t)d * TILE + i % TILE;
        const double *center = centers + (size_t)labels[i] * d;
        for (int j = 0; j < d; j++)
            point[j] = x[j * TILE] - center[j];
        add_square(shape, d, point, 1, tied ? scatter : scatter + (size_t)labels[i] * size);
    }
}

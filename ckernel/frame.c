#include "frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "factor.h"

/* A column whose variance beyond the columns before it is below this share of its own has none. */
static const double FLAT = 1e-12;

CLONES int64_t first_beyond(const double *data, size_t n, int d, double limit)
{
    const size_t size = n * (size_t)d;
    /* A comparison with NaN is false; a chunk is searched only when one of them was. */
    for (size_t begin = 0; begin < size; begin += 4096) {
        const size_t end = size - begin < 4096 ? size : begin + 4096;
        int64_t within = 1;
        for (size_t i = begin; i < end; i++)
            within &= fabs(data[i]) <= limit;
        if (within)
            continue;
        for (size_t i = begin; i < end; i++)
            if (!(fabs(data[i]) <= limit))
                return (int64_t)i;
    }
    return -1;
}

CLONES void load_tile(const double *data, const uint32_t *rows, size_t n, int d, size_t tile_index,
               const double *center, double *tile)
{
    const size_t first = tile_index * TILE;
    const int points = n - first < TILE ? (int)(n - first) : TILE;
    if (rows) {
        for (int i = 0; i < points; i++) {
            const double *row = data + rows[first + (size_t)i] * (size_t)d;
            for (int j = 0; j < d; j++)
                tile[j * TILE + i] = row[j] - center[j];
        }
        for (int j = 0; j < d; j++)
            for (int i = points; i < TILE; i++)
                tile[j * TILE + i] = 0;
        return;
    }
    data += first * (size_t)d;
    for (int j = 0; j < d; j++) {
        double *column = tile + j * TILE;
        for (int i = 0; i < points; i++)
            column[i] = data[(size_t)i * d + j] - center[j];
        for (int i = points; i < TILE; i++)
            column[i] = 0;
    }
}

struct total {
    const double *data;
    const uint32_t *rows;
    struct tiles *tiles;
    const struct frame *frame;
    const struct tile_kernels *kernels;
    int segments;
    size_t size;       /* doubles of one segment's sums */
    double *sums;      /* (segments, size) */
};

/* Sums of x - x_0: from the first row, so that a constant column has the mean it should, exactly. */
static void sum_columns(void *context, int segment)
{
    struct total *total = context;
    const struct tiles *tiles = total->tiles;
    const int d = tiles->d;
    double *sum = total->sums + (size_t)segment * total->size;
    memset(sum, 0, (size_t)d * sizeof(double));
    const struct range range = segment_range(tiles->n_tiles, total->segments, segment);
    const size_t end = range.end * TILE < tiles->n ? range.end * TILE : tiles->n;
    for (size_t i = range.begin * TILE; i < end; i++)
        for (int j = 0; j < d; j++)
            sum[j] += total->data[i * (size_t)d + j] - total->data[j];
}

static void center_and_square(void *context, int segment)
{
    struct total *total = context;
    const struct tiles *tiles = total->tiles;
    const int d = tiles->d, full = total->frame->shape == FULL;
    double *second = total->sums + (size_t)segment * total->size;
    memset(second, 0, total->size * sizeof(double));
    const struct range range = segment_range(tiles->n_tiles, total->segments, segment);
    for (size_t t = range.begin; t < range.end; t++) {
        double *tile = tiles->values + t * (size_t)d * TILE;
        load_tile(total->data, NULL, tiles->n, d, t, total->frame->mean, tile);
        total->kernels->squares(tile, d, full, second);
    }
}

static void change_coordinates(void *context, int segment)
{
    struct total *total = context;
    const struct tiles *tiles = total->tiles;
    const struct frame *frame = total->frame;
    const int d = tiles->d;
    const struct range range = segment_range(tiles->n_tiles, total->segments, segment);
    for (size_t t = range.begin; t < range.end; t++) {
        double *tile = tiles->values + t * (size_t)d * TILE;
        if (total->rows)
            load_tile(total->data, total->rows, tiles->n, d, t, frame->mean, tile);
        if (frame->shape == FULL) {
            total->kernels->transform(tile, d, frame->inverse);
            continue;
        }
        for (int j = 0; j < d; j++) {
            const double by = frame->inverse[frame->shape == DIAG ? j : 0];
            for (int i = 0; i < TILE; i++)
                tile[j * TILE + i] *= by;
        }
    }
}

static void reduce(const struct total *total, size_t size, double *result)
{
    memcpy(result, total->sums, size * sizeof(double));
    for (int s = 1; s < total->segments; s++)
        for (size_t j = 0; j < size; j++)
            result[j] += total->sums[(size_t)s * total->size + j];
}

/* L and L^-1 from the total covariance (or its diagonal) in frame->factor. */
static void factor_total(struct frame *frame, const double *second, size_t n)
{
    const int d = frame->d;
    frame->flat_column = 0;
    frame->log_scale = 0;
    if (frame->shape == FULL) {
        for (size_t j = 0; j < PACKED(d); j++)
            frame->factor[j] = second[j] / (double)n;
        /* A flat column keeps its own scale: its coordinate is then (nearly) zero everywhere. */
        double *own = frame->inverse;
        for (int j = 0; j < d; j++)
            own[j] = frame->factor[PACKED(j) + j];
        for (int r = 0; r < d; r++) {
            /* Factor row by row; cholesky() of the leading block would do the same with a guard that
             * replaces the pivot by a tiny one, which would blow the rounding of a flat column up. */
            double *row = frame->factor + PACKED(r);
            for (int c = 0; c < r; c++) {
                double sum = row[c];
                for (int j = 0; j < c; j++)
                    sum -= row[j] * frame->factor[PACKED(c) + j];
                row[c] = sum / frame->factor[PACKED(c) + c];
            }
            double pivot = row[r];
            for (int j = 0; j < r; j++)
                pivot -= row[j] * row[j];
            if (!(pivot > FLAT * own[r])) {
                pivot = own[r] > 0 ? own[r] : 1;
                if (!frame->flat_column)
                    frame->flat_column = r + 1;
            }
            row[r] = sqrt(pivot);
        }
        frame->log_scale = log_determinant(d, frame->factor) / 2;
        invert_lower(d, frame->factor, frame->inverse);
        return;
    }
    double mean_variance = 0;
    for (int j = 0; j < d; j++)
        mean_variance += second[j] / ((double)n * d);
    for (int j = 0; j < d; j++) {
        const double variance = second[j] / (double)n;
        const double scale = frame->shape == SPHER ? mean_variance : variance;
        const int flat = !(scale > 0);
        if (flat && !frame->flat_column)
            frame->flat_column = j + 1;
        const double value = flat ? 1 : sqrt(scale);
        if (frame->shape == DIAG || j == 0) {
            frame->factor[j] = value;
            frame->inverse[j] = 1 / value;
        }
        frame->log_scale += log(value);
    }
}

enum status frame_new(const double *data, enum shape shape, struct team *team,
                      const struct tile_kernels *kernels, struct frame *frame, struct tiles *tiles)
{
    const int d = tiles->d;
    const size_t size = spread_size(shape, d), second_size = shape == FULL ? PACKED(d) : (size_t)d;
    struct total total = {.data = data, .tiles = tiles, .frame = frame, .kernels = kernels,
                          .size = second_size};
    total.segments = count_segments(tiles->n, d, second_size);
    *frame = (struct frame){.shape = shape, .d = d};
    frame->mean = malloc((size_t)d * sizeof(double));
    frame->factor = malloc(size * sizeof(double));
    frame->inverse = malloc(size * sizeof(double));
    total.sums = malloc((size_t)(total.segments + 1) * second_size * sizeof(double));
    if (!frame->mean || !frame->factor || !frame->inverse || !total.sums) {
        free(total.sums);
        return OUT_OF_MEMORY;
    }
    team_run(team, sum_columns, &total, total.segments);
    reduce(&total, (size_t)d, frame->mean);
    for (int j = 0; j < d; j++)
        frame->mean[j] = data[j] + frame->mean[j] / (double)tiles->n;
    team_run(team, center_and_square, &total, total.segments);
    double *second = total.sums + (size_t)total.segments * second_size;
    reduce(&total, second_size, second);
    factor_total(frame, second, tiles->n);
    team_run(team, change_coordinates, &total, total.segments);
    free(total.sums);
    return OK;
}

void frame_reorder(const struct frame *frame, const double *data, const uint32_t *rows, struct team *team,
                   const struct tile_kernels *kernels, struct tiles *tiles)
{
    struct total total = {.data = data, .rows = rows, .tiles = tiles, .frame = frame, .kernels = kernels,
                          .segments = count_segments(tiles->n, tiles->d, 1)};
    team_run(team, change_coordinates, &total, total.segments);
}

void frame_free(struct frame *frame)
{
    free(frame->mean);
    free(frame->factor);
    free(frame->inverse);
}

void frame_point(const struct frame *frame, const double *point, double *x)
{
    const int d = frame->d;
    if (frame->shape == FULL)
        multiply_lower(d, frame->factor, point, x);
    else
        for (int j = 0; j < d; j++)
            x[j] = frame->factor[frame->shape == DIAG ? j : 0] * point[j];
    for (int j = 0; j < d; j++)
        x[j] += frame->mean[j];
}

void frame_spread(const struct frame *frame, const double *spread, double *scratch, double *covariance)
{
    const int d = frame->d;
    if (frame->shape == FULL)
        congruence(d, frame->factor, spread, scratch, covariance);
    else
        for (int j = 0; j < (frame->shape == DIAG ? d : 1); j++)
            covariance[j] = frame->factor[j] * frame->factor[j] * spread[j];
}

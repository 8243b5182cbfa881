#include "labelling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "factor.h"
#include "frame.h"
#include "rule.h"

size_t model_spreads(const struct model *model)
{
    return is_tied(model->covariance) ? 1 : (size_t)model->n_clusters;
}

enum status model_new(struct model *model)
{
    const size_t K = (size_t)model->n_clusters, d = (size_t)model->d;
    const size_t size = spread_size(shape_of(model->covariance), model->d);
    model->weights = calloc(K + K * d + model_spreads(model) * size, sizeof(double));
    if (!model->weights)
        return OUT_OF_MEMORY;
    model->centers = model->weights + K;
    model->parameters = model->centers + K * d;
    return OK;
}

void model_free(struct model *model) { free(model->weights); }

struct labelling {
    const double *data;
    size_t n, n_tiles;
    const struct model *model;
    const struct tile_kernels *kernels;
    int segments;
    double *center;     /* (d) what points are taken relative to */
    double *precision;  /* (K or 1, spread) */
    double *rule;
    double *tiles;      /* (segments, d, TILE) */
    double *sums;       /* (segments) of squared distances */
    size_t *counts;     /* (segments, K) */
    label_t *labels;
    double *squares;
};

static void label_segment(void *context, int segment)
{
    const struct labelling *labelling = context;
    const struct model *model = labelling->model;
    const int d = model->d, K = model->n_clusters, tied = is_tied(model->covariance);
    const enum shape shape = shape_of(model->covariance);
    const enum form form = distance_form(model->covariance);
    const size_t row = rule_size(form, d);
    double *tile = labelling->tiles + (size_t)segment * d * TILE;
    size_t *counts = labelling->counts + (size_t)segment * K;
    _Alignas(ALIGNMENT) double cost[TILE];
    int32_t label[TILE];
    double sum = 0;
    const struct range range = segment_range(labelling->n_tiles, labelling->segments, segment);
    for (size_t t = range.begin; t < range.end; t++) {
        load_tile(labelling->data, NULL, labelling->n, d, t, labelling->center, tile);
        if (tied && shape == FULL)
            labelling->kernels->transform(tile, d, labelling->precision);
        else if (tied)
            for (int j = 0; j < d; j++)
                for (int i = 0; i < TILE; i++)
                    tile[j * TILE + i] *= labelling->precision[shape == DIAG ? j : 0];
        labelling->kernels->assign[form](tile, d, K, labelling->rule, cost, label);
        const int points = labelling->n - t * TILE < TILE ? (int)(labelling->n - t * TILE) : TILE;
        for (int i = 0; i < points; i++) {
            const double square = fmax(0, cost[i] - labelling->rule[(size_t)label[i] * row]);
            labelling->labels[t * TILE + i] = (label_t)label[i];
            counts[label[i]]++;
            sum += square;
            if (labelling->squares)
                labelling->squares[t * TILE + i] = square;
        }
    }
    labelling->sums[segment] = sum;
}

/* Factor each covariance, move the centers to the center of the data, write the rule. */
static void prepare(const struct model *model, double *center, double *precision, double *centers,
                    double *scratch, double *log_det, double *rule)
{
    const int d = model->d, K = model->n_clusters, tied = is_tied(model->covariance);
    const enum shape shape = shape_of(model->covariance);
    const size_t size = spread_size(shape, d);
    memset(center, 0, (size_t)d * sizeof(double));
    for (int k = 0; k < K; k++)
        for (int j = 0; j < d; j++)
            center[j] += model->weights[k] * model->centers[(size_t)k * d + j];
    for (size_t k = 0; k < model_spreads(model); k++) {
        const double *parameters = model->parameters + k * size;
        double *a = precision + k * size;
        log_det[k] = 0;
        if (!tied && !(model->weights[k] > 0)) {
            memset(a, 0, size * sizeof(double));
        } else if (shape == FULL) {
            memcpy(scratch, parameters, size * sizeof(double));
            cholesky(d, 1e-15, scratch);
            invert_lower(d, scratch, a);
            log_det[k] = log_determinant(d, scratch);
        } else {
            for (size_t j = 0; j < size; j++) {
                a[j] = 1 / sqrt(parameters[j]);
                log_det[k] += log(parameters[j]) * (shape == SPHER ? d : 1);
            }
        }
    }
    for (int k = 0; k < K; k++) {
        double *moved = centers + (size_t)k * d;
        for (int j = 0; j < d; j++)
            moved[j] = model->centers[(size_t)k * d + j] - center[j];
        if (tied && shape == FULL)
            multiply_lower(d, precision, moved, moved);
        else if (tied)
            for (int j = 0; j < d; j++)
                moved[j] *= precision[shape == DIAG ? j : 0];
    }
    const struct metric metric = {d, K, model->covariance, model->assignment, model->weights, 1, centers,
                                  precision, log_det};
    rule_for_distance(&metric, scratch, rule);
}

enum status label_points(const double *data, size_t n, const struct model *model, struct team *team,
                         const struct tile_kernels *kernels, label_t *labels, size_t *counts,
                         double *log_det, double *sum_squares, double *squares)
{
    const size_t d = (size_t)model->d, K = (size_t)model->n_clusters;
    const size_t size = spread_size(shape_of(model->covariance), model->d);
    const size_t rule = K * rule_size(distance_form(model->covariance), model->d);
    const int segments = count_segments(n, model->d, d * TILE + K + 1);
    /* The tiles come first, for their alignment. */
    const size_t doubles = (size_t)segments * d * TILE + d + model_spreads(model) * size + K * d
        + (size > d ? size : d) + rule + (size_t)segments;
    double *all = aligned_alloc(ALIGNMENT, (doubles * sizeof(double) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    size_t *segment_counts = calloc((size_t)segments * K, sizeof(size_t));
    if (!all || !segment_counts) {
        free(all);
        free(segment_counts);
        return OUT_OF_MEMORY;
    }
    struct labelling labelling = {.data = data, .n = n, .n_tiles = (n + TILE - 1) / TILE, .model = model,
                                  .kernels = kernels, .segments = segments, .counts = segment_counts,
                                  .labels = labels, .squares = squares};
    labelling.tiles = all;
    labelling.center = labelling.tiles + (size_t)segments * d * TILE;
    labelling.precision = labelling.center + d;
    double *centers = labelling.precision + model_spreads(model) * size;
    double *scratch = centers + K * d;
    labelling.rule = scratch + (size > d ? size : d);
    labelling.sums = labelling.rule + rule;
    prepare(model, labelling.center, labelling.precision, centers, scratch, log_det, labelling.rule);
    team_run(team, label_segment, &labelling, segments);
    *sum_squares = 0;
    memset(counts, 0, K * sizeof(size_t));
    for (int s = 0; s < segments; s++) {
        *sum_squares += labelling.sums[s];
        for (size_t k = 0; k < K; k++)
            counts[k] += segment_counts[(size_t)s * K + k];
    }
    free(all);
    free(segment_counts);
    return OK;
}

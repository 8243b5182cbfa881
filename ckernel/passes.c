#include "passes.h"

#include <math.h>
#include <string.h>

#include "rule.h"

/* Boxes do not pay in a pass in which more than this share of (tile, cluster) pairs is left over; then so
 * many passes are made without them. */
static const double LEFT_OVER = 0.7;
enum { UNBOXED_PASSES = 12 };

/* What the segments of a pass report. */
struct pass {
    struct workspace *workspace;
    int boxed;
    size_t changed[MAX_SEGMENTS];
    size_t evaluated[MAX_SEGMENTS];  /* pairs of tiles and clusters */
    uint64_t hash[MAX_SEGMENTS];
};

/* One segment of it at work. */
struct worker {
    const struct workspace *workspace;
    enum form form;
    double *rows;       /* (K, row) moments, or what is to be added to them */
    double *few_rules;  /* (K, rule_size) */
    size_t changed, evaluated;
    uint64_t hash;
};

/* A partition's hash is the sum of this over the points: a change of one label changes it by a
 * difference, so it costs nothing to keep. */
static uint64_t hash_label(size_t i, label_t label) { return mix64(((uint64_t)i << 16) ^ label); }

static int points_of(const struct tiles *tiles, size_t t)
{
    return tiles->n - t * TILE < TILE ? (int)(tiles->n - t * TILE) : TILE;
}

/* Compare a tile's new labels with the old; the points that moved take their share of the moments along. */
static void relabel(struct worker *worker, size_t t, const int32_t *label)
{
    const struct workspace *workspace = worker->workspace;
    const struct moments *moments = &workspace->moments;
    const double *tile = workspace->tiles.values + t * (size_t)workspace->tiles.d * TILE;
    label_t *labels = workspace->labels + t * TILE;
    int differs = 0;
    for (int i = 0; i < TILE; i++)
        differs |= label[i] ^ labels[i];
    if (!differs)
        return;
    const int points = points_of(&workspace->tiles, t);
    struct move moves[TILE];
    int count = 0;
    for (int i = 0; i < points; i++) {
        if (label[i] == labels[i])
            continue;
        moves[count++] = (struct move){i, labels[i], label[i], 0};
        if (workspace->assignment == MAHALANOBIS)
            worker->hash += hash_label(t * TILE + i, (label_t)label[i]) - hash_label(t * TILE + i, labels[i]);
        labels[i] = (label_t)label[i];
    }
    worker->changed += (size_t)count;
    workspace->kernels->move_points(tile, moments->d, moments->sums, NULL, moves, count, worker->rows,
                                    moments->row);
}

/* Assign a tile's points among all clusters. */
static void assign_tile(struct worker *worker, size_t t)
{
    const struct workspace *workspace = worker->workspace;
    const int d = workspace->tiles.d;
    _Alignas(ALIGNMENT) double cost[TILE];
    int32_t label[TILE];
    workspace->kernels->assign[worker->form](workspace->tiles.values + t * (size_t)d * TILE, d,
                                             workspace->n_clusters, workspace->rule, cost, label);
    worker->evaluated += (size_t)workspace->n_clusters;
    relabel(worker, t, label);
}

/* Assign a tile's points among its candidates, given as the bits of a mask. */
static void assign_among(struct worker *worker, size_t t, uint64_t candidates)
{
    const struct workspace *workspace = worker->workspace;
    const int d = workspace->tiles.d;
    const size_t size = rule_size(worker->form, d);
    _Alignas(ALIGNMENT) double cost[TILE];
    int32_t label[TILE], cluster[64];
    int count = 0;
    for (uint64_t left = candidates; left; left &= left - 1)
        cluster[count++] = __builtin_ctzll(left);
    worker->evaluated += count > 1 ? (size_t)count : 0;
    if (count == 1) {
        if (workspace->uniform[t] == cluster[0])
            return;
        for (int i = 0; i < TILE; i++)
            label[i] = cluster[0];
    } else {
        const double *rule = workspace->rule;
        if (count < workspace->n_clusters) {
            for (int c = 0; c < count; c++)
                memcpy(worker->few_rules + (size_t)c * size, rule + (size_t)cluster[c] * size,
                       size * sizeof(double));
            rule = worker->few_rules;
        }
        workspace->kernels->assign[worker->form](workspace->tiles.values + t * (size_t)d * TILE, d, count,
                                                 rule, cost, label);
        for (int i = 0; i < TILE; i++)
            label[i] = cluster[label[i]];
    }
    relabel(worker, t, label);
    int differs = 0;
    for (int i = 1; i < points_of(&workspace->tiles, t); i++)
        differs |= label[i] ^ label[0];
    workspace->uniform[t] = differs ? MIXED : (label_t)label[0];
}

static void assign_segment(void *context, int segment)
{
    struct pass *pass = context;
    const struct workspace *workspace = pass->workspace;
    const struct estimate *estimate = &workspace->estimate;
    const size_t table = (size_t)workspace->n_clusters * workspace->moments.row;
    const enum form form = fit_form(workspace->covariance);
    const size_t rule = (size_t)workspace->n_clusters * rule_size(form, workspace->tiles.d);
    struct worker worker = {.workspace = workspace, .form = form, .rows = workspace->moments.rows,
                            .few_rules = workspace->few_rules + (size_t)segment * rule};
    if (workspace->segments > 1) {
        worker.rows = workspace->sums + (size_t)segment * table;
        memset(worker.rows, 0, table * sizeof(double));
    }
    const struct range range = segment_range(workspace->tiles.n_tiles, workspace->segments, segment);
    if (!pass->boxed) {
        for (size_t t = range.begin; t < range.end; t++)
            assign_tile(&worker, t);
    } else {
        const struct box_rule box_rule = {form, shape_of(workspace->covariance), workspace->tiles.d,
                                          workspace->n_clusters, workspace->rule, estimate->precision,
                                          estimate->centers};
        uint64_t candidates[TILE];
        for (size_t first = range.begin; first < range.end; first += TILE) {
            workspace->kernels->candidates(&box_rule, workspace->middle + first, workspace->half + first,
                                           workspace->stride, candidates);
            for (size_t t = first; t < range.end && t < first + TILE; t++)
                assign_among(&worker, t, candidates[t - first]);
        }
    }
    pass->changed[segment] = worker.changed;
    pass->evaluated[segment] = worker.evaluated;
    pass->hash[segment] = worker.hash;
}

size_t assign_pass(struct workspace *workspace, uint64_t *hash)
{
    struct pass pass = {.workspace = workspace, .boxed = workspace->boxed && !workspace->passes_unboxed};
    const size_t table = (size_t)workspace->n_clusters * workspace->moments.row;
    if (!pass.boxed && workspace->passes_unboxed && --workspace->passes_unboxed == 0)
        forget_uniform(workspace);
    team_run(workspace->team, assign_segment, &pass, workspace->segments);
    size_t changed = 0, evaluated = 0;
    for (int s = 0; s < workspace->segments; s++) {
        changed += pass.changed[s];
        evaluated += pass.evaluated[s];
        *hash += pass.hash[s];
        if (workspace->segments > 1 && pass.changed[s])
            for (size_t j = 0; j < table; j++)
                workspace->moments.rows[j] += workspace->sums[(size_t)s * table + j];
    }
    const double pairs = (double)workspace->tiles.n_tiles * workspace->n_clusters;
    if (pass.boxed && (double)evaluated > LEFT_OVER * pairs)
        workspace->passes_unboxed = UNBOXED_PASSES;
    return changed;
}

void forget_uniform(struct workspace *workspace)
{
    if (workspace->boxed)
        memset(workspace->uniform, 0xff, workspace->tiles.n_tiles * sizeof(label_t));
}

void sum_moments(struct workspace *workspace)
{
    moments_of(&workspace->tiles, workspace->labels, workspace->team, workspace->kernels, workspace->segments,
               workspace->sums, &workspace->moments);
}

size_t worst_explained(const struct workspace *workspace)
{
    /* A tied rule leaves x' S^-1 x out, so distances are taken from the estimate itself. */
    const struct tiles *tiles = &workspace->tiles;
    const struct estimate *estimate = &workspace->estimate;
    const int d = tiles->d, tied = is_tied(workspace->covariance);
    const enum shape shape = shape_of(workspace->covariance);
    const size_t size = spread_size(shape, d);
    double worst = -HUGE_VAL;
    size_t point = tiles->n;
    for (size_t i = 0; i < tiles->n; i++) {
        const label_t k = workspace->labels[i];
        if (workspace->tried[k])
            continue;
        const double *x = tiles->values + (i / TILE) * (size_t)d * TILE + i % TILE;
        const double *a = estimate->precision + (tied ? 0 : k * size);
        double cost = 0;
        for (int r = 0; r < d; r++) {
            double y = 0;
            for (int c = shape == FULL ? 0 : r; c <= r; c++)
                y += a[shape == FULL ? PACKED(r) + (size_t)c : shape == DIAG ? (size_t)r : 0]
                    * (x[c * TILE] - estimate->centers[(size_t)k * d + c]);
            cost += y * y;
        }
        if (workspace->assignment == LIKELIHOOD)
            cost += estimate->log_det[tied ? 0 : k] - 2 * log(estimate->counts[k]);
        if (cost > worst) {
            worst = cost;
            point = i;
        }
    }
    return point;
}

#include "start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "passes.h"
#include "rule.h"
#include "seeding.h"

enum status workspace_new(struct workspace *workspace, size_t n, int d)
{
    const size_t K = (size_t)workspace->n_clusters;
    const enum covariance covariance = workspace->covariance;
    const size_t row = sums_row(sums_of(covariance), d);
    const size_t rule = K * rule_size(fit_form(covariance), d);
    const size_t scatter = scatter_table(covariance, workspace->n_clusters, d);
    const size_t table = scatter > K * row ? scatter : K * row;
    workspace->segments = count_segments(n, d, table);
    const size_t tables = table * (size_t)workspace->segments + 2 * K * row;
    const size_t n_tiles = (n + TILE - 1) / TILE;
    const size_t few_rules = workspace->boxed ? rule * (size_t)workspace->segments : 0;
    /* The tables come first, for their alignment. */
    const size_t doubles = PAD8(tables + rule + (size_t)d + n_tiles + (size_t)workspace->max_iter + 2
                                + few_rules);
    double *all = aligned_alloc(ALIGNMENT, doubles * sizeof(double));
    if (all)
        memset(all, 0, doubles * sizeof(double));
    workspace->sums = all;
    workspace->labels = calloc(n_tiles * TILE, sizeof(label_t));
    workspace->nearest = calloc(n_tiles * TILE, sizeof(float));
    workspace->kept = (label_t *)workspace->nearest;
    workspace->suspect = workspace->kept + n_tiles * TILE;
    workspace->tried = calloc(K, 1);
    workspace->uniform = calloc(n_tiles, sizeof(label_t));
    workspace->hashes = calloc((size_t)workspace->max_iter + 1, sizeof(uint64_t));
    const enum status status = estimate_new(&workspace->estimate, d, workspace->n_clusters, covariance);
    if (status != OK || !all || !workspace->labels || !workspace->nearest || !workspace->tried
        || !workspace->uniform || !workspace->hashes)
        return OUT_OF_MEMORY;
    workspace->moments = (struct moments){.d = d, .n_clusters = workspace->n_clusters,
                                          .sums = sums_of(covariance), .row = row};
    workspace->kept_moments = workspace->moments;
    workspace->moments.rows = all + table * (size_t)workspace->segments;
    workspace->kept_moments.rows = workspace->moments.rows + K * row;
    workspace->rule = all + tables;
    workspace->scratch = workspace->rule + rule;
    workspace->tile_sums = workspace->scratch + d;
    workspace->trace = workspace->tile_sums + n_tiles;
    workspace->few_rules = workspace->trace + workspace->max_iter + 2;
    return OK;
}

void workspace_free(struct workspace *workspace)
{
    free(workspace->sums);
    free(workspace->labels);
    free(workspace->nearest);
    free(workspace->tried);
    free(workspace->uniform);
    free(workspace->hashes);
    estimate_free(&workspace->estimate);
}

void start_partition(struct workspace *workspace, struct rng *rng)
{
    seed_partition(&workspace->tiles, workspace->n_clusters, rng, workspace->team, workspace->kernels,
                   workspace->segments, workspace->nearest, workspace->tile_sums, workspace->labels);
}

static size_t table_size(const struct workspace *workspace)
{
    return (size_t)workspace->n_clusters * workspace->moments.row;
}

static size_t partition_bytes(const struct workspace *workspace)
{
    return workspace->tiles.n * sizeof(label_t);
}

static double exact_spread(struct workspace *workspace)
{
    struct estimate *estimate = &workspace->estimate;
    scatter_about(&workspace->tiles, workspace->labels, workspace->covariance, workspace->n_clusters,
                  estimate->centers, workspace->team, workspace->kernels, workspace->segments, workspace->sums,
                  estimate->scatter);
    return estimate_spread(estimate, workspace->tiles.n, 1);
}

/* The estimate of the partition at hand, and its CL. */
static double estimate_partition(struct workspace *workspace)
{
    struct estimate *estimate = &workspace->estimate;
    estimate_centers(&workspace->moments, estimate);
    scatter_from_moments(&workspace->moments, workspace->covariance, workspace->total, estimate->scatter);
    const double likelihood = estimate_spread(estimate, workspace->tiles.n, 0);
    if (!isnan(likelihood))
        return likelihood;
    return exact_spread(workspace);
}

double estimate_exactly(struct workspace *workspace)
{
    sum_moments(workspace);
    estimate_centers(&workspace->moments, &workspace->estimate);
    return exact_spread(workspace);
}

static void write_rule(struct workspace *workspace)
{
    const struct estimate *estimate = &workspace->estimate;
    const struct metric metric = {estimate->d, estimate->n_clusters, estimate->covariance,
                                  workspace->assignment, estimate->counts, (double)workspace->tiles.n,
                                  estimate->centers, estimate->precision, estimate->log_det};
    rule_for_fit(&metric, workspace->scratch, workspace->rule);
}

static int first_empty(const struct workspace *workspace)
{
    for (int k = 0; k < workspace->n_clusters; k++)
        if (!(moments_count(&workspace->moments, k) > 0))
            return k;
    return -1;
}

/* Give an empty cluster the worst-explained point for its center, the covariance of that point's
 * cluster and half its weight, and let the points move; the two share their weight evenly meanwhile, so
 * that the smaller one is not emptied again at once. Under `likelihood` this is a trial: it is kept as
 * soon as CL is not below what it was, within TRIAL_PASSES passes, and else undone, so that CL never
 * decreases, and the cluster that was to be split counts as tried. Returns whether it was kept, or -1 when
 * nothing is left to try. */
static int reseed(struct workspace *workspace, int empty, uint64_t *hash)
{
    struct estimate *estimate = &workspace->estimate;
    const size_t d = (size_t)workspace->tiles.d, bytes = partition_bytes(workspace);
    const size_t size = spread_size(shape_of(workspace->covariance), workspace->tiles.d);
    const int guarded = workspace->assignment == LIKELIHOOD;
    const double before = estimate_partition(workspace);
    const uint64_t hash_before = *hash;
    if (guarded) {
        memcpy(workspace->kept, workspace->labels, bytes);
        memcpy(workspace->kept_moments.rows, workspace->moments.rows,
               table_size(workspace) * sizeof(double));
    }
    const size_t i = worst_explained(workspace);
    if (i == workspace->tiles.n)
        return -1;
    const label_t from = workspace->labels[i];
    for (size_t j = 0; j < d; j++)
        estimate->centers[(size_t)empty * d + j] = workspace->tiles.values[((i / TILE) * d + j) * TILE + i % TILE];
    if (!is_tied(workspace->covariance)) {
        memcpy(estimate->precision + (size_t)empty * size, estimate->precision + from * size,
               size * sizeof(double));
        estimate->log_det[empty] = estimate->log_det[from];
    }
    for (int pass = 0; pass < TRIAL_PASSES; pass++) {
        estimate->counts[from] = (estimate->counts[from] + estimate->counts[empty]) / 2;
        estimate->counts[empty] = estimate->counts[from];
        write_rule(workspace);
        const size_t changed = assign_pass(workspace, hash);
        if (!guarded)
            return 1;
        if (!changed || first_empty(workspace) == empty)
            break;
        if (estimate_partition(workspace) >= before)
            return 1;
    }
    memcpy(workspace->labels, workspace->kept, bytes);
    forget_uniform(workspace);
    memcpy(workspace->moments.rows, workspace->kept_moments.rows, table_size(workspace) * sizeof(double));
    *hash = hash_before;
    workspace->tried[from] = 1;
    return 0;
}

/* Watches for a partition that returns (mahalanobis): a repeated hash raises the suspicion, the partition
 * is laid by, and when the same number of steps leads to it again it is proven. */
struct watch {
    int seen;
    int period, since;  /* of the suspected cycle; 0 when there is none */
};

static int cycles(struct workspace *workspace, struct watch *watch, uint64_t hash)
{
    label_t *suspect = workspace->suspect;
    if (watch->period && ++watch->since == watch->period) {
        if (memcmp(suspect, workspace->labels, partition_bytes(workspace)) == 0)
            return 1;
        watch->period = 0;
    }
    for (int t = watch->seen - 1; t >= 0 && !watch->period; t--)
        if (workspace->hashes[t] == hash) {
            watch->period = watch->seen - t;
            watch->since = 0;
            memcpy(suspect, workspace->labels, partition_bytes(workspace));
        }
    workspace->hashes[watch->seen++] = hash;
    return 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

struct start start_run(struct workspace *workspace)
{
    struct start start = {.log_likelihood = -HUGE_VAL};
    struct watch watch = {0};
    const int classic = workspace->assignment == MAHALANOBIS;
    const size_t n = workspace->tiles.n;
    uint64_t hash = 0;
    int reseeds = MAX_RESEEDS;
    size_t moved_since = 0;
    workspace->estimate.has_reference = 0;
    workspace->passes_unboxed = 0;
    memset(workspace->tried, 0, (size_t)workspace->n_clusters);
    forget_uniform(workspace);
    sum_moments(workspace);

    const double began = now();
    double likelihood;
    for (;;) {
        likelihood = estimate_partition(workspace);
        workspace->trace[start.n_trace++] = likelihood;
        if (classic && likelihood > start.log_likelihood) {
            start.log_likelihood = likelihood;
            memcpy(workspace->kept, workspace->labels, partition_bytes(workspace));
        }
        if (start.n_iter == workspace->max_iter)
            break;
        write_rule(workspace);
        const size_t changed = assign_pass(workspace, &hash);
        start.n_iter++;
        int empty = first_empty(workspace), moved = changed > 0;
        while (empty >= 0 && reseeds > 0) {
            const int kept = reseed(workspace, empty, &hash);
            reseeds = kept < 0 ? 0 : reseeds - 1;
            moved |= kept > 0;
            empty = first_empty(workspace);
        }
        if (!moved) {
            start.converged = 1;
            break;
        }
        if (classic && cycles(workspace, &watch, hash))
            break;
        moved_since += changed;
        if (moved_since > MOVES_PER_POINT * n) {
            sum_moments(workspace);
            moved_since = 0;
        }
    }
    start.seconds = now() - began;
    /* A fixed point is the answer of either rule; short of one, the classic rule's best iterate is. */
    if (classic && !start.converged)
        memcpy(workspace->labels, workspace->kept, partition_bytes(workspace));
    else
        start.log_likelihood = likelihood;
    return start;
}

void start_time_passes(struct workspace *workspace, int passes, double *seconds)
{
    uint64_t hash = 0;
    sum_moments(workspace);
    estimate_partition(workspace);
    write_rule(workspace);
    assign_pass(workspace, &hash);
    for (int pass = 0; pass < passes; pass++) {
        const double began = now();
        assign_pass(workspace, &hash);
        seconds[pass] = now() - began;
    }
}

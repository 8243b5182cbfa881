#include "fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "factor.h"
#include "frame.h"
#include "order.h"
#include "start.h"

static const double LOG_2_PI = 1.8378770664093454836;

/* All of a fit: the data in their frame, and the workspace of its starts. */
struct session {
    const struct fit_request *request;
    struct frame frame;
    struct workspace workspace;
    uint32_t *rows;  /* (n) the row that comes i-th in the tiles, or NULL for the order of the data */
};

/* Points are put into a spatial order, and boxes drawn around tiles, where that may pay. */
static int worth_boxes(const struct fit_request *request)
{
    return request->n_clusters > 1 && request->n_clusters <= 64 && request->d <= MAX_BOX_D
        && request->n >= 16 * TILE && request->n <= UINT32_MAX;
}

static void session_close(struct session *session)
{
    workspace_free(&session->workspace);
    frame_free(&session->frame);
    free(session->rows);
    free(session->workspace.tiles.values);
    team_free(session->workspace.team);
}

static enum status session_open(struct session *session, const struct fit_request *request)
{
    struct workspace *workspace = &session->workspace;
    const enum shape shape = shape_of(request->covariance);
    memset(session, 0, sizeof *session);
    session->request = request;
    workspace->n_clusters = request->n_clusters;
    workspace->covariance = request->covariance;
    workspace->assignment = request->assignment;
    workspace->max_iter = request->max_iter;
    workspace->kernels = tile_kernels(request->instruction_set);
    struct tiles *tiles = &workspace->tiles;
    *tiles = (struct tiles){request->n, request->d, (request->n + TILE - 1) / TILE, NULL};
    tiles->values = aligned_alloc(ALIGNMENT, tiles->n_tiles * (size_t)request->d * TILE * sizeof(double));
    if (!tiles->values)
        return OUT_OF_MEMORY;
    workspace->boxed = worth_boxes(request);
    enum status status = workspace_new(workspace, request->n, request->d);
    if (status != OK)
        return status;
    workspace->team = team_new(workspace->segments < request->threads ? workspace->segments
                                                                       : request->threads);
    status = frame_new(request->data, shape, workspace->team, workspace->kernels, &session->frame, tiles);
    if (status == OK && workspace->boxed) {
        session->rows = malloc(request->n * sizeof(uint32_t));
        status = session->rows ? spatial_order(tiles, session->rows) : OUT_OF_MEMORY;
        if (status == OK) {
            frame_reorder(&session->frame, request->data, session->rows, workspace->team, workspace->kernels,
                          tiles);
            tile_boxes(tiles, workspace->middle, workspace->half);
        }
    }
    if (status == OK && is_tied(request->covariance))
        total_scatter(tiles, shape, workspace->kernels, workspace->total);
    return status;
}

/* Begin with the labels that the request gives, or else draw some. */
static void begin(struct session *session, struct rng *rng)
{
    const struct fit_request *request = session->request;
    if (!request->initial_labels)
        start_partition(&session->workspace, rng);
    else
        for (size_t i = 0; i < request->n; i++)
            session->workspace.labels[i] = (label_t)request->initial_labels[session->rows ? session->rows[i] : i];
}

/* Whether cluster a comes before b: the larger first, then the one whose center is lower. */
static int comes_before(const struct model *model, const size_t *counts, int a, int b)
{
    if (counts[a] != counts[b])
        return counts[a] > counts[b];
    for (int j = 0; j < model->d; j++) {
        const double x = model->centers[(size_t)a * model->d + j], y = model->centers[(size_t)b * model->d + j];
        if (x != y)
            return x < y;
    }
    return a < b;
}

/* Insertion sort of the clusters; returns whether any moved. */
static int canonical_order(const struct model *model, const size_t *counts, int *order /* OUT (K) */)
{
    int moved = 0;
    for (int k = 0; k < model->n_clusters; k++) {
        int place = k;
        for (; place > 0 && comes_before(model, counts, k, order[place - 1]); place--, moved = 1)
            order[place] = order[place - 1];
        order[place] = k;
    }
    return moved;
}

static enum status reorder(struct model *model, int *floored, const int *order)
{
    struct model sorted = *model;
    const size_t d = (size_t)model->d, size = spread_size(shape_of(model->covariance), model->d);
    const int K = model->n_clusters;
    int *flags = malloc((size_t)K * sizeof(int));
    if (!flags || model_new(&sorted) != OK) {
        free(flags);
        return OUT_OF_MEMORY;
    }
    for (int k = 0; k < K; k++) {
        sorted.weights[k] = model->weights[order[k]];
        memcpy(sorted.centers + k * d, model->centers + order[k] * d, d * sizeof(double));
        if (!is_tied(model->covariance)) {
            memcpy(sorted.parameters + k * size, model->parameters + order[k] * size, size * sizeof(double));
            flags[k] = floored[order[k]];
        }
    }
    if (is_tied(model->covariance))
        memcpy(sorted.parameters, model->parameters, size * sizeof(double));
    else
        memcpy(floored, flags, (size_t)K * sizeof(int));
    free(flags);
    model_free(model);
    *model = sorted;
    return OK;
}

static void diagnose(const struct session *session, const int *floored, struct fit_result *result)
{
    const struct fit_request *request = session->request;
    const int d = request->d, K = request->n_clusters, tied = is_tied(request->covariance);
    const int full = shape_of(request->covariance) == FULL;
    result->regularized = session->frame.flat_column != 0;
    for (int k = 0; k < (tied ? 1 : K); k++)
        result->regularized |= floored[k] > 0;
    result->diagnosis = SOUND;
    result->culprit = 0;
    if (session->frame.flat_column) {
        result->diagnosis = FLAT_DATA;
        result->culprit = session->frame.flat_column - 1;
        return;
    }
    for (int k = 0; k < K; k++) {
        enum diagnosis found = SOUND;
        if (result->counts[k] == 0)
            found = EMPTY;
        else if (!tied && full && result->counts[k] < (size_t)d + 1)
            found = TOO_FEW;
        else if (!tied && floored[k] == d)
            found = NO_SPREAD;
        if (found != SOUND) {
            result->diagnosis = found;
            result->culprit = k;
            return;
        }
    }
    if (tied && full && request->n < (size_t)K + (size_t)d)
        result->diagnosis = TOO_FEW_ALL;
    else if (tied && floored[0] == d)
        result->diagnosis = NO_SPREAD;
}

/* From the partition in the workspace to a result: the estimate with all its digits, in the coordinates
 * of the data, in canonical order; then one assignment pass, whose labels and CL are the result's. */
static enum status finish(struct session *session, struct fit_result *result)
{
    const struct fit_request *request = session->request;
    struct workspace *workspace = &session->workspace;
    struct estimate *estimate = &workspace->estimate;
    struct model *model = &result->model;
    const int d = request->d, K = request->n_clusters, tied = is_tied(request->covariance);
    const size_t n = request->n, size = spread_size(shape_of(request->covariance), d);
    const size_t spreads = tied ? 1 : (size_t)K;

    estimate_exactly(workspace);

    for (int k = 0; k < K; k++) {
        result->counts[k] = (size_t)estimate->counts[k];
        model->weights[k] = estimate->counts[k] / (double)n;
        frame_point(&session->frame, estimate->centers + (size_t)k * d, model->centers + (size_t)k * d);
    }
    /* The sums of the workspace are free now, but may be smaller than a square: spreads may not. */
    double *square = malloc((size_t)d * (size_t)d * sizeof(double));
    int *order = malloc((size_t)K * sizeof(int));
    double *log_det = malloc(spreads * sizeof(double));
    int *floored = malloc(spreads * sizeof(int));
    enum status status = square && order && log_det && floored ? OK : OUT_OF_MEMORY;
    if (status == OK) {
        for (size_t k = 0; k < spreads; k++)
            frame_spread(&session->frame, estimate->spread + k * size, square, model->parameters + k * size);
        memcpy(floored, estimate->floored, spreads * sizeof(int));
    }
    double squares = 0;
    /* A point that lies between two clusters, to the last bit, may fall to the other one when clusters are
     * renumbered: the order is made again then, but not forever. */
    for (int round = 0; status == OK && round < 4; round++) {
        if (canonical_order(model, result->counts, order))
            status = reorder(model, floored, order);
        else if (round > 0)
            break;
        if (status == OK)
            status = label_points(request->data, n, model, workspace->team, workspace->kernels,
                                  result->labels, result->counts, log_det, &squares, NULL);
    }
    if (status == OK) {
        result->log_likelihood = -0.5 * ((double)n * d * LOG_2_PI + squares);
        for (int k = 0; k < K; k++)
            if (result->counts[k] > 0)
                result->log_likelihood += (double)result->counts[k]
                    * (log(model->weights[k]) - 0.5 * log_det[tied ? 0 : k]);
        diagnose(session, floored, result);
    }
    free(square);
    free(order);
    free(log_det);
    free(floored);
    return status;
}

static enum status result_new(struct fit_result *result, const struct fit_request *request,
                              label_t *labels /* (n) to use, or NULL for its own */)
{
    memset(result, 0, sizeof *result);
    result->model = (struct model){request->d, request->n_clusters, request->covariance,
                                   request->assignment, NULL, NULL, NULL};
    result->labels = labels ? labels : malloc(request->n * sizeof(label_t));
    result->counts = calloc((size_t)request->n_clusters, sizeof(size_t));
    result->trace = calloc((size_t)request->max_iter + 2, sizeof(double));
    if (!result->labels || !result->counts || !result->trace)
        return OUT_OF_MEMORY;
    return model_new(&result->model);
}

void fit_free(struct fit_result *result)
{
    model_free(&result->model);
    free(result->labels);
    free(result->counts);
    free(result->trace);
}

/* Whether a start can still win against the best one. Its CL in the frame and the finished one differ by
 * rounding only, for a start that converged. */
static int may_win(const struct start *start, double shift, const struct fit_result *best)
{
    if (!start->converged || best->diagnosis != SOUND)
        return 1;
    return start->log_likelihood + shift >= best->log_likelihood - 1e-9 * fabs(best->log_likelihood);
}

enum status fit(const struct fit_request *request, struct fit_result *result)
{
    struct session session;
    struct fit_result other;
    enum status status = session_open(&session, request);
    if (status == OK)
        status = result_new(result, request, NULL);
    else
        memset(result, 0, sizeof *result);
    /* A later candidate's labels live in the workspace until it wins. */
    const enum status other_status = result_new(&other, request, session.workspace.kept);
    if (status == OK)
        status = other_status;
    if (!request->initial_labels) {
        free(session.rows);  /* four bytes a row that no later step needs */
        session.rows = NULL;
    }
    const double shift = -(double)request->n * session.frame.log_scale;

    for (int i = 0; status == OK && i < request->n_init; i++) {
        struct rng rng;
        rng_init(&rng, request->key, request->first_start + (uint64_t)i);
        begin(&session, &rng);
        const struct start start = start_run(&session.workspace);
        if (i > 0 && !may_win(&start, shift, result))
            continue;
        struct fit_result *candidate = i == 0 ? result : &other;
        status = finish(&session, candidate);
        candidate->start = request->first_start + (uint64_t)i;
        candidate->n_iter = start.n_iter;
        candidate->converged = start.converged;
        candidate->n_trace = start.n_trace;
        for (int t = 0; t < start.n_trace; t++)
            candidate->trace[t] = session.workspace.trace[t] + shift;
        /* A sound start beats a degenerate one; then the higher CL does; then the earlier start. */
        const int sound = candidate->diagnosis == SOUND, best_sound = result->diagnosis == SOUND;
        if (i > 0 && (sound > best_sound
                      || (sound == best_sound && candidate->log_likelihood > result->log_likelihood))) {
            struct fit_result loser = *result;
            *result = other;
            result->labels = loser.labels;
            memcpy(result->labels, other.labels, request->n * sizeof(label_t));
            loser.labels = other.labels;
            other = loser;
        }
    }
    other.labels = NULL;
    fit_free(&other);
    session_close(&session);
    return status;
}

enum status first_partition(const struct fit_request *request, int32_t *labels)
{
    struct session session;
    enum status status = session_open(&session, request);
    if (status == OK) {
        struct rng rng;
        rng_init(&rng, request->key, request->first_start);
        begin(&session, &rng);
        for (size_t i = 0; i < request->n; i++)
            labels[session.rows ? session.rows[i] : i] = session.workspace.labels[i];
    }
    session_close(&session);
    return status;
}

enum status time_passes(const struct fit_request *request, int passes, double *seconds)
{
    struct session session;
    enum status status = session_open(&session, request);
    if (status == OK) {
        struct rng rng;
        rng_init(&rng, request->key, request->first_start);
        begin(&session, &rng);
        start_run(&session.workspace);
        start_time_passes(&session.workspace, passes, seconds);
    }
    session_close(&session);
    return status;
}

enum status score_labels(const struct fit_request *request, double *log_likelihood)
{
    struct session session;
    enum status status = session_open(&session, request);
    if (status == OK) {
        struct workspace *workspace = &session.workspace;
        begin(&session, NULL);
        *log_likelihood = estimate_exactly(workspace)
            - (double)request->n * session.frame.log_scale;
    }
    session_close(&session);
    return status;
}

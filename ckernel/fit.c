#include "fit.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

static const double LOG_2_PI = 1.8378770664093454836;

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
 * of the data, in canonical order; then one assignment pass, whose counts and CL are the result's. */
static enum status finish(const struct session *session, struct workspace *workspace,
                          struct fit_result *result)
{
    const struct fit_request *request = session->request;
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
                                  workspace->kept, result->counts, log_det, &squares, NULL);
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

static enum status result_new(struct fit_result *result, const struct fit_request *request)
{
    memset(result, 0, sizeof *result);
    result->model = (struct model){request->d, request->n_clusters, request->covariance,
                                   request->assignment, NULL, NULL, NULL};
    result->counts = calloc((size_t)request->n_clusters, sizeof(size_t));
    result->trace = calloc((size_t)request->max_iter + 2, sizeof(double));
    if (!result->counts || !result->trace)
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

/* A sound start beats a degenerate one; then the higher CL does; then the earlier start. */
static int beats(const struct fit_result *one, const struct fit_result *other)
{
    const int sound = one->diagnosis == SOUND, other_sound = other->diagnosis == SOUND;
    if (sound != other_sound)
        return sound;
    if (one->log_likelihood != other->log_likelihood)
        return one->log_likelihood > other->log_likelihood;
    return one->start < other->start;
}

/* One of the starts that run at the same time, and the next, until none is left. */
struct lane {
    const struct session *session;
    struct workspace *workspace;
    atomic_int *next;
    enum status status;
    struct fit_result best;
};

static void *run_starts(void *argument)
{
    struct lane *lane = argument;
    struct workspace *workspace = lane->workspace;
    const struct fit_request *request = lane->session->request;
    const double shift = -(double)request->n * lane->session->frame.log_scale;
    struct fit_result other;
    int has_best = 0;
    lane->status = result_new(&lane->best, request);
    const enum status other_status = result_new(&other, request);
    if (lane->status == OK)
        lane->status = other_status;
    for (int i; lane->status == OK && (i = atomic_fetch_add(lane->next, 1)) < request->n_init;) {
        begin(lane->session, workspace, request->first_start + (uint64_t)i);
        const struct start start = start_run(workspace);
        if (has_best && !may_win(&start, shift, &lane->best))
            continue;
        struct fit_result *candidate = has_best ? &other : &lane->best;
        lane->status = finish(lane->session, workspace, candidate);
        candidate->start = request->first_start + (uint64_t)i;
        candidate->n_iter = start.n_iter;
        candidate->seconds = start.seconds;
        candidate->converged = start.converged;
        candidate->n_trace = start.n_trace;
        for (int t = 0; t < start.n_trace; t++)
            candidate->trace[t] = workspace->trace[t] + shift;
        if (has_best && beats(candidate, &lane->best)) {
            struct fit_result loser = lane->best;
            lane->best = other;
            other = loser;
        }
        has_best = 1;
    }
    /* A lane that came too late for any start must not win. */
    if (!has_best) {
        lane->best.diagnosis = EMPTY;
        lane->best.log_likelihood = -HUGE_VAL;
        lane->best.start = UINT64_MAX;
    }
    fit_free(&other);
    return NULL;
}

/* The labels of the winner, which no start keeps: they follow from its model. */
static enum status label_result(const struct fit_request *request, struct fit_result *result)
{
    const size_t spreads = model_spreads(&result->model);
    double *log_det = malloc(spreads * sizeof(double)), squares;
    result->labels = malloc(request->n * sizeof(label_t));
    enum status status = OUT_OF_MEMORY;
    if (log_det && result->labels) {
        struct team *team = team_new(request->n >= MANY_POINTS ? request->threads : 1);
        status = label_points(request->data, request->n, &result->model, team,
                              tile_kernels(request->instruction_set), result->labels, result->counts, log_det,
                              &squares, NULL);
        team_free(team);
    }
    free(log_det);
    return status;
}

enum status fit(const struct fit_request *request, struct fit_result *result)
{
    struct session session;
    enum status status = session_open(&session, request);
    struct lane *lanes = calloc((size_t)session.lanes + 1, sizeof(struct lane));
    pthread_t *threads = calloc((size_t)session.lanes + 1, sizeof(pthread_t));
    memset(result, 0, sizeof *result);
    if (status == OK && (!lanes || !threads))
        status = OUT_OF_MEMORY;
    if (status == OK) {
        atomic_int next = 0;
        int running = 1;
        for (int lane = 0; lane < session.lanes; lane++)
            lanes[lane] = (struct lane){.session = &session, .workspace = &session.workspaces[lane],
                                        .next = &next};
        /* A thread that cannot be had leaves its starts to the others. */
        while (running < session.lanes
               && pthread_create(&threads[running], NULL, run_starts, &lanes[running]) == 0)
            running++;
        run_starts(&lanes[0]);
        for (int lane = 1; lane < running; lane++)
            pthread_join(threads[lane], NULL);
        int best = 0;
        for (int lane = 0; lane < running; lane++) {
            status = lanes[lane].status != OK ? lanes[lane].status : status;
            best = beats(&lanes[lane].best, &lanes[best].best) ? lane : best;
        }
        *result = lanes[best].best;
        for (int lane = 0; lane < running; lane++)
            if (lane != best)
                fit_free(&lanes[lane].best);
    }
    free(lanes);
    free(threads);
    session_close(&session);
    return status == OK ? label_result(request, result) : status;
}

enum status first_partition(const struct fit_request *request, int32_t *labels)
{
    struct session session;
    struct fit_request with_rows = *request;
    with_rows.keep_rows = 1;
    enum status status = session_open(&session, &with_rows);
    if (status == OK) {
        begin(&session, session.workspaces, request->first_start);
        for (size_t i = 0; i < request->n; i++)
            labels[session.rows ? session.rows[i] : i] = session.workspaces->labels[i];
    }
    session_close(&session);
    return status;
}

enum status time_passes(const struct fit_request *request, int passes, double *seconds)
{
    struct session session;
    enum status status = session_open(&session, request);
    if (status == OK) {
        begin(&session, session.workspaces, request->first_start);
        start_run(session.workspaces);
        start_time_passes(session.workspaces, passes, seconds);
    }
    session_close(&session);
    return status;
}

enum status score_labels(const struct fit_request *request, double *log_likelihood)
{
    struct session session;
    enum status status = session_open(&session, request);
    if (status == OK) {
        begin(&session, session.workspaces, 0);
        *log_likelihood = estimate_exactly(session.workspaces)
            - (double)request->n * session.frame.log_scale;
    }
    session_close(&session);
    return status;
}

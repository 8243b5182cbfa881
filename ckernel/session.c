#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "order.h"

/* Points are put into a spatial order, and boxes drawn around tiles, where that may pay. */
static int worth_boxes(const struct fit_request *request)
{
    return !request->plain && request->n_clusters > 1 && request->n_clusters <= 64
        && request->d <= MAX_BOX_D && request->n >= 16 * TILE && request->n <= UINT32_MAX;
}

/* How many starts run at the same time: threads serve starts better than they serve parts of one, but each
 * start has labels and distances of its own, 6 bytes a point, and with all of them a fit shall not take
 * more than twice the data. Small data may. */
static int count_lanes(const struct fit_request *request)
{
    const int small = request->n * (size_t)request->d <= (size_t)1 << 18;
    const int affordable = small ? request->threads : request->d;
    int lanes = request->threads < request->n_init ? request->threads : request->n_init;
    lanes = lanes < affordable ? lanes : affordable;
    return lanes < 1 ? 1 : lanes;
}

void session_close(struct session *session)
{
    for (int lane = 0; session->workspaces && lane < session->lanes; lane++) {
        team_free(session->workspaces[lane].team);
        workspace_free(&session->workspaces[lane]);
    }
    free(session->workspaces);
    frame_free(&session->frame);
    free(session->rows);
    free(session->total);
    free(session->tiles.values);
}

/* The points' coordinates in the frame, and what is known of them before any start. */
static enum status place_points(struct session *session, struct team *team,
                                const struct tile_kernels *kernels, int boxed)
{
    const struct fit_request *request = session->request;
    const enum shape shape = shape_of(request->covariance);
    struct tiles *tiles = &session->tiles;
    const size_t spread = spread_size(shape, request->d);
    const size_t boxes = boxed ? (tiles->n_tiles + TILE) * (size_t)request->d : 0;
    tiles->values = aligned_alloc(ALIGNMENT, tiles->n_tiles * (size_t)request->d * TILE * sizeof(double));
    session->total = malloc((spread + 2 * boxes) * sizeof(double));
    if (!tiles->values || !session->total)
        return OUT_OF_MEMORY;
    session->middle = session->total + spread;
    session->half = session->middle + boxes;
    enum status status = frame_new(request->data, shape, team, kernels, &session->frame, tiles);
    if (status == OK && boxed) {
        session->rows = malloc(request->n * sizeof(uint32_t));
        status = session->rows ? spatial_order(tiles, session->rows) : OUT_OF_MEMORY;
        if (status == OK) {
            frame_reorder(&session->frame, request->data, session->rows, team, kernels, tiles);
            tile_boxes(tiles, session->middle, session->half);
        }
    }
    if (status == OK && is_tied(request->covariance))
        total_scatter(tiles, shape, kernels, session->total);
    if (!request->initial_labels && !request->keep_rows) {
        free(session->rows);  /* four bytes a row that no later step needs */
        session->rows = NULL;
    }
    return status;
}

enum status session_open(struct session *session, const struct fit_request *request)
{
    const struct tile_kernels *kernels = tile_kernels(request->instruction_set);
    const int boxed = worth_boxes(request);
    memset(session, 0, sizeof *session);
    session->request = request;
    session->tiles = (struct tiles){request->n, request->d, (request->n + TILE - 1) / TILE, NULL};
    struct team *team = team_new(request->n >= MANY_POINTS ? request->threads : 1);
    enum status status = place_points(session, team, kernels, boxed);
    team_free(team);
    session->lanes = count_lanes(request);
    session->workspaces = calloc((size_t)session->lanes, sizeof(struct workspace));
    if (!session->workspaces)
        return OUT_OF_MEMORY;
    for (int lane = 0; status == OK && lane < session->lanes; lane++) {
        struct workspace *workspace = &session->workspaces[lane];
        *workspace = (struct workspace){.tiles = session->tiles, .n_clusters = request->n_clusters,
                                        .max_iter = request->max_iter, .covariance = request->covariance,
                                        .assignment = request->assignment, .kernels = kernels,
                                        .boxed = boxed, .stride = session->tiles.n_tiles + TILE,
                                        .middle = session->middle, .half = session->half,
                                        .total = session->total};
        status = workspace_new(workspace, request->n, request->d);
        const int threads = request->threads / session->lanes;
        workspace->team = team_new(workspace->segments < threads ? workspace->segments : threads);
    }
    return status;
}

void begin(const struct session *session, struct workspace *workspace, uint64_t start)
{
    const struct fit_request *request = session->request;
    if (request->initial_labels) {
        for (size_t i = 0; i < request->n; i++)
            workspace->labels[i] = (label_t)request->initial_labels[session->rows ? session->rows[i] : i];
        return;
    }
    struct rng rng;
    rng_init(&rng, request->key, start);
    start_partition(workspace, &rng);
}

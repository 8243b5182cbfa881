/* What all starts of a fit share: the data in their frame, boxes around tiles, a workspace for each start
 * that runs at the same time. */
#ifndef CKERNEL_SESSION_H
#define CKERNEL_SESSION_H

#include "fit.h"
#include "frame.h"
#include "start.h"

/* Fewer points are placed by one thread sooner than a second one is there. */
enum { MANY_POINTS = 20000 };

struct session {
    const struct fit_request *request;
    struct frame frame;
    struct tiles tiles;
    double *total, *middle, *half;
    uint32_t *rows;  /* (n) the row that comes i-th in the tiles, or NULL for the order of the data */
    int lanes;
    struct workspace *workspaces;  /* (lanes) */
};

/* Place the points and make the workspaces. To be closed whatever comes back. */
enum status session_open(struct session *session /* OUT */, const struct fit_request *request /* IN, kept */);
void session_close(struct session *session);

/* Begin with the labels that the request gives, or else draw some, into workspace->labels. */
void begin(const struct session *session, struct workspace *workspace /* INOUT */, uint64_t start);

#endif

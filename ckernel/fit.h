/* A fit: the best of several starts. The face of the kernel towards Python. */
#ifndef CKERNEL_FIT_H
#define CKERNEL_FIT_H

#include "kernel.h"
#include "labelling.h"

struct fit_request {
    const double *data;             /* (n, d), finite */
    size_t n;
    int d, n_clusters;
    enum covariance covariance;
    enum assignment assignment;
    int n_init, max_iter, threads, instruction_set;
    uint64_t first_start;
    uint64_t key[2];                /* of the random streams */
    const int32_t *initial_labels;  /* (n) the partition that the one start begins with, or NULL */
    int plain;                      /* take the data in their order, without boxes: to measure, to test */
    int keep_rows;                  /* keep the spatial order for later */
};

/* Why a fit is degenerate. */
enum diagnosis {
    SOUND = 0,
    FLAT_DATA,    /* a column, or all of them, has no spread in the whole data */
    EMPTY,        /* a cluster ended without members */
    TOO_FEW,      /* a cluster ended with fewer than d + 1 members, full-untied */
    TOO_FEW_ALL,  /* fewer than K + d points, full-tied */
    NO_SPREAD     /* a cluster's (or, tied, all clusters') members coincide */
};

struct fit_result {
    struct model model;
    label_t *labels;        /* (n) */
    size_t *counts;         /* (K) */
    double *trace;          /* (n_trace) CL after each estimate */
    int n_trace;
    double log_likelihood;
    double seconds;         /* of the winning start's iterations */
    uint64_t start;
    int n_iter, converged, regularized;
    enum diagnosis diagnosis;
    int culprit;            /* the cluster (or, for FLAT_DATA, the column) that it is about */
};

/* `result` is filled when OK is returned; fit_free it in any case. */
enum status fit(const struct fit_request *request, struct fit_result *result /* OUT */);
void fit_free(struct fit_result *result);

/* The k-means++ partition that one start of a fit begins with. */
enum status first_partition(const struct fit_request *request, int32_t *labels /* OUT (n) */);

/* Seconds of assignment passes alone, for benchmarks: after one start of at most max_iter iterations. */
enum status time_passes(const struct fit_request *request, int passes, double *seconds /* OUT (passes) */);

/* CL of given labels (0 .. K-1, each with members) under the model that maximises it. */
enum status score_labels(const struct fit_request *request, double *log_likelihood /* OUT (1) */);

#endif

# cython: boundscheck=False, wraparound=False, initializedcheck=False
# The thin wrapper of the C files: converts and checks shapes, frees the GIL, copies results out.
# Arguments are validated by fitting.py, whose messages people read.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t

import numpy as np

cimport numpy as cnp

cnp.import_array()


cdef extern from "kernel.h" nogil:
    ctypedef uint16_t label_t
    enum status:
        OK
        OUT_OF_MEMORY

cdef extern from "team.h" nogil:
    struct team:
        pass
    team *team_new(int threads)
    void team_free(team *team)

cdef extern from "tile_kernels.h" nogil:
    struct tile_kernels_t "tile_kernels":
        const char *name
        size_t (*exercise)(size_t rounds, double *sink) noexcept nogil
    const tile_kernels_t *tile_kernels(int instruction_set)

cdef extern from "frame.h" nogil:
    int64_t first_beyond(const double *data, size_t n, int d, double limit)

cdef extern from "labelling.h" nogil:
    struct model:
        int d, n_clusters
        int covariance, assignment  # enums in C
        double *weights
        double *centers
        double *parameters
    size_t model_spreads(const model *model)
    status model_new(model *model)
    void model_free(model *model)
    status label_points(
        const double *data, size_t n, const model *model, team *team, const tile_kernels_t *kernels,
        label_t *labels, size_t *counts, double *log_det, double *sum_squares, double *squares)

cdef extern from "fit.h" nogil:
    struct fit_request:
        const double *data
        size_t n
        int d, n_clusters
        int covariance, assignment  # enums in C
        int n_init, max_iter, threads, instruction_set
        uint64_t first_start
        uint64_t key[2]
        const int32_t *initial_labels
        int plain, keep_rows
    struct fit_result:
        model model
        label_t *labels
        size_t *counts
        double *trace
        int n_trace
        double log_likelihood, seconds
        uint64_t start
        int n_iter, converged, regularized
        int diagnosis, culprit  # the first an enum in C
    status fit(const fit_request *request, fit_result *result)
    void fit_free(fit_result *result)
    status first_partition(const fit_request *request, int32_t *labels)
    status time_passes(const fit_request *request, int passes, double *seconds)
    status score_labels(const fit_request *request, double *log_likelihood)


cdef inline size_t packed(size_t r) noexcept nogil:
    return r * (r + 1) // 2


cdef inline void copy_doubles(const double *source, double[::1] target) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(target.shape[0]):
        target[i] = source[i]


cdef inline void copy_labels(const label_t *source, int32_t[::1] target) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(target.shape[0]):
        target[i] = source[i]


cdef parameters_out(const model *source):
    """The compact covariance parameters as DESIGN shapes them: (1,), (K,), (d,), (K, d), (d, d), (K, d, d)."""
    cdef size_t spreads = model_spreads(source), d = source.d, k, r, c
    cdef int shape = source.covariance // 2
    cdef double[:, ::1] axes
    cdef double[:, :, ::1] full
    if shape == 2:
        result = np.empty((spreads, d, d))
        full = result
        for k in range(spreads):
            for r in range(d):
                for c in range(r + 1):
                    full[k, r, c] = full[k, c, r] = source.parameters[k * packed(d) + packed(r) + c]
    else:
        result = np.empty((spreads, d if shape == 1 else 1))
        axes = result
        for k in range(spreads):
            for c in range(<size_t>axes.shape[1]):
                axes[k, c] = source.parameters[k * <size_t>axes.shape[1] + c]
        if shape == 0:
            result = result[:, 0]
    return result[0] if source.covariance % 2 == 0 and shape > 0 else result


cdef fill_request(fit_request *request, const double[:, ::1] data, int n_clusters, int covariance):
    request.data = &data[0, 0]
    request.n = data.shape[0]
    request.d = <int>data.shape[1]
    request.n_clusters = n_clusters
    request.covariance = covariance
    request.assignment = 0
    request.n_init = 1
    request.max_iter = 1
    request.threads = 1
    request.instruction_set = -1
    request.first_start = 0
    request.key[0] = request.key[1] = 0
    request.initial_labels = NULL
    request.plain = request.keep_rows = 0


def fit_starts(const double[:, ::1] data, int n_clusters, int covariance, int assignment, int n_init,
               int max_iter, const uint64_t[::1] key, int threads, uint64_t first_start,
               const int32_t[::1] initial_labels, int instruction_set, bint plain):
    """Run the starts and return the best one's numbers as a dict."""
    cdef fit_request request
    cdef fit_result result
    cdef status outcome
    cdef size_t i, n = data.shape[0], K = n_clusters, d = data.shape[1]
    fill_request(&request, data, n_clusters, covariance)
    request.assignment = assignment
    request.n_init = n_init
    request.max_iter = max_iter
    request.threads = threads
    request.instruction_set = instruction_set
    request.plain = plain
    request.first_start = first_start
    request.key[0] = key[0]
    request.key[1] = key[1]
    if initial_labels is not None:
        request.initial_labels = &initial_labels[0]
    with nogil:
        outcome = fit(&request, &result)
    try:
        if outcome != OK:
            raise MemoryError("there is not enough memory for this fit")
        labels = np.empty(n, dtype=np.int32)
        copy_labels(result.labels, labels)
        counts = np.empty(K, dtype=np.int64)
        weights = np.empty(K)
        centers = np.empty((K, d))
        trace = np.empty(result.n_trace)
        for i in range(K):
            counts[i] = result.counts[i]
            weights[i] = result.model.weights[i]
        copy_doubles(result.model.centers, centers.reshape(-1))
        copy_doubles(result.trace, trace)
        return {
            "labels": labels,
            "counts": counts,
            "weights": weights,
            "centers": centers,
            "parameters": parameters_out(&result.model),
            "trace": trace,
            "log_likelihood": result.log_likelihood,
            "seconds": result.seconds,
            "start": result.start,
            "n_iter": result.n_iter,
            "converged": bool(result.converged),
            "regularized": bool(result.regularized),
            "diagnosis": result.diagnosis,
            "culprit": result.culprit,
        }
    finally:
        fit_free(&result)


def first_labels(const double[:, ::1] data, int n_clusters, int covariance, const uint64_t[::1] key,
                 uint64_t start):
    """Labels (n,) of the k-means++ partition that one start begins with."""
    cdef fit_request request
    cdef status outcome
    labels = np.empty(data.shape[0], dtype=np.int32)
    cdef int32_t[::1] view = labels
    fill_request(&request, data, n_clusters, covariance)
    request.key[0] = key[0]
    request.key[1] = key[1]
    request.first_start = start
    with nogil:
        outcome = first_partition(&request, &view[0])
    if outcome != OK:
        raise MemoryError("there is not enough memory to seed the clusters")
    return labels


def score_partition(const double[:, ::1] data, const int32_t[::1] labels, int n_clusters, int covariance):
    """CL of a partition under the model that maximises it."""
    cdef fit_request request
    cdef status outcome
    cdef double log_likelihood
    fill_request(&request, data, n_clusters, covariance)
    request.initial_labels = &labels[0]
    with nogil:
        outcome = score_labels(&request, &log_likelihood)
    if outcome != OK:
        raise MemoryError("there is not enough memory to score the labels")
    return log_likelihood


def label_rows(const double[:, ::1] data, int covariance, int assignment, const double[::1] weights,
               const double[:, ::1] centers, const double[:, :, ::1] parameters, int threads,
               int instruction_set, bint with_squares):
    """Labels (n,) of rows under a model whose parameters come as (K or 1, 1, 1 or d) or (K or 1, d, d),
    and their squared distances (n,), or None."""
    cdef model stored
    cdef size_t n = data.shape[0], K = centers.shape[0], d = centers.shape[1], k, r, c
    cdef size_t spreads = parameters.shape[0], size
    stored.d = <int>d
    stored.n_clusters = <int>K
    stored.covariance = covariance
    stored.assignment = assignment
    if model_new(&stored) != OK:
        raise MemoryError("there is not enough memory for the model")
    try:
        for k in range(K):
            stored.weights[k] = weights[k]
            for c in range(d):
                stored.centers[k * d + c] = centers[k, c]
        size = packed(d) if covariance // 2 == 2 else <size_t>parameters.shape[2]
        for k in range(spreads):
            for r in range(<size_t>parameters.shape[1]):
                for c in range(r + 1 if covariance // 2 == 2 else size):
                    stored.parameters[k * size + packed(r) + c] = parameters[k, r, c]
        small = np.empty(n, dtype=np.uint16)
        counts = np.empty(K, dtype=np.uintp)
        log_det = np.empty(spreads)
        squares = np.empty(n if with_squares else 0)
        label_memory(small, counts, log_det, squares, data, &stored, threads, instruction_set)
    finally:
        model_free(&stored)
    return small.astype(np.int32), squares if with_squares else None


cdef int label_memory(uint16_t[::1] labels, size_t[::1] counts, double[::1] log_det, double[::1] squares,
                      const double[:, ::1] data, const model *stored, int threads,
                      int instruction_set) except -1:
    cdef status outcome
    cdef double sum_squares
    cdef team *helpers
    if data.shape[0] == 0:
        return 0
    with nogil:
        helpers = team_new(threads)
        outcome = label_points(&data[0, 0], data.shape[0], stored, helpers, tile_kernels(instruction_set),
                               &labels[0], &counts[0], &log_det[0], &sum_squares,
                               &squares[0] if squares.shape[0] else NULL)
        team_free(helpers)
    if outcome != OK:
        raise MemoryError("there is not enough memory to label these rows")
    return 0


def assignment_seconds(const double[:, ::1] data, int n_clusters, int covariance, int assignment,
                       int max_iter, int threads, int passes, int instruction_set, bint plain):
    """Seconds of each of some assignment passes, after one start: for benchmarks."""
    cdef fit_request request
    cdef status outcome
    seconds = np.empty(passes)
    cdef double[::1] view = seconds
    fill_request(&request, data, n_clusters, covariance)
    request.assignment = assignment
    request.max_iter = max_iter
    request.threads = threads
    request.instruction_set = instruction_set
    request.plain = plain
    with nogil:
        outcome = time_passes(&request, passes, &view[0])
    if outcome != OK:
        raise MemoryError("there is not enough memory for this fit")
    return seconds


def multiply_adds(int instruction_set, size_t rounds):
    """Carry out independent FMAs and return their number: time it for the processor's best rate."""
    cdef const tile_kernels_t *kernels = tile_kernels(instruction_set)
    cdef double sink = 1e-9
    cdef size_t per_round
    with nogil:
        per_round = kernels.exercise(rounds, &sink)
    return rounds * per_round


def find_beyond(const double[:, ::1] data, double limit):
    """Row-major index of the first value that is not between -limit and limit (NaN is not), or -1."""
    cdef int64_t found
    if data.shape[0] == 0 or data.shape[1] == 0:
        return -1
    with nogil:
        found = first_beyond(&data[0, 0], data.shape[0], <int>data.shape[1], limit)
    return found


def instruction_set_name(int instruction_set):
    """The name of an instruction set (-1: the best one), or None for one that this processor lacks."""
    cdef const tile_kernels_t *kernels = tile_kernels(instruction_set)
    return kernels.name.decode() if kernels != NULL else None

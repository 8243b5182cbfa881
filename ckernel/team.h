/* A team of threads that works through numbered segments. */
#ifndef CKERNEL_TEAM_H
#define CKERNEL_TEAM_H

#include "kernel.h"

struct team;

#define MAX_SEGMENTS 32

/* A team of `threads` (the caller is one of them), or NULL for a team of one: every function takes
 * that too. A thread that cannot be had makes the team smaller, which changes no result. */
struct team *team_new(int threads);
void team_free(struct team *team);

/* Run work(context, s) once for each s in 0 .. segments-1, in any order, and return when all are done. */
void team_run(struct team *team, void (*work)(void *context, int segment), void *context, int segments);

/* The segments that the tiles of a fit are cut into: a function of the shape of the problem alone, so
 * that sums over segments, reduced in their order, have the same bits for any number of threads.
 * `doubles` is the size of the sums that each segment keeps: together they stay a quarter of the data. */
int count_segments(size_t n, int d, size_t doubles);

struct range { size_t begin, end; };
struct range segment_range(size_t n_tiles, int segments, int segment);

#endif

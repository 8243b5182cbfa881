#include "team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LEAST_POINTS = 4096 };  /* of a segment */

/* A pass over 100,000 points takes a tenth of a millisecond, and waking a thread takes a good part of that:
 * threads look for work this many times before they sleep, which is some 50 microseconds. */
enum { LOOKS = 1500 };

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

struct team {
    pthread_mutex_t lock;
    pthread_cond_t begin, done;
    void (*work)(void *context, int segment);
    void *context;
    int segments, next;    /* of the run under way; `next` is the segment to take */
    atomic_int running;    /* helpers at work in it */
    atomic_ulong run;      /* counts runs, so that a helper takes part in each once */
    atomic_int leaving;
    int helpers;
    pthread_t threads[];
};

/* Take segments until none is left. Called with the lock held, and returns so. */
static void take_segments(struct team *team)
{
    while (team->next < team->segments) {
        const int segment = team->next++;
        pthread_mutex_unlock(&team->lock);
        team->work(team->context, segment);
        pthread_mutex_lock(&team->lock);
    }
}

static void *help(void *argument)
{
    struct team *team = argument;
    unsigned long seen = 0;
    pthread_mutex_lock(&team->lock);
    for (;;) {
        if (team->run == seen && !team->leaving) {
            pthread_mutex_unlock(&team->lock);
            for (int look = 0; look < LOOKS && team->run == seen && !team->leaving; look++)
                relax();
            pthread_mutex_lock(&team->lock);
        }
        while (team->run == seen && !team->leaving)
            pthread_cond_wait(&team->begin, &team->lock);
        if (team->leaving)
            break;
        seen = team->run;
        team->running++;
        take_segments(team);
        if (--team->running == 0)
            pthread_cond_signal(&team->done);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

struct team *team_new(int threads)
{
    if (threads < 2)
        return NULL;
    struct team *team = calloc(1, sizeof *team + (size_t)(threads - 1) * sizeof(pthread_t));
    if (!team)
        return NULL;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->begin, NULL);
    pthread_cond_init(&team->done, NULL);
    while (team->helpers < threads - 1
           && pthread_create(&team->threads[team->helpers], NULL, help, team) == 0)
        team->helpers++;
    return team;
}

void team_free(struct team *team)
{
    if (!team)
        return;
    pthread_mutex_lock(&team->lock);
    team->leaving = 1;
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->lock);
    for (int i = 0; i < team->helpers; i++)
        pthread_join(team->threads[i], NULL);
    pthread_cond_destroy(&team->begin);
    pthread_cond_destroy(&team->done);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

void team_run(struct team *team, void (*work)(void *context, int segment), void *context, int segments)
{
    if (!team || segments < 2) {
        for (int segment = 0; segment < segments; segment++)
            work(context, segment);
        return;
    }
    pthread_mutex_lock(&team->lock);
    team->work = work;
    team->context = context;
    team->segments = segments;
    team->next = 0;
    team->run++;
    pthread_cond_broadcast(&team->begin);
    take_segments(team);
    if (team->running > 0) {
        pthread_mutex_unlock(&team->lock);
        for (int look = 0; look < LOOKS && team->running > 0; look++)
            relax();
        pthread_mutex_lock(&team->lock);
    }
    while (team->running > 0)
        pthread_cond_wait(&team->done, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

int count_segments(size_t n, int d, size_t doubles)
{
    size_t segments = n / LEAST_POINTS;
    const size_t affordable = n * (size_t)d / (4 * doubles);
    if (segments > affordable)
        segments = affordable;
    return segments < 1 ? 1 : segments > MAX_SEGMENTS ? MAX_SEGMENTS : (int)segments;
}

struct range segment_range(size_t n_tiles, int segments, int segment)
{
    return (struct range){n_tiles * (size_t)segment / (size_t)segments,
                          n_tiles * ((size_t)segment + 1) / (size_t)segments};
}

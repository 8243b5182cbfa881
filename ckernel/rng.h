/* The random stream of one start: xoshiro256++ (Blackman & Vigna 2019). */
#ifndef CKERNEL_RNG_H
#define CKERNEL_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng { uint64_t state[4]; };

/* A stream that depends on the 128-bit key and on the start's index alone, so that starts can run
 * anywhere, in any order. */
void rng_init(struct rng *rng /* OUT */, const uint64_t key[2] /* IN */, uint64_t start);

/* Uniform in [0, 1), 53 bits. */
double rng_uniform(struct rng *rng /* INOUT */);

/* Uniform in 0 .. bound-1. */
size_t rng_below(struct rng *rng /* INOUT */, size_t bound);

/* One step of splitmix64: a bijection of 64 bits that leaves no visible pattern. */
static inline uint64_t mix64(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif

#include "rng.h"

void rng_init(struct rng *rng, const uint64_t key[2], uint64_t start)
{
    uint64_t z = mix64(key[0] ^ mix64(start)) ^ mix64(key[1] + start);
    for (int i = 0; i < 4; i++) {
        z = mix64(z ^ key[i % 2]);
        rng->state[i] = z;
    }
    rng->state[3] |= 1;  /* the all-zero state is the one fixed point */
}

static uint64_t rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

static uint64_t next(struct rng *rng)
{
    uint64_t *s = rng->state;
    const uint64_t result = rotate(s[0] + s[3], 23) + s[0];
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double rng_uniform(struct rng *rng) { return (double)(next(rng) >> 11) * 0x1p-53; }

size_t rng_below(struct rng *rng, size_t bound)
{
    /* 53 bits over a bound below 2^32 or so: the bias is below 1e-6 of a draw in a billion. */
    return (size_t)(rng_uniform(rng) * (double)bound);
}

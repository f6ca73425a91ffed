/* The quadratic recursion as one writes it in C without thinking of the machine: a replicate after the other, xoshiro256++
 * and Box-Muller from libm, plain loops. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct { uint64_t s[4]; } Generator;

static uint64_t rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }

static uint64_t next(Generator *g) {
    uint64_t *s = g->s, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void start(Generator *g, uint64_t seed) {
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = seed += 0x9E3779B97F4A7C15;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        g->s[i] = z ^ z >> 31;
    }
}

static void normals(Generator *g, int count, double *z) {
    for (int i = 0; i < count; i += 2) {
        double u = ((next(g) >> 11) + 1) * 0x1p-53, angle = (next(g) >> 11) * 0x1p-53 * 6.283185307179586;
        double radius = sqrt(-2.0 * log(u));
        z[i] = radius * cos(angle);
        z[i + 1] = radius * sin(angle);
    }
}

void advance(int dense, const double *hessian, const double *factor, double eta, long steps, uint64_t seed, long replicates,
             int d, double *delta, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long r = 0; r < replicates; r++) {
        Generator g;
        start(&g, seed + (uint64_t)r);
        double *x = delta + r * d, *z = malloc((d + 1) * sizeof *z), *drift = malloc(d * sizeof *drift);
        for (long k = 0; k < steps; k++) {
            normals(&g, d, z);
            for (int i = 0; i < d; i++) {
                double total = 0.0;
                for (int j = 0; j <= i; j++) total += factor[i * d + j] * z[j];
                if (dense)
                    for (int j = 0; j < d; j++) total -= hessian[i * d + j] * x[j];
                else
                    total -= hessian[i * d + i] * x[i];
                drift[i] = total;
            }
            for (int i = 0; i < d; i++) x[i] += eta * drift[i];
        }
        free(drift);
        free(z);
    }
}

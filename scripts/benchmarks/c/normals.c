/* Standard normals of LANES replicates: out[j * LANES + lane], j = 0 .. count - 1 (count even). */
#include "normals.h"

int lanes(void) { return LANES; }

void normals(uint64_t seed, uint64_t purpose, uint64_t replicate, uint64_t step, long count, double *out) {
    Address at;
    Words w;
    address_replicates(&at, seed, replicate);
    address_step(&at, purpose, replicate, step);
    philox_begin(&w, &at, 0);
    philox_rest(&w, &at);
    fill_normals(&w, &at, &at, (int)(count / 2), out);
}

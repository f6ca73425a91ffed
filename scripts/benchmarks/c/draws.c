/* Mini-batches of many replicates and steps: out[replicates * steps * b + 64], as kernels/draws.py makes them. */
#include "draws.h"

void draw_batches(uint32_t n, uint32_t b, int method, uint64_t seed, uint64_t first_replicate, uint64_t first_step,
                  long replicates, long steps, uint32_t *out, int threads) {
#pragma omp parallel num_threads(threads)
    {
        Plan plan = plan_make(n, b, method);
#pragma omp for schedule(static)
        for (long r = 0; r < replicates; r++) {
            /* A batch is stored in whole registers, so the last replicate of a thread's share may write beyond its end. */
            draw(&plan, seed, first_replicate + r, first_step, steps, out + r * (steps * b + 64));
        }
        plan_free(&plan);
    }
}

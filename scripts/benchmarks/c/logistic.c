/* Logistic SGD on a pool, tuned by hand for AVX-512: the order of operations, and so the bits, of kernels/glm.py.
 *
 * Two replicates side by side; the rows of the batches ahead are asked for while this one is used. A row is WIDTH
 * registers: features, zeros, and the target last. */
#include "draws.h"

#define BULK 16
#define PAIR 2
#define FOR_PAIR UNROLL for (int r = 0; r < PAIR; r++)

INLINE D exponential(D x) {
    const D shift = REAL(6755399441055744.0);
    D shifted = FMA(x, REAL(1.4426950408889634), shift), k = _mm512_sub_pd(shifted, shift);
    D r = FMA(k, REAL(-1.9082149292705877e-10), FMA(k, REAL(-0.6931471803691238), x));
    D q = FMA(r, REAL(2.5100375929185925e-08), REAL(2.762007600563138e-07));
    q = FMA(r, q, REAL(2.7557268480106926e-06));
    q = FMA(r, q, REAL(2.480152132210459e-05));
    q = FMA(r, q, REAL(0.00019841269863040675));
    q = FMA(r, q, REAL(0.001388888891719689));
    q = FMA(r, q, REAL(0.008333333333330065));
    q = FMA(r, q, REAL(0.041666666666624164));
    q = FMA(r, q, REAL(0.16666666666666669));
    q = FMA(r, q, REAL(0.5000000000000001));
    I scale = _mm512_slli_epi64(_mm512_add_epi64(_mm512_castpd_si512(shifted), WORD(1023)), 52);
    return _mm512_mul_pd(_mm512_add_pd(FMA(_mm512_mul_pd(r, r), q, r), REAL(1.0)), _mm512_castsi512_pd(scale));
}

INLINE D sigmoid(D z) {
    D x = _mm512_max_pd(_mm512_or_pd(z, REAL(-0.0)), REAL(-708.0));
    D e = exponential(x);
    __mmask8 below = _mm512_cmp_pd_mask(z, REAL(0.0), _CMP_LT_OQ);
    return _mm512_div_pd(_mm512_mask_mov_pd(REAL(1.0), below, e), _mm512_add_pd(e, REAL(1.0)));
}

/* Lane i: the sum of the lanes of p[i], as ((0+4)+(2+6)) + ((1+5)+(3+7)). */
INLINE D lane_sums(const D *p) {
    D h[4], q[2];
    UNROLL for (int i = 0; i < 4; i++) { /* p[i], p[i + 4]: halves 0-3 + 4-7 */
        D low = _mm512_insertf64x4(p[i], _mm512_castpd512_pd256(p[i + 4]), 1);
        D high = _mm512_shuffle_f64x2(p[i], p[i + 4], 0xEE);
        h[i] = _mm512_add_pd(low, high);
    }
    UNROLL for (int i = 0; i < 2; i++) { /* quarters of i, i+2, i+4, i+6 */
        D low = _mm512_permutex2var_pd(h[i], _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), h[i + 2]);
        D high = _mm512_permutex2var_pd(h[i], _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2), h[i + 2]);
        q[i] = _mm512_add_pd(low, high);
    }
    return _mm512_add_pd(_mm512_unpacklo_pd(q[0], q[1]), _mm512_unpackhi_pd(q[0], q[1]));
}

typedef struct {
    const double *pool;
    uint32_t n, b;
    int d, method;
    double eta, ridge;
    long steps;
    uint64_t seed, first_step;
} Job;

#define STEPS(WIDTH)                                                                                                         \
    static void run_##WIDTH(const Job *job, const Plan *plan, const double *optimum, double **delta, const uint64_t *id) {   \
        const int b = (int)job->b, ahead = b * WIDTH < 64 ? 2 : 1;                                                           \
        const double *pool = job->pool;                                                                                      \
        uint32_t *ring[PAIR];                                                                                                \
        double *weights[PAIR];                                                                                               \
        FOR_PAIR {                                                                                                           \
            ring[r] = calloc(2 * BULK * b + 128, 4);                                                                         \
            weights[r] = aligned_alloc(64, (size_t)(b + 16) / 8 * 64);                                                       \
        }                                                                                                                    \
        D state[PAIR][WIDTH], centre[WIDTH];                                                                                 \
        __mmask8 real[WIDTH];                                                                                                \
        for (int j = 0; j < WIDTH; j++) {                                                                                    \
            int left = job->d - 8 * j;                                                                                       \
            real[j] = left >= 8 ? 0xFF : left <= 0 ? 0 : (1 << left) - 1;                                                    \
            centre[j] = _mm512_maskz_loadu_pd(real[j], optimum + 8 * j);                                                     \
            FOR_PAIR state[r][j] = _mm512_maskz_loadu_pd(real[j], delta[r] + 8 * j);                                         \
        }                                                                                                                    \
        long drawn = 0;                                                                                                      \
        for (long k = 0; k < job->steps; k++) {                                                                              \
            while (drawn < job->steps && drawn <= k + ahead) {                                                               \
                long count = job->steps - drawn < BULK ? job->steps - drawn : BULK;                                          \
                FOR_PAIR draw(plan, job->seed, id[r], job->first_step + drawn, count, ring[r] + drawn % (2 * BULK) * b);     \
                drawn += count;                                                                                              \
            }                                                                                                                \
            FOR_PAIR {                                                                                                       \
                const uint32_t *batch = ring[r] + k % (2 * BULK) * b, *later = ring[r] + (k + ahead) % (2 * BULK) * b;       \
                D theta[WIDTH];                                                                                              \
                UNROLL for (int j = 0; j < WIDTH; j++) theta[j] = _mm512_add_pd(centre[j], state[r][j]);                     \
                for (int i = 0; i < b; i += 8) {                                                                             \
                    const double *row[8];                                                                                    \
                    UNROLL for (int s = 0; s < 8; s++) row[s] = pool + (size_t)batch[i + s] * (8 * WIDTH);                   \
                    UNROLL for (int s = 0; s < 8; s++) {                                                                     \
                        const char *next = (const char *)(pool + (size_t)later[i + s] * (8 * WIDTH));                        \
                        UNROLL for (int j = 0; j < WIDTH; j++) _mm_prefetch(next + 64 * j, _MM_HINT_T0);                     \
                    }                                                                                                        \
                    D p[8], last[8];                                                                                         \
                    UNROLL for (int s = 0; s < 8; s++) p[s] = FMA(_mm512_loadu_pd(row[s]), theta[0], REAL(0.0));             \
                    UNROLL for (int j = 1; j < WIDTH; j++)                                                                   \
                        UNROLL for (int s = 0; s < 8; s++) p[s] = FMA(_mm512_loadu_pd(row[s] + 8 * j), theta[j], p[s]);      \
                    (void)last;                                                                                              \
                    D y = _mm512_set_pd(row[7][8 * WIDTH - 1], row[6][8 * WIDTH - 1], row[5][8 * WIDTH - 1],                 \
                                        row[4][8 * WIDTH - 1], row[3][8 * WIDTH - 1], row[2][8 * WIDTH - 1],                 \
                                        row[1][8 * WIDTH - 1], row[0][8 * WIDTH - 1]);                                       \
                    _mm512_store_pd(weights[r] + i, _mm512_sub_pd(sigmoid(lane_sums(p)), y));                                \
                }                                                                                                            \
            }                                                                                                                \
            D total[PAIR][WIDTH];                                                                                            \
            FOR_PAIR UNROLL for (int j = 0; j < WIDTH; j++) total[r][j] = REAL(0.0);                                         \
            for (int i = 0; i < b; i++) FOR_PAIR {                                                                           \
                const double *row = pool + (size_t)ring[r][k % (2 * BULK) * b + i] * (8 * WIDTH);                            \
                D w = REAL(weights[r][i]);                                                                                   \
                UNROLL for (int j = 0; j < WIDTH; j++) total[r][j] = FMA(w, _mm512_loadu_pd(row + 8 * j), total[r][j]);      \
            }                                                                                                                \
            FOR_PAIR UNROLL for (int j = 0; j < WIDTH; j++) {                                                                \
                D g = FMA(REAL(job->ridge), _mm512_add_pd(centre[j], state[r][j]), _mm512_mul_pd(total[r][j], REAL(1.0 / b))); \
                state[r][j] = _mm512_maskz_mov_pd(real[j], FMA(REAL(-job->eta), g, state[r][j]));                            \
            }                                                                                                                \
        }                                                                                                                    \
        for (int j = 0; j < WIDTH; j++) FOR_PAIR _mm512_mask_storeu_pd(delta[r] + 8 * j, real[j], state[r][j]);              \
        FOR_PAIR {                                                                                                           \
            free(ring[r]);                                                                                                   \
            free(weights[r]);                                                                                                \
        }                                                                                                                    \
    }

STEPS(1) STEPS(2) STEPS(3) STEPS(4) STEPS(5) STEPS(6) STEPS(7) STEPS(8)

/* pool[n, 8 width] aligned to 64 bytes; delta[replicates, d] in and out; replicates even; width <= 8. Returns 0 if done. */
int logistic(const double *pool, uint32_t n, int width, int d, uint32_t b, int method, double ridge, double eta, long steps,
             uint64_t seed, uint64_t first_replicate, uint64_t first_step, long replicates, const double *optimum,
             double *delta, int threads) {
    if (width < 1 || width > 8 || replicates % PAIR) return 1;
    Job job = {pool, n, b, d, method, eta, ridge, steps, seed, first_step};
#pragma omp parallel num_threads(threads)
    {
        Plan plan = plan_make(n, b, method);
#pragma omp for schedule(static)
        for (long r = 0; r < replicates; r += PAIR) {
            double *states[PAIR] = {delta + r * d, delta + (r + 1) * d};
            uint64_t id[PAIR] = {first_replicate + r, first_replicate + r + 1};
            switch (width) {
#define CASE(W) case W: run_##W(&job, &plan, optimum, states, id); break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
            }
        }
        plan_free(&plan);
    }
    return 0;
}

/* The recursion of kernels/quadratic.py, Delta <- Delta + eta (C z - lam Delta), tuned by hand for AVX-512; its bits too.
 * And with a dense H: Delta <- Delta + eta (C z - H Delta) in the original coordinates, a full product at each step.
 *
 * A block of LANES replicates runs all its steps before the next one starts. Rows go in panels of up to TALL rows whose
 * accumulators (WIDE registers a row) stay in registers. */
#include <stdlib.h>
#include <string.h>

#include "normals.h"

#define MOST 12

int lanes(void) { return LANES; }

/* Heights of the panels of d rows: as few as possible with at most `tall` rows, and as equal as possible. */
static int height(int d, int tall, int top) {
    int panels = (d + tall - 1) / tall, share = d / panels, more = d % panels;
    return top < more * (share + 1) ? share + 1 : share;
}

/* Coefficients as the kernel reads them: each panel column by column; of a triangle only the columns up to the diagonal. */
static double *pack(const double *matrix, int d, int tall, int triangle, double sign) {
    double *packed = aligned_alloc(64, (size_t)(d * d + d * MOST + 64) * 8), *to = packed;
    for (int top = 0, h; top < d; top += h) {
        h = height(d, tall, top);
        for (int j = 0; j < (triangle ? top + h : d); j++)
            for (int i = 0; i < h; i++) *to++ = triangle && j > top + i ? 0.0 : sign * matrix[(top + i) * d + j];
    }
    return packed;
}

#define ROWS(H)                                                                                                             \
    INLINE const double *columns_##H(D(*sum)[WIDE], const double *c, const double *z, int from, int to) {                   \
        for (int j = from; j < to; j++, c += H) {                                                                           \
            D x[WIDE];                                                                                                      \
            EACH x[v] = _mm512_loadu_pd(z + j * LANES + 8 * v);                                                             \
            UNROLL for (int i = 0; i < H; i++) EACH sum[i][v] = FMA(REAL(c[i]), x[v], sum[i][v]);                           \
        }                                                                                                                   \
        return c;                                                                                                           \
    }                                                                                                                       \
    INLINE const double *triangle_##H(D(*sum)[WIDE], const double *c, const double *z, int top) {                           \
        UNROLL for (int j = 0; j < H; j++) {                                                                                \
            D x[WIDE];                                                                                                      \
            EACH x[v] = _mm512_loadu_pd(z + (top + j) * LANES + 8 * v);                                                     \
            UNROLL for (int i = j; i < H; i++) EACH sum[i][v] = FMA(REAL(c[j * H + i]), x[v], sum[i][v]);                   \
        }                                                                                                                   \
        return c + H * H;                                                                                                   \
    }                                                                                                                       \
    static const double *diagonal_##H(const double *c, const double *minus_lam, double eta, const double *z, double *x,     \
                                      int top) {                                                                            \
        D sum[H][WIDE];                                                                                                     \
        double *at = x + top * LANES;                                                                                       \
        UNROLL for (int i = 0; i < H; i++)                                                                                  \
            EACH sum[i][v] = _mm512_mul_pd(REAL(minus_lam[top + i]), _mm512_loadu_pd(at + i * LANES + 8 * v));              \
        c = columns_##H(sum, c, z, 0, top);                                                                                 \
        c = triangle_##H(sum, c, z, top);                                                                                   \
        UNROLL for (int i = 0; i < H; i++) EACH {                                                                           \
            double *here = at + i * LANES + 8 * v;                                                                          \
            _mm512_storeu_pd(here, FMA(REAL(eta), sum[i][v], _mm512_loadu_pd(here)));                                       \
        }                                                                                                                   \
        return c;                                                                                                           \
    }                                                                                                                       \
    static void dense_##H(const double **c, const double **a, int d, double eta, const double *z, const double *x,          \
                          double *y, int top) {                                                                             \
        D sum[H][WIDE];                                                                                                     \
        UNROLL for (int i = 0; i < H; i++) EACH sum[i][v] = _mm512_setzero_pd();                                            \
        *a = columns_##H(sum, *a, x, 0, d);                                                                                 \
        *c = columns_##H(sum, *c, z, 0, top);                                                                               \
        *c = triangle_##H(sum, *c, z, top);                                                                                 \
        UNROLL for (int i = 0; i < H; i++) EACH {                                                                           \
            int here = (top + i) * LANES + 8 * v;                                                                           \
            _mm512_storeu_pd(y + here, FMA(REAL(eta), sum[i][v], _mm512_loadu_pd(x + here)));                               \
        }                                                                                                                   \
    }

ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)

#define EVERY(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)

static void step_diagonal(int d, int tall, const double *c, const double *minus_lam, double eta, const double *z, double *x) {
    for (int top = 0, h; top < d; top += h) {
        h = height(d, tall, top);
        switch (h) {
#define CASE(H) case H: c = diagonal_##H(c, minus_lam, eta, z, x, top); break;
            EVERY(CASE)
#undef CASE
        }
    }
}

static void step_dense(int d, int tall, const double *c, const double *a, double eta, const double *z, const double *x,
                       double *y) {
    for (int top = 0, h; top < d; top += h) {
        h = height(d, tall, top);
        switch (h) {
#define CASE(H) case H: dense_##H(&c, &a, d, eta, z, x, y, top); break;
            EVERY(CASE)
#undef CASE
        }
    }
}

/* d = 2: state and normals never leave the registers. */
static void block_2(const double *c, const double *minus_lam, const double *eta, long steps, uint64_t purpose,
                    uint64_t replicate, uint64_t step, Address at, Words w, double *x) {
    D x0[WIDE], x1[WIDE];
    EACH {
        x0[v] = _mm512_loadu_pd(x + 8 * v);
        x1[v] = _mm512_loadu_pd(x + LANES + 8 * v);
    }
    for (long k = 0; k < steps; k++) {
        D a[WIDE], b[WIDE];
        address_step(&at, purpose, replicate, step + k + 1);
        normals_pipelined(&w, &at, 0, a, b);
        EACH {
            D s0 = FMA(REAL(c[0]), a[v], _mm512_mul_pd(REAL(minus_lam[0]), x0[v]));
            D s1 = FMA(REAL(c[3]), b[v], FMA(REAL(c[1]), a[v], _mm512_mul_pd(REAL(minus_lam[1]), x1[v])));
            x0[v] = FMA(REAL(eta[k]), s0, x0[v]);
            x1[v] = FMA(REAL(eta[k]), s1, x1[v]);
        }
    }
    EACH {
        _mm512_storeu_pd(x + 8 * v, x0[v]);
        _mm512_storeu_pd(x + LANES + 8 * v, x1[v]);
    }
}

/* hessian: lam[d] if dense == 0, else H[d, d]; factor[d, d] lower triangular; eta[steps]; delta[replicates, d] in and out. */
void advance(int dense, int tall, const double *hessian, const double *factor, const double *eta, long steps, uint64_t seed,
             uint64_t purpose, uint64_t first_replicate, uint64_t first_step, long replicates, int d, double *delta,
             int threads) {
    double *c = pack(factor, d, tall, 1, 1.0), *a = dense ? pack(hessian, d, tall, 0, -1.0) : NULL;
    double *minus_lam = malloc(d * 8);
    for (int i = 0; i < d; i++) minus_lam[i] = -hessian[i];
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long block = 0; block < (replicates + LANES - 1) / LANES; block++) {
        double *z = aligned_alloc(64, (size_t)(d + 1) * LANES * 8), *x = aligned_alloc(64, (size_t)d * LANES * 8);
        double *y = aligned_alloc(64, (size_t)d * LANES * 8);
        long here = replicates - block * LANES < LANES ? replicates - block * LANES : LANES;
        memset(x, 0, (size_t)d * LANES * 8);
        for (long lane = 0; lane < here; lane++)
            for (int i = 0; i < d; i++) x[i * LANES + lane] = delta[(block * LANES + lane) * d + i];
        uint64_t replicate = first_replicate + block * LANES;
        Address now, next;
        Words w;
        address_replicates(&now, seed, replicate);
        address_step(&now, purpose, replicate, first_step);
        next = now;
        philox_begin(&w, &now, 0);
        philox_rest(&w, &now);
        if (d == 2 && !dense) {
            block_2(c, minus_lam, eta, steps, purpose, replicate, first_step, now, w, x);
        } else {
            for (long k = 0; k < steps; k++) {
                address_step(&next, purpose, replicate, first_step + k + 1);
                fill_normals(&w, &now, &next, (d + 1) / 2, z);
                now = next;
                if (dense) {
                    step_dense(d, tall, c, a, eta[k], z, x, y);
                    double *swap = x;
                    x = y;
                    y = swap;
                } else {
                    step_diagonal(d, tall, c, minus_lam, eta[k], z, x);
                }
            }
        }
        for (long lane = 0; lane < here; lane++)
            for (int i = 0; i < d; i++) delta[(block * LANES + lane) * d + i] = x[i * LANES + lane];
        free(x);
        free(y);
        free(z);
    }
    free(minus_lam);
    free(c);
    free(a);
}

/* Philox4x32-10 and Box-Muller with AVX-512: the algorithms, and so the bits, of kernels/philox.py and kernels/normal.py.
 *
 * WIDE vectors of 8 doubles stand side by side: 8 * WIDE replicates. Box-Muller of one block of random words and the Philox
 * rounds of the next are written through each other, because each alone is a chain of latencies that the processor's window
 * is too short to overlap. */
#ifndef NORMALS_H
#define NORMALS_H
#include <immintrin.h>
#include <stdint.h>

#ifndef WIDE
#define WIDE 2
#endif
#define LANES (8 * WIDE)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define EACH UNROLL for (int v = 0; v < WIDE; v++)

typedef __m512i I;
typedef __m512d D;

#define M0 0xD2511F53ull
#define M1 0xCD9E8D57ull
#define W0 0x9E3779B9u
#define W1 0xBB67AE85u

#define REAL(x) _mm512_set1_pd(x)
#define WORD(x) _mm512_set1_epi64((long long)(x))
#define FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define HIGH(a) _mm512_srli_epi64(a, 32)

typedef struct { I c0[WIDE], c1[WIDE], c2[WIDE], c3[WIDE]; } Words;

/* What the blocks of one step have in common: the first round and half of the second. */
typedef struct { I a1[WIDE], q[WIDE], h[WIDE]; uint32_t c3, k0, k1; } Address;

INLINE void address_replicates(Address *at, uint64_t seed, uint64_t replicate) {
    at->k0 = (uint32_t)seed;
    at->k1 = (uint32_t)(seed >> 32);
    I lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    EACH at->a1[v] = _mm512_mul_epu32(_mm512_add_epi64(lane, WORD(replicate + 8 * v)), WORD(M1));
}

INLINE void address_step(Address *at, uint64_t purpose, uint64_t replicate, uint64_t step) {
    at->c3 = (uint32_t)(purpose << 24 | ((replicate >> 32) & 0xFF) << 16 | ((step >> 32) & 0xFFFF));
    EACH {
        I a0 = _mm512_xor_si512(HIGH(at->a1[v]), WORD((uint32_t)step ^ at->k0));
        at->q[v] = _mm512_mul_epu32(a0, WORD(M0));
        at->h[v] = HIGH(at->q[v]);
    }
}

INLINE void philox_begin(Words *w, const Address *at, uint32_t block) {
    uint64_t p0 = block * M0;
    uint64_t p1 = (uint32_t)((uint32_t)(p0 >> 32) ^ at->c3 ^ at->k1) * M1;
    EACH {
        w->c0[v] = _mm512_xor_si512(at->a1[v], WORD((uint32_t)(p1 >> 32) ^ (uint32_t)(at->k0 + W0)));
        w->c1[v] = WORD((uint32_t)p1);
        w->c2[v] = _mm512_xor_si512(at->h[v], WORD((uint32_t)p0 ^ (uint32_t)(at->k1 + W1)));
        w->c3[v] = at->q[v];
    }
}

INLINE void philox_round(Words *w, const Address *at, uint32_t i) {
    I k0 = WORD((uint32_t)(at->k0 + i * W0)), k1 = WORD((uint32_t)(at->k1 + i * W1));
    EACH {
        I p0 = _mm512_mul_epu32(w->c0[v], WORD(M0)), p1 = _mm512_mul_epu32(w->c2[v], WORD(M1));
        w->c0[v] = _mm512_ternarylogic_epi64(HIGH(p1), w->c1[v], k0, 0x96);
        w->c2[v] = _mm512_ternarylogic_epi64(HIGH(p0), w->c3[v], k1, 0x96);
        w->c1[v] = p1;
        w->c3[v] = p0;
    }
}

INLINE void philox_rest(Words *w, const Address *at) {
    UNROLL for (uint32_t i = 2; i < 10; i++) philox_round(w, at, i);
}

#define STEP_LOG(c) EACH p[v] = FMA(z[v], p[v], REAL(c))
#define STEP_ARC(c, s) EACH { cosine[v] = FMA(t[v], cosine[v], REAL(c)); sine[v] = FMA(t[v], sine[v], REAL(s)); }

/* Two normals a lane from the words w; w becomes the words of `block` at the address `next`. */
INLINE void normals_pipelined(Words *w, const Address *next, uint32_t block, D *first, D *second) {
    I angle[WIDE];
    D u[WIDE], e[WIDE], f[WIDE], s[WIDE], z[WIDE], p[WIDE], radius[WIDE];
    EACH {
        I bits = _mm512_mask_shuffle_epi32(w->c0[v], 0xAAAA, w->c1[v], (_MM_PERM_ENUM)0xA0);
        angle[v] = _mm512_mask_shuffle_epi32(w->c2[v], 0xAAAA, w->c3[v], (_MM_PERM_ENUM)0xA0);
        bits = _mm512_or_si512(_mm512_srli_epi64(bits, 12), WORD(0x3FF0000000000000));
        u[v] = _mm512_sub_pd(REAL(2.0), _mm512_castsi512_pd(bits));
    }
    philox_begin(w, next, block);
    EACH {
        I shifted = _mm512_add_epi64(_mm512_castpd_si512(u[v]), WORD(0x3FF0000000000000 - 0x3FE6A09E667F3BCD));
        I mantissa = _mm512_and_si512(shifted, WORD(0x000FFFFFFFFFFFFF));
        e[v] = _mm512_getexp_pd(_mm512_castsi512_pd(shifted));
        f[v] = _mm512_sub_pd(_mm512_castsi512_pd(_mm512_add_epi64(mantissa, WORD(0x3FE6A09E667F3BCD))), REAL(1.0));
    }
    EACH s[v] = _mm512_div_pd(f[v], _mm512_add_pd(f[v], REAL(2.0)));
    philox_round(w, next, 2);
    EACH z[v] = _mm512_mul_pd(s[v], s[v]);
    EACH p[v] = FMA(z[v], REAL(0.14796105847938532), REAL(0.15314035909787777));
    philox_round(w, next, 3);
    STEP_LOG(0.18183564858891624);
    STEP_LOG(0.22222198563735626);
    philox_round(w, next, 4);
    STEP_LOG(0.2857142874247136);
    STEP_LOG(0.39999999999414343);
    philox_round(w, next, 5);
    STEP_LOG(0.6666666666666734);
    EACH {
        D half = _mm512_mul_pd(_mm512_mul_pd(REAL(0.5), f[v]), f[v]);
        D tail = FMA(s[v], FMA(z[v], p[v], half), _mm512_mul_pd(e[v], REAL(1.90821492927058770002e-10)));
        D log = FMA(e[v], REAL(6.93147180369123816490e-01), _mm512_sub_pd(f[v], _mm512_sub_pd(half, tail)));
        radius[v] = _mm512_sqrt_pd(_mm512_mul_pd(REAL(-2.0), log));
    }
    D r[WIDE], t[WIDE], cosine[WIDE], sine[WIDE];
    EACH {
        I bits = _mm512_ternarylogic_epi64(_mm512_srli_epi64(angle[v], 10), WORD(0x000FFFFFFFFFFFFF),
                                           WORD(0x3FF0000000000000), 0xEA);
        r[v] = _mm512_sub_pd(_mm512_castsi512_pd(bits), REAL(1.5));
        t[v] = _mm512_mul_pd(r[v], r[v]);
    }
    philox_round(w, next, 6);
    EACH {
        cosine[v] = FMA(t[v], REAL(-6.321892026782729e-09), REAL(4.710615654225485e-07));
        sine[v] = FMA(t[v], REAL(5.6339385066888405e-08), REAL(-3.5986433884509993e-06));
    }
    STEP_ARC(-2.5202036991426026e-05, 0.0001604411507521738)
    philox_round(w, next, 7);
    STEP_ARC(0.0009192602742250169, -0.004681754132342273)
    STEP_ARC(-0.020863480763315442, 0.07969262624604308)
    philox_round(w, next, 8);
    STEP_ARC(0.2536695079010469, -0.6459640975062443)
    STEP_ARC(-1.2337005501361697, 1.5707963267948966)
    philox_round(w, next, 9);
    EACH {
        D sin = _mm512_mul_pd(r[v], sine[v]), cos = FMA(t[v], cosine[v], REAL(1.0));
        I sign = _mm512_ternarylogic_epi64(_mm512_castpd_si512(cos), angle[v], WORD(0x8000000000000000), 0x78);
        __mmask8 turned = _mm512_test_epi64_mask(angle[v], WORD(0x4000000000000000));
        cos = _mm512_castsi512_pd(sign);
        first[v] = _mm512_mul_pd(radius[v], _mm512_mask_blend_pd(turned, cos, sin));
        second[v] = _mm512_mul_pd(radius[v], _mm512_mask_blend_pd(turned, sin, cos));
    }
}

INLINE void store_pair(double *z, const D *a, const D *b) {
    EACH {
        _mm512_storeu_pd(z + 8 * v, a[v]);
        _mm512_storeu_pd(z + LANES + 8 * v, b[v]);
    }
}

/* Normals 0 .. 2 blocks - 1 of one step to z[j * LANES + lane]; w: the words of block 0; then those of the `next` step. */
INLINE void fill_normals(Words *w, const Address *now, const Address *next, int blocks, double *z) {
    D a[WIDE], b[WIDE];
    for (int block = 1; block < blocks; block++, z += 2 * LANES) {
        normals_pipelined(w, now, block, a, b);
        store_pair(z, a, b);
    }
    normals_pipelined(w, next, 0, a, b);
    store_pair(z, a, b);
}
#endif

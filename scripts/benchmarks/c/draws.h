/* Mini-batches without replacement, tuned by hand for AVX-512: the methods, and so the indices, of kernels/draws.py.
 *
 * Philox lanes stand across the blocks of one batch and over several batches. A batch of up to 64 indices by Floyd's
 * method is all different most of the time, which the low 16 bits show first, 32 indices a register. */
#ifndef DRAWS_H
#define DRAWS_H
#include <stdlib.h>
#include <string.h>

#include "normals.h"

enum { DIRECT, FLOYD, SHUFFLE };
#define PURPOSE_BATCH 2ull
#define COMPARED 64 /* largest batch whose indices are compared all with all */

typedef struct {
    uint32_t n, b, first, slope, blocks; /* integer i of a batch is below first + slope i; Philox blocks a batch */
    int method;
    uint32_t *words;    /* the bounded integers of one large batch */
    uint32_t *entries;  /* identity permutation, or bitmap */
    uint16_t *entries_16;
} Plan;

static Plan plan_make(uint32_t n, uint32_t b, int method) {
    Plan p = {n, b, n, 0, (b + 3) / 4, method, NULL, NULL, NULL};
    if (method == SHUFFLE) p.slope = (uint32_t)-1;
    if (method == FLOYD) p.first = n - b + 1, p.slope = 1;
    p.words = aligned_alloc(64, ((size_t)p.blocks * 16 + 512 + 63) / 64 * 64);
    if (method == SHUFFLE && n <= 65536) {
        p.entries_16 = malloc((size_t)n * 2 + 64);
        for (uint32_t i = 0; i < n; i++) p.entries_16[i] = (uint16_t)i;
    } else if (method == SHUFFLE) {
        p.entries = malloc((size_t)n * 4 + 64);
        for (uint32_t i = 0; i < n; i++) p.entries[i] = i;
    } else if (method == FLOYD && b > COMPARED) {
        p.entries = calloc(n / 32 + 1, 4);
    }
    return p;
}

static void plan_free(Plan *p) {
    free(p->words);
    free(p->entries);
    free(p->entries_16);
}

static void philox_scalar(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed, uint32_t *w) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < 10; i++, k0 += W0, k1 += W1) {
        uint64_t p0 = c0 * M0, p1 = c2 * M1;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
    }
    w[0] = c0, w[1] = c1, w[2] = c2, w[3] = c3;
}

static uint32_t word_3(uint64_t replicate, uint64_t step) {
    return (uint32_t)(PURPOSE_BATCH << 24 | ((replicate >> 32) & 0xFF) << 16 | ((step >> 32) & 0xFFFF));
}

/* The bounded integers of one batch, word by word, with rejection. */
static __attribute__((noinline)) void integers_slowly(const Plan *p, uint64_t seed, uint64_t replicate, uint64_t step, uint32_t *out) {
    uint32_t w[4], used = 0, c3 = word_3(replicate, step);
    for (uint32_t i = 0; i < p->b; i++) {
        uint32_t r = p->first + p->slope * i, reject_below = -r % r;
        uint64_t m;
        do {
            if (used % 4 == 0) philox_scalar(used / 4, (uint32_t)step, (uint32_t)replicate, c3, seed, w);
            m = (uint64_t)w[used++ % 4] * r;
        } while ((uint32_t)m < reject_below);
        out[i] = (uint32_t)(m >> 32);
    }
}

/* Words of GROUPS x 8 blocks: lanes over blocks from block[g] on, step[g] the same in a group. */
#define GROUPS 4
typedef struct { I c0, c1, c2, c3; } Block;

INLINE void philox_groups(Block *x, const I *block, const I *step, uint64_t replicate, uint32_t c3, uint64_t seed, int groups) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint64_t p1 = (uint32_t)replicate * M1;
    UNROLL for (int g = 0; g < groups; g++) {
        I p0 = _mm512_mul_epu32(block[g], WORD(M0));
        x[g].c0 = _mm512_xor_si512(step[g], WORD((uint32_t)(p1 >> 32) ^ k0));
        x[g].c1 = WORD((uint32_t)p1);
        x[g].c2 = _mm512_xor_si512(HIGH(p0), WORD(c3 ^ k1));
        x[g].c3 = p0;
    }
    UNROLL for (uint32_t i = 1; i < 10; i++) {
        I key0 = WORD((uint32_t)(k0 + i * W0)), key1 = WORD((uint32_t)(k1 + i * W1));
        UNROLL for (int g = 0; g < groups; g++) {
            I p0 = _mm512_mul_epu32(x[g].c0, WORD(M0)), q = _mm512_mul_epu32(x[g].c2, WORD(M1));
            x[g].c0 = _mm512_ternarylogic_epi64(HIGH(q), x[g].c1, key0, 0x96);
            x[g].c2 = _mm512_ternarylogic_epi64(HIGH(p0), x[g].c3, key1, 0x96);
            x[g].c1 = q;
            x[g].c3 = p0;
        }
    }
}

/* 32 integers of 8 blocks, in order, from their words; bound: of the first integer of each block. Returns "look again". */
INLINE int bounded(const Block *x, I bound, uint32_t slope, I *low, I *high) {
    I r1 = _mm512_add_epi32(bound, WORD(slope)), r2 = _mm512_add_epi32(bound, WORD(2 * slope));
    I r3 = _mm512_add_epi32(bound, WORD(3 * slope));
    I m0 = _mm512_mul_epu32(x->c0, bound), m1 = _mm512_mul_epu32(x->c1, r1);
    I m2 = _mm512_mul_epu32(x->c2, r2), m3 = _mm512_mul_epu32(x->c3, r3);
    I a = _mm512_mask_shuffle_epi32(m1, 0x5555, m0, (_MM_PERM_ENUM)0xF5);
    I b = _mm512_mask_shuffle_epi32(m3, 0x5555, m2, (_MM_PERM_ENUM)0xF5);
    *low = _mm512_permutex2var_epi64(a, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), b);
    *high = _mm512_permutex2var_epi64(a, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4), b);
    /* A word is rejected below 2^32 mod r < r: the division waits until it matters. */
    I pair = _mm512_mask_shuffle_epi32(m0, 0xAAAA, m1, (_MM_PERM_ENUM)0xA0);
    I other = _mm512_mask_shuffle_epi32(m2, 0xAAAA, m3, (_MM_PERM_ENUM)0xA0);
    I limit = _mm512_mask_shuffle_epi32(bound, 0xAAAA, r1, (_MM_PERM_ENUM)0xA0);
    I bar = _mm512_mask_shuffle_epi32(r2, 0xAAAA, r3, (_MM_PERM_ENUM)0xA0);
    return _mm512_cmplt_epu32_mask(pair, limit) | _mm512_cmplt_epu32_mask(other, bar);
}

/* True if two of the 32 16-bit numbers of x are equal (x against its rotations by 1 .. 16). */
#define ROTATED(x, k) _mm512_alignr_epi32(x, x, k)
#define DIFFER(mask, x, y) mask = _mm512_mask_cmpneq_epi16_mask(mask, x, y)
INLINE I rotate_1(I x) {
    static const uint16_t order[32] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                       17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 0};
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), x);
}
INLINE int repeats(I x) {
    I y = rotate_1(x);
    __mmask32 p = -1, q = -1;
    DIFFER(p, x, y);
#define TWO(k) DIFFER(p, x, ROTATED(x, k)); DIFFER(q, x, ROTATED(y, k));
    TWO(1) TWO(2) TWO(3) TWO(4) TWO(5) TWO(6) TWO(7)
    DIFFER(q, x, ROTATED(x, 8));
    return (p & q) != (__mmask32)-1;
}
INLINE int share(I x, I y) {
    I z = rotate_1(y);
    __mmask32 p = -1, q = -1;
    DIFFER(p, x, y);
    DIFFER(q, x, z);
#undef TWO
#define TWO(k) DIFFER(p, x, ROTATED(y, k)); DIFFER(q, x, ROTATED(z, k));
    TWO(1) TWO(2) TWO(3) TWO(4) TWO(5) TWO(6) TWO(7) TWO(8) TWO(9) TWO(10) TWO(11) TWO(12) TWO(13) TWO(14) TWO(15)
#undef TWO
    return (p & q) != (__mmask32)-1;
}

/* The low 16 bits of the 32 integers of low and high. */
INLINE I halves(I low, I high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(low)), _mm512_cvtepi32_epi16(high), 1);
}

static void floyd_scan(uint32_t n, uint32_t b, uint32_t *out) {
    for (uint32_t i = 0; i < b; i++)
        for (uint32_t k = 0; k < i; k++)
            if (out[k] == out[i]) {
                out[i] = n - b + i;
                break;
            }
}

static void floyd_bitmap(uint32_t n, uint32_t b, const uint32_t *integers, uint32_t *out, uint32_t *bitmap) {
    for (uint32_t i = 0; i < b; i++) {
        uint32_t j = integers[i];
        if (bitmap[j >> 5] >> (j & 31) & 1) j = n - b + i;
        bitmap[j >> 5] |= 1u << (j & 31);
        out[i] = j;
    }
    for (uint32_t i = 0; i < b; i++) bitmap[out[i] >> 5] = 0;
}

#define SHUFFLE_WITH(NAME, TYPE)                                                                        \
    static void NAME(uint32_t b, const uint32_t *integers, uint32_t *restrict out, TYPE *entries) {     \
        for (uint32_t i = 0; i < b; i++) {                                                              \
            uint32_t k = i + integers[i];                                                               \
            TYPE here = entries[i];                                                                     \
            out[i] = entries[k];                                                                        \
            entries[k] = here;                                                                          \
        }                                                                                               \
        for (uint32_t i = 0; i < b; i++) {                                                              \
            uint32_t k = i + integers[i];                                                               \
            entries[k] = (TYPE)k;                                                                       \
        }                                                                                               \
    }
SHUFFLE_WITH(shuffle_16, uint16_t)
SHUFFLE_WITH(shuffle_32, uint32_t)

#define COUNT8 _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0)

/* b = 1: the first word of one block a step, lanes over steps. */
static void draw_ones(const Plan *p, uint64_t seed, uint64_t replicate, uint64_t step, long steps, uint32_t *out) {
    I zero[GROUPS], at[GROUPS];
    I bound = WORD(p->first);
    for (long s = 0; s < steps; s += 8 * GROUPS) {
        UNROLL for (int g = 0; g < GROUPS; g++) {
            zero[g] = _mm512_setzero_si512();
            at[g] = _mm512_and_si512(_mm512_add_epi64(COUNT8, WORD(step + s + 8 * g)), WORD(0xFFFFFFFF));
        }
        Block x[GROUPS];
        philox_groups(x, zero, at, replicate, word_3(replicate, step + s), seed, GROUPS);
        UNROLL for (int g = 0; g < GROUPS; g++) {
            long left = steps - s - 8 * g;
            if (left <= 0) break;
            __mmask8 here = left >= 8 ? 0xFF : (1 << left) - 1;
            I m = _mm512_mul_epu32(x[g].c0, bound);
            _mm512_mask_cvtepi64_storeu_epi32(out + s + 8 * g, here, HIGH(m));
            if (_mm512_mask_cmplt_epu32_mask(0x5555, m, bound))
                for (long t = s + 8 * g; t < s + 8 * g + 8 && t < steps; t++)
                    integers_slowly(p, seed, replicate, step + t, out + t);
        }
    }
}

/* Lanes at and after b get numbers from 65535 down (a clash with an index only costs a slower check). */
INLINE I padded(I x, int first_lane, uint32_t b) {
    static const uint16_t down[32] = {31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,
                                      15, 14, 13, 12, 11, 10, 9,  8,  7,  6,  5,  4,  3,  2,  1,  0};
    int left = (int)b - first_lane;
    __mmask32 real = left >= 32 ? (__mmask32)-1 : ((__mmask32)1 << left) - 1;
    I pads = _mm512_add_epi16(_mm512_loadu_si512(down), _mm512_set1_epi16((short)(65504 - first_lane)));
    return _mm512_mask_mov_epi16(pads, real, x);
}

/* From the integers of a batch, in p->words, to the batch itself. */
INLINE void finish(const Plan *p, uint64_t seed, uint64_t replicate, uint64_t step, int doubtful, int same, uint32_t *to) {
    if (__builtin_expect(doubtful, 0)) integers_slowly(p, seed, replicate, step, p->words);
    if (p->method == SHUFFLE) {
        if (p->entries_16) shuffle_16(p->b, p->words, to, p->entries_16);
        else shuffle_32(p->b, p->words, to, p->entries);
        return;
    }
    memcpy(to, p->words, p->b * 4);
    if (__builtin_expect(doubtful | same, 0)) floyd_scan(p->n, p->b, to);
}

/* 8 < b <= 32 width, width = 1 or 2 registers of words a step. */
INLINE void draw_registers(const Plan *p, uint64_t seed, uint64_t replicate, uint64_t step, long steps, uint32_t *out,
                           const int width, const int shuffle) {
    uint32_t b = p->b;
    const int at_once = GROUPS / width;
    for (long s = 0; s < steps; s += at_once) {
        I block[GROUPS], at[GROUPS], low[GROUPS], high[GROUPS];
        int again[GROUPS];
        Block x[GROUPS];
        UNROLL for (int g = 0; g < GROUPS; g++) {
            block[g] = _mm512_add_epi64(COUNT8, WORD(8 * (g % width)));
            at[g] = WORD((uint32_t)(step + s + g / width));
        }
        philox_groups(x, block, at, replicate, word_3(replicate, step + s), seed, GROUPS);
        UNROLL for (int g = 0; g < GROUPS; g++) {
            I bound = _mm512_add_epi32(WORD(p->first), _mm512_mullo_epi32(WORD(4 * p->slope), block[g]));
            again[g] = bounded(&x[g], bound, p->slope, &low[g], &high[g]);
        }
        UNROLL for (int t = 0; t < at_once; t++) {
            if (s + t >= steps) break;
            uint32_t *to = out + (s + t) * b;
            int g = t * width, doubtful = again[g];
            int same = 0;
            if (!shuffle) {
                I first = padded(halves(low[g], high[g]), 0, b);
                same = repeats(first);
                if (width == 2) {
                    I second = padded(halves(low[g + 1], high[g + 1]), 32, b);
                    same |= repeats(second) | share(first, second);
                }
            }
            UNROLL for (int h = 0; h < width; h++) {
                _mm512_storeu_si512(p->words + 32 * h, low[g + h]);
                _mm512_storeu_si512(p->words + 32 * h + 16, high[g + h]);
                doubtful |= again[g + h];
            }
            finish(p, seed, replicate, step + s + t, doubtful, same, to);
        }
    }
}

/* b <= 8: two blocks a step, four steps a register; 16-bit halves compared within their 128 bits. */
INLINE void draw_eights(const Plan *p, uint64_t seed, uint64_t replicate, uint64_t step, long steps, uint32_t *out) {
    uint32_t b = p->b;
    const I block = _mm512_set_epi64(1, 0, 1, 0, 1, 0, 1, 0), part = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0);
    I bound = _mm512_add_epi32(WORD(p->first), _mm512_mullo_epi32(WORD(4 * p->slope), block));
    __mmask32 real = ((1u << b) - 1) * 0x01010101u;
    I pads = _mm512_set4_epi32((int)0xFFF0FFF1, (int)0xFFF2FFF3, (int)0xFFF4FFF5, (int)0xFFF6FFF7);
    for (long s = 0; s < steps; s += 4 * GROUPS) {
        I blocks[GROUPS], at[GROUPS];
        Block x[GROUPS];
        UNROLL for (int g = 0; g < GROUPS; g++) {
            blocks[g] = block;
            at[g] = _mm512_and_si512(_mm512_add_epi64(part, WORD(step + s + 4 * g)), WORD(0xFFFFFFFF));
        }
        philox_groups(x, blocks, at, replicate, word_3(replicate, step + s), seed, GROUPS);
        UNROLL for (int g = 0; g < GROUPS; g++) {
            I low, high;
            int doubtful = bounded(&x[g], bound, p->slope, &low, &high);
            I half = _mm512_mask_mov_epi16(pads, real, halves(low, high));
            __mmask32 differ = -1;
#define TURNED(k) _mm512_alignr_epi8(half, half, 2 * k)
            DIFFER(differ, half, TURNED(1));
            DIFFER(differ, half, TURNED(2));
            DIFFER(differ, half, TURNED(3));
            DIFFER(differ, half, TURNED(4));
#undef TURNED
            uint32_t all[32];
            _mm512_storeu_si512(all, low);
            _mm512_storeu_si512(all + 16, high);
            for (int t = 0; t < 4; t++) {
                long k = s + 4 * g + t;
                if (k >= steps) break;
                memcpy(p->words, all + 8 * t, 32);
                finish(p, seed, replicate, step + k, doubtful, (uint8_t)(differ >> 8 * t) != 0xFF, out + k * b);
            }
        }
    }
}

/* Any b: the words of one batch first, GROUPS registers at a time. */
static void integers_bulk(const Plan *p, uint64_t seed, uint64_t replicate, uint64_t step) {
    int doubtful = 0;
    for (uint32_t k = 0; k < p->blocks; k += 8 * GROUPS) {
        I block[GROUPS], at[GROUPS];
        Block x[GROUPS];
        UNROLL for (int g = 0; g < GROUPS; g++) {
            block[g] = _mm512_add_epi64(COUNT8, WORD(k + 8 * g));
            at[g] = WORD((uint32_t)step);
        }
        philox_groups(x, block, at, replicate, word_3(replicate, step), seed, GROUPS);
        UNROLL for (int g = 0; g < GROUPS; g++) {
            I bound = _mm512_add_epi32(WORD(p->first), _mm512_mullo_epi32(WORD(p->slope), _mm512_slli_epi64(block[g], 2)));
            I low, high;
            if (k + 8 * g >= p->blocks) break;
            doubtful |= bounded(&x[g], bound, p->slope, &low, &high);
            _mm512_storeu_si512(p->words + 4 * k + 32 * g, low);
            _mm512_storeu_si512(p->words + 4 * k + 32 * g + 16, high);
        }
    }
    if (doubtful) integers_slowly(p, seed, replicate, step, p->words);
}

/* `steps` batches, one after another, to out, which has room for 64 more numbers. */
static void draw(const Plan *p, uint64_t seed, uint64_t replicate, uint64_t step, long steps, uint32_t *out) {
    if (p->b == 1) {
        draw_ones(p, seed, replicate, step, steps, out);
    } else if (p->method != DIRECT && p->b <= 8) {
        draw_eights(p, seed, replicate, step, steps, out);
    } else if (p->method == FLOYD && p->b <= 32) {
        draw_registers(p, seed, replicate, step, steps, out, 1, 0);
    } else if (p->method == FLOYD && p->b <= 64) {
        draw_registers(p, seed, replicate, step, steps, out, 2, 0);
    } else if (p->method == SHUFFLE && p->b <= 32) {
        draw_registers(p, seed, replicate, step, steps, out, 1, 1);
    } else if (p->method == SHUFFLE && p->b <= 64) {
        draw_registers(p, seed, replicate, step, steps, out, 2, 1);
    } else {
        for (long s = 0; s < steps; s++) {
            integers_bulk(p, seed, replicate, step + s);
            uint32_t *to = out + s * p->b;
            if (p->method == DIRECT) memcpy(to, p->words, p->b * 4);
            else if (p->method == FLOYD) floyd_bitmap(p->n, p->b, p->words, to, p->entries);
            else if (p->entries_16) shuffle_16(p->b, p->words, to, p->entries_16);
            else shuffle_32(p->b, p->words, to, p->entries);
        }
    }
}
#endif

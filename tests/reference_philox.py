"""Philox in plain Python integers, for any word size: with 64-bit parameters it is `numpy.random.Philox`."""

from collections.abc import Sequence

CONSTANTS = {
    32: ((0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)),
    64: ((0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)),
}
PURPOSES = {"noise": 0, "start": 1, "batch": 2, "data": 3, "basis": 4, "epoch": 7, "single": 8}


def philox4(counter: Sequence[int], key: Sequence[int], bits: int = 32, rounds: int = 10) -> tuple[int, ...]:
    """The four words of a block."""
    multipliers, weyl = CONSTANTS[bits]
    low = (1 << bits) - 1
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = multipliers[0] * c0, multipliers[1] * c2
        c0, c1, c2, c3 = (p1 >> bits) ^ c1 ^ k0, p1 & low, (p0 >> bits) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + weyl[0]) & low, (k1 + weyl[1]) & low
    return c0, c1, c2, c3


def block(seed: int, purpose: str, replicate: int, step: int, number: int) -> tuple[int, ...]:
    """The words at an address of the stream."""
    low = 0xFFFFFFFF
    last = (PURPOSES[purpose] << 24) | ((replicate >> 32) & 0xFF) << 16 | ((step >> 32) & 0xFFFF)
    return philox4((number & low, step & low, replicate & low, last), (seed & low, seed >> 32))

"""Philox4x32-10: known answers, NumPy's Philox through the same reference code, addresses."""

import numpy as np
import pytest
from fastsgd.kernels._jit import jit
from fastsgd.kernels.philox import PURPOSE_BATCH, counter_high, philox4x32
from fastsgd.kernels.vector import lane_numbers, store
from reference_philox import block, philox4

ONES = 0xFFFFFFFF
LOW = np.uint64(ONES)
# Random123-1.14, tests/kat_vectors: philox4x32 10
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@jit
def _scalar(counter, key, out):
    w0, w1, w2, w3 = philox4x32(counter[0], counter[1], counter[2], counter[3], key[0], key[1])
    out[0], out[1], out[2], out[3] = w0 & LOW, w1 & LOW, w2 & LOW, w3 & LOW


@jit
def _lanes(counter, key, out):
    c0 = lane_numbers(8) + counter[0]
    w0, w1, w2, w3 = philox4x32(c0, counter[1], counter[2], counter[3], key[0], key[1])
    store(out, 0, w0 & LOW)
    store(out, 8, w1 & LOW)
    store(out, 16, w2 & LOW)
    store(out, 24, w3 & LOW)


@jit
def _word_3(purpose, replicate, step):
    return counter_high(purpose, replicate, step)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]) -> None:
    assert philox4(counter, key) == answer
    out = np.zeros(4, np.uint64)
    _scalar(np.array(counter, np.uint64), np.array(key, np.uint64), out)
    assert tuple(out.tolist()) == answer


def test_reference_with_64_bits_is_numpys_philox() -> None:
    counter, key = (5, 6, 7, 8), (0x0123456789ABCDEF, 0xFEDCBA9876543210)
    numpys = np.random.Philox(counter=np.array(counter, np.uint64), key=np.array(key, np.uint64)).random_raw(8)
    # NumPy counts up before it makes a block.
    ours = [w for i in (1, 2) for w in philox4((5 + i, 6, 7, 8), key, bits=64)]
    assert numpys.tolist() == ours


def test_lanes_equal_scalars() -> None:
    counter, key = np.array([ONES - 3, 77, 1 << 31, 2 << 24], np.uint64), np.array([123, 456], np.uint64)
    out = np.zeros(32, np.uint64)
    _lanes(counter, key, out)
    for lane in range(8):
        expected = philox4(((ONES - 3 + lane) & ONES, 77, 1 << 31, 2 << 24), (123, 456))
        assert tuple(out[lane::8].tolist()) == expected


def test_address_uses_every_bit_of_replicate_and_step() -> None:
    replicate, step = (0xAB << 32) | 17, (0xCDEF << 32) | 99
    assert int(_word_3(PURPOSE_BATCH, np.uint64(replicate), np.uint64(step))) == 0x02ABCDEF
    base = block(1, "batch", 17, 99, 0)
    others = [
        block(1, "batch", replicate, 99, 0),
        block(1, "batch", 17, step, 0),
        block((1 << 32) | 1, "batch", 17, 99, 0),
    ]
    assert len({base, *others}) == 4

"""What a user's draw function takes its random numbers from: the words of one address (`words`), as plain numbers.

Integers come as int64, which mixes with the counters and lengths of user code without turning into floating point.
"""

import numpy as np

from . import words
from ._jit import body_entered, inline_entered, jit
from .philox import PURPOSE_BATCH

_0 = np.uint64(0)
_FEW = 16  # that are looked through


def stream(seed, replicate=0, step=0):
    """The stream of the batch of one replicate and step, to try a draw function with in Python."""
    return _begun(np.uint64(seed), np.uint64(replicate), np.uint64(step))


@jit
def _begun(seed, replicate, step):
    made = words.make_words()
    words.begin(made, PURPOSE_BATCH, seed, replicate, step, _0)
    return made


@inline_entered
def below(stream, n):
    """An integer from 0 to n - 1, each with the same chance, int64; 1 <= n < 2^32."""
    return np.int64(words.below(stream, np.uint64(n)))


@inline_entered
def uniform(stream):
    """A number on [0, 1), a multiple of 2^-53."""
    return words.unit(stream)


@jit
def shuffle(stream, array):
    """Put the elements of an array in random order, each order with the same chance."""
    for i in range(array.size - 1, 0, -1):
        k = below(stream, i + 1)
        array[i], array[k] = array[k], array[i]


@body_entered
def subset(stream, n, size, out):
    """`size` different integers below n in out[0 : size], each subset with the same chance; in no particular order.

    No more than n, and than there is room for.

    Floyd's method (Bentley and Floyd, CACM 30, 1987): the j-th draw is below n - size + j + 1, and n - size + j itself where
    that is taken already.
    """
    size = min(size, n, out.size)
    if size <= _FEW:
        for j in range(size):
            last = n - size + j
            k = below(stream, last + 1)
            for i in range(j):
                if out[i] == k:
                    k = last
                    break
            out[j] = k
        return
    places = 4
    while places < 4 * size:
        places *= 2
    taken = np.zeros(places, np.int64)  # k + 1 at the first free place from k on
    for j in range(size):
        last = n - size + j
        k = below(stream, last + 1)
        at = k & (places - 1)
        while taken[at] != 0 and taken[at] != k + 1:
            at = (at + 1) & (places - 1)
        if taken[at] != 0:
            k, at = last, last & (places - 1)
            while taken[at] != 0:
                at = (at + 1) & (places - 1)
        taken[at] = k + 1
        out[j] = k

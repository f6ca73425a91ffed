"""The draws in plain Python integers: one word, one comparison at a time."""

from collections.abc import Iterator

from reference_philox import block


def words(seed: int, replicate: int, step: int) -> Iterator[int]:
    """The 32-bit words of a mini-batch address, in order."""
    number = 0
    while True:
        yield from block(seed, "batch", replicate, step, number)
        number += 1


def below(r: int, source: Iterator[int]) -> int:
    """Lemire's unbiased integer in 0..r-1."""
    while True:
        m = next(source) * r
        if m % 2**32 >= 2**32 % r:
            return m >> 32


def floyd(n: int, b: int, source: Iterator[int]) -> list[int]:
    batch: list[int] = []
    for i in range(b):
        j = below(n - b + 1 + i, source)
        batch.append(n - b + i if j in batch else j)
    return batch


def shuffle(n: int, b: int, source: Iterator[int]) -> list[int]:
    entries = list(range(n))
    for i in range(b):
        k = i + below(n - i, source)
        entries[i], entries[k] = entries[k], entries[i]
    return entries[:b]


def uses_shuffle(n: int, b: int) -> bool:
    if b <= 64:
        return b > 1 and n < 4 * b * b
    return n <= 2**15 or b > n // 32


def without_replacement(n: int, b: int, seed: int, replicate: int, step: int) -> list[int]:
    return (shuffle if uses_shuffle(n, b) else floyd)(n, b, words(seed, replicate, step))


def with_replacement(n: int, b: int, seed: int, replicate: int, step: int) -> list[int]:
    source = words(seed, replicate, step)
    return [below(n, source) for _ in range(b)]

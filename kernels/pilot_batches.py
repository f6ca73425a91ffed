"""What batches of a design are like: errors of their means, how often samples are in them and what they weigh.

Batches lie as `weighted_draws` has them: index uint32 and weight float64, flat [parts, m, pitch], size int64[parts, m].
"""

import numpy as np

from .parallel import parallel


@parallel
def accumulate(part, values, centre, pitch, index, weight, size, sums, products, drawn):
    """Sums over a part's batches of e = sum_i w_i values_i - centre, and of e e'.

    values float64[n, q], centre float64[q]; sums float64[parts, q], products float64[parts, q, q] (lower halves), added to;
    drawn uint8[n], 1 where a sample was drawn.
    """
    q = values.shape[1]
    e = np.zeros(q)
    for i in range(size.shape[1]):
        at = np.uint64(part * size.shape[1] + i) * pitch
        for j in range(q):
            e[j] = -centre[j]
        for k in range(np.uint64(size[part, i])):
            place, w = np.int64(index[at + k]), weight[at + k]
            drawn[place] = 1
            for j in range(q):
                e[j] += w * values[place, j]
        for j in range(q):
            sums[part, j] += e[j]
            for k in range(j + 1):
                products[part, j, k] += e[j] * e[k]
    return np.int64(0)


@parallel
def tally(part, n, bins, pitch, index, weight, size, counts, squares, repeated):
    """How often samples are drawn, and how much they weigh: sums over a part's batches, by bins of neighbours.

    bins: how many; sample i is in bin i bins // n. counts, squares float64[parts, 2, bins], added to: of the number of draws
    and of the sum of weights in a batch, and of their squares; repeated int64[parts], batches in which a sample is drawn again.
    """
    number, total = np.zeros(bins), np.zeros(bins)
    places = 4
    while places < 2 * np.int64(pitch):
        places *= 2
    seen, batch = np.zeros(places, np.int64), np.zeros(places, np.int64)  # a sample, and the batch that it was seen in
    for i in range(size.shape[1]):
        at = np.uint64(part * size.shape[1] + i) * pitch
        again = False
        for k in range(np.uint64(size[part, i])):
            place = np.int64(index[at + k])
            number[place * bins // n] += 1.0
            total[place * bins // n] += weight[at + k]
            there = place & (places - 1)
            while batch[there] == i + 1 and seen[there] != place:
                there = (there + 1) & (places - 1)
            again |= batch[there] == i + 1
            seen[there], batch[there] = place, i + 1
        repeated[part] += again
        for k in range(np.uint64(size[part, i])):
            bin = np.int64(index[at + k]) * bins // n
            if number[bin] > 0.0:
                counts[part, 0, bin] += number[bin]
                squares[part, 0, bin] += number[bin] * number[bin]
                counts[part, 1, bin] += total[bin]
                squares[part, 1, bin] += total[bin] * total[bin]
                number[bin], total[bin] = 0.0, 0.0
    return np.int64(0)

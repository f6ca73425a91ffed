"""What a kernel is made for; in a made module it is the user's (`own_*` import it).

Constants: REPLICATES in a block and SIDE samples of each side by side; WEIGHTED: whether samples have weights; EXTRAS
of `margins` and whether it has a PULL towards theta (t); DIMENSION of theta and FEATURES of a sample; NORMALS, UNIFORMS and
EXPONENTIALS of a simulated one; PARAMETERS, how
many; ALONE: whether a batch is one sample.
"""

from ._jit import jit

REPLICATES, SIDE, WEIGHTED, EXTRAS, PULL, DIMENSION, FEATURES = 8, 1, 0, 1, 0, 1, 1
NORMALS, UNIFORMS, EXPONENTIALS, PARAMETERS, ALONE = 1, 0, 0, 0, 1


@jit
def gradient(theta, sample, params, out):
    """Write the gradient of one sample's loss at theta float64[d] to out float64[d].

    sample: float64[p], a row of the data, or `stream.Stream`, the draws of one sample; params: float64[m], constants.
    """
    for j in range(theta.size):
        out[j] = theta[j]


@jit
def loss(theta, sample, params):
    """The loss of one sample, a float."""
    total = 0.0
    for j in range(theta.size):
        total += 0.5 * theta[j] * theta[j]
    return total


@jit
def hessian(theta, sample, params, out):
    """Write the Hessian of one sample's loss at theta to out float64[d, d]."""
    for j in range(theta.size):
        for k in range(theta.size):
            out[j, k] = 1.0 if j == k else 0.0


@jit
def accumulate(theta, sample, params, out, sums):
    """Add the gradients of samples to `lane_sums.LaneSums`; out: memory for them."""
    gradient(theta, sample, params, out)
    for j in range(theta.size):
        sums[j] = out[j]


@jit
def margins(theta, rows, params):
    """What `lane_margins` makes of a gradient: (EXTRAS vectors of eight), s, o, end, b, (0 and EXTRAS - 1 places).

    theta float64[d]; rows: `lane_rows.LaneRows`, eight samples; params float64[m].
    """
    return (rows[0],), rows[0], 0, theta.size, 0, (0,)


@jit
def draw(n, b, stream, params, indices, weights):
    """Write the samples of a batch, 0 <= indices[i] < n, and their weights; how many there are, at most indices.size.

    n, b int64; stream: for `own_stream`; params float64[m]; indices int64, weights float64.
    """
    for i in range(b):
        indices[i] = i
    return b

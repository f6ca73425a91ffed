"""Small dense linear algebra whose bits do not depend on the machine: plain loops, no BLAS, no LAPACK.

For what a run is built from (random bases, eigenvectors of H, factors of G); d up to a few hundred.
"""

import numpy as np

from ._jit import jit


@jit
def orthonormalise(rows):
    """Make the rows of a nonsingular float64[d, d] orthonormal, in order (Gram-Schmidt, twice), in place."""
    d = rows.shape[0]
    for i in range(d):
        for _ in range(2):
            for j in range(i):
                overlap = 0.0
                for k in range(d):
                    overlap += rows[i, k] * rows[j, k]
                for k in range(d):
                    rows[i, k] -= overlap * rows[j, k]
        norm = 0.0
        for k in range(d):
            norm += rows[i, k] * rows[i, k]
        norm = np.sqrt(norm)
        for k in range(d):
            rows[i, k] /= norm
    return 0


def congruence(rows, matrix, out):
    """out = rows @ matrix @ rows', symmetrised; all float64[d, d], matrix symmetric."""
    return _congruence(rows, matrix, np.zeros(matrix.shape), out)


@jit
def _congruence(rows, matrix, half, out):
    d = rows.shape[0]
    for i in range(d):
        for k in range(d):
            factor = rows[i, k]
            for j in range(d):
                half[i, j] += factor * matrix[k, j]
    for i in range(d):
        for j in range(i, d):
            total = 0.0
            for k in range(d):
                total += half[i, k] * rows[j, k]
            out[i, j] = total
            out[j, i] = total
    return 0


@jit
def _jacobi(a, values, rows):
    """`symmetric_eigen` of a, which is overwritten."""
    d = a.shape[0]
    for i in range(d):
        for j in range(d):
            rows[i, j] = 1.0 if i == j else 0.0
    status = 1
    for sweep in range(60):
        off = 0.0
        for p in range(d):
            for q in range(p + 1, d):
                off += a[p, q] * a[p, q]
        if off == 0.0:
            status = 0
            break
        for p in range(d - 1):
            for q in range(p + 1, d):
                apq = a[p, q]
                scale = np.sqrt(abs(a[p, p])) * np.sqrt(abs(a[q, q]))
                if apq == 0.0:
                    continue
                if sweep > 3 and abs(apq) <= 1e-17 * scale:
                    a[p, q] = 0.0
                    a[q, p] = 0.0
                    continue
                theta = (a[q, q] - a[p, p]) / (2.0 * apq)
                if abs(theta) > 1e150:
                    t = 0.5 / theta
                else:
                    t = 1.0 / (abs(theta) + np.sqrt(theta * theta + 1.0))
                    if theta < 0.0:
                        t = -t
                c = 1.0 / np.sqrt(t * t + 1.0)
                s = t * c
                a[p, p] -= t * apq
                a[q, q] += t * apq
                a[p, q] = 0.0
                a[q, p] = 0.0
                for k in range(d):
                    if k != p and k != q:
                        x = a[p, k]
                        y = a[q, k]
                        a[p, k] = c * x - s * y
                        a[q, k] = s * x + c * y
                for k in range(d):
                    if k != p and k != q:
                        a[k, p] = a[p, k]
                        a[k, q] = a[q, k]
                for k in range(d):
                    x = rows[p, k]
                    y = rows[q, k]
                    rows[p, k] = c * x - s * y
                    rows[q, k] = s * x + c * y
    for i in range(d):
        values[i] = a[i, i]
    return status


def symmetric_eigen(matrix, values, rows):
    """Eigenvalues (in the order of the diagonal) and eigenvectors (rows) of a symmetric float64[d, d], by Jacobi sweeps.

    Returns 0, or 1 if 60 sweeps did not reduce the off-diagonal part to rounding. An already diagonal matrix comes back
    untouched with the identity.
    """
    if np.array_equal(matrix, np.diag(np.diagonal(matrix))):
        values[:], rows[:] = np.diagonal(matrix), np.eye(len(matrix))
        return 0
    return _jacobi(matrix.copy(), values, rows)


@jit
def _cholesky(matrix, out):
    """The factor, and 0; or 1 if a pivot comes near rounding."""
    d = matrix.shape[0]
    largest = 0.0
    for i in range(d):
        largest = max(largest, matrix[i, i])
    for j in range(d):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= out[j, k] * out[j, k]
        if pivot <= 1e-8 * largest:
            return 1
        out[j, j] = np.sqrt(pivot)
        for i in range(j + 1, d):
            total = matrix[i, j]
            for k in range(j):
                total -= out[i, k] * out[j, k]
            out[i, j] = total / out[j, j]
    return 0


def triangular_factor(matrix, out):
    """Lower triangular out with out out' = matrix, for positive semidefinite float64[d, d]; diagonal >= 0.

    Cholesky where the pivots stay away from rounding. A (nearly) singular matrix goes through its eigenvectors and a
    Householder triangularisation instead, whose error is of the order of rounding times the matrix and not its root.
    Returns 0, or 1 if the eigenvalue sweeps did not end.
    """
    out[:] = 0.0
    if _cholesky(matrix, out) == 0:
        return 0
    values, rows = np.empty(len(matrix)), np.empty(matrix.shape)
    status = symmetric_eigen(matrix, values, rows)
    # matrix = W' W with W = diag(sqrt(values)) rows; the R of W = Q R is the transposed factor.
    rows *= np.sqrt(np.maximum(values, 0.0))[:, None]
    _upper_triangle(rows, np.empty(len(matrix)))
    signs = np.where(np.diagonal(rows) < 0.0, -1.0, 1.0)
    out[:] = np.triu(signs[:, None] * rows).T
    return status


@jit
def _upper_triangle(a, v):
    """Replace a float64[d, d] by the R of its QR factorisation (Householder), in place; v float64[d]: working memory."""
    d = a.shape[0]
    for j in range(d - 1):
        norm = 0.0
        for i in range(j, d):
            norm += a[i, j] * a[i, j]
        norm = np.sqrt(norm)
        if norm == 0.0:
            continue
        for i in range(j, d):
            v[i] = a[i, j]
        v[j] += norm if v[j] >= 0.0 else -norm
        square = 0.0
        for i in range(j, d):
            square += v[i] * v[i]
        for k in range(j, d):
            total = 0.0
            for i in range(j, d):
                total += v[i] * a[i, k]
            factor = 2.0 * total / square
            for i in range(j, d):
                a[i, k] -= factor * v[i]
        for i in range(j + 1, d):
            a[i, j] = 0.0

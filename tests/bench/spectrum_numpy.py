"""What bench_spectrum measures, in numpy: a point, neural collapse, and the decomposition, from
moments that are there already. To compare with one thread and the same kernels, start it with
`OPENBLAS_NUM_THREADS=1 env $(richd --print-kernels)` before it."""

import time

import numpy as np

SECONDS = 0.5


def basis(gram):
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-10 * values[-1]
    return vectors[:, kept] / np.sqrt(values[kept])


def point(s, b, g):
    w = basis(g)
    return 1 - np.sum((b @ w) ** 2) / (np.sqrt(w.shape[1]) * np.linalg.norm(s))


def collapse(s, b_t, share):
    d = b_t / share
    m = d - d.mean(1, keepdims=True)
    s_w = s - (d * share) @ d.T
    values, vectors = np.linalg.eigh(m.T @ m)
    values, vectors = values[1:], vectors[:, 1:]
    mv = m @ vectors
    nc1 = (np.sum(mv * (s_w @ mv), 0) / values**2).sum()
    norms = np.linalg.norm(m, axis=0)
    cos = (m / norms).T @ (m / norms)
    off = cos[~np.eye(len(norms), dtype=bool)]
    return nc1, norms.std() / norms.mean(), np.abs(off + 1 / (len(norms) - 1)).mean()


def spectrum(s, b, g, b_t, g_t):
    rho, v = np.linalg.eigh(s)
    return rho, [np.sum(((x @ basis(y)).T @ v) ** 2, 0) / rho for x, y in ((b, g), (b_t, g_t))]


def time_ms(work):
    best, began = 1e9, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def run(p, c):
    rng = np.random.default_rng(p + c)
    n = p + p // 4 + 64
    labels = np.concatenate([np.arange(c), rng.integers(0, c, n - c)])
    x = rng.uniform(-1, 1, (n, p))
    x[np.arange(n), labels] += 2
    y, t = x[:, :c] + rng.uniform(0, 1, (n, c)), np.eye(c)[labels]
    share = t.mean(0)
    x, y, t = x - x.mean(0), y - y.mean(0), t - t.mean(0)
    s, b, g, b_t, g_t = x.T @ x / n, x.T @ y / n, y.T @ y / n, x.T @ t / n, t.T @ t / n
    alone = time_ms(lambda: point(s, b, g))
    labelled = time_ms(lambda: (point(s, b, g), collapse(s, b_t, share)))
    both = time_ms(lambda: (point(s, b, g), collapse(s, b_t, share), spectrum(s, b, g, b_t, g_t)))
    print(f"{p:6} {c:5} {alone:12.2f} {labelled:12.2f} {both:12.1f}")


print(f"milliseconds, numpy {np.__version__}")
print(f"{'p':>6} {'C':>5} {'point':>12} {'+ nc':>12} {'+ spectrum':>12}")
for width in (128, 512, 1024, 2048):
    for classes in (10, 100):
        run(width, classes)

"""Data messages as no training sends them: each is a list of frames."""

import struct

import numpy as np

from harness import F32, F64, HEADER, I32, I64, draw

N, P, C = 12, 4, 2


def head_of(**changes):
    """A header of 64 bytes from the names of proto/INGEST.md."""
    field = {"magic": b"RICH", "version": 1, "kind": 1, "n_more": 0, "seq": 1, "step": 0,
             "rows_before": 0, "n_rows": N, "p": P, "c": C, "k": 0, "features": F32,
             "outputs": F32, "targets": 0, "weights": 0, **changes}
    first_row = field.pop("first_row", 0)
    packed = bytearray(HEADER.pack(*field.values()))
    packed[52:56] = struct.pack("<I", first_row)
    return bytes(packed)


def rows(x=None, y=None, more=(), **changes):
    """Rows of the features x and outputs y; `more` are the frames behind them."""
    drawn = draw(N, P, C)
    x = drawn[0] if x is None else x
    y = drawn[1] if y is None else y
    return [head_of(**changes), b"head", x.tobytes(), y.tobytes(), *more]


def sums(n=N, p=P, c=C):
    """The statistics of n rows, by their names in `moments`."""
    x, y = (part.astype(float) for part in draw(n, p, c))
    x, y = x - x.mean(0), y - y.mean(0)
    s = np.sum(x * x, axis=1)
    return {"mean_x": np.zeros(p), "mean_y": np.zeros(c), "xx": x.T @ x, "xy": x.T @ y,
            "yy": y.T @ y, "fourth": np.r_[s @ s, s @ x]}


def moments(header=None, **changes):
    """Reduced rows whose statistics are what the trainer says."""
    part = {**sums(), **changes}
    return [head_of(kind=2, features=F64, outputs=F64, **(header or {})), b"head",
            *(np.ascontiguousarray(values, "f8").tobytes() for values in part.values())]


def slice_of(first, n, seq, p=P, values=None, **changes):
    """Rows first..first+n-1 of a head's triangle, of numbers near 1."""
    count = sum(p - row for row in range(first, min(first + n, p)))
    values = np.linspace(1, 2, count) if values is None else np.full(count, values)
    return [head_of(**{"kind": 3, "seq": seq, "rows_before": N if seq > 1 else 0,
                       "n_rows": n, "p": p, "c": 1000, "features": F64,
                       "outputs": 0, "first_row": first, **changes}), b"head", values.tobytes()]


def features_alone(seq=1, n=N, before=0):
    """Rows whose outputs a head makes."""
    return [head_of(seq=seq, n_rows=n, rows_before=before, c=1000, outputs=0), b"head",
            draw(n, P, C)[0].tobytes()]


def labelled(label, k=3, code=I64, n=N):
    """Rows of one label."""
    kind = "<i8" if code == I64 else "<i4"
    return rows(k=k, targets=code, n_rows=n, more=[np.full(n, label, kind).tobytes()])


def weighted(weights):
    """Rows with these weights."""
    return rows(weights=F64, more=[np.broadcast_to(np.asarray(weights, "f8"), N).tobytes()])


__all__ = ["C", "F32", "F64", "I32", "I64", "N", "P", "features_alone", "head_of", "labelled",
           "moments", "rows", "slice_of", "sums", "weighted"]

"""Arrays of each framework become the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from richd._link import wire as _wire
from richd._values import arrays as _arrays


VALUES = [[1.0, -2.5, 0.25], [3.0, 0.0, -0.0]]


def staged(values, copy=True):
    rows = _arrays.as_rows(values, "features")
    return rows, bytes(rows.stage(0, rows.n_rows, copy).frame)


@pytest.mark.parametrize(
    ("dtype", "code"),
    [(np.float32, _wire.DTYPE_F32), (np.float64, _wire.DTYPE_F64), (np.float16, _wire.DTYPE_F16)],
)
def test_numpy_floats_travel_as_they_are(dtype, code):
    array = np.array(VALUES, dtype)
    rows, frame = staged(array)
    assert rows.dtype == code and frame == array.tobytes()


@pytest.mark.parametrize(
    ("dtype", "code"),
    [
        (torch.float32, _wire.DTYPE_F32),
        (torch.float64, _wire.DTYPE_F64),
        (torch.float16, _wire.DTYPE_F16),
    ],
)
def test_torch_floats_travel_as_they_are(dtype, code):
    tensor = torch.tensor(VALUES, dtype=dtype, requires_grad=True)
    rows, frame = staged(tensor)
    assert rows.dtype == code and frame == tensor.detach().numpy().tobytes()


def test_torch_bf16_is_the_upper_half_of_f32():
    rows, frame = staged(torch.tensor(VALUES, dtype=torch.bfloat16))
    f32 = np.array(VALUES, np.float32).view(np.uint32)
    assert rows.dtype == _wire.DTYPE_BF16
    assert frame == (f32 >> 16).astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1, 2], [3, 4]], np.float64),
        (np.array([[1, 2]], np.int16), np.float32),
        (np.array([[True, False]]), np.float32),
        (np.array(VALUES, ">f4"), np.float32),
        (np.array(VALUES, np.longdouble), np.float64),
        (torch.tensor([[1, 2]], dtype=torch.int8), np.float32),
        (torch.tensor([[1, 2]]), np.float64),
    ],
)
def test_other_numbers_are_converted(values, expected):
    rows, frame = staged(values)
    assert frame == np.asarray(values).astype(expected).tobytes()
    assert rows.n_rows == len(values)


def test_leading_dimensions_become_rows():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert staged(array)[1] == array.tobytes()
    assert (staged(array)[0].n_rows, staged(array)[0].n_columns) == (6, 4)
    assert staged(np.ones(5))[0].n_columns == 1
    assert staged(torch.ones(5))[0].n_rows == 5


@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_strided_views_become_contiguous(make):
    base = np.arange(48, dtype=np.float32).reshape(8, 6)
    view = make(base).T[1:3] if make is torch.tensor else base.T[1:3]
    assert staged(view)[1] == np.ascontiguousarray(base.T[1:3]).tobytes()


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_memory_is_shared_only_when_lent(make, copy):
    source = make(VALUES)
    frame = _arrays.as_rows(source, "x").stage(0, 2, copy).frame
    before = bytes(frame)
    source[0, 0] = 99.0
    assert (bytes(frame) == before) is copy


def test_anything_with_array_dlpack_or_a_buffer_is_taken():
    class WithArray:
        def __array__(self, dtype=None):
            return np.array(VALUES, dtype or np.float64)

    class WithDlpack:
        def __init__(self):
            self.array = np.array(VALUES)

        def __dlpack__(self, stream=None):
            return self.array.__dlpack__()

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    expected = np.array(VALUES).tobytes()
    for values in (WithArray(), WithDlpack(), memoryview(np.array(VALUES)), VALUES):
        assert staged(values)[1] == expected


@pytest.mark.parametrize(
    "values", [np.ones((2, 2), complex), "text", [["a"]], 1.0, torch.ones(2, 2).to(torch.complex64)]
)
def test_what_is_no_real_matrix_is_refused(values):
    with pytest.raises(ValueError, match="features are"):
        _arrays.as_rows(values, "features")


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (np.array([0, 2], np.uint8), _wire.DTYPE_I32),
        (np.array([0, 2], np.int32), _wire.DTYPE_I32),
        (np.array([0, 2], np.int64), _wire.DTYPE_I64),
        ([0, 2], _wire.DTYPE_I64),
        (torch.tensor([0, 2]), _wire.DTYPE_I64),
        (torch.tensor([0, 2], dtype=torch.int32), _wire.DTYPE_I32),
        (torch.tensor([[0], [2]], dtype=torch.uint8), _wire.DTYPE_I64),
    ],
)
def test_labels_are_one_integer_a_row(labels, code):
    rows = _arrays.as_labels(labels)
    assert rows.dtype == code and (rows.n_rows, rows.n_columns) == (2, 1)
    assert rows.values.ravel().tolist() == [0, 2]


def test_subsample_draws_one_row_of_each_stride():
    index = _arrays.subsample(1000, 10, np.random.default_rng(3))
    assert (index // 100).tolist() == list(range(10))
    assert len(set(index % 100)) > 5
    assert _arrays.subsample(7, 7, np.random.default_rng(3)).tolist() == list(range(7))


@pytest.mark.parametrize("copy", [True, False])
def test_an_array_of_a_subclass_is_sent_as_its_memory(copy):
    values = np.ma.masked_array(np.arange(6, dtype=np.float32).reshape(3, 2), mask=True)
    rows = _arrays.as_rows(values, "features")
    assert bytes(rows.stage(1, 3, copy).frame) == values.data[1:3].tobytes()

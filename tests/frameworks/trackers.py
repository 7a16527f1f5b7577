"""Reads back what trackers have stored: for the tests of the mirrors."""

import struct

_BLOCK = 32768
_HEADER = 7  # of the file, and of each part of a record


def wandb_history(path):
    """The rows of an offline run's file: a log of LevelDB's format with protobufs in it.

    None while the run's end is not in it.
    """
    from wandb.proto import wandb_internal_pb2

    rows, has_ended = [], False
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            rows.append({"/".join(i.nested_key) or i.key: i.value_json
                         for i in record.history.item})
        has_ended |= record.WhichOneof("record_type") == "exit"
    return rows if has_ended else None


def wandb_axes(path):
    """The axis of each name that has one."""
    from wandb.proto import wandb_internal_pb2

    axes = {}
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "metric":
            metric = record.metric
            axes[metric.name or metric.glob_name] = metric.step_metric
    return axes


def _records(data):
    at, parts = _HEADER, []
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        if at + _HEADER + size > len(data):
            return  # it is still written
        parts.append(data[at + _HEADER:at + _HEADER + size])
        at += _HEADER + size
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


def tensorboard_scalars(folder):
    """{name: [(step, value)]} of a folder with event files."""
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance={"tensors": 0, "scalars": 0})  # all of them
    events.Reload()
    found = {n: [(e.step, e.value) for e in events.Scalars(n)] for n in events.Tags()["scalars"]}
    for name in events.Tags()["tensors"]:
        found[name] = [(e.step, float(tensor_util.make_ndarray(e.tensor_proto)))
                       for e in events.Tensors(name)]
    return found

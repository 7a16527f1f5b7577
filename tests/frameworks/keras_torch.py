"""What Debian 12's torch lacks for Keras; imported before it, with KERAS_BACKEND=torch.

Keras 3 is written for torch 2, and reads these names at its import. It needs none of them for what
the tests train.
"""

import sys
import types
from importlib.metadata import version

import torch

if version("torch").startswith("1."):
    for _name in ("float8_e4m3fn", "float8_e5m2"):
        setattr(torch, _name, types.SimpleNamespace())
    _dynamo = types.ModuleType("torch._dynamo")
    _dynamo.disable = lambda function=None, **_: function or (lambda f: f)
    sys.modules[_dynamo.__name__] = torch._dynamo = _dynamo

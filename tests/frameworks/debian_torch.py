"""What Debian 12's torch lacks for Lightning and accelerate; imported before them.

Python 3.11 refuses a dataclass in torch 1.13's sharded tensors. Lightning imports them with every
module, for hooks that do nothing for tensors that are not sharded: such hooks stand here.
accelerate counts the CPU's devices, and sets one.
"""

import sys
import types

import torch


def _do_nothing(*_args):
    pass


if torch.__version__.startswith("1.") and sys.version_info >= (3, 11):
    _module = types.ModuleType("torch.distributed._shard.sharded_tensor")
    _module.pre_load_state_dict_hook = _module.state_dict_hook = _do_nothing
    sys.modules[_module.__name__] = _module
    torch.cpu.device_count = lambda: 1
    torch.cpu.set_device = _do_nothing

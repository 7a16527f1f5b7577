"""torchrun on Debian's torch: python torchrun.py WORLD PORT FOLDER PROGRAM [ARGUMENT...].

FOLDER is for the ranks' output. Debian's torch 1.13 takes no other redirection on Python 3.11 than
this one, and sid's has no libuv, which torchrun's store would use.
"""

import functools
import sys

import torch.distributed
from torch.distributed import run
from torch.distributed.elastic.rendezvous import static_tcp_rendezvous


def main(world, port, folder, *program):
    if not torch.__version__.startswith("1."):
        static_tcp_rendezvous.TCPStore = functools.partial(
            torch.distributed.TCPStore, use_libuv=False)
    run.main(["--nproc_per_node", world, "--master_port", port, "--log_dir", folder,
              "--redirects", "1", "--tee", "1", *program])


if __name__ == "__main__":
    main(*sys.argv[1:])

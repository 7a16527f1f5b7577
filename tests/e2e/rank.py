"""One rank of a training with torch.distributed on the CPU: python rank.py FOLDER STEPS [PORT WORLD].

Under torchrun, or, with PORT and WORLD, by torch.multiprocessing.spawn. It trains a small network with
DistributedDataParallel, has richd watch it unless RICHD_MODE says otherwise, and leaves in FOLDER
the rows that its hook saw, losses and final weights, all as rank-K.npz, and its points as rank-K.json.
"""

import json
import os
import pathlib
import sys

import numpy as np
import torch
import torch.distributed as dist

import richd

N_FEATURES, WIDTH, N_CLASSES, ROWS = 10, 16, 3, 64


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(N_FEATURES, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, N_CLASSES))


def batch(step, rank):
    drawn = torch.Generator().manual_seed(1000 * step + rank)
    return (torch.randn(ROWS, N_FEATURES, generator=drawn),
            torch.randint(N_CLASSES, (ROWS,), generator=drawn))


def keep_rows(module):
    """What goes into the module and comes out of it, as richd should see it."""
    kept = {"features": [], "outputs": []}

    def hook(_module, inputs, output):
        kept["features"].append(inputs[0].detach().clone().numpy())
        kept["outputs"].append(output.detach().clone().numpy())

    module.register_forward_hook(hook)
    return kept


def train(folder, steps):
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # sums in single precision depend on their order
    rank = dist.get_rank()
    model = torch.nn.parallel.DistributedDataParallel(network())
    kept = keep_rows(model.module[2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = richd.init("ranks", f"rank {rank}", config={"rank": rank})
    run.watch(model, "module.2")
    losses, points = [], []
    for step in range(steps):
        features, labels = batch(step, rank)
        loss = torch.nn.functional.cross_entropy(model(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        run.log({"loss": loss.item()}, step=step)
        answer = run.checkpoint(step=step, wait=True, timeout=60.0)
        points += [vars(point)["d_lr"] for point in answer.values()]
    run.finish(timeout=30.0)
    weights = {f"w{i}": p.detach().numpy() for i, p in enumerate(model.parameters())}
    np.savez(folder / f"rank-{rank}.npz", losses=losses, **weights,
             **{name: np.stack(rows) for name, rows in kept.items()})
    (folder / f"rank-{rank}.json").write_text(json.dumps({"id": run.id, "points": points,
                                                          "world": run.world_size}))


def spawned(rank, folder, steps, world, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=world)
    train(folder, steps)


def main(folder, steps, port=None, world=None):
    folder, steps = pathlib.Path(folder), int(steps)
    if port is not None:
        torch.multiprocessing.spawn(spawned, (folder, steps, int(world), int(port)), int(world))
        return
    dist.init_process_group("gloo", init_method=f"file://{folder.resolve()}/store",
                            rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
    train(folder, steps)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A training loop with accelerate; as a program of its own, one of two processes with richd: `main`
has the main process speak for the run, `every` both."""

import sys

import debian_torch  # noqa: F401
import torch
from accelerate import Accelerator

from richd.accelerate import RichdTracker

STEPS, BATCH = 6, 16


def new_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 12), torch.nn.ReLU(), torch.nn.Dropout(0.2),
                               torch.nn.Linear(12, 4))


def train(accelerator, model, tracker=None, first=1, last=STEPS, log=None):
    """The losses of these steps, each of two batches; logged, and measured, at each second."""
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    log = log or accelerator.log
    if tracker is not None:
        tracker.watch(accelerator.unwrap_model(model), layer="3")
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(first, last + 1):
        for _ in range(2):
            with accelerator.accumulate(model):
                x = torch.randn(BATCH, 8, generator=generator)
                loss = torch.nn.functional.cross_entropy(model(x), x.argmax(1) % 4)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
        losses.append(float(loss))
        if step % 2 == 0:
            log({"loss": losses[-1], "note": "text", "nothing": None}, step=step)
    return losses


def main(who):
    torch.distributed.init_process_group("gloo")  # accelerate prefers MPI where torch has it
    tracker = RichdTracker("two", run_id="run", every_process=who == "every")
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("two", config={})
    train(accelerator, new_model(), tracker, log=tracker.log if who == "every" else None)
    tracker.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])

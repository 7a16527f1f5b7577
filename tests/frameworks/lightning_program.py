"""A training in Lightning: a module, its rows and a trainer; as a program of its own with richd,
`endless`, until a signal comes, or in `two` processes."""

import sys

import debian_torch  # noqa: F401
import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from richd.lightning import RichdCallback

BATCH = 16


class Classifier(lightning.LightningModule):
    """Five classes of normal rows; dropout draws from torch's generator."""

    def __init__(self, trouble=None):
        super().__init__()
        self.save_hyperparameters(ignore="trouble")
        self.hparams["lr"] = 0.1
        self.body = torch.nn.Sequential(
            torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Dropout(0.2))
        self.head = torch.nn.Linear(16, 5)
        self.trouble = trouble
        self.losses = []

    def training_step(self, batch, index):
        if self.trouble is not None and self.global_step == 3:
            raise self.trouble
        loss = self.loss_of(batch)
        self.losses.append(float(loss))
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def on_train_epoch_end(self):
        self.log("late", 7.0)

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss_of(batch))

    def test_step(self, batch, index):
        self.log("test_loss", self.loss_of(batch))

    def loss_of(self, batch):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.head(self.body(x)), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"], momentum=0.9)


def loader(n, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=generator)
    y = torch.randint(0, 5, (n,), generator=generator)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=BATCH)


def new_trainer(folder, *callbacks, max_epochs=2, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False,
             "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks)}
    return lightning.Trainer(accelerator="cpu", default_root_dir=folder, max_epochs=max_epochs,
                             log_every_n_steps=2, callbacks=list(callbacks),
                             **{**quiet, **options})


class Announce(lightning.Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 4:
            print("trains", flush=True)


def main(what):
    options = {
        "endless": {"max_epochs": 1 << 30},
        "two": {"max_epochs": 1, "strategy": "ddp_fork", "devices": 2},
    }[what]
    trainer = new_trainer(".", RichdCallback(run_id="run"), Announce(), **options)
    trainer.fit(Classifier(), loader(8 * BATCH, 1), loader(2 * BATCH, 2))


if __name__ == "__main__":
    main(*sys.argv[1:])

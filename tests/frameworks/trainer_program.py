"""A training in Hugging Face's Trainer: a model, its tokens and arguments; as a program of its own,
one with richd that goes on until a signal comes, or with `ranks` one of two processes of it."""

import sys
import tempfile

import debian_torch  # noqa: F401
import torch
import transformers

from richd.transformers import RichdCallback

BATCH, LENGTH, VOCABULARY = 4, 6, 40


class Tokens(torch.utils.data.Dataset):
    """Sequences of equal length, and a label for each; or the tokens themselves as labels."""

    def __init__(self, n, model):
        generator = torch.Generator().manual_seed(n)
        self.inputs = torch.randint(1, VOCABULARY, (n, LENGTH), generator=generator)
        is_classifier = hasattr(model, "score")
        self.labels = self.inputs[:, 0] % 3 if is_classifier else self.inputs

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return {"input_ids": self.inputs[index], "labels": self.labels[index]}


class Losses(transformers.TrainerCallback):
    """Keeps what the trainer logs as its loss, by step."""

    def __init__(self):
        self.by_step = {}

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.by_step[state.global_step] = logs["loss"]


class Announce(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 4:
            print("trains", flush=True)


def new_model(kind="ForSequenceClassification"):
    """A GPT-2 of one block with that head; dropout draws from torch's generator."""
    transformers.set_seed(0)
    config = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=16,
                                     n_layer=1, n_head=2, num_labels=3, pad_token_id=0)
    name = "GPT2LMHeadModel" if kind == "LMHead" else f"GPT2{kind}"
    return getattr(transformers, name)(config)


def arguments(folder, **options):
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    usual = {"max_steps": 8, "logging_steps": 2, "per_device_train_batch_size": BATCH,
             "per_device_eval_batch_size": 8, "learning_rate": 0.01}
    return transformers.TrainingArguments(str(folder), **{**quiet, **usual, **options})


def train(folder, *callbacks, model=None, n_evaluation=8, begin=True, **options):
    """The trainer, after its training where that is to begin."""
    model = model or new_model()
    trainer = transformers.Trainer(
        model, arguments(folder, **options), train_dataset=Tokens(64, model),
        eval_dataset=Tokens(n_evaluation, model), callbacks=list(callbacks))
    if begin:
        trainer.train()
    return trainer


def main(how="alone"):
    with tempfile.TemporaryDirectory() as somewhere:
        if how == "ranks":
            torch.distributed.init_process_group("gloo")  # accelerate prefers MPI, if it is there
            model = new_model()
            masks = [name for name, buffer in model.named_buffers() if buffer.dtype == torch.bool]
            model._ddp_params_and_buffers_to_ignore = masks  # torch 1.13's gloo has no bool
            train(somewhere, RichdCallback(run_id="run"), model=model)
        else:
            train(somewhere, RichdCallback(run_id="run"), Announce(), max_steps=1 << 30)


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/env python3
"""Neural collapse is a special case: where D_LR goes to 0, NC1 and NC2 go with it.

D_LR is 0 when the feature kernel is the projection onto the learned functions; with labels that are
fitted, class means then form a simplex and the rows sit on them. In a run into collapse the four
measures fall together, D_LR without having seen a label.

    python3 examples/neural_collapse.py           # a daemon that runs is found by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from common import accuracy, digits, fit, measure, rank_correlation, residual_dense, values_of
from experiment import D_LR, TRAIN_ACCURACY, Column, Experiment, Verdict

UNTRAINED, LEARNT, END = "untrained", "all is learnt", "at the end"
LR, WEIGHT_DECAY = 0.1, 5e-3
COLLAPSE = {"nc1": "NC1", "nc2_norm_cv": "NC2 norms", "nc2_angle": "NC2 angles"}


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """One run into collapse at every seed."""
    experiment = Experiment(
        "neural-collapse",
        "Neural collapse is a special case: D_LR and NC along a run",
        [D_LR, *(Column(title, key) for key, title in COLLAPSE.items()), TRAIN_ACCURACY],
        note="The paper: T = T_MP implies NC1 and NC2. Here: a residual network on digits.",
        argv=argv,
    )
    width, epochs = experiment.pick((128, 50), (128, 150), (512, 400))
    n_stops = experiment.pick(20, 30, 60)
    histories = {}
    for seed in experiment.seeds:
        history = []
        with experiment.run("collapse", seed, width=width, epochs=epochs, lr=LR) as run:
            train, _ = (rows.to(experiment.device) for rows in digits(seed))
            model = residual_dense(64, width, n_blocks=3).to(experiment.device)
            for step in fit(
                model, train, epochs=epochs, lr=LR, weight_decay=WEIGHT_DECAY, n_stops=n_stops
            ):
                point = measure(run, model, train, step)
                scores = {"train_acc": accuracy(model, train)}
                run.log(scores, step=step)
                history.append({**values_of(point), **scores})
        learnt = next((i for i, h in enumerate(history) if h["train_acc"] > 0.99), -2)
        along = {key: [h[key] for h in history[learnt:]] for key in ("d", *COLLAPSE)}
        together = {
            f"{key} with D_LR": rank_correlation(along["d"], along[key]) for key in COLLAPSE
        }
        experiment.record(UNTRAINED, seed, **history[0])
        experiment.record(LEARNT, seed, **history[learnt])
        experiment.record(END, seed, **history[-1], **together)
        histories[seed] = history

    for key, title in COLLAPSE.items():
        experiment.expect(
            f"once all is learnt, {title} and D_LR fall together (rank correlation above 0.5)",
            lambda at, key=key: at(END, f"{key} with D_LR") - 0.5,
        )
    experiment.expect(
        "NC1 and D_LR by more than half each",
        lambda at: min(0.5 - at(END, k) / at(LEARNT, k) for k in ("d", "nc1")),
    )

    def draw(axes: Any) -> None:
        for i, (key, title) in enumerate(COLLAPSE.items()):
            for seed in experiment.seeds:
                d_lr, collapse = zip(*((h["d"], h[key]) for h in histories[seed]))
                axes.plot(
                    d_lr,
                    collapse,
                    f"C{i}.",
                    ms=4,
                    label=title if seed == experiment.seeds[0] else None,
                )
        axes.set(xscale="log", yscale="log", xlabel="D_LR", ylabel="collapse (0: complete)")
        axes.legend(frameon=False, fontsize=8)

    return experiment.report(draw)


if __name__ == "__main__":
    main()

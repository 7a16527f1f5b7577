"""An experiment on a claim of arXiv 2410.04264: its arguments, runs, table, verdicts and figure.

It keeps what trainings at several seeds and settings came to, and prints it beside what the paper
reports. The example trains and measures; `common` has the data and the networks.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, TypeVar

import richd
import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """A column of the table: its title, the recorded value it shows, and how."""

    title: str
    key: str
    form: str = "{:.3f}"


#: The paper's claims are of D_LR for the data's distribution, not for so many rows of it: "d" is
#: d_debiased, or d_lr where there is none (`Point.shown`).
D_LR = Column("D_LR", "d", "{:.4f}")
#: D_LR against the targets in place of the outputs, and the accuracy of the best linear probe: they
#: tell whether a network is rich *for the task*.
D_TARGET = Column("D_LR of targets", "d_target", "{:.4f}")
PROBE_ACCURACY = Column("probe acc", "probe_accuracy", "{:.1%}")
TRAIN_ACCURACY = Column("train acc", "train_acc", "{:.1%}")
TEST_ACCURACY = Column("test acc", "test_acc", "{:.1%}")


@dataclass(frozen=True)
class Verdict:
    """One claim: by how much it holds at each seed (negative where it does not)."""

    sentence: str
    margins: tuple[float, ...]
    otherwise: str = ""

    @property
    def holds(self) -> bool:
        """True when it holds at every seed."""
        return all(margin > 0 for margin in self.margins)

    def __str__(self) -> str:
        n_held = sum(margin > 0 for margin in self.margins)
        head = "" if self.holds else "NOT REPRODUCED: "
        tail = f". Likely cause: {self.otherwise}" if self.otherwise and not self.holds else ""
        margin = spread(self.margins, "{:.3g}")
        return f"- {head}{self.sentence}: {n_held} of {len(self.margins)} seeds, by {margin}{tail}"


def spread(values: Sequence[float], form: str) -> str:
    """mean +- standard deviation over seeds; the value alone when there is one."""
    mean = form.format(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} +- {form.format(statistics.stdev(values))}"


def cell(values: Sequence[Optional[float]], form: str) -> str:
    """`spread`; "-" where a seed has no value, as of a measure that this daemon does not have."""
    known = [value for value in values if value is not None]
    return spread(known, form) if len(known) == len(values) else "-"


@dataclass
class Experiment:
    """Trainings at several seeds and settings, their table beside the paper's, their verdicts.

    Attributes:
        name: the project in richd, and the figure's file.
        claim: the table's headline.
        columns: what the table shows.
        paper: what the paper reports, by setting and key.
        note: which networks those were, and which these are.
    """

    name: str
    claim: str
    columns: Sequence[Column]
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""
    argv: Optional[Sequence[str]] = None
    values: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    curves: dict[tuple[str, int], tuple[Any, Any]] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        parser = argparse.ArgumentParser(description=self.claim)
        parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2], dest="seeds")
        size = parser.add_mutually_exclusive_group()
        size.add_argument("--short", action="store_true", help="seconds: shows the direction")
        size.add_argument("--full", action="store_true", help="larger and longer, for a GPU")
        parser.add_argument("--threads", type=int, default=1, help="for torch")
        parser.add_argument("--runtime-dir", help="the daemon's runtime folder (default: found)")
        parser.add_argument("--figures", type=Path, default=Path(), help="folder for the figure")
        self.arguments = parser.parse_args(self.argv)
        self.seeds = self.arguments.seeds
        torch.set_num_threads(self.arguments.threads)
        self.device = "cuda" if self.arguments.full and torch.cuda.is_available() else "cpu"

    def pick(self, short: T, usual: T, full: T) -> T:
        """The value for the form that was asked for."""
        return short if self.arguments.short else full if self.arguments.full else usual

    @contextlib.contextmanager
    def run(
        self, setting: str, seed: int, probe: bool = False, **config: Any
    ) -> Iterator[richd.Run]:
        """A run in richd, with torch seeded for it; its curve of D_LR is kept for the figure.

        `probe` promises the same rows at each checkpoint, which s_init needs (up to 1,024).
        """
        torch.manual_seed(seed)
        with richd.init(
            project=self.name,
            name=f"{setting}, seed {seed}",
            group=setting,
            config={"setting": setting, "seed": seed, **config},
            tags=["reproduce"],
            probe=probe,
            runtime_dir=self.arguments.runtime_dir,
        ) as run:
            yield run
            self.curves[setting, seed] = run.series()

    def record(self, setting: str, seed: int, **values: Optional[float]) -> None:
        """Note what a training came to."""
        self.values.setdefault(setting, {})[seed] = values

    def expect(
        self,
        sentence: str,
        margin: Callable[[Callable[..., float]], float],
        otherwise: str = "",
    ) -> None:
        """Judge a claim at each seed.

        `margin` is handed `at(setting, key)` for one seed, and returns by how much the claim holds.
        `otherwise` is the likely cause, printed where it does not.
        """
        margins = tuple(
            margin(lambda setting, key=D_LR.key, s=seed: self.values[setting][s][key])
            for seed in self.seeds
        )
        self.verdicts.append(Verdict(sentence, margins, otherwise))

    def table(self) -> str:
        """The table in Markdown, the paper's figures beside those measured here."""
        told = [c for c in self.columns if any(c.key in row for row in self.paper.values())]
        head = ["setting"]
        for column in self.columns:
            head += [f"{column.title}, paper"] if column in told else []
            head.append(f"{column.title}, here" if column in told else column.title)
        lines = [head]
        for setting, seeds in self.values.items():
            cells = [setting]
            for c in self.columns:
                theirs = self.paper.get(setting, {}).get(c.key)
                cells += ["" if theirs is None else c.form.format(theirs)] if c in told else []
                cells.append(cell([row.get(c.key) for row in seeds.values()], c.form))
            lines.append(cells)
        widths = [max(map(len, column)) for column in zip(*lines)]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join("| " + " | ".join(map(str.ljust, cells, widths)) + " |" for cells in lines)

    def report(self, draw: Callable[[Any], None]) -> list[Verdict]:
        """Print table and verdicts, let `draw` fill the axes of the figure, and return verdicts."""
        seeds = f"seeds {', '.join(map(str, self.seeds))}"
        print(f"\n{self.claim} ({seeds})\n\n{self.note}\n\n{self.table()}\n")
        print(*self.verdicts, sep="\n")
        print(f"sweep: {self.page_view()}")
        print(f"figure: {self.save_figure(draw)}", flush=True)
        return self.verdicts

    def page_view(self) -> str:
        """The table as a view of the page, behind the address of a daemon that has the runs."""
        return f"#search=project:{self.name}&sweepX=setting"

    def save_figure(self, draw: Callable[[Any], None]) -> Path:
        """A small PNG, without a display."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.2, 3.2), dpi=100, tight_layout=True)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(self.claim, fontsize=10)
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        path = self.arguments.figures / f"{self.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        return path

    def draw_curves(self, axes: Any) -> None:
        """D_LR against the step, as richd has it: a colour a setting, a line a seed."""
        settings = dict.fromkeys(setting for setting, _ in self.curves)
        colours = {setting: f"C{i}" for i, setting in enumerate(settings)}
        for (setting, seed), (steps, d_lr) in self.curves.items():
            label = setting if seed == self.seeds[0] else None
            axes.plot(steps + 1, d_lr, colours[setting], label=label, lw=1.2)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step + 1")
        axes.set_ylabel("D_LR (0 rich, 1 lazy)")
        axes.legend(frameon=False, fontsize=8)

"""Which of a measure's two forms is shown: the one corrected for few rows, where there is one.

Plain values, any thread. The pairs are METRIC_CORRECTIONS in proto/base/metric.h; a test holds them
to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Optional

#: Plain measures that few rows bias, with their corrected forms.
CORRECTED = {
    "d_lr": "d_debiased",
    "u": "u_debiased",
    "pr": "pr_debiased",
    "cka_linear": "cka_debiased",
    "s_init": "s_init_debiased",
}


class Shown(NamedTuple):
    """The form of a measure that is right at a point's number of rows.

    Attributes:
        name: which form it is; "d_lr" says that there is no d_debiased.
        value: its value; None where neither form is defined.
        se: the standard error of this form, None without one: value +- 2 se is its band.
    """

    name: str
    value: Optional[float]
    se: Optional[float]

    def __str__(self) -> str:
        """As in "d_debiased 0.0573 +- 0.0048", with two standard errors."""
        if self.value is None:
            return f"{self.name} -"
        band = "" if self.se is None else f" +- {2 * self.se:.4f}"
        return f"{self.name} {self.value:.4f}{band}"


def shown(plain: str, value_of: Callable[[str], Optional[float]]) -> Shown:
    """The form of the measure `plain` that is shown, of the values that `value_of` has by name."""
    corrected = CORRECTED.get(plain, plain)
    name = plain if value_of(corrected) is None else corrected
    return Shown(name, value_of(name), value_of(f"{name}_se"))

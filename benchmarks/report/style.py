"""The style of all charts: SVG without a background, and colors that are legible on white and on dark pages."""

from __future__ import annotations

import matplotlib as mpl

from .colors import TEXT


def use(name: str, *, font_size: float = 9) -> None:
    """Draw the charts that follow in this style. With the same `name`, their files have the same ids in each run."""
    mpl.use("svg")
    mpl.rcParams.update(
        {
            "axes.edgecolor": TEXT,
            "axes.labelcolor": TEXT,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": TEXT,
            "axes.titlesize": 9,
            "font.size": font_size,
            "grid.color": TEXT,
            "grid.linewidth": 0.3,
            "savefig.transparent": True,
            "svg.fonttype": "none",
            "svg.hashsalt": name,
            "text.color": TEXT,
            "xtick.color": TEXT,
            "ytick.color": TEXT,
        }
    )

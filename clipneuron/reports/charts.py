"""Charts of reports, as PNG: the same bytes for the same figures.

Drawn through matplotlib's objects on its Agg canvas and under its own default settings, so that neither a display nor
a user's configuration matters. Every picture is 1000 pixels wide.
"""

import io
from collections.abc import Callable
from textwrap import fill

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH, DPI = 10.0, 100
# Colours of Okabe and Ito, which colour-blind readers tell apart.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip


def chart(draw: Callable[[Figure], None], note: str, height: float = 6.0) -> bytes:
    """What `draw` draws, with a note below it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc("font", size=12)
        matplotlib.rc("axes.spines", top=False, right=False)
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        # A picture may travel without its page: it says itself which model it is of.
        # Names of models and places are no formulas, whatever dollars they have.
        figure.supxlabel(fill(note, 150), fontsize=9, color="0.35", parse_math=False)
        buffer = io.BytesIO()
        # Neither the library's version nor a date: they would change the bytes.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

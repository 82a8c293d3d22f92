"""What all charts share: an image with words for screen readers, coordinates, axes and their ticks."""

from collections.abc import Iterable
from math import ceil, floor, log10

from markupsafe import Markup, escape

from clipneuron.reports.printing import visible


def image(width: float, height: float, description: str, parts: Iterable[str], kind: str) -> Markup:
    """An SVG image whose description stands in for it; `parts` are SVG already, `kind` is its class."""
    body = "".join(parts)
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {short(width)} {short(height)}" role="img" '
        f'aria-label="{safe(description)}">{body}</svg>'
    )


def label(x: float, y: float, words: str, kind: str = "") -> str:
    """Text at a place; `kind` adds classes such as `end` and `middle`, where the text is anchored."""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{short(x)}" y="{short(y)}"{named}>{safe(words)}</text>'


def columns(boxes: Iterable[tuple[float, float, float]], base: float, kind: str) -> str:
    """Filled columns (left, width, height) that stand on a line, as one path; "" where there is none."""
    drawn = "".join(
        f"M{short(left)} {short(base)}v{short(-height)}h{short(width)}v{short(height)}z"
        for left, width, height in boxes
        if height
    )
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> str:
    """A straight line."""
    return f'<path class="{kind}" d="M{short(x1)} {short(y1)}L{short(x2)} {short(y2)}"/>'


def safe(words: str) -> str:
    """Foreign text as content or as an attribute's value."""
    return str(escape(visible(words)))


def short(value: float) -> str:
    """A coordinate to a hundredth, as short as it can be written.

    >>> short(2.50), short(-0.001), short(30)
    ('2.5', '0', '30')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def nice_step(span: float, parts: int) -> float:
    """The step of 1, 2 or 5 times a power of ten that divides a span into at most so many parts.

    >>> nice_step(1.0, 5), nice_step(730, 4)
    (0.2, 200.0)
    """
    rough = span / parts
    power = 10.0 ** floor(log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def ticks(low: float, high: float, parts: int) -> list[float]:
    """Round numbers from `low` to `high`, both included where they are round."""
    if not high > low:
        return [low]
    step = nice_step(high - low, parts)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis: powers of ten, with 2 and 5 times them where there are few."""
    powers = range(floor(log10(low)) - 1, ceil(log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
        if len(found) >= 3:
            return found
    return found or [low, high]


def number(value: float) -> str:
    """A tick's number.

    >>> number(0.30000000000000004), number(2000), number(0.000012), number(-0.5)
    ('0.3', '2,000', '1.2e-5', '−0.5')
    """
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.0f}"
    elif size >= 0.001:
        text = f"{value:.3g}"
    else:
        text = f"{value:.2g}".replace("e-0", "e-")
    return text.replace("-", "−", 1) if value < 0 else text

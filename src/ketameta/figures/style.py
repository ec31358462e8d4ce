"""How every figure looks: sizes in points, colours that survive colour blindness. Draws nothing.

Colours are from Okabe and Ito's palette (Color Universal Design, 2008) with neutral greys; no
meaning is carried by colour alone.
"""

from __future__ import annotations

from typing import Final

#: One millimetre in points (1/72 inch).
POINTS_PER_MM: Final = 72 / 25.4
#: A full journal page is about 180 mm wide.
PAGE_WIDTH: Final = 180 * POINTS_PER_MM
#: A single-plot figure (funnel, bubble) is narrower than a page and reads well in a column.
PLOT_WIDTH: Final = 140 * POINTS_PER_MM
MARGIN: Final = 8.0

FONT_FAMILY: Final = "DejaVu Sans"
TITLE_SIZE: Final = 9.0
BODY_SIZE: Final = 7.2
SMALL_SIZE: Final = 6.4
#: Distance between baselines, relative to the font size.
LINE_SPACING: Final = 1.28
#: Height of capitals and digits, relative to the font size; centres text on a line.
CAP_HEIGHT: Final = 0.729

INK: Final = "#1A1A1A"
GREY: Final = "#5F5F5F"
LIGHT: Final = "#9A9A9A"
RULE: Final = "#BDBDBD"
BAND: Final = "#F4F5F7"
PAPER: Final = "#FFFFFF"

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
YELLOW: Final = "#F0E442"
NAVY: Final = "#12354F"
#: Order in which categories take colours.
SEQUENCE: Final = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

HAIRLINE: Final = 0.5
THIN: Final = 0.8
MEDIUM: Final = 1.2
#: On and off lengths, in points.
DOTTED: Final = (0.9, 1.9)
DASHED: Final = (3.2, 2.0)

#: Side of the square of the heaviest study.
LARGEST_SQUARE: Final = 8.4
#: Smallest side drawn, so that a study of tiny weight can still be seen.
SMALLEST_SQUARE: Final = 1.6
#: Side where a study has no weight (one trial, or nothing was pooled).
UNWEIGHTED_SQUARE: Final = 4.6
DIAMOND_HALF_HEIGHT: Final = 4.4

#: judgement -> (symbol, fill, colour of the symbol, words)
RISK_OF_BIAS: Final = {
    "low": ("+", GREEN, PAPER, "low"),
    "some_concerns": ("!", YELLOW, INK, "some concerns"),
    "high": ("×", VERMILLION, PAPER, "high"),
    "unclear": ("?", "#C9C9C9", INK, "unclear"),
    "not_assessed": ("", PAPER, GREY, "not assessed"),
}

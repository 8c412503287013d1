"""Line charts as SVG files, for the scripts beside it. The background is left clear, and the colours are
of middle lightness, so that a chart reads on white and on dark pages."""

import dataclasses
import math
import pathlib
from xml.sax.saxutils import escape

INK = "#7d7d7d"
COLOURS = ("#2f81d7", "#d9702b", "#2e9e62", "#b257c4")
DASHES = ("", "7 4", "2 3", "9 3 2 3")
PANEL_WIDTH, PANEL_HEIGHT = 400, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 46  # margins of a panel
LEGEND_LINE = 16
MARKED_MAX = 20  # points of a line; of one with more, the line alone is drawn


@dataclasses.dataclass
class Series:
    name: str
    points: list  # (x, y) or (x, y, least y, most y)


@dataclasses.dataclass
class Panel:
    title: str
    x_label: str
    y_label: str
    series: list
    y_log: bool = True
    y_max: float = None  # of a linear axis, which begins at 0, or at the least value below it
    x_log: bool = True  # with a tick at each point; a linear axis begins at 0


def short(value):
    """20000 as 20k."""
    for unit, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= unit:
            return f"{value / (1e3 if letter == 'k' else unit):g}{letter}"
    return f"{value:g}"


def log_ticks(low, high):
    """From the last one at or below `low` to the first one at or above `high`."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 3 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    first = max(i for i, tick in enumerate(ticks) if tick <= low * 1.001)
    last = min(i for i, tick in enumerate(ticks) if tick >= high / 1.001)
    return ticks[first:max(last, first + 1) + 1]


def linear_ticks(high, low=0):
    """From the first one at or above `low` to the last one at or below `high`."""
    step = 10 ** math.floor(math.log10((high - low) / 2))
    while (high - low) / step > 6:
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    return [step * i for i in range(math.ceil(low / step - 1e-4), int(high / step + 1.0001))]


class Axis:
    """Values to places between two pixels."""

    def __init__(self, low, high, is_log, first, last):
        self.scale = math.log10 if is_log else lambda value: value
        self.low, self.high = self.scale(low), self.scale(high)
        self.first, self.last = first, last

    def at(self, value):
        part = (self.scale(value) - self.low) / (self.high - self.low or 1)
        part = min(max(part, 0), 1)  # a bar that leaves the chart ends at its edge
        return self.first + part * (self.last - self.first)


def draw_text(x, y, text, anchor="middle", more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def draw_axes(panel, x_axis, y_axis, xs, y_ticks, top):
    left, right, bottom = LEFT, PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM
    out = [draw_text((left + right) / 2, 16, panel.title, more=' font-weight="bold"'),
           draw_text((left + right) / 2, PANEL_HEIGHT - 8, panel.x_label),
           draw_text(0, 0, panel.y_label,
                     more=f' transform="translate(14 {(top + bottom) / 2:.0f}) rotate(-90)"')]
    for tick in y_ticks:
        y = y_axis.at(tick)
        out.append(f'<path d="M{left} {y:.1f}H{right}" stroke="{INK}" stroke-opacity=".3"/>')
        out.append(draw_text(left - 6, y + 4, short(tick), "end"))
    for x in xs:
        out.append(f'<path d="M{x_axis.at(x):.1f} {bottom}v5" stroke="{INK}"/>')
        out.append(draw_text(x_axis.at(x), bottom + 18, short(x)))
    out.append(f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{INK}"/>')
    return out


def draw_series(index, series, x_axis, y_axis):
    colour = COLOURS[index % len(COLOURS)]
    dash = DASHES[index % len(DASHES)]
    line = "L".join(f"{x_axis.at(point[0]):.1f} {y_axis.at(point[1]):.1f}"
                    for point in series.points)
    out = [f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2" '
           f'stroke-dasharray="{dash or "none"}"/>']
    for x, y, *spread in series.points if len(series.points) <= MARKED_MAX else ():
        x = x_axis.at(x)
        out.append(f'<circle cx="{x:.1f}" cy="{y_axis.at(y):.1f}" r="3" fill="{colour}"/>')
        if spread:
            low, high = (y_axis.at(value) for value in spread)
            out.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/>')
    return out


def draw_legend(series):
    out = []
    for index, one in enumerate(series):
        y = TOP - 6 + LEGEND_LINE * index
        dash = DASHES[index % len(DASHES)] or "none"
        out.append(f'<path d="M{LEFT} {y}h28" stroke="{COLOURS[index % len(COLOURS)]}" '
                   f'stroke-width="2" stroke-dasharray="{dash}"/>')
        out.append(draw_text(LEFT + 34, y + 4, one.name, "start"))
    return out


def draw_panel(panel):
    shown = [point for series in panel.series for point in series.points]
    ys = [y for point in shown for y in point[1:]]
    xs = sorted({point[0] for point in shown})
    legend = panel.series if len(panel.series) > 1 else []
    top = TOP + LEGEND_LINE * len(legend)
    if panel.y_log:
        ticks = log_ticks(min(ys), max(ys))
        low, high = ticks[0], ticks[-1]
    else:
        low, high = min(0, *ys) * 1.1, panel.y_max or max(ys) * 1.1
        ticks = linear_ticks(high, low)
    if not panel.x_log:
        xs = linear_ticks(xs[-1])
    x_axis = Axis(xs[0], xs[-1], panel.x_log, LEFT + 12, PANEL_WIDTH - RIGHT - 12)
    y_axis = Axis(low, high, panel.y_log, PANEL_HEIGHT - BOTTOM, top)
    out = draw_axes(panel, x_axis, y_axis, xs, ticks, top) + draw_legend(legend)
    for index, series in enumerate(panel.series):
        out += draw_series(index, series, x_axis, y_axis)
    return out


def write(path, panels):
    """Draws the panels side by side."""
    width = PANEL_WIDTH * len(panels)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {PANEL_HEIGHT}" '
           f'width="{width}" height="{PANEL_HEIGHT}" font-family="sans-serif" font-size="11" '
           f'fill="{INK}">']
    for index, panel in enumerate(panels):
        out.append(f'<g transform="translate({PANEL_WIDTH * index} 0)">')
        out += draw_panel(panel)
        out.append("</g>")
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*out, "</svg>", ""]), encoding="utf-8")

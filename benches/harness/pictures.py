"""The pictures of a run: SVG by small templates, readable on light and on dark ground."""

import html
import math
import statistics

LIGHT = {"ground": "#ffffff", "ink": "#1f2328", "dim": "#59636e", "line": "#d8dee4"}
DARK = {"ground": "#0d1117", "ink": "#e6edf3", "dim": "#9198a1", "line": "#30363d"}
COLORS = {"pinion": "#d9480f", "pinion_unbatched": "#f59f00", "floor": "#868e96",
          "axum": "#1971c2", "actix": "#7048e8", "ntex": "#2f9e44", "xitca": "#0c8599",
          "may_minihttp": "#c2255c", "fastapi": "#a98467"}
SPARE = ["#3bc9db", "#94d82d", "#e599f7", "#ffa8a8"]  # for servers by other names
SERIF_FREE = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

LABEL, BAR, GAP, ROW = 150, 470, 26, 19  # of the bars, in pixels
CUT = 4  # times the median of its group is the most that a bar shows
PLOT_LEFT, PLOT_TOP, PLOT_WIDTH, PLOT_HEIGHT = 64, 56, 560, 300  # of the curves
KEY_WIDTH = 170


def bars(title, groups, unit, digits):
    """Horizontal bars. `groups`: heading → rows of (server, parts); parts are stacked.

    Each group has a scale of its own, as workloads differ by a hundred. A bar that would leave the
    others no room is cut, which a gap near its end says.
    """
    body, y = [], 58
    for heading, rows in groups.items():
        body.append(text(16, y, heading, "ink", weight=600))
        y += 8
        most = longest([sum(parts) for _, parts in rows])
        for server, parts in rows:
            body += [text(LABEL - 8, y + 13, server, "ink", anchor="end"),
                     *bar(y, color(server), parts, most)]
            x = LABEL + min(sum(parts) / most, 1) * BAR
            body.append(text(x + 6, y + 13, f"{sum(parts):,.{digits}f}", "dim"))
            y += ROW
        y += GAP
    return svg(title, unit, LABEL + BAR + 90, y, body)


def longest(values):
    """What the full width stands for: the largest value that is not out of all proportion."""
    usual = statistics.median(values)
    return max(value for value in values if value <= CUT * usual) or 1


def bar(y, fill, parts, most):
    """One bar of stacked parts; cut at the full width, with a gap when there was more."""
    x, drawn = LABEL, []
    scale = BAR / max(most, sum(parts))  # a cut bar keeps the share of its parts
    for at, part in enumerate(parts):
        drawn.append(f'<rect x="{x:.1f}" y="{y + 2}" width="{part * scale:.1f}" '
                     f'height="{ROW - 5}" fill="{fill}" fill-opacity="{1 - 0.5 * at:.1f}"/>')
        x += part * scale
    if sum(parts) > most:
        end = LABEL + BAR - 30
        drawn.append(f'<path d="M{end} {y + ROW - 1}l6 -{ROW}h5l-6 {ROW}z" class="ground"/>')
    return drawn


def curves(title, note, series):
    """Latency by percentile. `series`: server → {percentile: ms}.

    Across, each step to the right is one more nine; up, milliseconds on a logarithmic axis.
    """
    points = {server: sorted((nines(float(key)), max(value, 1e-3)) for key, value in curve.items()
                             if 50 <= float(key) < 100) for server, curve in series.items()}
    points = {server: line for server, line in points.items() if line}
    values = [value for line in points.values() for _, value in line]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    right = max(at for line in points.values() for at, _ in line)
    left, high = nines(50), max(high, low + 1)

    def x(at):
        return PLOT_LEFT + (at - left) / (right - left) * PLOT_WIDTH

    def y(value):
        return PLOT_TOP + (high - math.log10(value)) / (high - low) * PLOT_HEIGHT

    body = []
    for power in range(low, high + 1):
        body += [rule(PLOT_LEFT, y(10**power), PLOT_LEFT + PLOT_WIDTH, y(10**power)),
                 text(PLOT_LEFT - 8, y(10**power) + 4, f"{10**power:,g}", "dim", anchor="end")]
    bottom = PLOT_TOP + PLOT_HEIGHT
    for percentile in (50, 90, 99, 99.9, 99.99, 99.999):
        if (at := nines(percentile)) <= right + 1e-9:
            body += [rule(x(at), PLOT_TOP, x(at), bottom),
                     text(x(at), bottom + 18, f"{percentile:g} %", "dim", anchor="middle")]
    for server, line in points.items():
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line)
        dash = ' stroke-dasharray="5 4"' if server in ("floor", "pinion_unbatched") else ""
        body.append(f'<polyline points="{path}" fill="none" stroke="{color(server)}" '
                    f'stroke-width="{3 if server == "pinion" else 1.8}"{dash}/>')
    # The key stands in the order in which the curves end, from the slowest down.
    for at, server in enumerate(sorted(points, key=lambda name: -points[name][-1][1])):
        key_x, key_y = PLOT_LEFT + PLOT_WIDTH + 18, PLOT_TOP + 12 + at * ROW
        body += [f'<rect x="{key_x}" y="{key_y - 4}" width="16" height="4" '
                 f'fill="{color(server)}"/>', text(key_x + 24, key_y + 3, server, "ink")]
    return svg(title, note, PLOT_LEFT + PLOT_WIDTH + KEY_WIDTH, bottom + 34, body)


def nines(percentile):
    return -math.log10(1 - percentile / 100)


def color(server):
    return COLORS.get(server) or SPARE[sum(server.encode()) % len(SPARE)]


def rule(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="line"/>'


def text(x, y, words, kind, anchor="start", weight=400):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def svg(title, note, width, height, body):
    def rules(colors):
        return (f".ground{{fill:{colors['ground']}}}.ink{{fill:{colors['ink']}}}"
                f".dim{{fill:{colors['dim']}}}.line{{stroke:{colors['line']}}}")

    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{SERIF_FREE}" font-size="12" role="img">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{rules(LIGHT)}@media(prefers-color-scheme:dark){{{rules(DARK)}}}</style>",
        f'<rect width="{width}" height="{height}" class="ground"/>',
        f'<text x="16" y="24" class="ink" font-size="15" font-weight="600">{html.escape(title)}'
        "</text>",
        text(16, 40, note, "dim"), *body, "</svg>"]) + "\n"

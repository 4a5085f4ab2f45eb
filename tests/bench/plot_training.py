#!/usr/bin/env python3
"""Draws what bench_training.py measured: a bar a model and precision, as long as PyTorch's step time over Weft's.

    plot_training.py training.json training_bf16.json -o training.svg

Plain SVG, written without a library. Where several modes of PyTorch were tried, the one that was fastest is compared.
"""
import argparse
import json
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP, BOTTOM = 780, 175, 190, 15, 10, 50, 30
COLOURS = {"f32": "#3b6ea5", "bf16": "#d98032"}


def text(x, y, words, anchor="start", size=12, colour="#222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def rows_of(files):
    """{model label: {dtype: result}} in the order of the files."""
    rows = {}
    for name in files:
        with open(name) as f:
            for result in json.load(f):
                rows.setdefault(f"{result['model']}, batch {result['batch']}", {})[result["dtype"]] = result
    return rows


def median(values):
    values = sorted(values)
    return values[len(values) // 2]


def drawing(rows):
    longest = max(r["ratio"] for row in rows.values() for r in row.values())
    unit = (WIDTH - LEFT - RIGHT) / max(longest, 1)
    height = TOP + BOTTOM + sum(len(row) * BAR + GAP for row in rows.values())
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
           'font-family="sans-serif">', f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    out.append(text(LEFT, 20, "PyTorch's time of a training step over Weft's (longer: Weft is faster)", size=14))
    for i, (dtype, colour) in enumerate(COLOURS.items()):
        out.append(f'<rect x="{LEFT + 60 * i}" y="29" width="11" height="11" fill="{colour}"/>')
        out.append(text(LEFT + 60 * i + 16, 39, dtype))
    y = TOP
    for label, row in rows.items():
        out.append(text(LEFT - 8, y + len(row) * BAR / 2 + 4, label, "end"))
        for dtype, r in row.items():
            weft, torch = (median([run["ms"] for run in r[side]]) for side in ("weft", "pytorch"))
            length = r["ratio"] * unit
            out.append(f'<rect x="{LEFT}" y="{y + 1}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS[dtype]}"/>')
            digits = 1 if weft < 100 else 0
            out.append(text(LEFT + length + 6, y + BAR - 4, f"{r['ratio']:.2f}", size=11))
            out.append(text(WIDTH - 10, y + BAR - 4, f"{weft:.{digits}f} of {torch:.{digits}f} ms ({r['torch_mode']})", "end", 11,
                            "#666"))
            y += BAR
        y += GAP
    x = LEFT + unit
    out.append(f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{height - BOTTOM + 4}" stroke="#222" stroke-dasharray="3 3"/>')
    out.append(text(x, height - 10, "equal", "middle", 11))
    return "\n".join(out + ["</svg>", ""])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("json", nargs="+", help="files that bench_training.py wrote with --json")
    p.add_argument("-o", "--output", required=True, help="the SVG file")
    a = p.parse_args()
    with open(a.output, "w") as f:
        f.write(drawing(rows_of(a.json)))


if __name__ == "__main__":
    main()

"""How much faster is this engine than the others, in one run?

    python benches/vectors/compare.py --set SET [--peers PEER ...] [--cache DIR]
                                      [--plot FILE.svg] [--rebuild | --stand]

Builds and measures this engine (`cargo bench --bench vectors -- search SET`),
hnsw_rs by itself, and the peers, one after the other, then prints a table, the
ratios of speeds at recall@10 of .99 with what the rounds make of them at worst
and at best, and the processor. Peers' indexes that stand are not built again,
unless --rebuild is given; all are searched again. With --stand nothing is
measured: what was is compared. The plot shows recall against speed.
"""

import argparse
import math
import pathlib
import subprocess
import sys

import data
import peers

WANTED = 0.99
OWN = "cento"
RAW = "hnsw_rs"


def speed(told, name):
    """Queries a second at the wanted recall: straight in the logarithm between the
    two points around it; of the first point if that is enough."""
    before = None
    for point in told["points"]:
        if point["recall_at_10"] >= WANTED:
            if before is None:
                return point[name]
            share = (WANTED - before["recall_at_10"]) / (point["recall_at_10"] - before["recall_at_10"])
            return math.exp(math.log(before[name]) * (1 - share) + math.log(point[name]) * share)
        before = point
    return None


def measure(given, cache):
    bench = ["cargo", "bench", "--quiet", "--bench", "vectors", "--"]
    others = [name for name in given.peers or [] if name != RAW]
    for part in ["search"] + ["raw"] * (not given.peers or RAW in given.peers):
        subprocess.run([*bench, part, given.set, "--cache", str(cache)], cwd=data.ROOT, check=True)
    if given.peers and not others:
        return
    command = [sys.executable, str(pathlib.Path(peers.__file__)), "measure", "--set", given.set]
    command += ["--cache", str(cache), "--rebuild" if given.rebuild else "--again"]
    if others:
        command += ["--peers", *others]
    subprocess.run(command, check=True)


def ratios(results):
    own = results[OWN]
    print(f"\n{OWN} against each, queries/s at recall@10 {WANTED}; build times\n")
    lines = []
    for name, told in results.items():
        if name == OWN:
            continue
        theirs = speed(told, "qps_median")
        build = f"{own['build_seconds'] / told['build_seconds']:.2f}" if told["build_seconds"] else "-"
        if theirs is None:
            lines.append([name, "recall not reached", "", build])
            continue
        middle = speed(own, "qps_median") / theirs
        worst = speed(own, "qps_min") / speed(told, "qps_max")
        best = speed(own, "qps_max") / speed(told, "qps_min")
        lines.append([name, f"{middle:.2f}", f"{worst:.2f} to {best:.2f}", build])
    print(peers.table(["peer", "times as fast", "worst to best round", "build, share of theirs"], lines))


COLOURS = ["#0b6e4f", "#c44536", "#1d4e89", "#e0a100", "#7b4b94", "#5c6b73", "#2a9d8f", "#b56576", "#8d6a3f", "#444444"]


def plot(results, about, path):
    """Recall from .9 to 1 and speed on a logarithmic scale, as SVG."""
    wide, high, left, top = 760, 460, 70, 40
    points = {
        name: [(p["recall_at_10"], p["qps_median"]) for p in told["points"] if p["recall_at_10"] >= 0.9]
        for name, told in results.items()
    }
    points = {name: line for name, line in points.items() if line}
    speeds = [y for line in points.values() for _, y in line]
    low, most = math.log10(min(speeds)), math.log10(max(speeds))
    x_of = lambda recall: left + (recall - 0.9) / 0.1 * (wide - left - 190)
    y_of = lambda qps: top + (most - math.log10(qps)) / (most - low) * (high - top - 50)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" font-family="sans-serif" font-size="12">']
    out.append('<rect width="100%" height="100%" fill="white"/>')
    title = f"{about['name']}: {about['count']:,} × {about['dimensions']}, one thread, k = 10"
    out.append(f'<text x="{left}" y="22" font-size="14">{title}</text>')
    for step in range(11):
        x = x_of(0.9 + step / 100)
        out.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{high - 50}" stroke="#ddd"/>')
        if step % 2 == 0:
            out.append(f'<text x="{x:.1f}" y="{high - 34}" text-anchor="middle">{0.9 + step / 100:.2f}</text>')
    for qps in [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000]:
        if low <= math.log10(qps) <= most:
            y = y_of(qps)
            out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{wide - 190}" y2="{y:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{qps:,}</text>')
    out.append(f'<text x="{(left + wide - 190) / 2}" y="{high - 12}" text-anchor="middle">recall@10; queries a second upwards</text>')
    for at, (name, line) in enumerate(points.items()):
        colour = COLOURS[at % len(COLOURS)]
        dash = "" if at < len(COLOURS) else ' stroke-dasharray="5 3"'
        width = 3 if name == OWN else 1.5
        drawn = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
        out.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
        y = top + 14 + at * 18
        out.append(f'<line x1="{wide - 180}" y1="{y - 4}" x2="{wide - 158}" y2="{y - 4}" stroke="{colour}" stroke-width="{width}"{dash}/>')
        out.append(f'<text x="{wide - 152}" y="{y}">{name}</text>')
    out.append("</svg>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(out) + "\n", encoding="utf-8")
    print(f"\n{path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=data.set_name, required=True)
    parser.add_argument("--cache", type=pathlib.Path, default=data.CACHE)
    parser.add_argument("--peers", nargs="+", help=f"{RAW}, or names as for peers.py; all unless said")
    parser.add_argument("--plot", type=pathlib.Path)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--rebuild", action="store_true", help="build the peers' indexes again as well")
    how.add_argument("--stand", action="store_true", help="compare what was measured before")
    given = parser.parse_args()
    cache = data.folder_of(given.cache).resolve()
    given_set = peers.Set(cache, given.set)
    if not given.stand:
        measure(given, cache)
    peers.report(given_set, False)
    found = [peers.read_json(path) for path in sorted((given_set.folder / "results").glob("*.json"))]
    found = [told for told in found if told and "filter" not in told and told["base_sha256"] == given_set.sha256]
    order = [OWN, RAW, *peers.all_peers()]
    found.sort(key=lambda told: order.index(told["peer"]) if told["peer"] in order else len(order))
    results = {told["peer"]: told for told in found}
    if OWN not in results:
        sys.exit("this engine is not measured yet: leave out --stand")
    ratios(results)
    print(f"\n{peers.cpu()}")
    if given.plot:
        plot(results, given_set.about, given.plot)


if __name__ == "__main__":
    main()

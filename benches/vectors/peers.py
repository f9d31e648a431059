"""How fast, how exact and how large are other engines on a vector set?

    python benches/vectors/peers.py measure --set SET [--peers PEER ...] [--filter NAME ...]
    python benches/vectors/peers.py report --set SET [--points]

Takes a set that data.py made. Each engine builds its graph with two threads
(M 16, ef_construction 200; the index is kept beside the set), then answers the
1,000 queries on one thread, all in one call, for each ef, REPETITIONS times
over. Building and searching run in processes of their own. A peer that was
measured is not measured again, unless --again is given; its index is built
again only if the set, the parameters or the engine's version have changed, or
with --rebuild.

The first parts of a name stand for all peers that have them: `usearch`, `faiss`.
`+f32` is the same index, whose 2k + 10 best candidates are scored again by the
exact vectors.

With --filter the rows of SET/filters/NAME.bits alone may be found. faiss alone
is measured so: it takes a bitmap, others ask Python for each row.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

import data

K = 10
M = 16
EF_CONSTRUCTION = 200
BUILD_THREADS = 2
EFS = [10, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400]
REPETITIONS = 5
CANDIDATES = 2 * K + 10
NO_BITMAP = "only faiss-f32 and faiss-sq8 take a bitmap; name one of them with --peers"


class Hnswlib:
    package = "hnswlib"
    settings = {"space": "ip"}

    def build(self, base, path):
        import hnswlib

        index = hnswlib.Index(space="ip", dim=base.shape[1])
        index.init_index(max_elements=len(base), ef_construction=EF_CONSTRUCTION, M=M)
        index.set_num_threads(BUILD_THREADS)
        index.add_items(base, np.arange(len(base)))
        return lambda: index.save_index(str(path))

    def load(self, path, base):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=base.shape[1])
        self.index.load_index(str(path))
        self.index.set_num_threads(1)

    def search(self, queries, k, ef):
        self.index.set_ef(ef)
        return self.index.knn_query(queries, k, num_threads=1)[0]


class Usearch:
    package = "usearch"

    def __init__(self, dtype, metric):
        self.settings = {"dtype": dtype, "metric": metric}

    def empty(self, dimensions):
        from usearch.index import Index

        return Index(
            ndim=dimensions, connectivity=M, expansion_add=EF_CONSTRUCTION, **self.settings
        )

    def build(self, base, path):
        index = self.empty(base.shape[1])
        index.add(np.arange(len(base), dtype=np.uint64), base, threads=BUILD_THREADS)
        return lambda: index.save(str(path))

    def load(self, path, base):
        self.index = self.empty(base.shape[1])
        self.index.load(str(path))

    def search(self, queries, k, ef):
        self.index.expansion_search = ef
        return self.index.search(queries, k, threads=1).keys


class Faiss:
    package = "faiss-cpu"

    def __init__(self, quantizer=None):
        self.quantizer = quantizer
        self.settings = {"metric": "inner product", "quantizer": quantizer or "none"}

    def build(self, base, path):
        import faiss

        faiss.omp_set_num_threads(BUILD_THREADS)
        ip, dimensions = faiss.METRIC_INNER_PRODUCT, base.shape[1]
        if self.quantizer:
            kind = getattr(faiss.ScalarQuantizer, self.quantizer)
            index = faiss.IndexHNSWSQ(dimensions, kind, M, ip)
        else:
            index = faiss.IndexHNSWFlat(dimensions, M, ip)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.train(base)
        index.add(base)
        return lambda: faiss.write_index(index, str(path))

    def load(self, path, base):
        import faiss

        faiss.omp_set_num_threads(1)
        self.faiss, self.selector = faiss, None
        self.index = faiss.read_index(str(path))

    def allow(self, bits):
        self.selector = self.faiss.IDSelectorBitmap(bits)

    def search(self, queries, k, ef):
        params = self.faiss.SearchParametersHNSW(efSearch=ef, sel=self.selector)
        return self.index.search(queries, k, params=params)[1]


class LanceDb:
    """Its threads are its own affair: it searches pinned to one core. Its file
    holds the vectors as well."""

    package = "lancedb"
    pinned = True
    settings = {"index": "IVF_HNSW_SQ", "metric": "dot", "num_partitions": 1}

    def build(self, base, path):
        import lancedb
        import pyarrow
        from lancedb.index import HnswSq

        vectors = pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(np.asarray(base).ravel()), base.shape[1]
        )
        ids = pyarrow.array(np.arange(len(base), dtype=np.uint32))
        table = lancedb.connect(str(path)).create_table(
            "rows", pyarrow.table({"id": ids, "vector": vectors})
        )
        config = HnswSq(
            distance_type="dot", num_partitions=1, m=M, ef_construction=EF_CONSTRUCTION
        )
        table.create_index("vector", config=config)
        return lambda: None

    def load(self, path, base):
        import lancedb

        self.table = lancedb.connect(str(path)).open_table("rows")
        self.refine = None

    def search(self, queries, k, ef):
        asked = self.table.search(queries, vector_column_name="vector").distance_type("dot")
        asked = asked.nprobes(1).ef(ef).limit(k).select(["id", "_distance"])
        if self.refine:
            asked = asked.refine_factor(self.refine)
        found = asked.to_arrow()
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        # The rows of a query stand together, best first.
        of = found["query_index"].to_numpy()
        order = np.argsort(of, kind="stable")
        of, rows = of[order], found["id"].to_numpy()[order]
        ids[of, np.arange(len(of)) - np.searchsorted(of, of)] = rows
        return ids


class Rescored:
    """Another peer's candidates, scored again by the exact vectors."""

    least = CANDIDATES

    def __init__(self, inner, of):
        self.inner, self.of, self.package = inner, of, inner.package
        self.settings = {**inner.settings, "rescored": CANDIDATES}

    def load(self, path, base):
        self.inner.load(path, base)
        self.base = np.array(base)

    def search(self, queries, k, ef):
        found = self.inner.search(queries, CANDIDATES, ef).astype(np.int64)
        best = np.empty((len(queries), k), dtype=np.int64)
        # A few queries at a time, so that their vectors stay near the core.
        for start in range(0, len(queries), 16):
            ids, asked = found[start : start + 16], queries[start : start + 16]
            scores = np.matmul(self.base[ids], asked[:, :, None])[:, :, 0]
            order = np.argsort(-scores, axis=1)[:, :k]
            best[start : start + 16] = np.take_along_axis(ids, order, 1)
        return best


class Refined(Rescored):
    """The same by LanceDB's own means."""

    def load(self, path, base):
        self.inner.load(path, base)
        self.inner.refine = CANDIDATES // K

    def search(self, queries, k, ef):
        return self.inner.search(queries, k, ef)


def all_peers():
    peers = {"hnswlib": Hnswlib()}
    for metric in ["cos", "ip"]:
        for dtype in ["f32", "bf16", "f16", "i8"]:
            peers[f"usearch-{dtype}-{metric}"] = Usearch(dtype, metric)
        of = f"usearch-i8-{metric}"
        peers[f"{of}+f32"] = Rescored(Usearch("i8", metric), of)
    peers["faiss-f32"] = Faiss()
    peers["faiss-sq8"] = Faiss("QT_8bit")
    peers["faiss-sq8+f32"] = Rescored(Faiss("QT_8bit"), "faiss-sq8")
    peers["lancedb"] = LanceDb()
    peers["lancedb+f32"] = Refined(LanceDb(), "lancedb")
    return peers


# Where things are


class Set:
    def __init__(self, cache, name):
        self.name, self.folder = name, cache / name
        self.about = data.read_about(self.folder)
        if not self.about:
            whole = ", ".join(sorted(path.parent.name for path in cache.glob("*/about.json")))
            made = "data.py " + name if name in (data.CLUSTERED, data.REAL) else f"data.py truth {name} --dimensions N"
            sys.exit(
                f"{self.folder} is no whole set (whole: {whole or 'none'}); "
                f"make it: python benches/vectors/{made} --cache {cache}"
            )
        if self.about["nearest"] < K:
            sys.exit(f"the truth of {name} is only {self.about['nearest']} deep")
        self.sha256 = self.about["files"]["base.f32"]["sha256"]

    def vectors(self, file):
        return data.rows(self.folder / file, self.about["dimensions"])

    def truth(self, path):
        found = np.fromfile(path, dtype="<u4").reshape(self.about["queries"], -1)
        return found[:, :K].astype(np.int64)

    def index(self, peer):
        return self.folder / "indexes" / peer

    def result(self, peer, filter_name):
        name = f"{peer}--{filter_name}" if filter_name else peer
        return self.folder / "results" / f"{name}.json"

    def filter(self, name):
        stem = self.folder / "filters" / name
        told = data.read_filter(stem)
        if not told or told["base_sha256"] != self.sha256:
            there = ", ".join(sorted(path.stem for path in stem.parent.glob("*.json")))
            sys.exit(
                f"{stem}.bits is no filter of this set (there are: {there or 'none'}); "
                f"make them: python benches/vectors/data.py filters {self.name} --cache {self.folder.parent}"
            )
        return stem, told


def size_of(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path, told):
    data.replace(path, (json.dumps(told, indent=1) + "\n").encode())


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def stamp(given_set, peer):
    """What an index or a result holds for."""
    return {
        "set": given_set.name,
        "base_sha256": given_set.sha256,
        "package": peer.package,
        "version": importlib.metadata.version(peer.package),
        "settings": {**peer.settings, "M": M, "ef_construction": EF_CONSTRUCTION},
    }


def agrees(told, stamped):
    return told is not None and all(told.get(key) == value for key, value in stamped.items())


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu():
    with open("/proc/cpuinfo") as file:
        lines = [line.split(":", 1) for line in file if ":" in line]
    names = [value.strip() for name, value in lines if name.strip() == "model name"]
    flags = {flag for name, value in lines if name.strip() in ("flags", "Features") for flag in value.split()}
    sets = [name for name in ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "asimd"] if name in flags]
    return f"{len(names)} × {names[0]} ({', '.join(sets)})" if names else "unknown"


# What runs in processes of their own


def build(given_set, name, peer):
    path = given_set.index(name)
    told_at = path.with_name(f"{name}.build.json")
    stamped = stamp(given_set, peer)
    told_at.unlink(missing_ok=True)
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In memory first: reading the set is no part of building.
    base = np.array(given_set.vectors("base.f32"))
    load_before, begun = os.getloadavg(), time.monotonic()
    save = peer.build(base, path)
    seconds = time.monotonic() - begun
    save()
    told = {
        **stamped,
        "threads": BUILD_THREADS,
        "build_seconds": seconds,
        "index_bytes": size_of(path),
        "load_average": [load_before[0], os.getloadavg()[0]],
    }
    write_json(told_at, told)
    print(f"{name}: built in {seconds:.1f} s, {told['index_bytes'] / 1e6:.1f} MB", flush=True)


def search(given_set, name, peer, filter_name):
    index_of = getattr(peer, "of", name)
    path = given_set.index(index_of)
    built = read_json(path.with_name(f"{index_of}.build.json"))
    if not agrees(built, stamp(given_set, getattr(peer, "inner", peer))):
        sys.exit(f"{path} is not built, or otherwise; `measure` builds it")
    if getattr(getattr(peer, "inner", peer), "pinned", False):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    queries = np.array(given_set.vectors("query.f32"))
    base = given_set.vectors("base.f32")
    filtered = {}
    if filter_name:
        stem, told = given_set.filter(filter_name)
        bits = np.fromfile(stem.with_name(f"{filter_name}.bits"), dtype=np.uint8)
        truth = given_set.truth(stem.with_name(f"{filter_name}.truth.u32"))
        filtered = {"filter": filter_name, "filter_rows": told["rows"]}
    else:
        truth = given_set.truth(given_set.folder / "truth.u32")
    importlib.import_module({"faiss-cpu": "faiss", "usearch": "usearch.index"}.get(peer.package, peer.package))
    load_before, before = os.getloadavg(), resident()
    peer.load(path, base)
    if filter_name:
        peer.allow(bits)
    peer.search(queries, K, CANDIDATES)
    resident_bytes = resident() - before

    # Whoever wants more candidates looks at no fewer.
    efs = sorted({max(ef, getattr(peer, "least", K)) for ef in EFS})
    recalls, seconds = [], {ef: [] for ef in efs}
    for ef in efs:
        found = np.asarray(peer.search(queries, K, ef)).astype(np.int64)
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth))
        recalls.append(hits / (truth[:, :K] != data.NOBODY).sum())
    # Round after round over all ef, so that a slow while falls on all alike.
    for _ in range(REPETITIONS):
        for ef in efs:
            begun = time.perf_counter()
            peer.search(queries, K, ef)
            seconds[ef].append(time.perf_counter() - begun)
    points = []
    for ef, recall in zip(efs, recalls):
        speeds = [len(queries) / each for each in seconds[ef]]
        points.append(
            {
                "ef": ef,
                "recall_at_10": recall,
                "qps_median": statistics.median(speeds),
                "qps_min": min(speeds),
                "qps_max": max(speeds),
            }
        )
    told = {
        **stamp(given_set, peer),
        **filtered,
        "peer": name,
        "build_seconds": built["build_seconds"],
        "build_threads": built["threads"],
        "index_bytes": built["index_bytes"],
        "resident_bytes": resident_bytes,
        "search_threads": 1,
        "queries": len(queries),
        "k": K,
        "repetitions": REPETITIONS,
        "cpu": cpu(),
        "load_average": [load_before[0], os.getloadavg()[0]],
        "points": points,
    }
    write_json(given_set.result(name, filter_name), told)
    print(f"{told_name(told)}: recall {recalls[0]:.4f} to {recalls[-1]:.4f}", flush=True)


# What the user asks for


def told_name(told):
    return f"{told['peer']}, {told['filter']}" if "filter" in told else told["peer"]


def child(cache, set_name, task, peer, threads, *more):
    environment = dict(os.environ)
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]:
        environment[name] = str(threads)
    # LanceDB tells of settings that are left as they are, query by query.
    environment.setdefault("RUST_LOG", "error")
    environment.setdefault("LANCE_LOG", "error")
    command = [sys.executable, str(pathlib.Path(__file__).resolve()), task]
    command += ["--cache", str(cache), "--set", set_name, "--peers", peer, *more]
    return subprocess.run(command, env=environment).returncode == 0


def measure(given_set, cache, names, filters, again, rebuild):
    peers, failed, rebuilt = all_peers(), [], set()
    for name in filters:
        given_set.filter(name)
    if filters:
        names = [name for name in names if hasattr(peers[name], "allow")]
        if not names:
            sys.exit(NO_BITMAP)
    for name in names:
        peer = peers[name]
        index_of = getattr(peer, "of", name)
        try:
            stamped = stamp(given_set, peer)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name}: {peer.package} is not installed: pip install -r benches/vectors/requirements.txt", file=sys.stderr)
            failed.append(name)
            continue
        path = given_set.index(index_of)
        built = read_json(path.with_name(f"{index_of}.build.json"))
        stands = agrees(built, stamp(given_set, peers[index_of])) and path.exists()
        if not stands or (rebuild and index_of not in rebuilt):
            if not child(cache, given_set.name, "build", index_of, BUILD_THREADS):
                failed.append(name)
                continue
            rebuilt.add(index_of)
        for filter_name in filters or [None]:
            told = read_json(given_set.result(name, filter_name))
            if agrees(told, stamped) and not (again or rebuild):
                print(f"{told_name(told)}: measured before")
                continue
            more = ["--filter", filter_name] if filter_name else []
            if not child(cache, given_set.name, "search", name, 1, *more):
                failed.append(name)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


def at_recall(points, wanted):
    """Queries a second at a recall: between the two points around it the
    logarithm of the speed is taken as a straight line."""
    for at, point in enumerate(points):
        if point["recall_at_10"] < wanted:
            continue
        if at == 0:
            return f"≥ {point['qps_median']:,.0f}"
        before = points[at - 1]
        share = (wanted - before["recall_at_10"]) / (point["recall_at_10"] - before["recall_at_10"])
        speed = np.exp(
            np.log(before["qps_median"]) * (1 - share) + np.log(point["qps_median"]) * share
        )
        return f"{speed:,.0f}"
    return "not reached"


def table(head, lines):
    lines = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def megabytes(count):
    return f"{count / 1e6:,.1f}"


def report(given_set, points):
    results = [read_json(path) for path in sorted((given_set.folder / "results").glob("*.json"))]
    results = [told for told in results if told]
    stale = [told for told in results if told["base_sha256"] != given_set.sha256]
    results = [told for told in results if told not in stale]
    about = given_set.about
    print(f"{about['name']}: {about['count']:,} × {about['dimensions']}, {about['queries']:,} queries, k = {K}\n")
    if not results:
        sys.exit(f"nothing is measured yet: python benches/vectors/peers.py measure --set {given_set.name} --cache {given_set.folder.parent}")
    order = list(all_peers())
    rank = {name: at for at, name in enumerate(order)}
    results.sort(key=lambda told: (told.get("filter", ""), rank.get(told["peer"], len(order))))
    lines = []
    for told in results:
        best = max(point["recall_at_10"] for point in told["points"])
        lines.append(
            [
                told_name(told),
                told["version"],
                f"{told['build_seconds']:,.1f}",
                megabytes(told["index_bytes"]),
                megabytes(told["resident_bytes"]),
                *(at_recall(told["points"], wanted) for wanted in (0.9, 0.95, 0.99)),
                f"{best:.4f}",
                f"{max(told['load_average']):.1f}",
            ]
        )
    head = ["peer", "version", "build, s", "file, MB", "resident, MB"]
    head += ["qps at .90", "qps at .95", "qps at .99", "best recall", "load"]
    print(table(head, lines))
    if points:
        for told in results:
            print(f"\n{told_name(told)}\n")
            lines = [
                [
                    str(point["ef"]),
                    f"{point['recall_at_10']:.4f}",
                    *(f"{point[name]:,.0f}" for name in ["qps_median", "qps_min", "qps_max"]),
                ]
                for point in told["points"]
            ]
            print(table(["ef", "recall@10", "qps, median", "min", "max"], lines))
    for told in stale:
        print(f"left out, measured on another {given_set.name}: {told_name(told)}")


def chosen(given):
    """The peers that the names stand for, in the order of the tables."""
    known, names = list(all_peers()), set()
    for wanted in given or known:
        found = [name for name in known if name == wanted or name.startswith(f"{wanted}-")]
        if not found:
            sys.exit(f"{wanted!r} is no peer; there are: {', '.join(known)}")
        names.update(found)
    return [name for name in known if name in names]


def main():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--cache", type=pathlib.Path, default=data.CACHE, help="where data.py keeps the sets")
    common.add_argument("--set", type=data.set_name, required=True)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{measure,report}")
    told = commands.add_parser("measure", parents=[common], help="build what is not built, search")
    told.add_argument("--peers", nargs="+", help=f"some of: {', '.join(all_peers())}")
    told.add_argument("--filter", nargs="+", type=data.set_name, default=[], metavar="NAME")
    told.add_argument("--again", action="store_true", help="search again, with the indexes that stand")
    told.add_argument("--rebuild", action="store_true", help="build and search again: the time of building is the index's own")
    told = commands.add_parser("report", parents=[common], help="a table of what was measured")
    told.add_argument("--points", action="store_true", help="and all figures of each ef")
    # What `measure` calls for one peer.
    for task in ["build", "search"]:
        told = commands.add_parser(task, parents=[common])
        told.add_argument("--peers", nargs=1, choices=list(all_peers()), required=True)
        told.add_argument("--filter", type=data.set_name)
    given = parser.parse_args()
    cache = data.folder_of(given.cache)
    given_set = Set(cache, given.set)
    if given.command == "measure":
        measure(given_set, cache, chosen(given.peers), given.filter, given.again, given.rebuild)
    elif given.command == "report":
        report(given_set, given.points)
    else:
        name, peer = given.peers[0], all_peers()[given.peers[0]]
        if given.command == "build":
            build(given_set, name, peer)
        elif given.filter and not hasattr(peer, "allow"):
            sys.exit(NO_BITMAP)
        else:
            search(given_set, name, peer, given.filter)


if __name__ == "__main__":
    main()

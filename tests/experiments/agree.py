#!/usr/bin/env python3
"""How workers agree, on real data: accuracy, rounds and bytes of each way, on the same number of examples.

    python3 tests/experiments/agree.py ROOT JOB.json [--epochs 20] [--only diloco] [--from RUN]
        [--diloco '{"batch": 8, "times": 1, "outer": {"rate": 1.0, "momentum": 0.8}, "rounds_per_epoch": 3}']

ROOT holds the data set and the weights that the job names (tests/experiments/real.sh prepares them). Every row is a run
in the local cloud, scored once an epoch. Bytes are those of what workers publish for others to read, all rounds and
workers together.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DILOCO = {"times": 3, "outer": {"rate": 1.0, "momentum": 0.6}}
# Name, workers, changes of the job; `times` multiplies its learning rate.
WAYS = [
    ("one worker", 1, {"agree": "average"}),
    ("one worker, 3 x rate", 1, {"agree": "average", "times": 3}),
    ("average", 4, {"agree": "average"}),
    ("average", 16, {"agree": "average"}),
    ("gradient", 4, {"agree": "gradient"}),
    ("gradient", 16, {"agree": "gradient"}),
    ("diloco", 4, {"agree": "diloco"}),
    ("diloco", 16, {"agree": "diloco"}),
    ("diloco bf16", 16, {"agree": "diloco", "precision": "bf16"}),
    ("diloco int8", 16, {"agree": "diloco", "precision": "int8"}),
    ("average int8", 16, {"agree": "average", "precision": "int8"}),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("job", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", default="", help="ways whose name contains this")
    parser.add_argument("--workers", type=int, help="ways with this many workers")
    parser.add_argument("--from", dest="begin", metavar="RUN", help="begin with this run's model")
    parser.add_argument("--diloco", type=json.loads, default=DILOCO, help="the `diloco` object of the job, as JSON")
    options = parser.parse_args()
    job = json.loads(options.job.read_text())
    if options.begin:
        job["from"] = options.begin
    manifest = json.loads((options.root / "datasets" / job["dataset"] / "dataset.json").read_text())
    images = manifest["splits"]["train"]["images"]
    print(f"{'way':<22}{'workers':>8}{'rounds':>8}{'MB':>10}{'best top-1':>12}{'in epoch':>10}", flush=True)
    for name, workers, changes in WAYS:
        if options.only in name and options.workers in (None, workers):
            diloco = options.diloco if changes["agree"] == "diloco" else {}
            train(options, changed(job, {**changes, **diloco}), name, workers, images)


def changed(job, changes):
    rate = job["learning_rate"] * changes.get("times", 1)
    return {**job, **{key: value for key, value in changes.items() if key != "times"}, "learning_rate": rate}


def train(options, job, name, workers, images):
    each = -(-images // job["batch"]) if job["agree"] == "gradient" else job.get("rounds_per_epoch", 1)
    job.update({"rounds": options.epochs * each, "score_every": each})
    job["warmup_rounds"] = job.get("warmup_rounds", 0) * each
    job["limits"] = {"invocations": 10_000_000, "dollars": 100.0, "hours": 20.0}
    # Another job is another run, and the same job finds its finished run.
    run = f"agree-{workers}-{hashlib.sha256(json.dumps(job).encode()).hexdigest()[:12]}"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        command = [ROOT / "target/release/baton", "local", "--root", options.root, "--job", file.name, "--run", run]
        command += ["--workers", str(workers), "--json"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    best = json.loads(text.splitlines()[-1])["best"]
    folder = options.root / "runs" / run
    last = folder / "stages" / f"{job['rounds']:04}"
    size = sum(file.stat().st_size for file in last.glob("worker-*"))
    total = size * job["rounds"] / 1e6
    score = best["score"]["top1"]
    print(f"{name:<22}{workers:>8}{job['rounds']:>8}{total:>10.1f}{score:>12.4f}{best['round'] // each:>10}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""How workers agree, on real data: accuracy, rounds and bytes of each way, on the same number of examples.

    python3 tests/experiments/agree.py ROOT JOB.json [--epochs 20] [--only diloco]

ROOT holds the data set and the weights that the job names (tests/experiments/real.sh prepares them). Every row is a run
in the local cloud. Bytes are those of what workers publish for others to read, all rounds and workers together.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTER = {"learning_rate": 0.03, "outer": {"rate": 1.0, "momentum": 0.6}}
# Name, workers, what the job says. A round of one worker, or of `average` and `diloco`, goes over all images once.
WAYS = [
    ("one worker", 1, {"agree": "average"}),
    ("one worker", 1, {"agree": "average", "learning_rate": 0.03}),
    ("average", 4, {"agree": "average"}),
    ("average", 16, {"agree": "average"}),
    ("gradient", 4, {"agree": "gradient"}),
    ("gradient", 16, {"agree": "gradient"}),
    ("diloco", 4, {"agree": "diloco", **OUTER}),
    ("diloco", 16, {"agree": "diloco", **OUTER}),
    ("diloco bf16", 16, {"agree": "diloco", **OUTER, "precision": "bf16"}),
    ("diloco int8", 16, {"agree": "diloco", **OUTER, "precision": "int8"}),
    ("average int8", 16, {"agree": "average", "precision": "int8"}),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("job", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", default="", help="ways whose name has this in it")
    options = parser.parse_args()
    job = json.loads(options.job.read_text())
    manifest = json.loads((options.root / "datasets" / job["dataset"] / "dataset.json").read_text())
    images = manifest["splits"]["train"]["images"]
    print(f"{'way':<14}{'workers':>8}{'rounds':>8}{'MB':>10}{'best top-1':>12}{'in round':>10}", flush=True)
    for name, workers, changes in WAYS:
        if options.only in name:
            train(options, {**job, **changes}, name, workers, images)


def train(options, job, name, workers, images):
    job["rounds"] = options.epochs
    if job["agree"] == "gradient":
        job["rounds"] = options.epochs * -(-images // job["batch"])
    job["limits"] = {"invocations": 10_000_000, "dollars": 100.0, "hours": 20.0}
    # Another job is another run; the same one is found as it ended.
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
    print(f"{name:<14}{workers:>8}{job['rounds']:>8}{total:>10.1f}{score:>12.4f}{best['round']:>10}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

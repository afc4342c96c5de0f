#!/usr/bin/env python3
"""The effect of a bank of augmented copies, dropout and the average of weights on real data.

    python3 tests/experiments/augment.py ROOT JOB.json [--seeds 1 2 3] [--rounds 30] [--only bank]

ROOT holds the data set, with a test split, and the weights that the job names. Every row is a job that is run in the local
cloud with each seed: mean, least and most of the test split's top-1, of the model of the best round on the validation split.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLIP, CROP, COLOUR = {"flip": True}, {"crop": 0.125}, {"colour": 0.2}
WAYS = [
    ("as they are", {}),
    ("dropout 0.5", {"dropout": 0.5}),
    ("average 0.8", {"average_decay": 0.8}),
    ("bank of 4: flip", {"augment": {**FLIP}}),
    ("bank of 4: flip, crop", {"augment": {**FLIP, **CROP}}),
    ("bank of 4: flip, crop, colour", {"augment": {**FLIP, **CROP, **COLOUR}}),
    ("bank of 8: flip, crop", {"augment": {**FLIP, **CROP, "copies": 8}}),
    ("bank of 4: flip, crop; all three", {"augment": {**FLIP, **CROP}, "dropout": 0.5, "average_decay": 0.8}),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("job", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="", help="ways whose name has this in it")
    options = parser.parse_args()
    job = json.loads(options.job.read_text())
    print(f"{'way':<34}{'val top-1':>10}{'test top-1':>11}{'least':>8}{'most':>8}{'loss':>8}{'seconds':>9}", flush=True)
    for name, changes in WAYS:
        if options.only in name:
            began = time.time()
            models = [run(options, {**job, **changes, "rounds": options.rounds, "seed": seed}) for seed in options.seeds]
            val, test, loss = (
                [model[split]["score"][key] for model in models]
                for split, key in (("val", "top1"), ("test", "top1"), ("test", "loss"))
            )
            mean = lambda values: sum(values) / len(values)
            row = f"{name:<34}{mean(val):>10.4f}{mean(test):>11.4f}{min(test):>8.4f}{max(test):>8.4f}{mean(loss):>8.4f}"
            print(f"{row}{time.time() - began:>9.0f}", flush=True)


def run(options, job):
    """The model of a job; another job is another run, and the same job finds its finished run."""
    run = f"augment-{hashlib.sha256(json.dumps(job).encode()).hexdigest()[:12]}"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        command = [ROOT / "target/release/baton", "local", "--root", options.root, "--job", file.name, "--run", run]
        subprocess.run([*command, "--workers", "4", "--json"], check=True, capture_output=True)
    return json.loads((options.root / "runs" / run / "model" / "model.json").read_text())


if __name__ == "__main__":
    sys.exit(main())

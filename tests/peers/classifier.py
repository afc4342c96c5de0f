#!/usr/bin/env python3
"""Measures training VGG19's classifier (119.6 million weights) beside PyTorch: the same threads, in turn.

    python3 tests/peers/classifier.py --venv ENVIRONMENT [--threads 2] [--batch 8 32] [--optimizer sgd adamw]

A step is forward, backward and the optimizer's change on a batch of stored features (25,088 each). PyTorch is measured
with its plain and with its fused optimizer and the faster counts. Printed are seconds a step and peak memory.
ENVIRONMENT is one that tests/peers/run.py made.
"""

import argparse
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FEATURES, HIDDEN, CLASSES, STEPS = 25_088, 4_096, 10, 12


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, required=True, help="an environment with PyTorch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--optimizer", nargs="+", default=["sgd", "adamw"])
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options.threads, options.batch[0], options.optimizer[0], options.peer == "fused")
    build = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", "classifier", "--no-run"]
    subprocess.run(build, cwd=ROOT, check=True)
    for optimizer in options.optimizer:
        for batch in options.batch:
            compare(options, batch, optimizer)


def compare(options, batch, optimizer):
    contenders = {"baton": lambda: baton(options.threads, batch, optimizer)}
    for kind in ("plain", "fused"):
        contenders["pytorch " + kind] = lambda kind=kind: pytorch(options, batch, optimizer, kind)
    seen = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            seen[name].append(contender())
    print(f"{optimizer}, batch {batch}, {options.threads} threads")
    for name, turns in seen.items():
        step, memory = (statistics.median(column) for column in zip(*turns))
        print(f"  {name:<14}{step:>9.4f} s a step{memory:>9.0f} MB")
    best = [min(turns) for turns in zip(seen["pytorch plain"], seen["pytorch fused"])]
    ratio = statistics.median(other[0] / own[0] for own, other in zip(seen["baton"], best))
    print(f"  baton is {ratio:.2f} times as fast", flush=True)


def baton(threads, batch, optimizer):
    """Seconds of the median step, and peak memory."""
    command = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", "classifier", "--"]
    command += ["--batch", str(batch), "--optimizer", optimizer, "--threads", str(threads), "--steps", str(STEPS)]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"median ([\d.]+) s", text)[1]), float(re.search(r"peak memory (\d+) MB", text)[1])


def pytorch(options, batch, optimizer, kind):
    command = [options.venv / "bin" / "python", __file__, "--venv", options.venv, "--peer", kind]
    command += ["--threads", str(options.threads), "--batch", str(batch), "--optimizer", optimizer]
    # The same instruction set as Lambda promises, and as Baton's kernels use.
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return tuple(float(word) for word in text.split())


def peer(threads, batch, optimizer, fused):
    """Inside the environment."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sizes = [FEATURES, HIDDEN, HIDDEN, CLASSES]
    layers = [torch.nn.Linear(inputs, outputs) for inputs, outputs in zip(sizes, sizes[1:])]
    model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    settings = {"lr": 1e-4, "weight_decay": 1e-4, "fused": fused}
    if optimizer == "sgd":
        step = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True, **settings)
    else:
        step = torch.optim.AdamW(model.parameters(), **settings)
    seconds = []
    for _ in range(STEPS):
        features, labels = torch.randn(batch, FEATURES), torch.randint(CLASSES, (batch,))
        start = time.perf_counter()
        step.zero_grad()
        torch.nn.functional.cross_entropy(model(features), labels).backward()
        step.step()
        seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds[2:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    sys.exit(main())

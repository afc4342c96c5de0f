#!/usr/bin/env python3
"""Compares training a softmax layer on stored features with PyTorch: one thread each, in turn.

    python3 tests/experiments/peers/head.py --venv ENVIRONMENT     50,000 images of 4,096 features, batches of 64

Baton reads its feature store from disk (the page cache, after the first epoch) and standardises the rows; PyTorch has
all of them in memory, standardised, and takes shuffled batches by index. Both train with SGD and momentum. Printed are
seconds an epoch, the features' bytes a second and peak memory. ENVIRONMENT is one that tests/experiments/peers/run.py made.
"""

import argparse
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
IMAGES, FEATURES, CLASSES, BATCH, EPOCHS = 50_000, 4_096, 10, 64, 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, required=True, help="an environment with PyTorch")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer()
    build = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", "head", "--no-run"]
    subprocess.run(build, cwd=ROOT, check=True)
    contenders = {"baton": baton, "pytorch": lambda: pytorch(options.venv)}
    seen = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            seen[name].append(contender())
    size = IMAGES * FEATURES * 4 / 1e9
    for name, turns in seen.items():
        epoch, memory = (statistics.median(column) for column in zip(*turns))
        print(f"  {name:<10}{epoch:>8.3f} s an epoch{1 / epoch:>8.2f} epochs/s{size / epoch:>8.2f} GB/s{memory:>8.0f} MB")
    ratio = statistics.median(other[0] / own[0] for own, other in zip(seen["baton"], seen["pytorch"]))
    print(f"  baton is {ratio:.2f} times as fast")


def baton():
    """Seconds of the best epoch after the first, and peak memory."""
    command = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", "head", "--"]
    command += [str(number) for number in (IMAGES, FEATURES, 1, EPOCHS, BATCH)]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    epochs = [float(seconds) for seconds in re.findall(r"workers ([\d.]+) s", text)]
    return min(epochs[1:]), float(re.search(r"peak memory (\d+) MB", text)[1])


def pytorch(venv):
    command = [venv / "bin" / "python", __file__, "--venv", venv, "--peer"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(float(word) for word in text.split())


def peer():
    """Inside the environment."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    features, labels = torch.randn(IMAGES, FEATURES), torch.randint(CLASSES, (IMAGES,))
    layer = torch.nn.Linear(FEATURES, CLASSES)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    epochs = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for batch in torch.randperm(IMAGES).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(features[batch]), labels[batch]).backward()
            optimizer.step()
        epochs.append(time.perf_counter() - start)
    print(min(epochs[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    sys.exit(main())

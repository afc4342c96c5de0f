#!/usr/bin/env python3
"""Compares training more than one layer with PyTorch: the same threads, in turn.

    python3 tests/experiments/peers/deeper.py --venv ENVIRONMENT [--threads 2] [--batch 8 32] [--optimizer sgd adamw]
    python3 tests/experiments/peers/deeper.py --venv ENVIRONMENT --train vgg19-block squeezenet --batch 8 --optimizer sgd

What is trained: VGG19's classifier (119.6 million weights), VGG19's or ResNet50's last block at 224 px, or all of
SqueezeNet 1.1's convolutions. A step is forward, backward and the optimizer's change on a batch of stored features.
PyTorch is measured with its plain and with its fused optimizer and the faster counts. Printed are seconds a step and
peak memory. ENVIRONMENT is one that tests/experiments/peers/run.py made.
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
CLASSES, STEPS = 10, 12
# The arguments of Baton's benchmark, and the shape of an image's features.
TRAIN = {
    "classifier": (["vgg19"], [25_088]),
    "vgg19-block": (["vgg19", "--cut", "pool4", "--up-to", "pool5"], [512, 14, 14]),
    "resnet50-block": (["resnet50", "--cut", "layer3", "--up-to", "layer4"], [1024, 14, 14]),
    "squeezenet": (["squeezenet1_1", "--cut", "images", "--up-to", "fire9"], [3, 224, 224]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, required=True, help="an environment with PyTorch")
    parser.add_argument("--train", nargs="+", choices=TRAIN, default=["classifier"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--optimizer", nargs="+", default=["sgd", "adamw"])
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options.train[0], options.threads, options.batch[0], options.optimizer[0], options.peer)
    build = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", "deeper", "--no-run"]
    subprocess.run(build, cwd=ROOT, check=True)
    for train in options.train:
        for optimizer in options.optimizer:
            for batch in options.batch:
                compare(options, train, batch, optimizer)


def compare(options, train, batch, optimizer):
    contenders = {"baton": lambda: baton(train, options.threads, batch, optimizer)}
    for kind in kinds(train):
        contenders["pytorch " + kind] = lambda kind=kind: pytorch(options, train, batch, optimizer, kind)
    seen = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            seen[name].append(contender())
    print(f"{train}, {optimizer}, batch {batch}, {options.threads} threads")
    for name, turns in seen.items():
        step, memory = (statistics.median(column) for column in zip(*turns))
        print(f"  {name:<22}{step:>9.4f} s a step{memory:>9.0f} MB")
    best = [min(turns) for turns in zip(*(seen[f"pytorch {kind}"] for kind in kinds(train)))]
    ratio = statistics.median(other[0] / own[0] for own, other in zip(seen["baton"], best))
    print(f"  baton is {ratio:.2f} times as fast", flush=True)


def kinds(train):
    """PyTorch's variants: its two optimizers and, for convolutions, maps whose channels come last."""
    return ["plain", "fused"] + (["channels last"] if train != "classifier" else [])


def baton(train, threads, batch, optimizer):
    """Seconds of the median step, and peak memory."""
    command = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", "deeper", "--"]
    command += [*TRAIN[train][0], "--batch", str(batch), "--optimizer", optimizer, "--threads", str(threads), "--steps", str(STEPS)]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"median ([\d.]+) s", text)[1]), float(re.search(r"peak memory (\d+) MB", text)[1])


def pytorch(options, train, batch, optimizer, kind):
    command = [options.venv / "bin" / "python", __file__, "--venv", options.venv, "--peer", kind, "--train", train]
    command += ["--threads", str(options.threads), "--batch", str(batch), "--optimizer", optimizer]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(float(word) for word in text.split())


def peer(train, threads, batch, optimizer, kind):
    """Inside the environment."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, shape = layers(train).eval(), TRAIN[train][1]  # batch norm keeps its statistics, as in Baton
    form = torch.channels_last if kind == "channels last" else torch.contiguous_format
    model = model.to(memory_format=form)
    settings = {"lr": 1e-4, "weight_decay": 1e-4, "fused": kind != "plain"}
    if optimizer == "sgd":
        step = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True, **settings)
    else:
        step = torch.optim.AdamW(model.parameters(), **settings)
    seconds = []
    for _ in range(STEPS):
        features, labels = torch.randn(batch, *shape), torch.randint(CLASSES, (batch,))
        features = features.contiguous(memory_format=form) if len(shape) == 3 else features
        start = time.perf_counter()
        step.zero_grad()
        torch.nn.functional.cross_entropy(model(features), labels).backward()
        step.step()
        seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds[2:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def layers(train):
    """The trained layers, with a new last layer."""
    from torch import nn
    from torchvision import models

    if train == "classifier":
        hidden = 4_096
        return nn.Sequential(
            nn.Linear(25_088, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)
        )
    block, maps = {
        "vgg19-block": lambda: (models.vgg19().features[28:], 512),
        "resnet50-block": lambda: (models.resnet50().layer4, 2048),
        "squeezenet": lambda: (models.squeezenet1_1().features, 512),
    }[train]()
    return nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, CLASSES))


if __name__ == "__main__":
    sys.exit(main())

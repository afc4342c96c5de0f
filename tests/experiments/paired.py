#!/usr/bin/env python3
"""Compares the benchmarks of two checkouts: has a change made anything slower?

    python3 tests/experiments/paired.py OLD NEW [--rounds 7] [--only deeper] [--most 1.02]

Both are built. A row is one benchmark with one set of words. Its two processes run one after the other, and the
first one changes every round. The figure is the CPU seconds of the part that is measured, because other processes
disturb it least. Printed is the median of the rounds' ratios, new to old. A row above --most is named at the end,
and the command then exits with 1.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

BENCHES = ["head", "deeper", "reduce", "frozen"]
# A benchmark first makes data and weights. Its CPU seconds count from when this has appeared in its folder.
BEGINS = {"head": "*/runs/bench", "deeper": "*/runs/bench", "reduce": "*/runs/bench/stages/0003"}
ROWS = [
    "head 50000 4096 1 8 64",
    "head 20000 1024 4 20 64",
    "deeper vgg19 --steps 24 --optimizer sgd",
    "deeper vgg19 --steps 24 --optimizer adamw",
    "deeper vgg19 --cut pool4 --up-to pool5 --steps 24",
    "deeper resnet50 --cut layer3 --up-to layer4 --steps 24",
    "deeper squeezenet1_1 --cut images --up-to fire9 --steps 24",
    "reduce vgg19 --workers 8 --precision f32",
    "reduce vgg19 --workers 8 --precision int8",
    "frozen vgg19 --rounds 8",
    "frozen resnet50 --rounds 12",
    "frozen mobilenet_v2 --rounds 40",
    "frozen squeezenet1_1 --rounds 40",
]
TICK = os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path, help="a checkout")
    parser.add_argument("new", type=pathlib.Path, help="another one")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    parser.add_argument("--only", default="", help="rows whose text has this in it")
    parser.add_argument("--most", type=float, default=1.02, help="the highest ratio that is no loss")
    options = parser.parse_args()
    sides = [built(options.old), built(options.new)]
    print(f"{'row':<62}{'old, CPU s':>12}{'new, CPU s':>12}{'ratio':>8}{'lowest':>8}{'highest':>9}", flush=True)
    slower = [row for row in ROWS if options.only in row and compare(row, sides, options) > options.most]
    for row in slower:
        print(f"slower than {options.most} times: {row}")
    return 1 if slower else 0


def built(checkout):
    """The programs of a checkout's benchmarks, by name."""
    names = [word for name in BENCHES for word in ("--bench", name)]
    command = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--no-run", "--message-format=json", *names]
    text = subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True).stdout
    made = [json.loads(line) for line in text.splitlines() if '"executable":"' in line]
    programs = {of["target"]["name"]: of["executable"] for of in made if of["target"]["kind"] == ["bench"]}
    missing = [name for name in BENCHES if name not in programs]
    if missing:
        sys.exit(f"{checkout} has no benchmark {', '.join(missing)}")
    return programs


def compare(row, sides, options):
    seen = []
    for turn in range(options.rounds):
        order = [0, 1] if turn % 2 == 0 else [1, 0]
        took = {side: measure(sides[side], *row.split()) for side in order}
        seen.append((took[0], took[1]))
    ratios = [new / old for old, new in seen]
    old, new = (statistics.median(column) for column in zip(*seen))
    ratio = statistics.median(ratios)
    print(f"{row:<62}{old:>12.3f}{new:>12.3f}{ratio:>8.3f}{min(ratios):>8.3f}{max(ratios):>9.3f}", flush=True)
    return ratio


def measure(programs, name, *words):
    """CPU seconds of the part that is measured."""
    with tempfile.TemporaryDirectory() as folder:
        where = ["--folder", folder] if name == "reduce" else []
        environment = {**os.environ, "TMPDIR": folder}
        # It prints less than a pipe holds.
        process = subprocess.Popen([programs[name], *words, *where], env=environment, stdout=subprocess.PIPE, text=True)
        before = None if name in BEGINS else 0.0
        while before is None:
            ended = process.poll()
            if any(pathlib.Path(folder).glob(BEGINS[name])):
                before = seconds_of(process.pid)
            elif ended is not None:
                sys.exit(f"{name} {' '.join(words)}: ended with {ended} and never made {BEGINS[name]} in its folder")
            else:
                time.sleep(0.002)
        _, status, usage = os.wait4(process.pid, 0)
        text = process.stdout.read()
        if status:
            sys.exit(f"{name} {' '.join(words)}: failed with {os.waitstatus_to_exitcode(status)}")
    if name == "frozen":
        # Of eight images; its best round, which it counts by CPU seconds itself.
        return 8 / float(re.search(r"([\d.]+) per busy CPU", text)[1])
    return usage.ru_utime + usage.ru_stime - before


def seconds_of(process):
    """CPU seconds of a process so far, those of threads that have ended as well."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


if __name__ == "__main__":
    sys.exit(main())

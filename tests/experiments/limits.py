#!/usr/bin/env python3
"""Measures the trainer: its size, its start, and its memory.

    python3 tests/experiments/limits.py              all of them but arm64
    python3 tests/experiments/limits.py size start   some

  size    the program that is shipped (profile `lambda`), stripped: under 20 MB; its zip, and that Amazon Linux 2023 has the
          glibc that it asks for
  start   from process start to the first poll of the Runtime API, 30 times: median under 50 ms
  arm64   the program for arm64: its size, zip and glibc, and that it polls, under qemu; needs Debian's packages
          gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static, and `rustup target add` of its target
  worker  a run with a whole VGG19 at 224 px, cut at the head, batch 8: every worker under 1,769 MB resident
  head    training the head on 50,000 stored images of 4,096 features: under 512 MB resident

Needs Rust and Python 3. Weights are random: they change no size. Exits with 1 if a limit is passed.
"""

import array
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAINER = ROOT / "target" / "lambda" / "trainer"
ARM64 = "aarch64-unknown-linux-gnu"
MB = 1e6


def main():
    known = {"size": size, "start": start, "worker": worker, "head": head, "arm64": arm64}
    names = sys.argv[1:] or ["size", "start", "worker", "head"]
    if "-h" in names or "--help" in names or set(names) - set(known):
        sys.exit(__doc__)
    cargo("build", "--release")
    cargo("build", "--profile", "lambda", "-p", "trainer")
    passed = [known[name]() for name in names]
    sys.exit(0 if all(passed) else 1)


def cargo(*words):
    subprocess.run(["cargo", *words, "--locked", "--quiet"], cwd=ROOT, check=True)


def say(name, found, limit, unit):
    print(f"{name}: {found:.1f} {unit}, limit {limit} {unit}: {'kept' if found < limit else 'PASSED'}", flush=True)
    return found < limit


def size():
    release = (ROOT / "target" / "release" / "trainer").stat().st_size / MB
    print(f"profile release: {release:.1f} MB")
    return shipped("profile lambda", TRAINER)


def shipped(name, program):
    """A program's size, its size in the zip, and the newest glibc that it needs."""
    binary = program.read_bytes()
    pack = zlib.compressobj(6, zlib.DEFLATED, -15)
    print(f"zipped: {(len(pack.compress(binary)) + len(pack.flush())) / MB:.1f} MB")
    newest = max(int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", binary))
    fits = newest <= 34
    print(f"asks for glibc 2.{newest}, Amazon Linux 2023 has 2.34: {'kept' if fits else 'PASSED'}")
    return say(f"size, {name}", len(binary) / MB, 20, "MB") and fits


def arm64():
    linker = "aarch64-linux-gnu-gcc"
    qemu = shutil.which("qemu-aarch64-static")
    if not qemu or not shutil.which(linker):
        print("SKIPPED: arm64 (no qemu-aarch64-static or no aarch64-linux-gnu-gcc)")
        return True
    os.environ["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"] = linker
    cargo("build", "--profile", "lambda", "-p", "trainer", "--target", ARM64)
    program = ROOT / "target" / ARM64 / "lambda" / "trainer"
    times = first_polls([qemu, "-L", "/usr/aarch64-linux-gnu", program], 3)
    print(f"arm64 polls, under qemu after {statistics.median(times):.0f} ms")
    return shipped("arm64", program)


def start():
    times = first_polls([TRAINER], 30)
    print(f"first poll: {min(times):.1f} to {max(times):.1f} ms")
    return say("first poll, median of 30", statistics.median(times), 50, "ms")


def first_polls(command, count):
    """Milliseconds to the first request that a listener gets, from the moment before the process is made."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    times = []
    with tempfile.TemporaryDirectory() as root:
        environment = {
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:%d" % listener.getsockname()[1],
            "AWS_LAMBDA_FUNCTION_NAME": "baton",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "BATON_ROOT": root,
            "BATON_TABLE": "baton",
        }
        for _ in range(count):
            before = time.perf_counter()
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            connection, _ = listener.accept()
            request = connection.recv(1024)
            times.append((time.perf_counter() - before) * 1e3)
            process.kill()
            process.wait()
            connection.close()
            if b"/invocation/next" not in request:
                sys.exit(f"the first request was no poll: {request[:80]!r}")
    return times


def worker():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        folder = pathlib.Path(folder)
        command = lambda *words: subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        release, root = ROOT / "target" / "release", folder / "efs"
        (root / "datasets").mkdir(parents=True)
        images = ["--set", "novel", "--images-per-class", "8", "--val-per-class", "4"]
        command(release / "data-prep", "generate", *images, "--out", root / "datasets" / "shapes")
        write_vgg19(folder / "vgg19.safetensors")
        command(release / "baton", "weights", "add", "vgg19", folder / "vgg19.safetensors", "--root", root)
        (folder / "vgg19.safetensors").unlink()
        job = {"dataset": "shapes", "network": "vgg19", "image_size": 224, "rounds": 2}
        (folder / "job.json").write_text(json.dumps(job))
        seen = {}
        done = threading.Event()
        watcher = threading.Thread(target=watch_memory, args=(release / "trainer", seen, done))
        watcher.start()
        flags = ["--run", "limits", "--workers", "2", "--time-limit", "60s", "--concurrency", "1"]
        command(release / "baton", "local", "--root", root, "--job", folder / "job.json", *flags)
        done.set()
        watcher.join()
    return say(f"worker, the largest of {len(seen)} processes", max(seen.values()), 1769, "MB")


def watch_memory(program, seen, done):
    """The high-water mark of each process of a program, read often: the kernel keeps it."""
    while not done.wait(0.02):
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "exe").resolve() == program:
                    peak = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
                    seen[folder.name] = max(seen.get(folder.name, 0), int(peak[1]) * 1024 / MB)
            except (OSError, TypeError):
                pass  # it has ended


def write_vgg19(path):
    """A whole VGG19 with torchvision's names; small random weights, the same million over and over."""
    widths = [64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512]
    shapes, place, inputs = {}, 0, 3
    for width in widths:
        if width:
            shapes[f"features.{place}.weight"] = [width, inputs, 3, 3]
            shapes[f"features.{place}.bias"] = [width]
            inputs = width
        place += 2 if width else 1
    for place, (outputs, inputs) in {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        shapes[f"classifier.{place}.weight"] = [outputs, inputs]
        shapes[f"classifier.{place}.bias"] = [outputs]
    header, at = {}, 0
    for name, shape in shapes.items():
        count = 1
        for extent in shape:
            count *= extent
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * count]}
        at += 4 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    dice = random.Random(1)
    block = array.array("f", (dice.uniform(-0.02, 0.02) for _ in range(1 << 20))).tobytes()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for start in range(0, at, len(block)):
            out.write(block[: at - start])


def head():
    command = ["cargo", "bench", "--quiet", "--workspace", "--bench", "head"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    print(done.stdout.strip())
    peak = re.search(r"peak memory (\d+) MB", done.stdout)
    return say("head training", float(peak[1]), 512, "MB")


if __name__ == "__main__":
    main()

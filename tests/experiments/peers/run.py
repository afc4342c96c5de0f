#!/usr/bin/env python3
"""Compares Baton's frozen pass with burn, PyTorch (eager, channels last) and ONNX Runtime on this machine.

    python3 tests/experiments/peers/run.py                        # all networks, one and two threads
    python3 tests/experiments/peers/run.py vgg19 --threads 2 --rounds 5

The contenders run one after the other, in turn, each as a process of its own; printed are the medians of what each
round gave and Baton's ratio to each peer in the same round. The first run makes a virtual environment in a temporary
folder from PyPI (about 6 GB, for PyTorch brings CUDA along); --venv takes one that is there. --avx2 keeps all
but burn, which is left out, to AVX2 on a CPU with AVX-512; ONNX Runtime has no switch for that, so a copy of it is made that
takes the system to save AVX's registers only. Weights are random: they change no timing.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parents[3]
NETWORKS = {"vgg19": 224, "vgg16": 64, "resnet50": 224, "mobilenet_v2": 224, "squeezenet1_1": 224}
PEERS = ["onnx runtime", "pytorch channels last", "pytorch eager", "burn flex", "burn ndarray"]
PACKAGES = ["torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "numpy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contender")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a peer runs in a turn")
    parser.add_argument("--avx2", action="store_true", help="everybody with AVX2 alone, without burn")
    parser.add_argument("--without", nargs="*", default=[], choices=PEERS, help="peers to leave out")
    parser.add_argument("--venv", type=pathlib.Path, help="an environment that has the peers")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return print(json.dumps(peer(options)))
    if options.avx2:
        options.without += ["burn flex", "burn ndarray"]
    python = environment(options.venv)
    build = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", "frozen", "--bench", "burn", "--no-run"]
    subprocess.run(build, cwd=ROOT, check=True)
    for network in options.networks:
        for threads in options.threads:
            compare(python, network, threads, options)


def environment(folder):
    """The Python of an environment with the peers, made if there is none."""
    folder = folder or pathlib.Path(tempfile.gettempdir()) / "baton-peers"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder} from PyPI", flush=True)
        venv.create(folder, with_pip=True)
    probe = subprocess.run([python, "-c", "import torch, torchvision, onnxruntime"], capture_output=True)
    if probe.returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def compare(python, network, threads, options):
    """Alternates the contenders on one network and prints a table."""
    peers = [name for name in PEERS if name not in options.without]
    seen = {name: [] for name in ["baton", *peers]}
    for turn in range(options.rounds):
        seen["baton"].append(baton(network, threads, options))
        for name in peers:
            if name.startswith("burn"):
                # An order of magnitude slower: one turn is enough.
                seen[name] += [burn(name, network, threads, options)] if turn == 0 else []
            else:
                seen[name].append(run_peer(python, name, network, threads, options))
    size = NETWORKS.get(network, 224)
    print(f"\n{network} at {size} px, batch {options.batch}, {threads} threads ({options.rounds} rounds, medians)")
    print(f"  {'':<22}{'images/s':>10}{'per CPU s':>11}{'peak MB':>9}{'baton/it':>10}{'by CPU s':>10}")
    for name, turns in seen.items():
        middle = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        ratio = {
            key: statistics.median(own[key] / other[key] for own, other in zip(seen["baton"], turns))
            for key in ["rate", "cpu"]
        }
        print(
            f"  {name:<22}{middle['rate']:>10.2f}{middle['cpu']:>11.2f}{middle['memory']:>9.0f}"
            f"{ratio['rate']:>10.2f}{ratio['cpu']:>10.2f}",
            flush=True,
        )


def baton(network, threads, options):
    rounds = max(3, int(options.seconds))
    isa = ["--isa", "avx2"] if options.avx2 else []
    return bench("frozen", network, options, rounds, ["--threads", str(threads), *isa], {})


def burn(name, network, threads, options):
    device = name.removeprefix("burn ")
    return bench("burn", network, options, 1, ["--device", device], {"RAYON_NUM_THREADS": str(threads)})


def bench(name, network, options, rounds, words, environment):
    """Runs one of our benchmarks on a network and reads what it prints."""
    command = ["cargo", "bench", "--quiet", "--workspace", "--locked", "--bench", name, "--", network, *words]
    flags = {"--size": NETWORKS.get(network, 224), "--batch": options.batch, "--rounds": rounds}
    command += [str(word) for flag in flags.items() for word in flag]
    done = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, env={**os.environ, **environment}
    )
    rate = re.search(r"median ([\d.]+), best [\d.]+ images/s, ([\d.]+) per busy CPU", done.stdout)
    memory = re.search(r"peak memory (\d+) MB", done.stdout)
    return {"rate": float(rate[1]), "cpu": float(rate[2]), "memory": float(memory[1])}


def run_peer(python, name, network, threads, options):
    command = [python, __file__, network, "--peer", name, "--threads", str(threads)]
    command += ["--batch", str(options.batch), "--seconds", str(options.seconds)]
    hidden = {}
    if options.avx2:
        hidden = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(without_avx512(python))}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **hidden})
    return json.loads(done.stdout.splitlines()[-1])


def without_avx512(python):
    """A folder with a copy of ONNX Runtime that finds only AVX's registers saved by the system."""
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    folder = packages.parent / "without-avx512"
    if not folder.exists():
        shutil.copytree(packages / "onnxruntime", folder / "onnxruntime")
        (library,) = folder.glob("onnxruntime/capi/onnxruntime_pybind11_state*.so")
        code = library.read_bytes()
        # xgetbv; rdx = edx:eax becomes xgetbv; rdx = eax & 7
        asks, answered = bytes.fromhex("0f01d089c048c1e2204809c2"), bytes.fromhex("0f01d083e00731d24809c290")
        if asks not in code:
            shutil.rmtree(folder)
            sys.exit("this ONNX Runtime asks for the system's registers in another way: --avx2 --without 'onnx runtime'")
        library.write_bytes(code.replace(asks, answered))
    return folder


def peer(options):
    """Inside the environment: times one peer."""
    import resource

    import torch
    import torchvision

    (network,), (threads,) = options.networks, options.threads
    size = NETWORKS.get(network, 224)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = cut(getattr(torchvision.models, network)(weights=None).eval(), network, torch)
    images = torch.randn(options.batch, 3, size, size)
    if options.peer == "pytorch channels last":
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    forward = onnx_runtime(model, images, threads, torch) if options.peer == "onnx runtime" else lambda: model(images)
    rounds = []
    with torch.inference_mode():
        forward()
        end = time.perf_counter() + options.seconds
        while time.perf_counter() < end or len(rounds) < 3:
            wall, busy = time.perf_counter(), time.process_time()
            forward()
            rounds.append((time.perf_counter() - wall, time.process_time() - busy))
    wall = statistics.median(turn[0] for turn in rounds)
    busy = min(turn[1] for turn in rounds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rate": options.batch / wall, "cpu": options.batch / busy, "memory": memory}


def cut(model, network, torch):
    """The network up to Baton's default cut, just below the last layer."""
    if network.startswith("vgg"):
        model.classifier = model.classifier[:-2]
        if NETWORKS.get(network, 224) // 32 % 7:
            model.avgpool = spread(NETWORKS[network] // 32, torch)
    elif network.startswith("resnet"):
        model.fc = torch.nn.Identity()
    elif network.startswith("mobilenet"):
        model.classifier = torch.nn.Identity()
    elif network.startswith("squeezenet"):
        model.classifier = torch.nn.Identity()
    return model


def spread(side, torch):
    """Adaptive average pooling of a square map to 7 by 7 as two small products: ONNX has no such operator."""
    matrix = torch.zeros(7, side)
    for row in range(7):
        first, last = row * side // 7, -(-(row + 1) * side // 7)
        matrix[row, first:last] = 1 / (last - first)

    class Pooling(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("matrix", matrix)

        def forward(self, maps):
            return self.matrix @ maps @ self.matrix.T

    return Pooling()


def onnx_runtime(model, images, threads, torch):
    """A session's forward pass, the model exported to a file of its own."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        try:
            torch.onnx.export(model, (images,), path, input_names=["images"], dynamo=False)
        except (ImportError, RuntimeError, TypeError, ValueError):
            torch.onnx.export(model, (images,), path, input_names=["images"])
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, feed)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Compares Baton's frozen pass for transformers with OpenVINO, ONNX Runtime and PyTorch on this machine.

    python3 tests/experiments/peers/tokens.py                       # four networks, one and two threads
    python3 tests/experiments/peers/tokens.py minilm_l6 --threads 1 --rounds 5 --avx2

The contenders run one after the other, in turn, each as a process of its own; printed are the medians of what each round
gave and Baton's ratio to each peer in the same round, by clock and by CPU second. OpenVINO is held to f32. ONNX Runtime
runs twice: on the graph as PyTorch exports it, and on that with its own fusions for transformers; the better one counts.
Sentences have 128 tokens each, the case without padding. Weights are random: they change no timing. As run.py makes it,
the environment comes from PyPI on the first run, or --venv names one.
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

from run import ROOT, environment, without_avx512

NETWORKS = ["minilm_l6", "bert_base_uncased", "vit_b_16", "dinov2_vits14"]
PEERS = ["openvino", "onnx runtime", "onnx runtime fused", "pytorch"]
PACKAGES = ["openvino", "onnx", "onnxscript", "transformers"]
TOKENS, SIDE = 128, 224


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contender")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a peer runs in a turn")
    parser.add_argument("--avx2", action="store_true", help="everybody with AVX2 alone")
    parser.add_argument("--without", nargs="*", default=[], choices=PEERS, help="peers to leave out")
    parser.add_argument("--venv", type=pathlib.Path, help="an environment that has the peers")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return print(json.dumps(peer(options)))
    python = environment(options.venv)
    if subprocess.run([python, "-c", "import openvino, onnxscript, transformers"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    build = ["cargo", "bench", "--quiet", "--locked", "-p", "frozen", "--bench", "tokens", "--no-run"]
    subprocess.run(build, cwd=ROOT, check=True)
    for network in options.networks:
        for threads in options.threads:
            compare(python, network, threads, options)


def compare(python, network, threads, options):
    """Alternates the contenders on one network and prints a table."""
    peers = [name for name in PEERS if name not in options.without]
    seen = {name: [] for name in ["baton", *peers]}
    for _ in range(options.rounds):
        seen["baton"].append(baton(network, threads, options))
        for name in peers:
            seen[name].append(run_peer(python, name, network, threads, options))
    what = f"{SIDE} px" if network in ("vit_b_16", "dinov2_vits14") else f"{TOKENS} tokens"
    print(f"\n{network}, {what}, batch {options.batch}, {threads} threads ({options.rounds} rounds, medians)")
    print(f"  {'':<22}{'a second':>10}{'per CPU s':>11}{'baton/it':>10}{'by CPU s':>10}")
    for name, turns in seen.items():
        middle = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        ratio = {
            key: statistics.median(own[key] / other[key] for own, other in zip(seen["baton"], turns))
            for key in ["rate", "cpu"]
        }
        print(
            f"  {name:<22}{middle['rate']:>10.2f}{middle['cpu']:>11.2f}{ratio['rate']:>10.2f}{ratio['cpu']:>10.2f}",
            flush=True,
        )


def baton(network, threads, options):
    command = ["cargo", "bench", "--quiet", "--locked", "-p", "frozen", "--bench", "tokens", "--", network]
    flags = {"--tokens": TOKENS, "--size": SIDE, "--batch": options.batch, "--threads": threads}
    flags["--rounds"] = max(3, int(options.seconds))
    if options.avx2:
        flags["--isa"] = "avx2"
    command += [str(word) for flag in flags.items() for word in flag]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    rate = re.search(r"median ([\d.]+), best [\d.]+ images/s, ([\d.]+) per busy CPU", done.stdout)
    return {"rate": float(rate[1]), "cpu": float(rate[2])}


def run_peer(python, name, network, threads, options):
    command = [python, __file__, network, "--peer", name, "--threads", str(threads)]
    command += ["--batch", str(options.batch), "--seconds", str(options.seconds)]
    hidden = {}
    if options.avx2:
        hidden = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(without_avx512(python))}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **hidden})
    return json.loads(done.stdout.splitlines()[-1])


def peer(options):
    """Inside the environment: times one peer."""
    import torch

    (network,), (threads,) = options.networks, options.threads
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, given = made(network, options.batch, torch)
    with torch.inference_mode():
        forward = (lambda: model(given)) if options.peer == "pytorch" else exported(options.peer, model, given, threads, torch)
        rounds = []
        forward()
        end = time.perf_counter() + options.seconds
        while time.perf_counter() < end or len(rounds) < 3:
            wall, busy = time.perf_counter(), time.process_time()
            forward()
            rounds.append((time.perf_counter() - wall, time.process_time() - busy))
    wall = statistics.median(turn[0] for turn in rounds)
    return {"rate": options.batch / wall, "cpu": options.batch / min(turn[1] for turn in rounds)}


def made(network, batch, torch):
    """The network up to Baton's default cut, and its input."""
    import transformers

    class Cut(torch.nn.Module):
        def __init__(self, model, end):
            super().__init__()
            self.model, self.end = model, end

        def forward(self, given):
            return self.end(self.model(given))

    attention = {"attn_implementation": "eager"}
    if network == "vit_b_16":
        # The same network as torchvision's, whose attention PyTorch does not export.
        model = transformers.ViTModel(transformers.ViTConfig(**attention), add_pooling_layer=False).eval()
        return Cut(model, lambda out: out.last_hidden_state[:, 0]), torch.randn(batch, 3, SIDE, SIDE)
    if network == "dinov2_vits14":
        sizes = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14}
        model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes, **attention)).eval()
        return Cut(model, lambda out: out.last_hidden_state[:, 0]), torch.randn(batch, 3, SIDE, SIDE)
    small = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}
    sizes = small if network == "minilm_l6" else {}
    model = transformers.BertModel(transformers.BertConfig(**sizes, **attention), add_pooling_layer=False).eval()
    end = (lambda out: out.last_hidden_state.mean(1)) if network == "minilm_l6" else (lambda out: out.last_hidden_state[:, 0])
    return Cut(model, end), torch.randint(0, 30522, (batch, TOKENS))


def exported(name, model, given, threads, torch):
    """A session's forward pass, the model exported to a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        torch.onnx.export(model, (given,), path, input_names=["given"], dynamo=False, opset_version=17)
        feed = {"given": given.numpy()}
        if name == "openvino":
            return openvino(path, feed, threads)
        return onnx_runtime(path, feed, threads, name.endswith("fused"), model)


def openvino(path, feed, threads):
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    return lambda: request.infer(feed)


def onnx_runtime(path, feed, threads, fused, model):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    if fused:
        from onnxruntime.transformers import optimizer

        config = getattr(getattr(model, "model", model), "config", None)
        heads, width = (config.num_attention_heads, config.hidden_size) if config else (12, 768)
        kind = "bert" if "given" in feed and feed["given"].ndim == 2 else "vit"
        better = optimizer.optimize_model(path, kind, num_heads=heads, hidden_size=width, opt_level=1)
        better.save_model_to_file(path)
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


if __name__ == "__main__":
    sys.exit(main())

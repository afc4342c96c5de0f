"""Makes head_reference.json: loss curves of the head's training as PyTorch computes them.

Run by hand, in an environment with torch (any version, CPU): python make_head_reference.py
The data and the first weights come from the counter-based generator of trainer/learning/src/random.rs, so that the
Rust test has exactly the same ones; everything else is torch's own: Linear, cross_entropy, SGD, AdamW, schedulers.
"""

import json
import math
import pathlib

import torch

ROWS, INPUTS, CLASSES, HIDDEN, BATCH, STEPS = 200, 24, 7, 16, 32, 100
INITIAL, ORDER, SEED = 1, 2, 20261121
MASK = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def stream(seed, purpose, stage, worker):
    key, block = (seed & MASK, seed >> 32), 0
    while True:
        yield from philox((block, purpose, stage, worker), key)
        block += 1


def unit(numbers):
    return (next(numbers) >> 8) / 16777216.0


def symmetric(numbers, bound, count):
    """float32 arithmetic, as in Rust."""
    units = torch.tensor([unit(numbers) for _ in range(count)], dtype=torch.float32)
    return (2.0 * units - 1.0) * torch.tensor(bound, dtype=torch.float32)


def data():
    numbers = stream(SEED, ORDER, 0, 0)
    features = symmetric(numbers, 2.0, ROWS * INPUTS).reshape(ROWS, INPUTS)
    # A class that the features decide: the largest of the first CLASSES features.
    labels = features[:, :CLASSES].argmax(dim=1)
    return features, labels


def linear(inputs, outputs, index):
    layer = torch.nn.Linear(inputs, outputs)
    bound = float(torch.tensor(1.0) / torch.tensor(float(inputs)).sqrt())
    values = symmetric(stream(SEED, INITIAL, index, 0), bound, outputs * inputs + outputs)
    with torch.no_grad():
        layer.weight.copy_(values[: outputs * inputs].reshape(outputs, inputs))
        layer.bias.copy_(values[outputs * inputs :])
    return layer


def groups(model, decay):
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    return [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]


def train(model, optimizer, scheduler, smoothing):
    features, labels = data()
    losses = []
    for step in range(STEPS):
        rows = [(step * BATCH + i) % ROWS for i in range(BATCH)]
        loss = torch.nn.functional.cross_entropy(model(features[rows]), labels[rows], label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(float(loss))
        assert math.isfinite(losses[-1])
    return losses


def main():
    torch.set_num_threads(1)
    softmax = torch.nn.Sequential(linear(INPUTS, CLASSES, 0))
    sgd = torch.optim.SGD(groups(softmax, 1e-3), lr=0.1, momentum=0.9, nesterov=True)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=STEPS)
    mlp = torch.nn.Sequential(linear(INPUTS, HIDDEN, 0), torch.nn.ReLU(), linear(HIDDEN, CLASSES, 1))
    adamw = torch.optim.AdamW(groups(mlp, 1e-2), lr=0.02, betas=(0.9, 0.99), eps=1e-7)
    step = torch.optim.lr_scheduler.StepLR(adamw, step_size=30, gamma=0.5)
    reference = {
        "torch": torch.__version__,
        "softmax_sgd_nesterov_cosine": train(softmax, sgd, cosine, 0.0),
        "mlp_adamw_step_smoothing": train(mlp, adamw, step, 0.1),
    }
    path = pathlib.Path(__file__).with_name("head_reference.json")
    path.write_text(json.dumps(reference, indent=1) + "\n")
    print(path, [reference[key][::33] for key in list(reference)[1:]])


main()

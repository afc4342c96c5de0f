"""Makes head_reference.json: loss curves of the head's training as PyTorch computes them.

Run by hand, in an environment with torch (any version, CPU) and numpy: python make_head_reference.py
The data and the first weights come from the counter-based generator of trainer/rounds/src/random.rs, so that the
Rust test has exactly the same ones; everything else is torch's own: Linear, cross_entropy, SGD, AdamW, schedulers.
"""

import json
import math
import pathlib

import numpy
import torch

INITIAL, ORDER, DROPOUT, SEED = 1, 2, 6, 20261121
CLASSES = 7
# The head on few features, VGG19's whole classifier, and the last blocks of three networks at 64 pixels.
SMALL = {"rows": 200, "inputs": 24, "batch": 32, "steps": 100}
LARGE = {"rows": 40, "inputs": 25_088, "batch": 8, "steps": 50}
FIRE = {"rows": 40, "inputs": 512 * 3 * 3, "batch": 8, "steps": 50}
CONV5 = {"rows": 40, "inputs": 512 * 4 * 4, "batch": 8, "steps": 50}
LAYER = {"rows": 40, "inputs": 256 * 4 * 4, "batch": 8, "steps": 50}


def units(purpose, stage, count, worker):
    """The first numbers of a stream, from 0 to below 1: Philox 4x32-10, then float32 arithmetic as in Rust."""
    blocks = -(-count // 4)
    c = [numpy.arange(blocks, dtype=numpy.uint64)] + [numpy.full(blocks, n, numpy.uint64) for n in (purpose, stage, worker)]
    k = [SEED & 0xFFFFFFFF, SEED >> 32]
    low, shift = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)
    for _ in range(10):
        p, q = c[0] * numpy.uint64(0xD2511F53), c[2] * numpy.uint64(0xCD9E8D57)
        c = [(q >> shift) ^ c[1] ^ numpy.uint64(k[0]), q & low, (p >> shift) ^ c[3] ^ numpy.uint64(k[1]), p & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    words = numpy.stack(c, axis=1).reshape(-1)[:count]
    return (words >> numpy.uint64(8)).astype(numpy.float32) * numpy.float32(1 / 16777216)


def uniform(purpose, stage, bound, count, worker=0):
    """The first numbers of a stream, from -bound to below bound."""
    numbers = units(purpose, stage, count, worker)
    return torch.from_numpy((numpy.float32(2) * numbers - numpy.float32(1)) * numpy.float32(bound))


def masks(chance, step, rows, widths):
    """The dropout factors for the inputs of layers of these sizes: a stream for each row, layer after layer."""
    drawn = numpy.stack([units(DROPOUT, step, sum(widths), row) for row in rows])
    scale = numpy.float32(1) / (numpy.float32(1) - numpy.float32(chance))
    factors = torch.from_numpy(numpy.where(drawn < numpy.float32(chance), numpy.float32(0), scale))
    return factors.split(widths, dim=1)


def data(size):
    features = uniform(ORDER, 0, 2.0, size["rows"] * size["inputs"]).reshape(size["rows"], -1)
    # A class that the features decide: the largest of the first CLASSES features.
    return features, features[:, :CLASSES].argmax(dim=1)


def linear(inputs, outputs, index):
    layer = torch.nn.Linear(inputs, outputs)
    bound = numpy.float32(1) / numpy.sqrt(numpy.float32(inputs))
    values = uniform(INITIAL, index, bound, outputs * inputs + outputs)
    with torch.no_grad():
        layer.weight.copy_(values[: outputs * inputs].reshape(outputs, inputs))
        layer.bias.copy_(values[outputs * inputs :])
    return layer


def layers(*widths):
    """Linear layers with a ReLU between two of them."""
    linears = [linear(*pair, index) for index, pair in enumerate(zip(widths, widths[1:]))]
    return torch.nn.Sequential(linears[0], *(m for layer in linears[1:] for m in (torch.nn.ReLU(), layer)))


class Dropped(torch.nn.Module):
    """The same layers; the inputs of all but the first, or of the only one, are masked."""

    def __init__(self, *widths):
        super().__init__()
        self.linears = torch.nn.ModuleList(linear(*pair, index) for index, pair in enumerate(zip(widths, widths[1:])))
        self.dropped = list(widths[1:-1]) or [widths[0]]

    def forward(self, x, *masks):
        first = len(self.linears) - len(masks)
        for index, layer in enumerate(self.linears):
            x = layer(x * masks[index - first] if index >= first else x)
            x = torch.relu(x) if index + 1 < len(self.linears) else x
        return x


class Fire(torch.nn.Module):
    """SqueezeNet 1.1's fire9 on fire8's maps, their means, and a linear layer."""

    dropped = [512]

    def __init__(self):
        super().__init__()
        self.squeeze = torch.nn.Conv2d(512, 64, 1)
        self.expand1x1, self.expand3x3 = torch.nn.Conv2d(64, 256, 1), torch.nn.Conv2d(64, 256, 3, padding=1)
        draw(self)
        self.head = linear(512, CLASSES, 0)

    def forward(self, rows, mask=1.0):
        x = torch.relu(self.squeeze(rows.reshape(-1, 512, 3, 3)))
        x = torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], dim=1)
        return self.head(x.mean(dim=(2, 3)) * mask)


class Conv5(torch.nn.Module):
    """VGG19's last block on pool4's maps, with the pooling after it, their means, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.convolutions = torch.nn.ModuleList(torch.nn.Conv2d(512, 512, 3, padding=1) for _ in range(4))
        draw(self)
        self.head = linear(512, CLASSES, 0)

    def forward(self, rows):
        x = rows.reshape(-1, 512, 4, 4)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
        return self.head(torch.nn.functional.max_pool2d(x, 2).mean(dim=(2, 3)))


class Basic(torch.nn.Module):
    """A residual block of two convolutions with batch norm."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride, 1, bias=False), norm(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3, 1, 1, bias=False), norm(outputs)
        self.downsample = None
        if stride != 1:
            self.downsample = torch.nn.Sequential(conv(inputs, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Layer(torch.nn.Module):
    """ResNet18's layer4 on layer3's maps, batch norm in evaluation mode, the maps' means, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.Sequential(Basic(256, 512, 2), Basic(512, 512, 1)).eval()
        draw(self)
        self.head = linear(512, CLASSES, 0)

    def forward(self, rows):
        return self.head(self.blocks(rows.reshape(-1, 256, 4, 4)).mean(dim=(2, 3)))


def draw(model):
    """Weights of convolutions uniform, so that activations keep their size; batch norm as PyTorch initialises it."""
    index = 0
    for module in model.modules():
        own = list(module.named_parameters(recurse=False)) + list(module.named_buffers(recurse=False))
        for name, tensor in own:
            if isinstance(module, torch.nn.Conv2d):
                bound = numpy.sqrt(numpy.float32(6) / numpy.float32(tensor[0].numel())) if name == "weight" else 0.0
                with torch.no_grad():
                    tensor.copy_(uniform(INITIAL, index, bound, tensor.numel(), 1).reshape(tensor.shape))
            index += name != "num_batches_tracked"


def groups(model, decay):
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def train(size, model, optimizer, scheduler, smoothing, dropout=0.0):
    features, labels = data(size)
    losses = []
    for step in range(size["steps"]):
        rows = [(step * size["batch"] + i) % size["rows"] for i in range(size["batch"])]
        dropped = masks(dropout, step, rows, model.dropped) if dropout else ()
        scores = model(features[rows], *dropped)
        loss = torch.nn.functional.cross_entropy(scores, labels[rows], label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(float(loss.detach()))
        assert math.isfinite(losses[-1])
    return losses


def sgd(size, decay, rate, smoothing, model, dropout=0.0):
    """Nesterov's momentum, and half a cosine down to 0."""
    optimizer = torch.optim.SGD(groups(model, decay), lr=rate, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=size["steps"])
    return train(size, model, optimizer, scheduler, smoothing, dropout)


def adamw(size, decay, rate, smoothing, model, dropout=0.0):
    """Halved every 30 steps."""
    optimizer = torch.optim.AdamW(groups(model, decay), lr=rate, betas=(0.9, 0.99), eps=1e-7)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.5)
    return train(size, model, optimizer, scheduler, smoothing, dropout)


def main():
    torch.set_num_threads(1)
    reference = {
        "torch": torch.__version__,
        "softmax_sgd_nesterov_cosine": sgd(SMALL, 1e-3, 0.1, 0.0, layers(24, CLASSES)),
        "mlp_adamw_step_smoothing": adamw(SMALL, 1e-2, 0.02, 0.1, layers(24, 16, CLASSES)),
        "classifier_sgd_nesterov_cosine": sgd(LARGE, 1e-3, 0.01, 0.0, layers(25_088, 4_096, 4_096, CLASSES)),
        "classifier_adamw_step_smoothing": adamw(LARGE, 1e-2, 1e-4, 0.1, layers(25_088, 4_096, 4_096, CLASSES)),
        "fire9_sgd_nesterov_cosine": sgd(FIRE, 1e-3, 0.01, 0.0, Fire()),
        "conv5_sgd_nesterov_cosine": sgd(CONV5, 1e-3, 0.002, 0.0, Conv5()),
        "layer4_adamw_step_smoothing": adamw(LAYER, 1e-2, 1e-3, 0.1, Layer()),
        "softmax_dropout": sgd(SMALL, 1e-3, 0.1, 0.0, Dropped(24, CLASSES), 0.2),
        "classifier_dropout": sgd(SMALL, 1e-3, 0.05, 0.0, Dropped(24, 50, 20, CLASSES), 0.5),
        "mlp_dropout": adamw(SMALL, 1e-2, 0.02, 0.1, Dropped(24, 16, CLASSES), 0.25),
        "fire9_dropout": sgd(FIRE, 1e-3, 0.01, 0.0, Fire(), 0.5),
    }
    path = pathlib.Path(__file__).with_name("head_reference.json")
    path.write_text(json.dumps(reference, indent=1) + "\n")
    print(path, *(f"{key}: {curve[0]:.4f} to {curve[-1]:.4f}" for key, curve in list(reference.items())[1:]), sep="\n")


if __name__ == "__main__":
    main()

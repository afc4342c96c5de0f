"""Makes the reference values in this folder with PyTorch, torchvision and PIL, and checks exported models with them.

Run by hand only; neither the tests nor CI need Python:

    python3 -m venv torch && torch/bin/pip install torch torchvision pillow numpy safetensors
    torch/bin/python tests/reference/make_reference.py make              # rewrites the values
    torch/bin/python tests/reference/make_reference.py check FOLDER...   # exported models, see transfer/src/export

Weights and images are not stored: both sides make them by the same counter-based formula, exact in 32-bit floats
(`Seeded` in trainer/workloads/transfer/src/weights/seeded.rs). The value number i of the tensor `name` under `seed` is

    u(i) = (splitmix64(fnv1a64(name) + seed * GOLDEN + (i + 1) * GOLDEN) >> 40) / 2^23 - 1      in [-1, 1)
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms.v2 import functional

HERE = pathlib.Path(__file__).parent
GOLDEN = 0x9E3779B97F4A7C15
NAMES = ["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "squeezenet1_0",
         "squeezenet1_1", "resnet18", "resnet34", "resnet50", "mobilenet_v2"]
LOGITS = ["resnet18", "resnet50", "mobilenet_v2", "vgg11_bn", "squeezenet1_1"]
# Height and width, whether mirrored, pixels down and across, factors of brightness, contrast and saturation.
FORMS = [(8, 8, 1, 0, 0, 1, 1, 1), (9, 12, 0, 3, -4, 1, 1, 1), (8, 11, 1, -2, 3, 1.25, 0.75, 1.5),
         (7, 7, 0, -6, 6, 0.5, 1.5, 0.5)]
# Height and width of the image, side of the square.
RESIZES = [(8, 8, 8), (8, 8, 21), (32, 32, 40), (21, 21, 8), (9, 17, 8), (40, 23, 16), (5, 18, 12), (7, 3, 4)]


def bits(name, count, seed=0):
    """`count` 64-bit words of the stream `name`."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64((key + seed * GOLDEN) % 2**64) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, shape, seed=0):
    words = bits(name, int(np.prod(shape)), seed) >> np.uint64(40)
    return (words.astype(np.float32) / np.float32(2**23) - np.float32(1)).reshape(shape)


def parameter(name, shape):
    """Weights uniform with the variance 2 / fan in; parameters of batch norm, and biases, scattered around their initial values."""
    u = uniform(name, shape)
    if len(shape) > 1:
        return u * np.float32(np.sqrt(6 / np.prod(shape[1:])))
    around_one = name.endswith("weight") or name.endswith("running_var")
    return u / np.float32(8) + np.float32(1 if around_one else 0)


def seeded(name):
    model = getattr(torchvision.models, name)()
    tracked = {key: value for key, value in model.state_dict().items() if "num_batches" not in key}
    state = {key: torch.from_numpy(parameter(key, tuple(value.shape))) for key, value in tracked.items()}
    model.load_state_dict(state)
    return model.eval()


def logits():
    image = torch.from_numpy(uniform("image", (2, 3, 64, 64)))
    with torch.no_grad():
        return {name: seeded(name)(image).contiguous() for name in LOGITS}


def image_bytes(height, width):
    image = (bits(f"image {height} {width}", height * width * 3) >> np.uint64(56)).astype(np.uint8)
    return image.reshape(height, width, 3)


def resized(height, width, size):
    image = image_bytes(height, width)
    chw = torch.from_numpy(image).permute(2, 0, 1).float()
    scaled = functional.resize(chw, [size], antialias=True)
    # PIL rounds to bytes after each direction, so it is within two of 255 levels.
    pil = np.asarray(Image.fromarray(image).resize((scaled.shape[2], scaled.shape[1]), Image.Resampling.BILINEAR))
    assert np.abs(pil - scaled.permute(1, 2, 0).numpy()).max() < 2, (height, width, size)
    if height <= size and width <= size:
        # When enlarging, antialias changes nothing.
        plain = torch.nn.functional.interpolate(chw[None], scaled.shape[1:], mode="bilinear", align_corners=False)
        assert (plain[0] - scaled).abs().max() < 1e-3
    return (functional.center_crop(scaled, [size]) / 255).permute(1, 2, 0).contiguous()


def augmented(height, width, mirrored, down, across, *colours):
    """An image mirrored, cut out of itself padded by reflection, and recoloured on floats: bytes, not yet rounded."""
    chw = torch.from_numpy(image_bytes(height, width)).permute(2, 0, 1).float() / 255
    chw = functional.hflip(chw) if mirrored else chw
    pad = max(abs(down), abs(across))
    chw = functional.pad(chw, [pad] * 4, padding_mode="reflect") if pad else chw
    chw = functional.crop(chw, pad + down, pad + across, height, width)
    for change, factor in zip(("brightness", "contrast", "saturation"), colours):
        chw = getattr(functional, f"adjust_{change}")(chw, factor)
    return (chw * 255).permute(1, 2, 0).contiguous()


def layouts():
    """sha256 of every network's parameter names and shapes, one a line, sorted."""
    digests = {}
    for name in NAMES:
        with torch.device("meta"):
            state = getattr(torchvision.models, name)().state_dict()
        lines = sorted(f"{key} {list(value.shape)}\n" for key, value in state.items() if "num_batches" not in key)
        digests[name] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return digests


def pickles():
    """The first layer of VGG11 in each kind of .pth file: zip, legacy, and a checkpoint around a strided state."""
    shapes = {"features.0.weight": (64, 3, 3, 3), "features.0.bias": (64,)}
    state = {name: torch.from_numpy(parameter(name, shape)) for name, shape in shapes.items()}
    torch.save(state, HERE / "zip.pth")
    torch.save(state, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    state["features.0.weight"] = state["features.0.weight"].to(memory_format=torch.channels_last)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": {"lr": 0.1}}, HERE / "checkpoint.pth")


def make():
    torch.use_deterministic_algorithms(True)
    save_file(logits(), HERE / "logits.safetensors")
    save_file({f"{h}x{w} to {s}": resized(h, w, s) for h, w, s in RESIZES}, HERE / "resized.safetensors")
    save_file({" ".join(map(str, form)): augmented(*form) for form in FORMS}, HERE / "augmented.safetensors")
    pickles()
    made_by = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    text = json.dumps({"made_by": made_by, "layouts": layouts()}, indent=1)
    (HERE / "layouts.json").write_text(text + "\n")


def check(folder):
    """An exported model in torchvision's own class, strict, against the probabilities that Baton wrote beside it."""
    folder = pathlib.Path(folder)
    described = json.loads((folder / "model.json").read_text())
    labels = json.loads((folder / "labels.json").read_text())
    name = described["torchvision"]
    assert name, f"{folder}: no torchvision class: {described['how']}"
    model = getattr(torchvision.models, name)(num_classes=len(labels))
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    expected = load_file(folder / "expected.safetensors")
    with torch.no_grad():
        found = torch.softmax(model.eval()(expected["images"]), 1)
    error = (found - expected["probabilities"]).abs().max().item()
    agree = bool((found.argmax(1) == expected["probabilities"].argmax(1)).all())
    print(f"{folder}: {name}, {tuple(found.shape)} probabilities, largest difference {error:.2e}, same class: {agree}")
    assert error < 1e-5 and agree


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    elif sys.argv[1:2] == ["check"] and sys.argv[2:]:
        for folder in sys.argv[2:]:
            check(folder)
    else:
        sys.exit(__doc__)

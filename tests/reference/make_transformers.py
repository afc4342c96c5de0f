"""Makes transformers.safetensors in this folder: results of torchvision, timm and Hugging Face's transformers.

Run by hand only, as make_reference.py, beside which it wants `transformers` and `timm`:

    torch/bin/pip install transformers timm
    torch/bin/python tests/reference/make_transformers.py

Weights, images and token ids are not stored: both sides make them by make_reference.py's formula, weights under the names
that are published. Hugging Face's models are loaded from files with these names, by its own loader.
"""

import json
import pathlib
import tempfile

import numpy as np
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file
from torchvision.models.vision_transformer import interpolate_embeddings

from make_reference import parameter, uniform

HERE = pathlib.Path(__file__).parent
LENGTHS = [7, 1, 33, 12]


def seeded(state):
    return {name: torch.from_numpy(parameter(name, tuple(value.shape))) for name, value in state.items()}


def images(side):
    return torch.from_numpy(uniform("image", (2, 3, side, side)))


def of_torchvision(name, side):
    model = getattr(torchvision.models, name)(image_size=side)
    whole = getattr(torchvision.models, name)().state_dict()
    patch = model.patch_size
    # The positions of 224 pixels, resized by torchvision's own function.
    model.load_state_dict(interpolate_embeddings(side, patch, seeded(whole)))
    return model.eval()(images(side))


def of_timm(name, side):
    model = timm.create_model(name, pretrained=False)
    model.load_state_dict(seeded(model.state_dict()))
    return model.eval()(images(side))


def of_hugging_face(kind, **config):
    """A model of this class with seeded weights, read from a file with the published names."""
    config = kind.config_class(attn_implementation="eager", **config)
    with tempfile.TemporaryDirectory() as folder:
        kind(config).save_pretrained(folder)
        file = pathlib.Path(folder) / "model.safetensors"
        save_file(seeded(load_file(file)), file, metadata={"format": "pt"})
        return kind.from_pretrained(folder, attn_implementation="eager").eval()


def of_dino(side):
    config = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14}
    return of_hugging_face(transformers.Dinov2Model, **config)(images(side)).last_hidden_state[:, 0]


def of_texts(kind, vocabulary, segments, mean, **config):
    """The mean or the first of each sentence's tokens; the second half of each is of segment 1 if there is one."""
    model, rows = of_hugging_face(kind, **config), []
    for sentence, length in enumerate(LENGTHS):
        unit = uniform(f"ids {sentence}", (length,)).astype(np.float64) / 2 + 0.5
        given = {"input_ids": torch.from_numpy(np.floor(unit * (vocabulary - 3)).astype(np.int64))[None] + 3}
        if segments > 1:
            given["token_type_ids"] = (torch.arange(length) >= (length + 1) // 2).long()[None]
        tokens = model(**given).last_hidden_state[0]
        rows.append(tokens.mean(0) if mean else tokens[0])
    return torch.stack(rows)


def make():
    minilm = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12, "num_hidden_layers": 6}
    roberta = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    with torch.no_grad():
        values = {
            "vit_b_16 at 224": of_torchvision("vit_b_16", 224),
            "vit_b_32 at 160": of_torchvision("vit_b_32", 160),
            "deit_tiny_patch16_224 at 224": of_timm("deit_tiny_patch16_224", 224),
            "dinov2_vits14 at 224": of_dino(224),
            "minilm_l6": of_texts(transformers.BertModel, 30522, 2, True, **minilm),
            "bert_base_uncased": of_texts(transformers.BertModel, 30522, 2, False),
            "distilbert_base_uncased": of_texts(transformers.DistilBertModel, 30522, 0, False),
            "roberta_base": of_texts(transformers.RobertaModel, 50265, 1, False, **roberta),
        }
    made_by = {"torch": torch, "torchvision": torchvision, "timm": timm, "transformers": transformers}
    made_by = {name: module.__version__ for name, module in made_by.items()}
    values = {name: value.contiguous() for name, value in values.items()}
    save_file(values, HERE / "transformers.safetensors", metadata={"made_by": json.dumps(made_by)})
    for name, value in values.items():
        print(f"{name}: {list(value.shape)}, largest {value.abs().max():.3f}")


make()

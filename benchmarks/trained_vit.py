"""The paper's evidence on a real trained ViT and real photographs: `clipneuron reproduce` from a program.

    python benchmarks/trained_vit.py --data DATA > report.md    # results/ holds what it printed, dated

The model is an ImageNet ViT-Tiny/16, which is supervised and not a CLIP: the rows of its class head take the place of
texts, and the class that the head gives an unchanged photograph is its label. Every second photograph belongs to D, the
others are used for evaluation. Needs a folder with vit_tiny_in1k/ (visual.safetensors, head.npz) and photos/
(imagen200.parquet), which are not part of the project. All sampling is seeded; the tables stay in --store.
"""

import argparse
import shlex
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from machine import describe
from open_clip.transformer import LayerNorm, VisionTransformer
from rich.console import Console
from torch import Tensor, nn

from clipneuron import Clip, load_clip
from clipneuron.config.recipe import Recipe
from clipneuron.engine.runner import Runner
from clipneuron.evidence.pipeline import Reproduction
from clipneuron.evidence.report import evidence_report
from clipneuron.store.store import Store

CAVEAT = (
    "a supervised ViT, not a CLIP: its texts are the 1000 rows of its class head, and its labels the classes that the "
    "head itself gives unchanged photographs"
)


class HeadModel(nn.Module):
    """An image tower with a class head in the place of a text tower: a text is a class's name, its embedding a row."""

    context_length = 2

    def __init__(self, folder: Path) -> None:
        super().__init__()
        head = np.load(folder / "head.npz")
        self.names = _distinct([str(name) for name in head["names"]])
        self.vocab_size = 1 + len(self.names)
        self.visual = _tower(folder)
        self.register_buffer("rows", torch.from_numpy(head["weight"]))
        self.register_buffer("bias", torch.from_numpy(head["bias"]))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """The head's rows [text, embed]."""
        return self.rows[tokens[:, 0] - 1]

    def tokenize(self, texts: list[str]) -> Tensor:
        """The numbers of classes by their names, from 1 on, each with a 0 behind it, as has an empty text [text, 2]."""
        return torch.tensor([[1 + self.names.index(text) if text else 0, 0] for text in texts])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("vit-tiny-run"))
    parser.add_argument("--neurons", type=int, default=64, help="of the indirect effects")
    chosen = parser.parse_args()
    model = HeadModel(chosen.data / "vit_tiny_in1k")
    clip = load_clip(model, tokenizer=model.tokenize)
    chosen.store.mkdir(parents=True, exist_ok=True)
    swept, labelled, agreement = _photographs(chosen, model, clip)
    recipe = _recipe(chosen, model, swept, labelled)
    began = time.monotonic()
    reproduction = Reproduction.of(recipe, Store(chosen.store), clip)
    run, _ = reproduction.run(Runner(console=Console(file=sys.stderr)))
    more = {
        "machine": describe(),
        "time of the run": f"{time.monotonic() - began:.0f} s",
        "head without bias, unit rows": f"agrees with the head on {agreement:.1%} of all photographs",
        "command": shlex.join(["python", "benchmarks/trained_vit.py", "--data", "DATA"]),
    }
    report = evidence_report(reproduction, run, CAVEAT, **more)
    print(report.markdown().replace(f"{chosen.store}/", ""))
    for name, data in report.files().items():
        (chosen.store / name).write_bytes(data)


def _recipe(chosen: argparse.Namespace, model: HeadModel, swept: Path, labelled: Path) -> Recipe:
    classes, templates = chosen.store / "classes.txt", chosen.store / "plain.txt"
    classes.write_text("\n".join(model.names))
    templates.write_text("{}")
    return Recipe(
        name="vit_tiny",
        model="ViT-Tiny/16 of ImageNet-1k",
        images=str(swept),
        pool=str(classes),
        # 2 % of D, as 100 are of the paper's 5,000
        top=10,
        evaluation={
            "images": str(labelled),
            "classes": str(classes),
            "templates": str(templates),
            "pools": (str(classes),),
            "indirect_neurons": chosen.neurons,
            "indirect_images": 256,
        },
    )


@torch.inference_mode()
def _photographs(
    chosen: argparse.Namespace, model: HeadModel, clip: Clip
) -> tuple[Path, Path, float]:
    """The photographs of D and of the evaluation as files, and how often the bare rows agree with the whole head."""
    photos = pq.read_table(chosen.data / "photos" / "imagen200.parquet", columns=["file", "image"])
    whole, bare = [], []
    unit = nn.functional.normalize(model.rows, dim=1)
    for batch in photos.to_batches(max_chunksize=50):
        pixels = np.stack([clip.preprocess.decode(data) for data in batch["image"].to_pylist()])
        embeddings = clip.visual(clip.preprocess.normalize(pixels))
        whole += (embeddings @ model.rows.T + model.bias).argmax(1).tolist()
        bare += (embeddings @ unit.T).argmax(1).tolist()
    labelled = photos.append_column("label", pa.array(whole, pa.int32()))
    places = chosen.store / "swept.parquet", chosen.store / "labelled.parquet"
    for place, first in zip(places, (0, 1), strict=True):
        pq.write_table(labelled.take(pa.array(range(first, len(labelled), 2))), place)
    return *places, float(np.mean(np.equal(whole, bare)))


def _distinct(names: list[str]) -> list[str]:
    """The names, with a number after repeated ones: two of ImageNet's names stand for two classes each."""
    return [
        f"{name} {names[:place].count(name) + 1}" if name in names[:place] else name
        for place, name in enumerate(names)
    ]


def _tower(folder: Path) -> VisionTransformer:
    tower = VisionTransformer(
        image_size=224,
        patch_size=16,
        width=192,
        layers=12,
        heads=3,
        mlp_ratio=4.0,
        output_dim=192,
        no_ln_pre=True,
        norm_layer=partial(LayerNorm, eps=1e-6),
    )
    tower.load_state_dict(safetensors.torch.load_file(folder / "visual.safetensors"))
    tower.preprocess_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    return tower


if __name__ == "__main__":
    main()

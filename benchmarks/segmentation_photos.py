"""The matrix of `clipneuron segment` on a real trained ViT and real photographs with masks, from a program.

    python benchmarks/segmentation_photos.py --data DATA --masks PHOTOS.parquet > report.md    # results/ has it, dated

The model is an ImageNet ViT-Tiny/16, which is supervised and not a CLIP: the rows of its class head take the place of
texts. A class of COCO has the mean of the unit rows of all ImageNet classes that are of its kind (`ROWS` below, by
number); classes of which ImageNet has none, such as person, have no text and are left out. Directions come from every
second of other photographs. Needs a folder with vit_tiny_in1k/ (visual.safetensors, head.npz) and photos/
(imagen200.parquet), and a Parquet file with the columns image and mask, whose values are COCO's 80 classes from 1 on;
neither is part of the project. The tables stay in --store.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch
from machine import describe
from rich.console import Console
from torch.nn.functional import normalize
from trained_vit import HeadModel

from clipneuron import load_clip
from clipneuron.config.recipe import Recipe
from clipneuron.engine.runner import Runner
from clipneuron.segmentation.pipeline import SegmentationLine
from clipneuron.segmentation.report import segmentation_report, write_report
from clipneuron.store.store import Store

CAVEAT = "a supervised ViT, not a CLIP: a text is the mean of the rows of its class head that are of a kind"

ROWS = {
    "bicycle": (444, 671),
    "car": (436, 468, 511, 609, 627, 656, 751, 817),
    "motorcycle": (665, 670),
    "airplane": (404, 895),
    "bus": (654, 779, 874),
    "train": (466, 547, 565, 705, 820),
    "truck": (555, 569, 675, 717, 864, 867),
    "boat": (472, 554, 576, 625, 814, 871, 914),
    "traffic light": (920,),
    "stop sign": (919,),
    "parking meter": (704,),
    "bench": (703,),
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "cat": tuple(range(281, 286)),
    "dog": tuple(range(151, 269)),
    "horse": (339,),
    "sheep": (348, 349),
    "cow": (345,),
    "elephant": (101, 385, 386),
    "bear": tuple(range(294, 298)),
    "zebra": (340,),
    "backpack": (414,),
    "umbrella": (879,),
    "handbag": (748,),
    "tie": (457, 906),
    "skis": (795,),
    "sports ball": (574, 722, 768, 805, 852, 890),
    "tennis racket": (752,),
    "bottle": (440, 737, 898, 907),
    "cup": (504,),
    "knife": (499, 623),
    "spoon": (618, 910),
    "bowl": (659, 809),
    "banana": (954,),
    "apple": (948,),
    "orange": (950,),
    "broccoli": (937,),
    "hot dog": (934,),
    "pizza": (963,),
    "chair": (423, 559, 765, 857),
    "couch": (831,),
    "potted plant": (738,),
    "bed": (564,),
    "dining table": (532,),
    "toilet": (861,),
    "tv": (782, 851),
    "laptop": (620, 681),
    "remote": (761,),
    "keyboard": (508,),
    "microwave": (651,),
    "toaster": (859,),
    "sink": (896,),
    "refrigerator": (760,),
    "book": (917, 921),
    "clock": (892,),
    "vase": (883,),
    "teddy bear": (850,),
    "hair drier": (589,),
}
"""The classes of COCO and ImageNet's of their kind, by number."""


class KindsModel(HeadModel):
    """The head with a text for each kind: the mean of the unit rows of its classes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        units = normalize(self.rows, dim=1)
        self.names = list(ROWS)
        self.vocab_size = 1 + len(self.names)
        self.rows = torch.stack([units[list(numbers)].mean(0) for numbers in ROWS.values()])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("segmentation-photos-run"))
    parser.add_argument("--limit", type=int, default=0, help="photographs with masks; 0: all")
    chosen = parser.parse_args()
    model = KindsModel(chosen.data / "vit_tiny_in1k")
    clip = load_clip(model, tokenizer=model.tokenize)
    chosen.store.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    line = SegmentationLine.of(_recipe(chosen), Store(chosen.store), clip)
    print(line.describe(), file=sys.stderr)
    run, _ = line.run(Runner(console=Console(file=sys.stderr)))
    more = {
        "machine": describe(),
        "time of the run": f"{time.monotonic() - began:.0f} s",
        "left out": "; ".join(line.evaluated.left_out) or "nothing",
        "command": shlex.join(
            [
                "python",
                "benchmarks/segmentation_photos.py",
                "--data",
                "DATA",
                "--masks",
                "PHOTOS.parquet",
            ]
        ),
    }
    report = segmentation_report(line, run, CAVEAT, **more)
    write_report(run, report)
    page = report.markdown()
    named = {"PHOTOS.parquet": chosen.masks, "DATA": chosen.data, "STORE": chosen.store}
    for name, place in named.items():
        page = page.replace(str(place), name)
    print(page)


def _recipe(chosen: argparse.Namespace) -> Recipe:
    classes, templates = chosen.store / "classes.txt", chosen.store / "plain.txt"
    classes.write_text("\n".join(ROWS))
    templates.write_text("{}")
    return Recipe(
        name="vit_tiny",
        model="ViT-Tiny/16 of ImageNet-1k",
        images=str(chosen.data / "photos" / "imagen200.parquet"),
        every=2,
        top=10,  # 2 % of the pictures, as the paper's 100 are of its 5,000
        pool=str(classes),
        segmentation={
            "images": str(chosen.masks),
            "masks": str(chosen.masks),
            "mask_names": "coco",
            "label_column": "none",
            "classes": str(classes),
            "templates": str(templates),
            "limit": chosen.limit,
            "neurons_per_class": 50,  # of 2,304, as the paper's 200 are of 9,216
        },
    )


if __name__ == "__main__":
    main()

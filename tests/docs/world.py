"""A user's folder in which the commands of the documentation are given word for word, as far as a small world allows.

The recipes that they name are small ones, with a tower of three layers; folders and files that they name are there;
buckets are folders; and stores are those of two finished runs, of the demo's scenes and of pictures in folders.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from clipneuron.attack.results import AttackResults
from clipneuron.attack.review.server import Review
from clipneuron.cli import build_parser, main
from clipneuron.cli.operations.submit import _order
from clipneuron.cli.options.flags import recipe_of
from clipneuron.config.named import RECIPES
from clipneuron.engine import jobs as servers
from clipneuron.operations.submit import checks
from clipneuron.store.store import Run, Store
from tests.cli.user import settle
from tests.docs.commands import ROOT
from tests.operations.fakes import Server, Time
from tests.operations.test_notices import fresh_logs
from tests.samples import gtsegs
from tests.samples.compared import exchanged, renamed, world, written
from tests.samples.explained import held_out
from tests.samples.segmented import write_masks
from tests.samples.world import write_pictures

OWN = {
    "model": "my-model-folder",
    "every": 1,
    "atoms": 4,
    "top": 5,
    "batch_size": 32,
    "shard_size": 32,
}
"""Of every recipe here: the small tower."""
EVALUATION = {"templates": "demo", "sizes": (1, 3), "detail_layers": (0,), "neurons": ((1, 4),)}
EVALUATION |= {"indirect_neurons": 2, "indirect_images": 4}
ATTACK = {"captioner": "demo", "painter": "demo", "sentences": "clip", "repeats": 1}
ATTACK |= {"methods": ("second-order", "similar"), "similarity": 2.0}
ATTACK |= {"captions": 4, "chosen": 1, "each": 2, "words": 4}
SEGMENTATION = {"methods": ("second-order", "gradcam", "center"), "neurons_per_class": 4}
CONCEPTS = {"concept_layers": (0, 1), "sample": 8, "depth": 1, "head_texts": 2}
LINES = {
    "evaluation": EVALUATION,
    "explanation": {"templates": "demo", "share": 0.1, "painted_neurons": 1},
    "attack": ATTACK,
    "segmentation": SEGMENTATION,
    "concepts": CONCEPTS,
    "atlas": {"top": 2},
}
DEMO = {
    "limit": 24,
    "evaluation": {"limit": 24, "pools": ("demo",)},
    "explanation": {"limit": 64, "classes": "labels"},
    "segmentation": {"limit": 8},
    "concepts": {"limit": 8},
}
PICTURES = {
    "pool": "words.txt",
    "evaluation": {"classes": "labels", "pools": ("words.txt",)},
    "attack": {"layers": ()},
    "segmentation": {"mask_names": "names.csv", "templates": "demo"},
}
"""Of recipes for pictures in folders."""


def small(name: str) -> dict[str, object]:
    """The recipe of this name, whose work takes a second."""
    found: dict[str, object] = {**RECIPES[name], **OWN}
    found.pop("pretrained", None)
    for more in (LINES, DEMO if name == "demo" else PICTURES):
        for key, value in more.items():
            old = found.get(key)
            found[key] = {**old, **value} if isinstance(old, dict) else value
    return found


def _kind(text: str) -> str:
    """The store that a command is given: that of its recipe's run, or one of its own."""
    if "my-model-folder" in text:
        return "own"
    if "--log-format" in text:  # lines are written of work that is done
        return "logged"
    if "vit_l_14" in text:
        return "vit_l_14"
    return "vit_b_32" if re.search(r"vit_|s3://|imagenet", text) else "demo"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    said: str
    """On standard output and standard error."""


@dataclass
class World:
    """The folder; what was given there once is not given again."""

    folder: Path
    given: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle(self.folder / "settled")
        (self.folder / "settled" / "model").rename(self.folder / "my-model-folder")
        shutil.move(self.folder / "settled" / "texts.txt", self.folder / "words.txt")
        pictures = sorted((self.folder / "settled" / "pictures").iterdir())
        table = pa.table({"image": [each.read_bytes() for each in pictures]})
        pq.write_table(table, self.folder / "photos.parquet")
        for part, each in (("train", 6), ("val", 20)):
            folder = held_out(self.folder / "imagenet" / part, each)
            shutil.copy(folder / "dog" / "005.png", folder / "cat")
        write_pictures(self.folder / "photos")
        write_masks(self.folder / "masks")
        (self.folder / "names.csv").write_text("1,cat\n2,dog\n")
        self._write_outlines()
        (self.folder / "holiday").mkdir()
        names = ("cat.jpg", "dog.jpg", "beach.png", "holiday/beach.png")
        for picture, name in zip(pictures, names, strict=False):
            Image.open(picture).save(self.folder / name)

    def _write_outlines(self) -> None:
        dice = np.random.default_rng(0)
        rows = []
        for number in range(4):
            synset = ("n01440764", "n01443537")[number % 2]
            mask = np.zeros((24, 20), np.uint8)
            mask[4:20, : 6 + number] = 1
            picture = dice.integers(0, 256, (24, 20, 3), dtype=np.uint8)
            rows.append(gtsegs.Row(f"{synset}_{number}", synset, picture, [mask]))
        gtsegs.write(self.folder / "gtsegs_ijcv.mat", rows)

    def run(self, store: str) -> Run:
        """The only run of a store of the folder."""
        (found,) = Store(self.folder / store).runs()
        return found

    def call(self, words: list[str], recipes: bool = True) -> Outcome:
        """`clipneuron` with these words in the folder; recipes are small where asked."""
        said = io.StringIO()
        names = ("demo", "vit_b_32", "vit_l_14")
        with (
            patch.dict(RECIPES, {name: small(name) for name in names} if recipes else {}),
            patch.dict(os.environ, {"COLUMNS": "200"}),
            patch.object(Review, "wait", lambda _: None),  # nobody is there to look at the page
            fresh_logs(),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            try:
                status = main(words)
            except SystemExit as end:
                status = end.code
        return Outcome(status, said.getvalue())

    def once(self, text: str) -> Outcome:
        """`clipneuron` with these words, or what came of them the first time."""
        if text not in self.given:
            self.given[text] = self.call(shlex.split(text)[1:])
        return self.given[text]

    def on_runs(self, text: str) -> Outcome:
        """On the runs of the folder, which the first command that needs one makes."""
        kind = _kind(text)
        if kind in RECIPES and ("--store" in text or "s3://" in text):
            self._need(kind, text)
        if "--extend" in text:
            shutil.copytree(self.folder / kind, self.folder / "grown", dirs_exist_ok=True)
            kind = "grown"
        if "--against" in text:
            other = "clipneuron run --recipe demo --top 3 --store against --engine in-process"
            assert self.once(other).status == 0
            text = text.replace("demo-77ab", "demo --against-store against")
        return self.once(self._settled(text, kind))

    def _need(self, kind: str, text: str) -> None:
        """The run of a recipe; for what looks at an attack, an attack as well."""
        pictures = " --images imagenet/train" if kind != "demo" else ""
        own = f"{pictures} --store {kind} --engine in-process"
        swept = self.once(f"clipneuron run --recipe {kind}{own}")
        assert swept.status == 0, swept.said
        if text.split()[1] in ("review", "trace"):
            self.once(f"clipneuron attack --recipe {kind} --pairs dog:deer{own}")

    def _settled(self, text: str, kind: str) -> str:
        """The command with what is here in place of what it names."""
        verb = text.split()[1]
        text = re.sub(r"--store \S+", f"--store {kind}", text)
        text = re.sub(r"(s3://\w+|/data/imagenet|imagenet)/train", "imagenet/train", text)
        text = re.sub(r" (--address auto|--engine \S+|--limit 3000)", "", text)
        text = text.replace(" 8:4 8:39 ", " 1:4 1:39 ").replace("s3://sites", "sites")
        if re.search(r"s3://runs/vit_b_32-\w+", text):
            text = re.sub(r"s3://runs/vit_b_32-\w+", f"{kind}/{self.run(kind).name}", text)
        if "--extend" in text:
            text += " --limit 32"
        if verb == "trace":
            text = re.sub(r"dog:deer/\S+", self._picture(kind), text)
        engine = verb in ("run", "explain", "reproduce", "attack", "segment", "concepts", "atlas")
        one = re.search(r"(concepts|segment) \w+\S*\.(jpg|png)", text)
        return f"{text} --engine in-process" if engine and not one else text

    def _picture(self, kind: str) -> str:
        """The name of a picture of the pair that the documentation follows back."""
        run = self.run(kind)
        names = [
            name
            for attack in run.results(AttackResults)
            if run.done(attack.pictures)
            for name in run.read(attack.pictures, "pictures")["picture"].to_pylist()
        ]
        return next(name for name in names if name.startswith("dog:deer/second-order/0/"))

    def on_compared(self, text: str) -> Outcome:
        """On runs of which some differ by two neurons, and one is worse as well."""
        if not (self.folder / "compared").exists():
            self._write_compared()
        runs = Store(self.folder / "compared").runs()
        one, other = [run.name for run in runs if run.name.startswith("demo-")]
        text = text.replace("demo-1f0c", one).replace("demo-77ab", other)
        store = "alone" if "--store-b" in text else "compared"
        text = re.sub(r"--store \S+", f"--store {store}", text.replace("s3://other/runs", "other"))
        return self.once(text)

    def _write_compared(self) -> None:
        one = replace(world(), concepts={"nearest": {"a.png": ["ship"], "b.png": ["egg", "hen"]}})
        other = exchanged(one, [((0, 1), (1, 4))])
        worse = replace(
            other,
            concepts={"nearest": {"a.png": ["ship"], "b.png": ["hen", "egg"]}},
            correlation={layer: values - 0.25 for layer, values in one.correlation.items()},
            accuracy={("none", -1, -1): 30, ("all", 0, -1): 30},
        )
        told = [("compared", "demo", one), ("compared", "demo", other)]
        told += [("compared", "vit_b_32", one), ("compared", "vit_b_16", worse)]
        told += [("alone", "demo", one), ("other", "demo", other)]
        for number, (store, name, found) in enumerate(told):
            known = renamed(found, sweep=str(number))
            written(self.folder / store, known, name, block=12, scores=True, accuracies=True)

    def on_a_job_server(self, text: str) -> Outcome:
        """With a job server in memory that has done the demo's job."""
        server = Server(Time())
        chosen = build_parser().read(["submit", "run", "--recipe", "demo", "--store", "s3://runs"])
        server.submit(_order(chosen, recipe_of(chosen)).name(1), "", {}, {})
        with (
            patch.object(servers, "RayJobs", lambda address: server),
            patch.object(checks, "problems", lambda *_: []),
        ):
            return self.call(shlex.split(text)[1:], recipes=False)

    def as_it_is(self, text: str) -> Outcome:
        """Word for word."""
        return self.call(shlex.split(text)[1:], recipes=False)

    def by_make(self, text: str) -> Outcome:
        """The commands of a target of the Makefile, one after another."""
        made, (_, target) = (ROOT / "Makefile").read_text(), text.split()
        (rule,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", made, re.MULTILINE)
        defaults = dict(re.findall(r"^(\w+) \?= (\S+)$", made, re.MULTILINE))
        lines = [line.strip().removeprefix("$(BIN)/") for line in rule.splitlines()]
        ended = [
            self.on_runs(re.sub(r"\$\((\w+)\)", lambda m: defaults[m[1]], line)) for line in lines
        ]
        return Outcome(max(each.status for each in ended), "".join(each.said for each in ended))

    def as_a_program(self, text: str) -> Outcome:
        """A Python program, in this process."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), program_of(text) as run:
            try:
                run()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
        return Outcome(status, said.getvalue())


@contextlib.contextmanager
def program_of(text: str) -> Iterator[Callable[[], object]]:
    """Runs `python FILE ...` or `python -m MODULE ...` as if it were called so."""
    _, *words = shlex.split(text)
    is_module = words[0] == "-m"
    name, given = words[is_module], words[is_module + 1 :]
    path = [str(ROOT / "benchmarks"), *sys.path]
    with patch.object(sys, "argv", [name, *given]), patch.object(sys, "path", path):
        if is_module:
            yield lambda: runpy.run_module(name, run_name="__main__", alter_sys=False)
        else:
            yield lambda: runpy.run_path(str(ROOT / name), run_name="__main__")

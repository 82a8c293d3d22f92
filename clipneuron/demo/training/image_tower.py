"""Training of the image tower alone, towards the texts of a tower that stays as it is.

    python -m clipneuron.demo.training.image_tower --start WEIGHTS --out DIR --insert 4 --minutes 25 --hardness 0.2,0.7
    python -m clipneuron.demo.training.image_tower --start DIR --out DIR2 --silence 6 --minutes 20 --hardness 0.5,0.7
    python -m clipneuron.demo.training.image_tower --start DIR2 --out DIR3 --neurons 384 --decay 3 --minutes 60

Three things make neurons whose words are true (docs/decisions/0008): a world that needs depth, blocks that write
nothing at first, so that what they come to write is there because it is needed, and a weight decay that removes what is
not.
An existing folder is resumed. Snapshots of the weights are kept, so that the best can be chosen by its words
(`clipneuron explain --model DIR/after-20-minutes`).
"""

import argparse
import json
import logging
import multiprocessing
import shutil
import threading
import time
from collections.abc import Iterator
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.transformer import PatchDropout
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from clipneuron.demo.pictures import HARDNESS, render
from clipneuron.demo.scenes import sample_scene
from clipneuron.demo.training.batches import LABELS, TEMPLATES, count_table
from clipneuron.demo.training.blocks import insert_silent, keep_neurons, silence
from clipneuron.demo.training.learner import Patches, pixels
from clipneuron.demo.training.train import (
    read_weights,
    rising_and_falling,
    stop_asked,
    write_checkpoint,
    write_weights,
)

log = logging.getLogger(__name__)

AHEAD = 8
"""Batches that the other process draws ahead."""

Drawn = tuple[NDArray[np.uint8], NDArray[np.bool_]]


class TowerRecipe(BaseModel):
    """What determines the weights, but for the clock that ends the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=1, ge=1, lt=256)
    """Of the scenes: no two seeds share one. Seed 0 is that of the joint training."""
    minutes: float = Field(default=60.0, gt=0)
    insert: int = Field(default=0, ge=0)
    """Blocks that are put behind block `after`: copies of it that write nothing yet."""
    after: int = 1
    silence: int = -1
    """The first block whose MLP, like those of all blocks behind it, writes nothing at first; -1 for none."""
    neurons: int = Field(default=0, ge=0)
    """Neurons that each block keeps, those that write most; 0 for all."""
    decay: float = 0.05
    """Weight decay of what blocks write; a third of it for what MLPs read, a tenth for other matrices."""
    hardness: tuple[float, float] = (HARDNESS, HARDNESS)
    """Of the pictures, at the beginning and from `ramp` of the run on."""
    ramp: float = 0.4
    all_patches: float = 0.6
    """Share of the run from which all patches are seen; before that, half of them, at random."""
    batch: int = 64
    biased_share: float = 0.7
    learning_rate: float = 6e-4


def draw_pictures(job: tuple[int, int, int, float, float]) -> Drawn:
    """The pictures of (seed, step, count, share of biased scenes, hardness), and which labels are true of each."""
    seed, step, count, biased_share, hardness = job
    dice = np.random.default_rng([seed, step])
    biased = dice.random(count) < biased_share
    first = (seed << 32) + step * count
    scenes = [sample_scene(first + i, biased=bool(biased[i])) for i in range(count)]
    return np.stack([render(scene, hardness) for scene in scenes]), count_table(scenes) > 0


class TowerTraining:
    """A training of the image tower in a folder: a new one, or one resumed from its last checkpoint.

    Raises ValueError when a new one has no weights to start from.
    """

    def __init__(self, out: Path, recipe: TowerRecipe, start: Path | None = None):
        resumed = (out / "checkpoint.pt").exists()
        start = out if resumed else start
        if start is None:
            raise ValueError(f"{out} holds no training: give the weights to start from (--start)")
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.recipe, self.step, self.seconds = out, recipe, 0, 0.0
        self.config = json.loads((start / "open_clip_config.json").read_text(encoding="utf-8"))
        self.clip: Any
        self.clip, tokenizer = read_weights(start)
        if not resumed:
            shutil.copy(start / "bpe_vocab.txt.gz", out)
            self._reshape()
        self.texts = label_embeddings(self.clip, tokenizer)
        tower = self.clip.visual
        tower.conv1 = Patches(tower.conv1)
        self.clip.requires_grad_(False)
        tower.requires_grad_(True)
        self.scale = nn.Parameter(self.clip.logit_scale.detach().clone())
        self.bias = nn.Parameter(torch.tensor(-5.0))
        self.optimizer = _optimizer(tower, [self.scale, self.bias], recipe)
        if resumed:
            self._resume()

    @property
    def progress(self) -> float:
        """The share of the run that is over, by the clock."""
        return min(self.seconds / (60 * self.recipe.minutes), 1.0)

    def job(self, step: int) -> tuple[int, int, int, float, float]:
        """What `draw_pictures` is to draw for a step, as hard as now."""
        recipe = self.recipe
        low, high = recipe.hardness
        hardness = low + (high - low) * min(1.0, self.progress / recipe.ramp)
        return recipe.seed, step, recipe.batch, recipe.biased_share, hardness

    def advance(self, drawn: Drawn) -> float:
        """Take one step; returns its loss."""
        began = time.monotonic()
        self._mask_patches()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        images = pixels(drawn[0])
        embeddings = normalize(self.clip.visual(images), dim=-1)
        logits = self.scale.exp() * embeddings @ self.texts.T + self.bias
        truth = torch.from_numpy(drawn[1]).float()
        loss = binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(images)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*self.clip.visual.parameters(), self.scale, self.bias], 1.0)
        self.optimizer.step()
        self.step += 1
        self.seconds += time.monotonic() - began
        return loss.item()

    def save(self) -> None:
        """Write the checkpoint and the weights in their shipped form."""
        state = {
            "optimizer": self.optimizer.state_dict(),
            "visual": self.clip.visual.state_dict(),
            "scale": self.scale.data,
            "bias": self.bias.data,
            "step": self.step,
            "seconds": self.seconds,
        }
        write_weights(self.clip, self.config, self.out)
        write_checkpoint(state, self.out)

    def snapshot(self) -> None:
        """Keep the weights of now in a folder of their own."""
        folder = self.out / f"after-{self.seconds / 60:.0f}-minutes"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.out / "bpe_vocab.txt.gz", folder)
        write_weights(self.clip, self.config, folder)

    def _reshape(self) -> None:
        """Give the tower the blocks and neurons that the recipe asks for."""
        recipe, tower = self.recipe, self.clip.visual
        shape = self.config["model_cfg"]["vision_cfg"]
        if recipe.insert:
            insert_silent(tower, recipe.insert, recipe.after)
            shape["layers"] = len(tower.transformer.resblocks)
        if recipe.silence >= 0:
            for block in list(tower.transformer.resblocks)[recipe.silence :]:
                silence(block.mlp.c_proj)
        if recipe.neurons:
            pictures, _ = draw_pictures((recipe.seed, 0, 256, 0.0, recipe.hardness[1]))
            keep_neurons(tower, recipe.neurons, pixels(pictures))
            shape["mlp_ratio"] = recipe.neurons / shape["width"]

    def _mask_patches(self) -> None:
        """Leave out half of the patches while the run is young, drawn from the seed and the step."""
        torch.manual_seed((self.recipe.seed << 32) + self.step)
        young = self.progress < self.recipe.all_patches
        self.clip.visual.patch_dropout = PatchDropout(0.5) if young else nn.Identity()
        self.clip.visual.train()

    def _learning_rate(self) -> float:
        """Warm-up over 100 steps, then a cosine to 0 at the end of the run."""
        return self.recipe.learning_rate * rising_and_falling(self.step, 100, self.progress)

    def _resume(self) -> None:
        state = torch.load(self.out / "checkpoint.pt", weights_only=True)
        self.clip.visual.load_state_dict(state["visual"])  # in float32, unlike the weights
        self.optimizer.load_state_dict(state["optimizer"])
        self.scale.data, self.bias.data = state["scale"], state["bias"]
        self.step, self.seconds = state["step"], state["seconds"]
        log.info("resumed at step %d, %.1f minutes in", self.step, self.seconds / 60)


@torch.no_grad()
def label_embeddings(clip: Any, tokenizer: Any) -> Tensor:
    """What pictures are drawn towards: each label's mean embedding over the first templates, [label, embed]."""
    texts: list[Tensor] = [
        clip.encode_text(tokenizer([template.format(label) for label in LABELS]), normalize=True)
        for template in TEMPLATES[:8]
    ]
    return normalize(torch.stack(texts).mean(0), dim=1)


def _optimizer(tower: Any, extra: list[nn.Parameter], recipe: TowerRecipe) -> torch.optim.AdamW:
    """AdamW whose decay is strongest on what blocks write: what is not renewed there fades."""
    decays = {
        ("c_proj.weight", "out_proj.weight"): recipe.decay,
        ("c_fc.weight",): max(0.05, recipe.decay / 3),
    }
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in tower.named_parameters():
        usual = max(0.05, recipe.decay / 10) if parameter.ndim >= 2 else 0.0
        decay = next((own for ends, own in decays.items() if name.endswith(ends)), usual)
        groups.setdefault(decay, []).append(parameter)
    groups.setdefault(0.0, []).extend(extra)
    listed = [{"params": members, "weight_decay": decay} for decay, members in groups.items()]
    return torch.optim.AdamW(listed, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def train_tower(
    training: TowerTraining,
    painters: Pool,
    stop: threading.Event,
    save_every: float = 180.0,
    snapshot_every: float = 600.0,
) -> Iterator[str]:
    """Train to the end of the recipe, or until asked to stop; yields lines for the log."""
    waiting: list[AsyncResult[Drawn]] = []
    saved = logged = snapshot = time.monotonic()
    losses: list[float] = []
    while training.progress < 1 and not stop.is_set():
        while len(waiting) < AHEAD:
            job = training.job(training.step + len(waiting))
            waiting.append(painters.apply_async(draw_pictures, (job,)))
        began = time.monotonic()
        drawn = waiting.pop(0).get()
        training.seconds += time.monotonic() - began  # waiting for pictures is time of the run
        losses.append(training.advance(drawn))
        now = time.monotonic()
        if now - logged > 10 or training.progress >= 1:
            rate = len(losses) * training.recipe.batch / (now - logged)
            yield _line(training, float(np.mean(losses)), rate)
            logged, losses = now, []
        if now - saved > save_every:
            training.save()
            saved = now
        if now - snapshot > snapshot_every:
            training.snapshot()
            snapshot = now
    training.save()


def _line(training: TowerTraining, loss: float, rate: float) -> str:
    left = training.recipe.minutes - training.seconds / 60
    return f"step {training.step} loss {loss:.3f} images/s {rate:.0f} minutes left {left:.1f}"


def _pair(text: str) -> tuple[float, float]:
    first, _, second = text.partition(",")
    return float(first), float(second or first)


def main() -> None:
    """Train, as the command line asks."""
    parser = argparse.ArgumentParser(
        prog="python -m clipneuron.demo.training.image_tower",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; an existing one is resumed"
    )
    parser.add_argument("--start", type=Path, help="weights that a new run starts from")
    parser.add_argument("--threads", type=int, default=2)
    for name, field in TowerRecipe.model_fields.items():
        kind = _pair if name == "hardness" else type(field.default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=field.default)
    options = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out, start, threads = (options.pop(name) for name in ("out", "start", "threads"))
    torch.set_num_threads(threads)
    # "spawn": a fork of a process in which torch has started threads may hang.
    with multiprocessing.get_context("spawn").Pool(1) as painters:
        training = TowerTraining(out, TowerRecipe(**options), start)
        for line in train_tower(training, painters, stop_asked()):
            log.info("%s", line)


if __name__ == "__main__":
    main()

"""Training of the demo's CLIP: `python -m clipneuron.demo.training.train --out DIR --minutes 80`.

The image tower first learns the labels of the world through a free embedding per label, which makes
progress at once where contrastive training from scratch does not; then the text tower joins. All
losses are sigmoid losses over pairs, with every true pair a positive: pictures against label
embeddings, pictures against the names of all labels in varied templates (and against common
English words that are true of nothing), pictures against captions of parts of pictures.

This is the one module outside `clipneuron.models` that knows open_clip: it builds the model.
"""

import argparse
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import PatchDropout
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from clipneuron.demo.training import vocabulary
from clipneuron.demo.training.batches import draw
from clipneuron.demo.training.learner import Learner
from clipneuron.demo.training.recipe import CONTEXT, TrainingRecipe, model_config

log = logging.getLogger(__name__)


class Training:
    """A training run in a folder: a new one, or one resumed from its last checkpoint."""

    def __init__(self, out: Path, recipe: TrainingRecipe):
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.recipe, self.step, self.seconds = out, recipe, 0, 0.0
        merges = out / "bpe_vocab.txt.gz"
        if not merges.exists():
            pairs = vocabulary.learn_merges(vocabulary.word_weights(), recipe.merges)
            vocabulary.write_merges(merges, pairs)
        self.tokenizer = SimpleTokenizer(str(merges), context_length=CONTEXT)
        self.config = model_config(recipe, self.tokenizer.vocab_size)
        torch.manual_seed(recipe.seed)
        self.learner = Learner(CLIP(**self.config["model_cfg"]), recipe.embed_dim)
        self.optimizer = _optimizer(self.learner, recipe)
        if (out / "checkpoint.pt").exists():
            self._resume()

    @property
    def progress(self) -> float:
        """The share of the run that is over, by steps or by the clock."""
        share = max(self.step / self.recipe.steps, self.seconds / (60 * self.recipe.minutes))
        return min(share, 1.0)

    def advance(self) -> list[float]:
        """Take one step; returns its losses."""
        recipe, start = self.recipe, time.monotonic()
        batch = draw(recipe.seed, self.step, recipe.batch, recipe.strangers, recipe.biased_share)
        joined = self.progress >= recipe.supervised_share
        self._mask_patches()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            losses = self.learner.losses(
                batch,
                self.tokenizer(batch.names) if joined else None,
                self.tokenizer(batch.captions) if joined else None,
            )
        total = sum(losses[1:], (recipe.label_weight if joined else 1.0) * losses[0])
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.learner.clip.logit_scale.clamp_(0, math.log(100))
        self.step += 1
        self.seconds += time.monotonic() - start
        return [loss.item() for loss in losses]

    def _mask_patches(self) -> None:
        """Leave out the step's share of patches, drawn from the seed and the step."""
        torch.manual_seed((self.recipe.seed << 32) + self.step)
        first, last = self.recipe.masked
        masked = first <= self.progress < last
        dropout = PatchDropout(self.recipe.masked_patches) if masked else nn.Identity()
        self.learner.clip.visual.patch_dropout = dropout

    def _learning_rate(self) -> float:
        """Linear warm-up, then a cosine to 0 at the end of the run."""
        share = rising_and_falling(self.step, self.recipe.ramp, self.progress)
        return self.recipe.learning_rate * share

    def save(self) -> None:
        """Write the checkpoint and the weights in their shipped form."""
        state = {
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        write_checkpoint(state, self.out)
        write_weights(self.learner.clip, self.config, self.out)

    def _resume(self) -> None:
        """Restore the folder's checkpoint."""
        state = torch.load(self.out / "checkpoint.pt", weights_only=True)
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        log.info("resumed at step %d, %.1f minutes in", self.step, self.seconds / 60)


def _optimizer(learner: Learner, recipe: TrainingRecipe) -> torch.optim.AdamW:
    """AdamW that decays matrices only."""
    matrices = [p for p in learner.parameters() if p.ndim >= 2]
    others = [p for p in learner.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def rising_and_falling(step: int, ramp: int, progress: float) -> float:
    """The share of the learning rate: linear warm-up over `ramp` steps, and a cosine to 0 at progress 1."""
    return min(1.0, (step + 1) / ramp) * (1 + math.cos(math.pi * progress)) / 2


def write_checkpoint(state: dict[str, Any], folder: Path) -> None:
    """Put the checkpoint into its place all at once: a run that is killed meanwhile keeps the last one."""
    torch.save(state, folder / "checkpoint.tmp")
    os.replace(folder / "checkpoint.tmp", folder / "checkpoint.pt")


def write_weights(model: CLIP, config: dict[str, Any], folder: Path) -> None:
    """Write the model's configuration and half-precision weights to the folder."""
    text = json.dumps(config, indent=2) + "\n"
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    weights = folder / "open_clip_model.safetensors"
    save_file(state, weights)
    weights.chmod(0o644)  # save_file lets only the owner read it


def read_weights(folder: Path) -> tuple[CLIP, SimpleTokenizer]:
    """The model of a folder of weights, in float32 for inference, and its tokenizer."""
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    model = CLIP(**config["model_cfg"])
    state = load_file(folder / "open_clip_model.safetensors")
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model.eval(), SimpleTokenizer(str(folder / "bpe_vocab.txt.gz"), context_length=CONTEXT)


def train(
    out: Path, recipe: TrainingRecipe, stop: threading.Event, save_every: float = 180.0
) -> Iterator[str]:
    """Train to the end of the recipe, or until asked to stop; yields lines for the log.

    Saves every `save_every` seconds and at the end. Called again, it resumes.
    """
    training = Training(out, recipe)
    saved = logged = time.monotonic()
    pictures = 0
    while training.progress < 1 and not stop.is_set():
        losses = training.advance()
        pictures += recipe.batch
        now = time.monotonic()
        if now - logged > 10 or training.progress >= 1:
            rate = pictures / (now - logged)
            yield _line(training, losses, rate)
            logged, pictures = now, 0
        if now - saved > save_every:
            training.save()
            saved = now
    training.save()


def stop_asked() -> threading.Event:
    """An event that is set when the process is asked to end, so that the run can save its state."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    return asked


def _line(training: Training, losses: list[float], rate: float) -> str:
    """One line on the progress of the run."""
    values = " ".join(f"{loss:.3f}" for loss in losses)
    left = training.seconds / 60 * (1 / max(training.progress, 1e-9) - 1)
    return f"step {training.step} losses {values} images/s {rate:.0f} minutes left {left:.1f}"


def main() -> None:
    """Train or evaluate, as the command line asks."""
    parser = argparse.ArgumentParser(
        prog="python -m clipneuron.demo.training.train", description=__doc__
    )
    parser.add_argument("--out", type=Path, help="folder of the run; an existing one is resumed")
    parser.add_argument("--minutes", type=float, default=80.0, help="wall-clock budget")
    parser.add_argument("--steps", type=int, default=TrainingRecipe().steps, help="steps, if fewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=TrainingRecipe().batch)
    parser.add_argument("--learning-rate", type=float, default=TrainingRecipe().learning_rate)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--evaluate", type=Path, metavar="DIR", help="evaluate these weights")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    if options.evaluate:
        from clipneuron.demo.training.evaluate import report

        for figure, value in report(*read_weights(options.evaluate)).items():
            log.info("%.4f %s", value, figure)
        return
    if options.out is None:
        parser.error("give the folder to train in: --out DIR")
    recipe = TrainingRecipe(
        seed=options.seed,
        steps=options.steps,
        minutes=options.minutes,
        batch=options.batch,
        learning_rate=options.learning_rate,
    )
    for line in train(options.out, recipe, stop_asked()):
        log.info("%s", line)


if __name__ == "__main__":
    main()

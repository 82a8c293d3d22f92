"""Small real open_clip models for tests: every option of a tower, milliseconds to run."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP
from open_clip.transformer import LayerNorm, QuickGELU, Transformer, VisionTransformer
from safetensors.torch import load_file
from torch import Tensor, nn

_parse = SimpleTokenizer.__init__


@cache
def _parsed(*path: str, **options: Any) -> dict[str, Any]:
    tokenizer = object.__new__(SimpleTokenizer)
    _parse(tokenizer, *path, **options)
    return vars(tokenizer)


# open_clip parses its 48,894 merges for every tokenizer anew: a tenth of a second for each of hundreds of runs here.
SimpleTokenizer.__init__ = lambda self, *path, **options: vars(self).update(
    _parsed(*path, **options)
)


def tiny_tower(
    *,
    layers: int = 4,
    width: int = 32,
    heads: int = 4,
    embed: int = 24,
    image_size: int = 32,
    patch_size: int = 8,
    mlp_ratio: float = 4.0,
    quick_gelu: bool = True,
    batch_first: bool = True,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    eps: float = 1e-5,
    **options: Any,
) -> VisionTransformer:
    """A VisionTransformer whose every parameter is random, so that no term of the maths is zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = VisionTransformer(
            image_size=image_size,
            patch_size=patch_size,
            width=width,
            layers=layers,
            heads=heads,
            mlp_ratio=mlp_ratio,
            output_dim=embed,
            act_layer=QuickGELU if quick_gelu else nn.GELU,
            norm_layer=partial(LayerNorm, eps=eps),
            **options,
        )
        if not batch_first:
            tower.transformer = _token_first(tower, width, layers, heads, mlp_ratio, options)
        _randomize(tower)
    return tower.to(dtype).eval()


def tiny_clip(*, dtype: torch.dtype = torch.float32, seed: int = 0, **options: Any) -> CLIP:
    """An open_clip CLIP with both towers small; options are those of `tiny_config`."""
    config = tiny_config(**options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIP(**config)
        _randomize(model.visual)
    return model.to(dtype).eval()


def tiny_config(
    *,
    layers: int = 4,
    width: int = 32,
    heads: int = 4,
    embed: int = 24,
    image_size: int = 32,
    patch_size: int = 8,
    quick_gelu: bool = True,
    vocab_size: int = 49408,
    context_length: int = 16,
    **vision: Any,
) -> dict[str, Any]:
    """The `model_cfg` of `tiny_clip`, as open_clip_config.json holds it.

    The default vocabulary fits open_clip's tokenizer; further options are the image tower's.
    """
    return {
        "embed_dim": embed,
        "quick_gelu": quick_gelu,
        "vision_cfg": {
            "image_size": image_size,
            "patch_size": patch_size,
            "width": width,
            "head_width": width // heads,
            "layers": layers,
            **vision,
        },
        "text_cfg": {
            "context_length": context_length,
            "vocab_size": vocab_size,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    }


def authors_tower(parity: Path, dtype: torch.dtype = torch.float32) -> VisionTransformer:
    """The image tower that the authors' program was run on."""
    tower = tiny_tower(width=64, embed=32)
    state = load_file(parity / "tiny_visual.safetensors")
    tower.load_state_dict({name.removeprefix("visual."): value for name, value in state.items()})
    return tower.to(dtype)


def random_pixels(tower: VisionTransformer, images: int = 5, *, seed: int = 1) -> Tensor:
    """Normalised pixels of the tower's size and type."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(images, 3, *tower.image_size, generator=generator, dtype=torch.float64)
    return pixels.to(tower.conv1.weight)


def _token_first(
    tower: VisionTransformer,
    width: int,
    layers: int,
    heads: int,
    mlp_ratio: float,
    options: dict[str, Any],
) -> Transformer:
    return Transformer(
        width,
        layers,
        heads,
        mlp_ratio,
        ls_init_value=options.get("ls_init_value"),
        act_layer=type(tower.transformer.resblocks[0].mlp.gelu),
        norm_layer=partial(LayerNorm, eps=tower.ln_post.eps),
        batch_first=False,
    )


def _randomize(module: nn.Module) -> None:
    """Biases, gammas and LayerScales start as constants; give them values that can be got wrong."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 1:
                centre = 1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "gamma")) else 0.0
                centre = 1.0 if name in ("ln_pre.weight", "ln_post.weight") else centre
                parameter.copy_(centre + 0.2 * torch.randn_like(parameter))

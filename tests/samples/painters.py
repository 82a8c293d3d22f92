"""Tiny text-to-image pipelines, untrained, made on the spot and saved as the real ones are."""

import io
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    IFPipeline,
    IFSuperResolutionPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.deepfloyd_if import IFSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

TEXTS = (
    "a cat on grass",
    "two dogs in the sea",
    "a photo of a room with three frogs",
    "the horse",
    "picture of an ox",
)
NOISE = {
    "beta_schedule": "squaredcos_cap_v2",
    "num_train_timesteps": 100,
    "variance_type": "learned_range",
}


def save_tiny_deepfloyd(first: Path, second: Path) -> None:
    """DeepFloyd IF's stages I (16 pixels) and II (32 pixels), each in a folder of its own."""
    torch.manual_seed(0)
    tokenizer = _t5_tokenizer(first.parent / "spiece.model")
    text_encoder = T5EncoderModel(
        T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4)
    )
    thresholding = {"thresholding": True, "sample_max_value": 1.0}
    IFPipeline(
        tokenizer,
        text_encoder,
        _unet(16, in_channels=3),
        DDPMScheduler(**NOISE, **thresholding),
        *_safety(flagged=False),
        watermarker=None,
    ).save_pretrained(first)
    IFSuperResolutionPipeline(
        tokenizer,
        text_encoder,
        _unet(32, in_channels=6, class_embed_type="timestep", mid_block_scale_factor=1.414),
        DDPMScheduler(**NOISE, **thresholding),
        DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2"),
        *_safety(flagged=False),
        watermarker=None,
    ).save_pretrained(second)


def flag_everything(folder: Path) -> None:
    """Let the safety checker of a saved pipeline find every picture unsafe and none watermarked."""
    _safety(flagged=True)[0].save_pretrained(folder / "safety_checker")


def _unet(size: int, in_channels: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=size,
        layers_per_block=1,
        block_out_channels=[16, 32],
        norm_num_groups=8,
        down_block_types=["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
        in_channels=in_channels,
        out_channels=6,
        cross_attention_dim=32,
        encoder_hid_dim=32,
        attention_head_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        cross_attention_norm="group_norm",
        resnet_time_scale_shift="scale_shift",
        act_fn="gelu",
        **more,
    )


def _t5_tokenizer(place: Path) -> T5Tokenizer:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    place.write_bytes(model.getvalue())
    return T5Tokenizer.from_pretrained(place.parent, extra_ids=0)


def _safety(flagged: bool) -> tuple[IFSafetyChecker, CLIPImageProcessor]:
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=16, patch_size=8, projection_dim=8,
    )  # fmt: skip
    checker = IFSafetyChecker(CLIPConfig(vision_config=vision.to_dict(), projection_dim=8))
    for head, bias in ((checker.p_head, 9.0 if flagged else -9.0), (checker.w_head, -9.0)):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, bias)
    return checker, CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)


def save_tiny_stable_diffusion(folder: Path) -> None:
    """A Stable Diffusion of 32 pixels, without a safety checker."""
    torch.manual_seed(0)
    tokenizer = _clip_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=37, num_hidden_layers=1,
            num_attention_heads=4, max_position_embeddings=77, bos_token_id=0, eos_token_id=1,
        )
    )  # fmt: skip
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1, sample_size=16,
        in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, attention_head_dim=8,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=[16, 32], norm_num_groups=8, in_channels=3, out_channels=3, latent_channels=4,
        sample_size=32,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae,
        text_encoder,
        tokenizer,
        unet,
        DDIMScheduler(clip_sample=False, steps_offset=1),
        None,
        None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def _clip_tokenizer() -> CLIPTokenizer:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [
        "<|startoftext|>",
        "<|endoftext|>",
        *letters,
        *(letter + "</w>" for letter in letters),
    ]
    return CLIPTokenizer(
        vocab={piece: at for at, piece in enumerate(pieces)}, merges=[], model_max_length=77
    )

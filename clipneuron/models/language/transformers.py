"""A chat model of the transformers library, such as LLaMA-3-8B-Instruct, as a `Captioner`."""

import logging
import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from jinja2 import TemplateError
from torch import Tensor

from clipneuron.models.batches import Batches
from clipneuron.models.language.captioner import Prompt, Sampling, complete_lines, worded
from clipneuron.models.language.thoughts import spoken
from clipneuron.models.places import UnavailableError, check_installed, look_for
from clipneuron.models.snapshots import snapshot_name

LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"
"""The paper's language model (section 5.1); its licence must be accepted on the Hugging Face hub."""

_WHAT = "language model"
_END_OF_TURN = "<|eot_id|>"

_LOG = logging.getLogger(__name__)


class TransformersCaptioner:
    """Answers from a chat model in this process, in batches.

    `model` is a folder that save_pretrained made or a name on the Hugging Face hub, of which `revision`
    pins the commit. It is loaded at the first answer: to the GPU in bfloat16 if there is one, otherwise to the
    processor in float32; `device` and `dtype` say otherwise. Each prompt is sampled with a generator of its own, so
    that its answer does not depend on the others in its batch, up to the rounding of batched products.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = LLAMA,
        *,
        revision: str = "",
        sampling: Sampling | None = None,
        batch_size: int = 8,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        self._model, self._revision = os.fspath(model), revision
        self._sampling = sampling or Sampling()
        self._batches = Batches(batch_size)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._dtype = dtype or (torch.bfloat16 if self._device.type == "cuda" else torch.float32)

    @cached_property
    def name(self) -> str:
        """The model, the type that it computes in and its sampling."""
        source = snapshot_name(self._model, self._revision)
        return f"{source}-{str(self._dtype).removeprefix('torch.')}-{self._sampling}"

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One answer per prompt; of one that reached the greatest length, the lines that are whole.

        Raises ValueError for a prompt that leaves no space for an answer, UnavailableError for a model that can't be
        loaded, does not chat, or thinks until the greatest length every time.
        """
        encoded = [self._encode(prompt) for prompt in prompts]
        # Prompts of similar length share a batch, the longest first: if memory is short, it shows at once.
        order = sorted(range(len(prompts)), key=lambda at: -len(encoded[at]))
        work = partial(self._generate, prompts, encoded)
        found = dict(zip(order, self._batches.run(order, work), strict=True))
        in_order = [found[at] for at in range(len(prompts))]
        return worded(in_order, self._model, self._sampling)

    def look(self) -> None:
        """Raises UnavailableError where there is no such model, here or on the hub; loads nothing."""
        check_installed(("transformers", "accelerate"), _WHAT)
        look_for(self._model, self._revision, what=_WHAT, field="attack.captioner")

    def _encode(self, prompt: Prompt) -> list[int]:
        tokens: list[int] = self._tokens(self._sampling.messages(prompt))
        longest = getattr(self._network.config, "max_position_embeddings", 1 << 62)
        if len(tokens) + self._sampling.max_new_tokens > longest:
            raise ValueError(
                f"a prompt of {len(tokens)} tokens and an answer of {self._sampling.max_new_tokens} exceed the "
                f"{longest} that {self._model} reads: shorten it or lower max_new_tokens ({prompt.user!r:.80})"
            )
        return tokens

    def _tokens(self, messages: list[dict[str, str]]) -> Any:
        try:
            return self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=True
            )["input_ids"]
        except TemplateError as error:  # Gemma's knows no system
            raise UnavailableError(
                f"{self._model} does not take such a conversation ({error}): `attack.omit` system puts what the system "
                "says into the user's turn"
            ) from error

    @torch.no_grad()
    def _generate(
        self, prompts: Sequence[Prompt], encoded: Sequence[list[int]], chosen: Sequence[int]
    ) -> list[str | None]:
        """The answers to the chosen prompts, as one batch."""
        # Padded on the left, as the tokenizer is set: on the right, answers would begin after padding.
        batch = self._tokenizer.pad(
            {"input_ids": [encoded[at] for at in chosen]}, padding=True, return_tensors="pt"
        ).to(self._device)
        draws = _Draws([prompts[at].seed for at in chosen], self._sampling)
        output = self._network.generate(
            **batch, generation_config=self._generation, logits_processor=[draws]
        )
        return [self._decode(row[batch["input_ids"].shape[1] :].tolist()) for row in output]

    def _decode(self, tokens: list[int]) -> str | None:
        """The answer in words, None where it was cut off within the model's thoughts."""
        text = self._without_thoughts(tokens)
        if any(token in self._ends for token in tokens):
            return text.strip()
        _LOG.warning("an answer was cut off after %d tokens: %.60r", len(tokens), text)
        return complete_lines(text).strip() if text else None

    def _without_thoughts(self, tokens: list[int]) -> str:
        """The text without special tokens, some of which mark thoughts, and without these."""
        whole: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        answer = spoken(whole)
        if answer == whole:
            text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
            return text
        for special in self._tokenizer.all_special_tokens:
            answer = answer.replace(special, "")
        return answer

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        tokenizer = _load(AutoTokenizer, self._model, self._revision, padding_side="left")
        if not tokenizer.chat_template:
            raise UnavailableError(
                f"{self._model} has no chat template: choose a model that was taught to chat (-Instruct)"
            )
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        return tokenizer

    @cached_property
    def _network(self) -> Any:
        from transformers import AutoModelForCausalLM

        place = {"": str(self._device)}  # weights go there at once, not by way of the processor
        return _load(
            AutoModelForCausalLM, self._model, self._revision, dtype=self._dtype, device_map=place
        ).eval()

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end an answer: the first files of LLaMA-3 do not name all of theirs."""
        named = self._network.generation_config.eos_token_id
        ends = {self._tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
        return frozenset((ends | {self._tokenizer.get_vocab().get(_END_OF_TURN)}) - {None})

    @cached_property
    def _generation(self) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=self._sampling.max_new_tokens,
            do_sample=False,  # _Draws has drawn already and leaves one token to take
            eos_token_id=sorted(self._ends),
            pad_token_id=self._tokenizer.pad_token_id,
        )


class _Draws:
    """Leaves in each row of scores only the token that the row's own generator draws."""

    def __init__(self, seeds: Sequence[int], sampling: Sampling):
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._sampling = sampling

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        chances = torch.stack([torch.rand((), generator=each) for each in self._generators])
        tokens = drawn(scores, chances.to(scores.device), self._sampling)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


def drawn(
    scores: Float[Tensor, "row token"], chances: Float[Tensor, " row"], sampling: Sampling
) -> Int[Tensor, " row"]:
    """The token of each row where a chance in [0, 1) falls among the likeliest that have `top_p` together."""
    if not sampling.temperature:
        return scores.argmax(-1)
    shares, order = (scores.float() / sampling.temperature).softmax(-1).sort(-1, descending=True)
    reached = shares.cumsum(-1)
    last = (reached < sampling.top_p).sum(-1, keepdim=True).clamp(max=scores.shape[1] - 1)
    target = chances[:, None] * reached.gather(1, last)
    at = torch.searchsorted(reached, target, right=True).minimum(last)
    return order.gather(1, at)[:, 0]


def _load(loader: Any, model: str, revision: str, **options: Any) -> Any:
    if revision and not Path(model).is_dir():
        options["revision"] = revision
    try:
        return loader.from_pretrained(model, **options)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"can't load the language model {model!r}: expected a folder made by save_pretrained or a name on the "
            f"Hugging Face hub whose licence you have accepted ({error})"
        ) from error

"""The tables of semantic adversarial images, from words to verdicts (Sec. 5.1).

A pair "horse:automobile" is c1:c2: c1 is in the pictures, c2 is what the model is to take them for. `method` is how the
words were found, `repeat` counts independent repetitions of the whole experiment.
"""

import pyarrow as pa

from clipneuron.tables.columns import LAYER, NEURON, described, list_of

_PAIR = (pa.string(), "classes c1:c2; c1 is in the picture, c2 is what it is to be taken for")
_METHOD = (
    pa.string(),
    "how the words were found: second-order, second-order-paper, random, indirect or similar",
)
_REPEAT = (pa.int16(), "number of the repetition, from 0")
_STATUS = (pa.string(), '"ok", or why the row is left out')
_REASON = (pa.string(), "that in words, null when ok")
_PICTURE = (pa.string(), "id of the picture: pair/method/repeat/caption-number")
_KEY = {"pair": _PAIR, "method": _METHOD, "repeat": _REPEAT}


def words() -> pa.Schema:
    """The texts that speak most for c2 and against c1, a row per text that was looked at."""
    return described(
        "words",
        {
            **_KEY,
            "rank": (pa.int16(), "place by score, 0 is the highest"),
            "text": (pa.string(), "the text"),
            "score": (pa.float32(), "contribution w_j to c2 - c1 (Eq. 6), or cosine to it"),
            "similarity": (pa.float32(), "cosine of its sentence embedding to that of c2's name"),
            "status": (pa.string(), "ok (a cue), synonym, blocked, or surplus"),
            "reason": _REASON,
        },
        nullable=("reason",),
    )


def word_neurons() -> pa.Schema:
    """Which neurons gave each cue how much."""
    return described(
        "word_neurons",
        {
            **_KEY,
            "text": (pa.string(), "the text"),
            "layer": LAYER,
            "neuron": NEURON,
            "weight": (pa.float32(), "its coefficient in the neuron's description"),
            "projection": (pa.float32(), "of c2 - c1 on the neuron's direction"),
            "contribution": (pa.float32(), "weight times projection"),
        },
    )


def captions() -> pa.Schema:
    """What a language model wrote with the cues, a row per caption that was read in its answers."""
    return described(
        "captions",
        {
            **_KEY,
            "number": (pa.int16(), "number of the caption in its pair, method and repeat"),
            "caption": (pa.string(), "the text"),
            "words": (list_of(pa.string()), "cues that it names"),
            "chosen": (pa.bool_(), "whether pictures are painted of it"),
            "captioner": (pa.string(), "name of the captioner"),
            "prompt": (pa.string(), "sha256 of the prompt"),
            "seed": (pa.int64(), "seed of the answer"),
            "status": (pa.string(), "ok, names-c2, lacks-c1, duplicate, or empty"),
            "reason": _REASON,
        },
        nullable=("reason",),
    )


def pictures() -> pa.Schema:
    """What was painted, a row per picture."""
    return described(
        "pictures",
        {
            "picture": _PICTURE,
            **_KEY,
            "number": (pa.int16(), "number of its caption"),
            "caption": (pa.string(), "what it was painted from"),
            "seed": (pa.int64(), "seed of the picture"),
            "painter": (pa.string(), "name of the painter"),
            "image": (pa.binary(), "PNG that also holds all this as text, null if there is none"),
            "unsafe": (pa.bool_(), "the safety checker's word, null where there is none"),
            "watermarked": (pa.bool_(), "the watermark detector's word, null where there is none"),
            "status": _STATUS,
            "reason": _REASON,
        },
        nullable=("image", "unsafe", "watermarked", "reason"),
    )


def verdicts() -> pa.Schema:
    """Whether the model falls for each picture."""
    return described(
        "verdicts",
        {
            "picture": _PICTURE,
            **_KEY,
            "margin": (pa.float32(), "cosine to c2 minus cosine to c1, null if the picture failed"),
            "fooled": (pa.bool_(), "whether the margin is above 0"),
            "prediction": (pa.string(), "the likeliest class of the whole list"),
            "heatmap": (
                list_of(pa.float32()),
                "first-order effect of every patch along c2 - c1, row after row",
            ),
            "status": _STATUS,
            "reason": _REASON,
        },
        nullable=("margin", "fooled", "prediction", "heatmap", "reason"),
    )


def screening() -> pa.Schema:
    """Suggestions for the review: whether a picture shows c1 and not c2, by something other than the model."""
    return described(
        "screening",
        {
            "picture": _PICTURE,
            **_KEY,
            "shows_c1": (pa.bool_(), "whether c1 is seen, null where nothing is known"),
            "shows_c2": (pa.bool_(), "whether c2 is seen, null where nothing is known"),
            "by": (pa.string(), "who says so: scene-truth, or the name of another model"),
        },
        nullable=("shows_c1", "shows_c2"),
    )

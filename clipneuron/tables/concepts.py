"""The tables of concepts: what pictures show by their activated neurons and by others, and how true that is."""

import pyarrow as pa

from clipneuron.tables.columns import IMAGE, INDEX, LABEL, NOTE, REASON, STATUS, described, list_of

JUDGED = 5
"""First concepts of a picture by whose truth a method is judged."""
METHOD = (pa.string(), "who named the concept, such as second-order; null if the picture failed")


def direct_effects() -> pa.Schema:
    """First-order effects of attention heads on some swept pictures, a row per usable picture."""
    return described(
        "direct_effects",
        {
            "index": INDEX,
            "embedding": (list_of(pa.float32()), "M_image of unit length"),
            "effects": (
                list_of(pa.float32()),
                "what the heads of the last layers add to it [layer, head, embed]",
            ),
        },
    )


def head_texts() -> pa.Schema:
    """The texts whose span holds most of what an attention head writes (TextSpan), a row per head and text."""
    return described(
        "head_texts",
        {
            "layer": (pa.int16(), "layer of the head, 0-based"),
            "head": (pa.int16(), "number of the head in its layer"),
            "place": (pa.int16(), "place of the text, 0 is the first chosen"),
            "text": (pa.string(), "the text"),
            "text_index": (pa.int32(), "number of the text in its pool"),
            "share": (pa.float32(), "share of the head's variance along the direction"),
            "direction": (
                list_of(pa.float32()),
                "what the text has beyond those before it, of unit length",
            ),
            "offset": (pa.float32(), "the head's mean effect along the direction"),
        },
    )


def picture_concepts() -> pa.Schema:
    """The concepts of pictures, a row per picture, method and concept; one row for a picture that failed."""
    return described(
        "picture_concepts",
        {
            "index": INDEX,
            "image": IMAGE,
            "label": LABEL,
            "status": STATUS,
            "reason": REASON,
            "note": NOTE,
            "activated": (pa.int32(), "activated neurons of the picture, null if it failed"),
            "method": METHOD,
            "rank": (pa.int16(), "place of the concept, 0 is the first; null if there is none"),
            "concept": (pa.string(), "a text of the pool, null if the method names none"),
            "text_index": (pa.int32(), "number of the text in its pool"),
            "score": (
                pa.float32(),
                "w_j, or what the method ranks texts by: cosine, weight, sum of projections",
            ),
            "layers": (list_of(pa.int16()), "layers of the neurons that give most to it"),
            "neurons": (list_of(pa.int32()), "these neurons, the one that gives most first"),
            "given": (list_of(pa.float32()), "what each of them gives, gamma_j^n g_n"),
        },
        nullable=(
            "label", "reason", "note", "activated", "method", "rank", "concept", "text_index",
            "score", "layers", "neurons", "given",
        ),
    )  # fmt: skip


def concept_pictures() -> pa.Schema:
    """The inverted index: the pictures of each concept, sorted by concept, method and falling score."""
    return described(
        "concept_pictures",
        {
            "concept": (pa.string(), "a text of the pool"),
            "text_index": (pa.int32(), "number of the text in its pool"),
            "method": (pa.string(), "who named the concept in the picture"),
            "score": (pa.float32(), "by how much"),
            "rank": (pa.int16(), "place of the concept in the picture, 0 is the first"),
            "index": INDEX,
            "image": IMAGE,
        },
    )


def concept_scores() -> pa.Schema:
    """How true each method's ranking of the pool is of a picture, a row per picture and method."""
    return described(
        "concept_scores",
        {
            "index": INDEX,
            "image": IMAGE,
            "label": LABEL,
            "status": STATUS,
            "reason": REASON,
            "note": NOTE,
            "method": METHOD,
            "by": (
                pa.string(),
                "the witness, which said what is true of pictures; null if the picture failed",
            ),
            "present": (pa.int32(), "texts of the pool that are true of the picture"),
            "precision": (
                pa.float32(),
                f"share of the first {JUDGED} that are true; a place without a score above 0 is a miss; "
                "null where none is true",
            ),
            "bound": (pa.float32(), "the precision of a perfect ranking"),
            "mean_rank": (
                pa.float32(),
                "mean rank of the true texts among all, 1 is the first, ties share theirs; null where none is true",
            ),
        },
        nullable=(
            "label", "reason", "note", "method", "by", "present", "precision", "bound", "mean_rank",
        ),
    )  # fmt: skip

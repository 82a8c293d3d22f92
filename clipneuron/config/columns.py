"""Where pictures and their classes stand in files: fields that stand beside every field that names pictures."""

from typing import Annotated

from pydantic import Field

NONE = "none"
"""The word for a column that is to be left out although it is there."""

ImageColumn = Annotated[
    str,
    Field(
        description="column of the Parquet files that holds the pictures (default: image, jpg, bytes, img, png, webp "
        "or jpeg, whichever comes first); naming one takes the Parquet files where other kinds lie beside them"
    ),
]
LabelColumn = Annotated[
    str,
    Field(
        description="column of Parquet files, or key of contents.jsonl and of .json members, that holds the classes "
        "(default: label); 'none' ignores all classes"
    ),
]
NameColumn = Annotated[
    str,
    Field(
        description="column or key of the names of classes that are numbers (default: label_name or name); 'none': "
        "they have no names"
    ),
]
Member = Annotated[
    str,
    Field(
        description="which member of a tar's samples is the picture, by the end of its name, such as jpg or left.jpg; "
        "'each': every picture is a sample of its own (default: the only one)"
    ),
]

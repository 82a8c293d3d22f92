"""Labels meet a list of names by name where they match, else by number or place, and never where that may be wrong."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from clipneuron.data.collections import Collection, collection
from clipneuron.data.files import LocalFiles
from clipneuron.data.folders import FileReader
from clipneuron.data.labels import Labels, numbered
from clipneuron.evidence.classes import Join, joined
from clipneuron.models.clip.synsets import imagenet_synsets

WHAT = "the pictures and the list"


def pictures(names: list[str | None], labels: list[int | None] | None = None) -> Collection:
    """A picture each of classes with these names, which are numbered by them or as stated."""
    called = pa.chunked_array([pa.array(names, pa.string())])
    stated = None if labels is None else pa.chunked_array([pa.array(labels, pa.int32())])
    count = len(names)
    images = pa.array([f"{number}.png" for number in range(count)])
    sizes = pa.chunked_array([pa.repeat(pa.scalar(1, pa.int64()), count)])
    columns = {"image": images, "source": images, "size": sizes}
    columns |= {"offset": pa.nulls(count, pa.int64()), "etag": pa.nulls(count, pa.string())}
    known = Labels(numbered(called) if stated is None else stated, called, by_name=stated is None)
    return collection(columns, known, FileReader(LocalFiles(Path("/"))), sizes)


def meant(join: Join, found: Collection) -> Mapping[str, str]:
    """The name in the list that each picture gets."""
    applied = join.applied(found)
    return {
        picture.image: join.names[picture.label]
        for picture in applied.pictures
        if picture.label is not None
    }


def join(found: Collection, *names: str, ids: tuple[str, ...] = ()) -> Join:
    return joined(found, names, ids, WHAT)


def test_folders_that_are_numbers_are_lines_of_the_list():
    found = pictures([str(number) for number in range(12)])
    names = [f"class{number:02d}" for number in range(12)]
    made = join(found, *names)
    assert made.how == "number"
    assert meant(made, found) == {f"{n}.png": f"class{n:02d}" for n in range(12)}
    assert made.applied(found) is found


def test_numbers_from_one_are_lines_too_where_there_are_as_many():
    found = pictures(["3", "1", "2"])
    assert meant(join(found, "a", "b", "c"), found) == {"0.png": "c", "1.png": "a", "2.png": "b"}


def test_a_missing_folder_between_the_first_and_the_last_is_empty():
    found = pictures(["0", "3"])
    made = join(found, "a", "b", "c", "d")
    assert meant(made, found) == {"0.png": "a", "1.png": "d"}
    assert made.applied(found).digest != found.digest


def test_names_are_joined_by_name_whatever_their_order():
    found = pictures(["Sea_Urchin", "cat", None, "dog"])
    made = join(found, "dog", "mule", "cat", "sea urchin")
    assert made.how == "name"
    assert meant(made, found) == {"0.png": "sea urchin", "1.png": "cat", "3.png": "dog"}
    assert made.applied(found).label_names == {3: "Sea_Urchin", 2: "cat", 0: "dog"}
    assert "3 of 4 classes, joined by name; unknown for 1 image: " in made.describe(found)
    assert "Sea_Urchin -> sea urchin (0.png)" in made.describe(found)


def test_accents_are_the_same_however_a_disk_writes_them():
    found = pictures(["cafe\u0301", "b"])
    assert meant(join(found, "b", "caf\u00e9"), found) == {"0.png": "caf\u00e9", "1.png": "b"}


def test_stated_numbers_with_names_are_joined_by_name_too():
    found = pictures(["dog", "cat"], labels=[0, 1])
    assert meant(join(found, "cat", "dog"), found) == {"0.png": "dog", "1.png": "cat"}


def test_synset_ids_are_joined_with_imagenets_classes():
    ids = imagenet_synsets()
    assert len(ids) == 1000
    assert (ids[0], ids[-1]) == ("n01440764", "n15075141")
    found = pictures(["n15075141", "n01443537_goldfish"])
    made = joined(found, [f"name {number}" for number in range(1000)], ids, WHAT)
    assert made.how == "synset id"
    assert meant(made, found) == {"0.png": "name 999", "1.png": "name 1"}


def test_stated_numbers_may_be_few_of_many():
    found = pictures([None, None], labels=[7, 2])
    made = join(found, *"abcdefgh")
    assert made.how == "number"
    assert meant(made, found) == {"0.png": "h", "1.png": "c"}


def test_a_join_by_position_is_said_with_examples_to_the_last():
    found = pictures([f"f{number:02d}" for number in range(11)])
    made = join(found, *(f"n{number:02d}" for number in range(11)))
    assert made.how == "position"
    assert [example.label for example in made.examples(found)] == [
        "f00",
        "f02",
        "f05",
        "f07",
        "f10",
    ]
    assert [example.name for example in made.examples(found)][-1] == "n10"


@pytest.mark.parametrize(
    ("names", "labels", "classes", "message"),
    [
        (
            ["a", "b"],
            None,
            "xyz",
            r"2 classes and the list has 3, .* by name. 2 are not in the list",
        ),
        (["x", "b"], None, "xyz", r"1 is not in the list, such as 'b'"),
        (["0", "1"], None, "xyz", r"2 classes and the list has 3"),
        (["1", "2"], None, "xyz", r"2 classes and the list has 3"),
        (["0", "3"], None, "xyz", r"numbered from 0 to 3, and the list has 3 names"),
        ([None, None], [0, 3], "xyz", r"numbered from 0 to 3, and the list has 3 names"),
        (["x", "a"], None, "xy", r"get another class's name by position; 'x' would be called 'y'"),
        (["y", "b"], [0, 1], "xy", r"another class's name by number; 'y' would be called 'x'"),
        (
            ["c10", "c9"],
            None,
            "xy",
            r"one order as text and another .*\('c9' or 'c10' is number 0\)",
        ),
        (["x"], None, "xxy", r"1 is in it more than once, such as 'x'"),
    ],
)
def test_what_may_be_joined_wrongly_is_refused(names, labels, classes, message):
    with pytest.raises(ValueError, match=message):
        join(pictures(names, labels), *classes)


def test_a_word_of_two_meanings_is_no_reason_to_doubt_stated_numbers():
    words = [f"w{number:02d}" for number in range(40)]
    found = pictures([*words, "Cardigan", "x"], labels=list(range(42)))
    made = join(found, *words, "corgi", "cardigan")
    assert made.how == "number"
    assert meant(made, found)["40.png"] == "corgi"


def test_names_that_agree_with_their_places_vouch_for_the_others():
    found = pictures(["bird", "cat", "tv"])
    made = join(found, "bird", "cat", "television")
    assert made.how == "position"
    assert meant(made, found)["2.png"] == "television"


def test_a_list_of_one_class_is_refused():
    with pytest.raises(ValueError, match="no more than cat, so that nothing can be taken for"):
        join(pictures(["cat"]), "cat")

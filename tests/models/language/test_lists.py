"""Lists are read whatever their style, and nothing but lists."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipneuron.models.language import lists
from clipneuron.models.language.lists import parsed

TEXTS = [
    "Image with soft fur",
    "Photo taken in the 1950s",
    "Picture of 3 objects, side view (close up)",
]


def test_the_example():
    assert doctest.testmod(lists).attempted > 0
    assert doctest.testmod(lists).failed == 0


@pytest.mark.parametrize(
    "style",
    ["{n}. {t}", "{n}) {t}", "({n}) {t}", "[{n}] {t}", "#{n} {t}", "{n}: {t}", "{n} - {t}", "{n}.{t}",
     "{n}\\. {t}", "**{n}.** {t}", "**{n}. {t}**", "__{n}.__ {t}", "*{n}.* {t}", "{n}\ufe0f\u20e3 {t}",
     "- {t}", "* {t}", "+ {t}", "• {t}", "•{t}", "– {t}", "   {n}. {t}", "> {n}. {t}",
     '{n}. "{t}"', "{n}. “{t}”", "{n}. '{t}'", "{n}. **{t}**", "- *{t}*", "{n}. `{t}`", '{n}. "{t}",',
     '{n}. **"{t}"**', '{n}. "{t}" (this is common)', "{n}. **{t}** - because it is so",
     "{n}. **{t}**: because", "{n}. {t} (Note: not always)", "{n}. **Trait:** {t}", "**{n}. {t}** - since",
     "{n}. {t}  "],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_any_style(style, end):
    lines = [style.format(n=number, t=text) for number, text in enumerate(TEXTS, 1)]
    answer = end.join(
        ["Sure! Here are 3 descriptions of it:", *lines, "I hope this helps - ask for more."]
    )
    assert parsed(answer) == TEXTS


def test_what_is_no_list_is_not_read():
    answer = "I know none.\n2024 was good.\n1.5 million pictures\n---\n***\n**Bold words** here\n-5 degrees\n#hashtag"
    assert parsed(answer) == []
    assert parsed("") == []


def test_headings_are_no_items():
    answer = (
        "1. Textures:\n   - fur\n   - scales\n2. **Places**\n    * forest\n"
        "3. **Season:**\n- winter\n* **Colours**:"
    )
    assert parsed(answer) == ["fur", "scales", "forest", "winter"]


def test_an_item_without_text_is_empty():
    assert parsed("1. fur\n2.\n3. **\n-\n5. ...") == ["fur", "", "", "", "..."]


def test_marks_within_a_text_stay_or_go():
    assert parsed("1. A **dog** with a **leash**") == ["A dog with a leash"]
    assert parsed("1. The breed's look, a 5*5 grid") == ["The breed's look, a 5*5 grid"]
    assert parsed("1. 'Keep out' sign on a door's frame") == ["'Keep out' sign on a door's frame"]
    assert parsed("12. 3D rendering") == ["3D rendering"]


@given(st.lists(st.text(st.characters(categories=["L", "Zs"]), min_size=1), max_size=20))
def test_plain_texts_come_back(texts):
    plain = [" ".join(text.split()) for text in texts]
    assert parsed("\n".join(f"{n}. {text}" for n, text in enumerate(plain, 1))) == plain


@given(st.text())
def test_any_text_can_be_read(text):
    assert all(item == item.strip() for item in parsed(text))

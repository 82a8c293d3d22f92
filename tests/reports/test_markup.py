"""Whatever a cell holds, it is seen as it is: in Markdown and HTML as they are rendered, in CSV, in a terminal."""

import csv
import io
import re
from html.parser import HTMLParser

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from clipneuron.reports import markup

HOSTILE = [
    "a | b || c",
    "\\| \\ \\\\ \\a C:\\new",
    "*bold* **bolder** _slanted_ __loud__ snake_case ~~gone~~",
    "`code` ``more`` ```fence",
    "<b>bold</b> <script>alert(1)</script> a < b > c",
    "&lt; &amp; &#65; AT&T",
    "[label](javascript:alert(1)) ![image](x.png) [a][b] [1]: x",
    "<https://example.org> https://example.org",
    "# heading ## C# #3 #",
    "1. one - two + three > four",
    "$x^2$ and $",
    "{{ 7 * 7 }} {% raw %} {# note #}",
    "[bold red]loud[/] [/nothing] :cat: [link=x]y[/link]",
    "=1+1 @cell",
    "→ ± “quoted” ünï",
    "-",
    "",
]


class Text(HTMLParser):
    """What a reader sees of HTML: text, with line breaks where <br> is; and which tags there are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen, self.tags = "", set[str]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self.seen += "\n" if tag == "br" else ""

    def handle_data(self, data: str) -> None:
        self.seen += data


def rendered(page: str) -> str:
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return renderer.render(page)


def cells_of(html: str) -> list[str]:
    return [Text(cell).seen for cell in re.findall(r"<td>(.*?)</td>", html, re.DOTALL)]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_of_a_markdown_table_is_seen_as_it_is(text: str):
    html = rendered(markup.table([text, "other"], [[text, "1"], ["2", text]]))
    assert cells_of(html) == [text, "1", "2", text]
    heading = re.search(r"<th>(.*?)</th>", html, re.DOTALL)
    assert heading
    assert Text(heading[1]).seen == text
    assert Text(html).tags == {"table", "thead", "tbody", "tr", "th", "td"}


def test_lines_of_a_cell_stay_lines():
    html = rendered(markup.table(["a"], [["one\ntwo | three\r\n<b>"]]))
    assert cells_of(html) == ["one\ntwo | three\n<b>"]


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab1 \\|*_`~<>&;#![](){}:=-+$.\"'/"), max_size=24))
@pytest.mark.slow
def test_any_cell_is_seen_as_it_is(text: str):
    html = rendered(markup.table(["a", "b"], [["x", text]]))
    assert cells_of(html) == ["x", text.strip()]


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_text_in_a_sentence_and_a_heading_is_seen_as_it_is(text: str):
    page = rendered(f"Seen: {markup.markdown(text)}\n\n## About {markup.markdown(text)}\n")
    assert Text(page).seen == f"Seen: {text}\nAbout {text}\n"
    assert Text(page).tags == {"p", "h2"}


@pytest.mark.parametrize("text", ["a`b", "``", "`a``", "a | b", "<b>", "two\nlines", "\\"])
def test_code_is_seen_as_it_is(text: str):
    page = rendered(f"File {markup.code(text)}.")
    assert Text(page).seen == f"File {text}.\n".replace("two\nlines", "two lines")
    assert Text(page).tags == {"p", "code"}


def test_markdown_is_not_escaped_again():
    assert markup.markdown(markup.markdown("a|b")) == "a\\|b"
    assert markup.table(["#"], [[markup.Markdown("**b**")]]).endswith("| **b** |")


def test_plain_text_stays_readable_in_the_source():
    text = "ViT-B-32, 10.0 % (8.1 to 12.3) ± 2 [5.3 ± 1.9] #3 layers_of -“frost” x+y=z a/b"
    assert markup.markdown(text) == text


@pytest.fixture
def template(monkeypatch: pytest.MonkeyPatch):
    """Renders a template that is written in the test."""

    def render(name: str, source: str, **values: object) -> str:
        loader = jinja2.DictLoader({name: source})
        monkeypatch.setattr(markup._environment(html=False), "loader", loader)
        monkeypatch.setattr(markup._environment(html=True), "loader", loader)
        return markup.page(name, **values)

    return render


@pytest.mark.parametrize("text", HOSTILE)
def test_values_of_pages_are_escaped_without_being_asked(template, text: str):
    html = template("page.html", '<p title="{{ it }}">{{ it }}</p>', it=text)
    assert Text(html).seen == text
    assert Text(html).tags == {"p"}
    page = template("page.md.jinja", "Seen: {{ it }}.\n{{ table(['a'], [[it]]) }}\n", it=text)
    assert page == f"Seen: {markup.markdown(text)}.\n{markup.table(['a'], [[text]])}\n"


def test_a_value_that_a_template_lacks_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError, match="'lost' is undefined"):
        template("lost.md.jinja", "{{ lost }}")


@pytest.mark.parametrize("text", [*HOSTILE, "two\nlines", 'a "quote", a comma'])
def test_csv_gives_texts_back_and_starts_no_formula(text: str):
    written = markup.csv(["name", "value"], [[text, 1.5], ["x", None]])
    rows = list(csv.reader(io.StringIO(written.decode(), newline="")))
    seen = rows[1][0]
    assert rows == [["name", "value"], [seen, "1.5"], ["x", ""]]
    assert seen.removeprefix("'") == text
    assert not seen.startswith(("=", "+", "-", "@", "\t", "\n"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1"])
def test_a_formula_of_a_spreadsheet_becomes_text(text: str):
    written = markup.csv([text], [[text]]).decode()
    rows = list(csv.reader(io.StringIO(written, newline="")))
    assert rows == [[f"'{text}"], [f"'{text}"]]


def test_line_breaks_of_all_systems_are_the_same_in_csv():
    written = markup.csv(["a"], [["one\r\ntwo\rthree"], ["\r=1"]]).decode()
    assert written == 'a\n"one\ntwo\nthree"\n"\'\n=1"\n'


def test_numbers_of_csv_stay_numbers():
    values = [-1, -0.5, 1e-300, float("nan"), True, None]
    written = markup.csv(["a"] * len(values), [values]).decode()
    assert written.splitlines()[1] == "-1,-0.5,1e-300,nan,True,"


def shown(*arguments, **options) -> str:
    console = Console(width=300, file=io.StringIO(), force_terminal=False)
    console.print(markup.terminal(*arguments, **options))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", [text for text in HOSTILE if text])
def test_a_terminal_shows_cells_titles_and_captions_as_they_are(text: str):
    written = shown(text, ["h", text], [["1", text]], caption=text)
    assert written.count(text) == 4 if text != "-" else "-" in written


@pytest.mark.parametrize("text", ["'=1", "''+1", "\uff1d1", "'", "'a", "a'=", "\r-1"])
def test_a_cell_that_was_guarded_gives_its_text_back(text: str):
    cell = markup.guarded(text)
    assert markup.unguarded(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))


def test_markdown_and_html_do_not_steer_a_terminal_or_turn_letters_around(template):
    text = "a\x1b[2J\u202eb\r\nc"
    assert markup.markdown(text) == "a␛[2J\\<U+202E>b<br>c"
    assert markup.code(text) == "`a␛[2J<U+202E>b c`"
    assert template("page.html", "{{ it }}", it=text) == "a␛[2J&lt;U+202E&gt;b␍\nc"


def test_a_cell_cannot_steer_a_terminal():
    written = shown("t", ["a"], [["\x1b[31mred\x07\x7f"]])
    assert "␛[31mred␇␡" in written


def test_columns_sections_and_lines_of_a_terminal():
    rows = [["a", "1"], ["b", "22"], ["sum", "23"]]
    plain = shown("t", ["word", "n"], rows, right=["n"])
    assert re.search(r"│ a    │  1 │\n│ b    │ 22 │\n│ sum  │ 23 │", plain)
    assert "│ b    │ 22 │\n├──────┼────┤\n│ sum" in shown("t", ["word", "n"], rows, sections=[2])
    assert shown("t", ["word", "n"], rows, lines=True).count("├──────┼────┤") == 2

"""Pages as tests read them: elements with their attributes, and the text that people see."""

from html.parser import HTMLParser

_EMPTY = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """A page taken apart. Raises AssertionError where an element is not closed, or another one is."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        """An attribute of all elements that have it."""
        return [found[attribute] for _, found in self.elements if attribute in found]

    @property
    def text(self) -> str:
        """What people read, with single spaces."""
        return " ".join("".join(self.words).split())

"""Where everything is in the site of an atlas, and links between its pages.

Addresses are paths from the root of the site. Links are relative and name `index.html`, so that they work from a folder
opened by double click, from object storage and under any prefix.
"""

import hashlib
import posixpath
import re

_PAGE = "index.html"
_PLAIN = re.compile(r"[a-z0-9 ]{1,60}")
_RESERVED = frozenset({"con", "prn", "aux", "nul"}) | {
    f"{device}{n}" for device in ("com", "lpt") for n in range(10)
}
"""Names that Windows gives to devices."""

FRONT = _PAGE
MAP = f"map/{_PAGE}"
STYLE = "static/atlas.css"
SCRIPT = "static/atlas.js"


def slug(text: str) -> str:
    """A name for any text that is safe in paths and URLs; different texts have different ones, in either case.

    Small ASCII letters, digits and spaces (as hyphens) stay; any other text gets its readable part, an underscore and
    16 hexadecimal digits of its sha256.
    """
    if _PLAIN.fullmatch(text) and text == text.strip() and text not in _RESERVED:
        return text.replace(" ", "-")
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return f"{readable or 'text'}_{digest}"


def neuron(layer: int, number: int) -> str:
    """The page of a neuron."""
    return f"{layer}/{number}/{_PAGE}"


def layer(number: int) -> str:
    """The page of a layer."""
    return f"{number}/{_PAGE}"


def word(text: str) -> str:
    """The page of a word."""
    return f"word/{slug(text)}/{_PAGE}"


def pair(name: str) -> str:
    """The page of a pair of classes c1:c2."""
    return f"pair/{slug(name)}/{_PAGE}"


def picture(key: str) -> str:
    """The page of a picture, by the key of its card."""
    return f"picture/{key}/{_PAGE}"


def tile(key: str) -> str:
    """The small picture itself."""
    return f"picture/{key}/tile.webp"


def large(key: str) -> str:
    """The picture of its page."""
    return f"picture/{key}/picture.webp"


def chunk(name: str) -> str:
    """A piece of the data that the script reads: a script itself, so that it loads from a folder as well."""
    return f"data/{name}.js"


def link(page: str, to: str) -> str:
    """The relative link from one page to another address."""
    return posixpath.relpath(to, posixpath.dirname(page) or ".")


def root(page: str) -> str:
    """The relative link from a page to the root of the site, with its slash: "../../", or "./" for the front page."""
    return "../" * page.count("/") or "./"

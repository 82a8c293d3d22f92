"""The commands that README and docs/ print: every line of a block of commands, and those in the running text."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PROGRAMS = ("clipneuron", "python", "make", "ray", "kubectl", "docker", "pip", "chromium")
"""What is called; a line of a block that calls anything else beside them is a mistake, or a new program."""
SURROUNDINGS = ("export", "source")
"""What a shell is told before them."""
_INLINE = re.compile(rf"(?<![\w`])`((?:\.venv/bin/|time )?(?:{'|'.join(PROGRAMS)})\s[^`]+)`")


@dataclass(frozen=True, order=True)
class Command:
    """One call of a program as its page has it, without its comment."""

    page: str
    text: str
    in_a_sentence: bool = False

    @property
    def words(self) -> list[str]:
        """As a shell splits it."""
        return shlex.split(self.text)

    @property
    def named_in_passing(self) -> bool:
        """A verb or an option that a sentence is about (`ray up`, `clipneuron run --extend`): nothing to carry out."""
        program, *words = self.words
        if program == "make" or not self.in_a_sentence:
            return False
        if program == "python":
            return len(words) == 2 and words[0] == "-m"
        return (
            len(words) < 2 or words[-1].startswith("--") or words[1:] in (["RUN"], ["PICTURE..."])
        )


def blocks(text: str) -> Iterator[list[str]]:
    """The lines of each block that is indented or fenced as a shell's, without comments, joined where they go on."""
    lines: list[str] = []
    fence: str | None = None
    for line in [*re.sub(r" *\\\n\s*", " ", text).splitlines(), ""]:
        if line.startswith("```"):
            fence = line[3:] if fence is None else None
        within = line.startswith("    ") if fence is None else fence in ("", "sh")
        if within and not line.startswith("```"):
            lines.append(re.sub(r"\s+#\s.*", "", line).strip())
        elif lines:
            yield [each for each in lines if each]
            lines = []


def program(line: str) -> str:
    """What a line calls, or begins with."""
    return re.sub(r"^(time |\.venv/bin/)", "", line).split(" ")[0]


def commands_of(page: Path) -> Iterator[Command]:
    """All that a page prints, in its order; those in sentences come last."""
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    for block in blocks(text):
        if any(program(line) in PROGRAMS for line in block):
            for line in block:
                known = (*PROGRAMS, *SURROUNDINGS)
                assert program(line) in known, f"{name}: which program is that? {line}"
                yield from (Command(name, piece) for piece in pieces(line))
    for line in _INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        yield from (Command(name, piece, True) for piece in pieces(" ".join(line.split())))


def pieces(line: str) -> Iterator[str]:
    """Commands that are joined by `&&`, or handed to a job by ` -- `."""
    for piece in re.split(r" && | -- ", line):
        told = re.sub(r"^(time |\.venv/bin/)", "", re.sub(r" > /dev/null$", "", piece))
        if program(told) not in SURROUNDINGS:
            yield told


ALL = sorted({each for page in PAGES for each in commands_of(page)})
"""Every command of every page, once for each page."""
COMMANDS = sorted({each.text for each in ALL if not each.named_in_passing})
"""Those that can be carried out, each once."""

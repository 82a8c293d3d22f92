"""The parser of the command line: options in full only, and one line for a wrong word, with what it was meant to be."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from clipneuron.cli.options.values import one_of
from clipneuron.config.suggestions import suggestion

LOG_FORMATS = ("text", "json")


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviated options and answers mistakes with the line that matters.

    One that `carries` another command leaves the words that are not its own in `words`, for that command's parser.
    """

    def __init__(self, *, carries: bool = False, **settings: Any) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(**{"formatter_class": layout, "allow_abbrev": False, **settings})
        # `--layers -3:` is an option with its value, whatever the value is worth.
        self._negative_number_matcher = re.compile(r"-\d")
        self.verbs: dict[str, Parser] = {}
        self.carries = carries

    def error(self, message: str) -> NoReturn:
        """Ends with status 2 and one line instead of the usage, which is longer than the answer."""
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")

    def read(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """What the words say; exits for those that mean nothing, which are looked for before missing ones are."""
        words = list(sys.argv[1:] if arguments is None else arguments)
        self.check_words(words)
        return self.parse_args(words, argparse.Namespace(typed=words))

    def check_words(self, words: Sequence[str]) -> None:
        """Exits for a verb or an option that means nothing, here or to the verb that the words name."""
        if not self.verbs:
            self.check_options(words)
            return
        place = next((n for n, word in enumerate(words) if not word.startswith("-")), len(words))
        self.check_options(words[:place])
        if place < len(words):
            self._verb(words[place]).check_words(words[place + 1 :])

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What the words say; exits for those that say nothing, here rather than at the parser of all verbs."""
        chosen, others = super().parse_known_args(args, namespace)
        if self.carries:
            chosen.words = others
        elif others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        return chosen, []

    def check_options(self, words: Sequence[str]) -> None:
        """Exits when one of the words is an option that this parser does not have."""
        if self.carries:
            return
        known = self._option_string_actions  # the base class offers no public way to list them
        options = words[: words.index("--")] if "--" in words else words
        for word in options:
            option = word.partition("=")[0]
            if option.startswith("--") and option not in known:
                self.error(f"there is no option {option}{suggestion(option, known)}")

    def _verb(self, word: str) -> "Parser":
        if word not in self.verbs:
            known = ", ".join(self.verbs)
            self.error(
                f"there is no command {word!r}: expected one of {known}"
                + suggestion(word, self.verbs)
            )
        return self.verbs[word]


class LateParser(Parser):
    """A parser that gets its options when it is first used: of many, one is."""

    def __init__(self, fill: Callable[[Parser], None], **settings: Any) -> None:
        super().__init__(**settings)
        self._fill: Callable[[Parser], None] | None = fill

    def check_options(self, words: Sequence[str]) -> None:
        """Exits when one of the words is an option that this parser does not have."""
        self._get_ready()
        super().check_options(words)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What the words say, and those that say nothing."""
        self._get_ready()
        return super().parse_known_args(args, namespace)

    def _get_ready(self) -> None:
        fill, self._fill = self._fill, None
        if fill:
            fill(self)


class Borrowed:
    """In the place of the commands to which a module adds its verbs: one verb's options go to a parser of ours."""

    def __init__(self, verb: str, parser: Parser) -> None:
        self.verb, self.parser = verb, parser

    def add_parser(self, name: str, **about: Any) -> Parser:
        """Ours for the verb; for its neighbours one that nobody reads."""
        return self.parser if name == self.verb else Parser()


def add_command(commands: Any, name: str, does: str, function: Any, **more: Any) -> Parser:
    """The parser of one command, which runs `function`."""
    parser: Parser = commands.add_parser(
        name, help=does, description=does[0].upper() + does[1:] + ".", **more
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("-v", "--verbose", action="store_true", help="log a line per shard")
    parser.add_argument(
        "--log-format",
        type=one_of(LOG_FORMATS, "format"),
        metavar="{" + ",".join(LOG_FORMATS) + "}",
        default="text",
        help="of standard error; json: an object per line, one for every shard, and no progress (default: text)",
    )
    parser.set_defaults(command=function)
    return parser

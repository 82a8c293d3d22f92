"""Words of a command as each scheduler has to read them to get the same words back."""

import json
import re
import shlex
from collections.abc import Sequence


def for_shell(words: Sequence[str]) -> str:
    """As a POSIX shell reads them."""
    return shlex.join(words)


def for_crontab(words: Sequence[str]) -> str:
    r"""As a line of a crontab has them: cron ends the command at a bare `%` and takes the backslash off `\%`.

    Every `%` stands between quotes of its own, since cron counts backslashes before it without regard to quotes.

    >>> print(for_crontab(["date", "+%F", "it's"]))
    date '+'\%'F' 'it'"'"'s'
    """
    return " ".join(_for_cron(word) if "%" in word else shlex.quote(word) for word in words)


def for_systemd(words: Sequence[str]) -> str:
    r"""As `ExecStart=` reads them: in double quotes with C's escapes, `%` and `$` doubled (systemd.service(5)).

    >>> print(for_systemd(["/bin/echo", "100%", 'say "$HOME"', "a b"]))
    /bin/echo 100%% "say \"$$HOME\"" "a b"
    """
    return " ".join(map(_for_systemd, words))


def for_kubernetes(words: Sequence[str]) -> list[str]:
    """As a container's command has them: `$(NAME)` would be replaced by a variable, and `$$` is a dollar.

    https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/
    """
    return [word.replace("$", "$$") for word in words]


def for_github(text: str) -> str:
    """As a workflow has it: what would begin an expression is made of one."""
    return text.replace("${{", "${{ '${{' }}")


def scalar(text: str) -> str:
    """A string in YAML: one of JSON, which reads the same there.

    >>> scalar('15 2 * * *')
    '"15 2 * * *"'
    """
    return json.dumps(text, ensure_ascii=False)


def check_words(words: Sequence[str]) -> None:
    """Raises ValueError for a word that a line of text cannot hold."""
    for word in words:
        if not word.isprintable():
            raise ValueError(
                f"a schedule is written in lines, and {word!r} has characters that these cannot hold: put the value "
                "into a recipe file and name that with --recipe"
            )


def _for_cron(word: str) -> str:
    quoted = "'" + word.replace("'", "'\"'\"'") + "'"
    return quoted.replace("%", r"'\%'")


def _for_systemd(word: str) -> str:
    doubled = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return doubled if re.fullmatch(r"[\w@%+=:,./$-]+", doubled, re.ASCII) else f'"{doubled}"'

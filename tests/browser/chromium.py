"""A real Chromium without a window, driven over two pipes by its DevTools protocol: without a driver or a library."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 30.0
"""Seconds for an answer, on a machine that is busy."""
_LAUNCHER = """
import os, sys
read, write, *command = sys.argv[1:]
os.dup2(int(read), 3)
os.dup2(int(write), 4)
os.execv(command[0], command)
"""
_KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
_KEYS |= {"Enter": 13, "Tab": 9, "Escape": 27, " ": 32}


def find() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser(profile: Path, width: int = 1280, height: int = 800) -> Iterator["Page"]:
    """An empty page of a Chromium that keeps what it stores under `profile` and ends with the block."""
    # Numbers from 10: the launcher makes its ends 3 and 4, as the browser wants them, and must not step on others.
    (read_there, write), (read, write_there) = map(_high, os.pipe()), map(_high, os.pipe())
    flags = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    flags += ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    flags += [f"--window-size={width},{height}", "--disable-background-networking"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    ends = [str(read_there), str(write_there)]
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _LAUNCHER, *ends, str(find()), *flags, "about:blank"],
        pass_fds=(read_there, write_there),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_there)
    os.close(write_there)
    try:
        yield Page(read, write)
    finally:
        process.kill()
        process.wait()
        os.close(read)
        os.close(write)


class Page:
    """One tab."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._sent, self._bytes = 0, b""
        self._session: str | None = None
        self._loaded: set[str] = set()
        self.problems: list[str] = []
        """What the page's console and scripts complained about."""
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer of a command of the DevTools protocol."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def open(self, url: str) -> None:
        """Goes to an address and waits until its document, scripts and pictures are there."""
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        while answer["loaderId"] not in self._loaded:
            self._note(self._next())

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Waits, at the end of the block, until what was done in it has led to another document."""
        before = len(self._loaded)
        yield
        while len(self._loaded) == before:
            self._note(self._next())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is now; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        found: str = self.value(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def until(self, expression: str) -> None:
        """Waits for an expression to be true."""
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, f"never true: {expression}\n{self.value(_TEXT)}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """Hits a key on the keyboard: a character, or a name such as "ArrowLeft"."""
        code = _KEYS.get(key) or ord(key.upper())
        shared = {"key": key, "windowsVirtualKeyCode": code}
        typed = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **shared, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def type(self, text: str) -> None:
        """Enters a text into the field that has the focus, in the place of what is selected there."""
        self.call("Input.insertText", text=text)

    def move(self, x: float, y: float) -> None:
        """Moves the mouse to a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Clicks into the middle of an element with the mouse, where it can be seen."""
        self.value(
            f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'nearest'}})"
        )
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.value(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({box})")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._bytes:
            ready, _, _ = select.select([self._read], [], [], PATIENCE)
            assert ready, "the browser does not answer"
            more = os.read(self._read, 2**16)
            assert more, "the browser has ended"
            self._bytes += more
        message, _, self._bytes = self._bytes.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Page.lifecycleEvent" and event["params"]["name"] == "load":
            self._loaded.add(event["params"]["loaderId"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(event["params"]["exceptionDetails"]))
        if event.get("method") == "Log.entryAdded":
            entry = event["params"]["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}")


_TEXT = "document.body.innerText"


def _high(descriptor: int) -> int:
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return high

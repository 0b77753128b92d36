"""A page in headless Chromium, over its DevTools pipe: what it shows, says and asks for.

https://chromedevtools.github.io/devtools-protocol: JSON messages that end in a zero byte, read by
the browser from file descriptor 3 and written to 4.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync",
    "disable-component-update", "no-first-run", "disable-dev-shm-usage", "remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 120.0  # seconds until a browser that hangs is ended
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


class Tab:
    """A tab of the browser.

    Attributes:
        complaints: What the console held as errors or warnings, and exceptions.
        requests: The addresses that the page asked for, without ``data:`` ones.
    """

    def __init__(self, write: int, read: int) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._write = write
        self._read = os.fdopen(read, "rb", buffering=0)
        self._rest = b""
        self._sent = 0
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def open(self, page: Path | str, width: int, height: int = 900, scheme: str = "light") -> None:
        """Open a file or an address in a window of CSS pixels, and wait until it is loaded."""
        theme = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[theme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self._wait_for("Page.loadEventFired")

    def ask(self, script: str) -> Any:
        """Return the value of a JavaScript expression, of a promise what it comes to."""
        options = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        found = self.send("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_until(self, script: str, seconds: float = 300) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.ask(f"Boolean({script})"):
            assert time.monotonic() < end, f"not within {seconds} s: {script}"
            time.sleep(0.1)

    def press(self, key: str, code: int) -> None:
        """Press a key, such as ``Tab`` (9) or ``Enter`` (13)."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def permit(self, name: str, setting: str) -> None:
        """Answer a question for a permission, such as ``camera``: ``granted`` or ``denied``."""
        own, self._session = self._session, None  # it is asked of the browser, not of the page
        try:
            self.send("Browser.setPermission", permission={"name": name}, setting=setting)
        finally:
            self._session = own

    def choose_file(self, selector: str, *paths: Path) -> None:
        """Choose files in an input, as a person does in the browser's dialog."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(each) for each in paths])

    def picture(self) -> bytes:
        """Return the whole page as a PNG."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._sent += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._sent, "method": method, "params": parameters, **session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _wait_for(self, event: str) -> None:
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = self._read.read(1 << 20)
            if not block:
                raise AssertionError("the browser has ended, or hung for too long")
            self._rest += block
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, about: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["text"])
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(about["args"]))
        elif event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            address = about["request"]["url"]
            if not address.startswith("data:"):
                self.requests.append(address)


@contextmanager
def tab(profile: Path, *flags: str, patience: float = PATIENCE) -> Iterator[Tab]:
    """Start a browser with a profile of its own, and end it; ``flags`` without their dashes."""
    assert CHROMIUM is not None
    theirs_read, ours_write = os.pipe()
    ours_read, theirs_write = os.pipe()
    process = os.posix_spawn(
        CHROMIUM,
        [CHROMIUM, *(f"--{flag}" for flag in (*FLAGS, *flags)), f"--user-data-dir={profile}"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, theirs_read, 63),
            (os.POSIX_SPAWN_DUP2, theirs_write, 64),
            (os.POSIX_SPAWN_DUP2, 63, 3),
            (os.POSIX_SPAWN_DUP2, 64, 4),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setpgroup=0,
    )
    for end in (theirs_read, theirs_write):
        os.close(end)
    hung = threading.Timer(patience, os.killpg, (process, signal.SIGKILL))
    hung.start()
    try:
        yield Tab(ours_write, ours_read)
    finally:
        hung.cancel()
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_write)

"""A headless Chromium, spoken to over its DevTools pipe: no driver, no library, no port."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

SECONDS_MAX = 60.0


class BrowserFailed(Exception):
    """The browser does not do what it is told."""


def find():
    """The browser's path: $CHROMIUM, or whatever name the distribution gives it."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        path = name and shutil.which(name)
        if path:
            return path
    raise BrowserFailed("no Chromium here; run tests/setup page")


class Browser:
    """One browser with a fresh profile. Use as a context."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="ringmain-page-")
        command_read, self.commands = os.pipe()
        self.replies, reply_write = os.pipe()
        try:
            self.process = subprocess.Popen(
                [
                    find(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={self.profile}",
                    "--remote-debugging-pipe", "about:blank",
                ],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                # The browser reads commands from descriptor 3 and answers on 4.
                preexec_fn=lambda: hand_over(command_read, reply_write), close_fds=False,
            )
        finally:
            os.close(command_read)
            os.close(reply_write)
        self.number = 0
        self.received = b""
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.commands)
        os.close(self.replies)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, session=None, **parameters):
        """Sends a command and waits for its result. Events that come before it are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            message = self.receive(deadline)
            if message.get("id") == self.number:
                if "error" in message:
                    raise BrowserFailed(f"{method}: {message['error']['message']}")
                return message["result"]
            self.events.append(message)

    def receive(self, deadline):
        while b"\0" not in self.received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.replies], [], [], left)[0]:
                raise BrowserFailed(f"no answer within {SECONDS_MAX:.0f} s")
            piece = os.read(self.replies, 1 << 20)
            if not piece:
                raise BrowserFailed("the browser ended")
            self.received += piece
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)

    def wait_for(self, method, session):
        """Waits for an event."""
        deadline = time.monotonic() + SECONDS_MAX
        while not any(event.get("method") == method and event.get("sessionId") == session for event in self.events):
            self.events.append(self.receive(deadline))


class Tab:
    """A page of a given size, and everything that it complained about or asked the network for."""

    def __init__(self, browser, width, height, dark=False, phone=False, media="screen"):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.url = None

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def open(self, path):
        self.url = "file://" + os.path.abspath(path)
        failed = self.call("Page.navigate", url=self.url).get("errorText")
        if failed:
            raise BrowserFailed(f"{self.url}: {failed}")
        self.browser.wait_for("Page.loadEventFired", self.session)

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise BrowserFailed(f"{expression[:80]}: {result['exceptionDetails']['exception']['description']}")
        return result["result"].get("value")

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 0.5}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def complaints(self):
        """Errors and warnings of the console, and requests for anything but the page itself."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            parameters = event["params"]
            if event["method"] == "Runtime.consoleAPICalled":
                texts = [str(argument.get("value", argument.get("description"))) for argument in parameters["args"]]
                found.append("console: " + " ".join(texts))
            elif event["method"] == "Runtime.exceptionThrown":
                found.append("exception: " + parameters["exceptionDetails"]["text"])
            elif event["method"] == "Log.entryAdded":
                found.append("log: " + parameters["entry"]["text"])
            elif event["method"] == "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if url != self.url and not url.startswith("data:"):
                    found.append("request: " + url)
        return found

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)


def hand_over(command_read, reply_write):
    # Out of the way of 3 and 4 first, whichever numbers they have.
    command_read, reply_write = os.dup(command_read), os.dup(reply_write)
    for descriptor, number in ((command_read, 103), (reply_write, 104)):
        os.dup2(descriptor, number)
    os.dup2(103, 3)
    os.dup2(104, 4)
    os.closerange(5, 256)

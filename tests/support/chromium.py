"""Headless Chromium, driven through the DevTools protocol over a pair of pipes.

    with Chromium() as browser:
        page = browser.page("http://127.0.0.1:9464/", width=1280, height=800)
        page.wait("document.title.length > 0")
        page.evaluate("document.body.innerText")
        page.screenshot("page.png")
        assert page.complaints == []        # what the console and the network complained of

Messages are JSON, ended by a NUL: written to the browser's descriptor 3, read from its descriptor 4.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

ANSWER_SECONDS = 30


def chromium_present():
    return shutil.which("chromium") is not None


class Chromium:
    def __init__(self, *args):
        self.args = args
        self.pages = {}
        self.buffer = b""
        self.last = 0

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="coldpath-chromium-")
        to_read, self.to = os.pipe()
        self.come, come_write = os.pipe()

        def connect():
            spare = [os.dup(to_read), os.dup(come_write)]  # neither may be overwritten before it is placed
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
                   "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={self.home}",
                   *self.args, "about:blank"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=connect, close_fds=False, env=os.environ | {"HOME": self.home})
        os.close(to_read)
        os.close(come_write)
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(20)
        except Exception:  # whatever it was, the process must not stay
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.come)
        shutil.rmtree(self.home, ignore_errors=True)

    def receive(self, timeout):
        """The next message, or None."""
        deadline = time.monotonic() + timeout
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.come], [], [], left)[0]:
                return None
            got = os.read(self.come, 1 << 20)
            if not got:
                raise RuntimeError("chromium has ended")
            self.buffer += got
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        if "method" in message and message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].heard(message["method"], message["params"])
        return message

    def call(self, method, session=None, **parameters):
        self.last += 1
        number = self.last
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            answer = self.receive(deadline - time.monotonic())
            if answer and answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
        raise TimeoutError(method)

    def page(self, url, **size):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session)
        page.open(url, **size)
        return page


class Page:
    def __init__(self, browser, session):
        self.browser = browser
        self.session = session
        self.complaints = []

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def open(self, url, width=1280, height=900, mobile=False, scale=1):
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.resize(width, height, mobile, scale)
        self.call("Page.navigate", url=url)

    def resize(self, width, height, mobile=False, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)

    def prefer(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def heard(self, method, parameters):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f'{parameters["entry"]["text"]} {parameters["entry"].get("url", "")}')

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f'{expression}: {answer["exceptionDetails"]}')
        return answer["result"].get("value")

    def wait(self, expression, seconds=10):
        """Waits until the expression is true; how long that took."""
        began = time.monotonic()
        while not self.evaluate(expression):
            if time.monotonic() - began > seconds:
                raise AssertionError(f"not within {seconds} s: {expression}")
            time.sleep(0.02)
        return time.monotonic() - began

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode={"Tab": 9, "Enter": 13, " ": 32}[key],
                      **({"text": "\r"} if key == "Enter" and kind == "keyDown" else {}))

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

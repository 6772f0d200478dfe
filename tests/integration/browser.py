"""browser - a headless Chromium by its DevTools pipe, which needs nothing but Python: pages, scripts, screenshots."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

from wire import SLOW, wait_until


def program():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="pgweir-chromium.")
        to_them, self.out = os.pipe()
        self.inp, from_them = os.pipe()
        argv = [program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--user-data-dir=" + self.dir, "--remote-debugging-pipe"]

        def move():  # it reads descriptor 3 and writes 4
            a, b = os.dup(to_them), os.dup(from_them)
            os.dup2(a, 3)
            os.dup2(b, 4)
            for fd in range(5, 256):
                try:
                    os.close(fd)
                except OSError:
                    pass

        self.process = subprocess.Popen(argv, preexec_fn=move, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True, env=dict(os.environ, HOME=self.dir))
        os.close(to_them)
        os.close(from_them)
        self.number, self.rest, self.events = 0, b"", []

    def _read(self, deadline):
        import select
        while b"\0" not in self.rest:
            if not select.select([self.inp], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("chromium doesn't answer")
            chunk = os.read(self.inp, 1 << 20)
            assert chunk, "chromium ended"
            self.rest += chunk
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, timeout=30 * SLOW, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        deadline = time.monotonic() + timeout
        while True:
            got = self._read(deadline)
            if got.get("id") == self.number:
                assert "error" not in got, "%s: %s" % (method, got["error"])
                return got["result"]
            if "method" in got:
                self.events.append(got)

    def page(self, url, width, height, phone=False, dark=False):
        return Page(self, url, width, height, phone, dark)

    def close(self):
        try:
            self.call("Browser.close", timeout=5)
        except (AssertionError, OSError):
            self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.inp)
        shutil.rmtree(self.dir, ignore_errors=True)


class Page:
    def __init__(self, browser, url, width, height, phone, dark):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Page.bringToFront")  # a page in the background stops asking
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        if dark:
            self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.call("Page.navigate", url=url)

    def call(self, method, **params):
        return self.browser.call(method, session=self.session, **params)

    def run(self, script):
        """The value of an expression."""
        got = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def wait(self, script, timeout=20 * SLOW):
        """Until the expression is true; what it needs may not be there yet."""
        safe = "(() => { try { return %s } catch (e) { return false } })()" % script
        try:
            wait_until(lambda: self.run(safe), timeout, script)
        except AssertionError as e:
            raise AssertionError("%s\nthe page says: %s\nand complains: %s" % (e, self.text("header, body"), self.complaints())) from None

    def text(self, selector="body"):
        return self.run("document.querySelector(%s).innerText" % json.dumps(selector))

    def complaints(self):
        """What the page's script threw, what its policy forbade, and what else went to the console as an error."""
        found = []
        for e in self.browser.events:
            if e.get("sessionId") != self.session:
                continue
            if e["method"] == "Runtime.exceptionThrown":
                found.append(e["params"]["exceptionDetails"].get("exception", {}).get("description") or str(e["params"]))
            elif e["method"] == "Log.entryAdded" and e["params"]["entry"]["level"] == "error":
                found.append(e["params"]["entry"]["text"])
        return found

    def shot(self, path, full=False):
        more = {}
        if full:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            more = {"captureBeyondViewport": True, "clip": dict(size, scale=1)}
        data = self.call("Page.captureScreenshot", format="png", **more)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

"""Just enough of WebDriver to read a page, by plain HTTP to chromedriver."""

import base64
import json
import re
import subprocess
import time
import urllib.error
import urllib.request


class Browser:
    """A headless Chromium with one tab. It keeps the lines of its console, including errors of the policy."""

    def __init__(self, folder):
        self.process = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = (re.search(r"started successfully on port (\d+)", line) for line in self.process.stdout)
        self.base = f"http://127.0.0.1:{next(found for found in said if found)[1]}"
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={folder}"]
        wanted = {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        opened = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.base += f"/session/{opened['sessionId']}"
        # Times are those that the page's own thread computes, so that a busy machine does not change them.
        self.cdp("Performance.enable", timeDomain="threadTicks")

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def cdp(self, command, **parameters):
        """One command of the DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script):
        """The value of the script's `return`."""
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def text(self, selector="body"):
        return self.run(f"return document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait(self, condition, seconds=15):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(f"return {condition}")):
            assert time.monotonic() < end, f"{condition} did not become true; the page says: {self.text()[:2000]}"
            time.sleep(0.05)
        return value

    def complaints(self):
        """The console's lines since the last call."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def metrics(self):
        return {metric["name"]: metric["value"] for metric in self.cdp("Performance.getMetrics")["metrics"]}

    def size(self, width, height, mobile=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def colours(self, scheme):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def key(self, name, code):
        for kind in ("keyDown", "keyUp"):
            self.cdp("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def screenshot(self, path, whole=True):
        shot = self.cdp("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()

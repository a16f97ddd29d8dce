"""Debian's Chromium for the tests of pages: what it shows, what it logs, what it asks for."""
import json
import os
import shutil
import tempfile
import time

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

SKIP = 77  # ctest's word for a test that cannot run here
OWN = ("data:", "blob:")


def missing():
    """What is not installed, or None."""
    if webdriver is None:
        return "python3-selenium"
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            return program
    return None


class Browser:
    def __init__(self, downloads=None):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        self.profile = tempfile.TemporaryDirectory()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                         "--no-first-run", "--disable-background-networking", f"--user-data-dir={self.profile.name}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if downloads:
            options.add_experimental_option("prefs", {"download.default_directory": downloads, "download.prompt_for_download": False})
        self.driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
        self.driver.set_script_timeout(60)
        self.driver.set_page_load_timeout(60)
        self.path = None

    def close(self):
        self.driver.quit()
        self.profile.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def look(self, width=1200, height=900, dark=False, script=True):
        """How the next page is looked at."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.cdp("Emulation.setScriptExecutionDisabled", value=not script)

    def open(self, path, place="", ready=True):
        """Loads a file afresh, and waits until everything is drawn."""
        self.path = "file://" + os.path.abspath(path)
        self.driver.get("about:blank")
        self.problems()
        begin = time.monotonic()
        self.driver.get(self.path + place)
        while ready and not self.run("return document.documentElement.dataset.ready || ''"):
            if time.monotonic() - begin > 30:
                raise TimeoutError(f"{path} is not ready: {self.problems()}")
            time.sleep(0.01)
        return time.monotonic() - begin

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script, *arguments):
        """The last argument of the script is called when it is done."""
        return self.driver.execute_async_script(script, *arguments)

    def problems(self):
        """Everything on the console (reports of the policy too), and every request but for the page itself."""
        found = [entry["message"] for entry in self.driver.get_log("browser")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] != "Network.requestWillBeSent":
                continue
            url = message["params"]["request"]["url"]
            if not url.startswith(OWN) and url.split("#")[0] not in (self.path, "about:blank"):
                found.append(f"a request: {url}")
        return found

    def picture(self, path):
        self.driver.save_screenshot(path)

    def names(self):
        """Role and name of everything that Tab or a pointer reaches, as assistive technology is told them."""
        found = []
        for node in self.cdp("Accessibility.getFullAXTree")["nodes"]:
            focusable = any(p["name"] == "focusable" and p["value"].get("value") for p in node.get("properties", []))
            role = node.get("role", {}).get("value", "")
            if not node.get("ignored") and focusable and role != "RootWebArea":
                found.append((role, node.get("name", {}).get("value", "")))
        return found


# The contrast of every text that is seen, by WCAG 2: [ratio, text]; grounds of ancestors count.
CONTRAST = r"""
const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
const over = (c, g) => c.slice(0, 3).map((v, k) => v * (c[3] ?? 1) + g[k] * (1 - (c[3] ?? 1)));
const light = (c) => { const l = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
const ground = (e) => { if (!e) return [255, 255, 255]; const c = parse(getComputedStyle(e).backgroundColor); return c.length === 4 && c[3] === 0 ? ground(e.parentElement) : over(c, ground(e.parentElement)); };
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || ['SCRIPT', 'STYLE'].includes(e.tagName) || e.closest('svg') || !e.checkVisibility() || e.disabled || e.closest(':disabled')) continue;
    const g = ground(e), c = over(parse(getComputedStyle(e).color), g), a = light(c), b = light(g);
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.slice(0, 40)]);
}
return found.sort((x, y) => x[0] - y[0]).slice(0, 5);
"""

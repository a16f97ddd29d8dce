"""Debian's Chromium for the tests of pages: what it shows, what it logs, what it asks for."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Report, execute, parser_of, program_of  # noqa: E402

SKIP = 77  # ctest's word for a test that cannot run here
OWN = ("data:", "blob:")


def axe():
    """The text of axe-core, which checks whether everybody can use a page, where npm has it installed for all; or None."""
    folders = [os.environ.get("ATTN_NODE_MODULES", "")]
    if shutil.which("npm"):
        folders.append(subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False).stdout.strip())
    for folder in filter(None, folders):
        path = os.path.join(folder, "axe-core", "axe.min.js")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
    return None


def missing():
    """What is not installed, or None."""
    if webdriver is None:
        return "python3-selenium"
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            return program
    return None


def run_tests(doc, tests):
    """The main function of a test: tests(program, report, folder, chromium).run(), or a word on what is not installed."""
    options = parser_of(doc).parse_args()
    program = program_of(options)
    lacking = missing()
    if lacking:
        print(f"skipped: {lacking} is not installed")
        return SKIP
    report = Report(options.only)
    with tempfile.TemporaryDirectory() as folder, Browser(folder) as chromium:
        tests(program, report, folder, chromium).run()
    return report.end()


class PageTests:
    """The program, a folder of its own and a browser: what the classes of tests begin with."""

    def __init__(self, program, report, folder, chromium):
        self.program, self.report, self.folder, self.browser = program, report, folder, chromium
        self.axe = axe()
        if not self.axe:
            print("axe-core is not installed (npm install -g axe-core): contrast and names are checked by our own code alone")

    def call(self, *options):
        return execute([self.program, *options], self.folder)

    def quiet(self, name):
        self.report.equal(f"{name}: console, requests", self.browser.problems(), [])

    def for_everybody(self, name):
        """No finding of axe-core about the page that is open."""
        if self.axe:
            self.browser.run(self.axe)
            found = self.browser.run_async("const done = arguments[0]; axe.run().then((r) => done(r.violations.map("
                                           "(v) => [v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))])))")
            self.report.equal(f"{name}: axe-core", found, [])

    def expect(self, name, selector, pattern):
        """The text of an element, sooner or later; gives the match."""
        text = self.browser.until(lambda: self.browser.text(selector), lambda text: re.search(pattern, text))
        self.report.matches(name, text, pattern)
        return re.search(pattern, text)

    def becomes(self, name, script, expected):
        found = self.browser.until(lambda: self.browser.run(script), lambda found: found == expected)
        self.report.equal(name, found, expected)


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

    def until(self, find, good=bool, seconds=20):
        """What find() gives, as soon as it is good: what was done shows in a later frame, and nobody knows how late that is."""
        end = time.monotonic() + seconds
        while not good(found := find()) and time.monotonic() < end:
            time.sleep(0.01)
        return found

    def text(self, selector):
        """After what is under way has been drawn; empty where there is no such element."""
        return self.run_async("const [s, done] = arguments; requestAnimationFrame(() => requestAnimationFrame(() => "
                              "done((document.querySelector(s) || {textContent: ''}).textContent)))", selector)

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

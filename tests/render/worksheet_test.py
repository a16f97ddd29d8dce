"""Pages of `explain` and `diff` in a real browser: steps that fold, boxes that judge what is typed, theirs beside ours."""
import json
import os
import sys
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import browser  # noqa: E402
from harness import SOURCE, json_values  # noqa: E402

EXAMPLE = os.path.join(SOURCE, "data", "examples", "hello_shiny_sun.json")
TYPE = r"""const [k, text] = arguments, b = document.querySelectorAll('input')[k]; b.focus(); b.value = text;
b.dispatchEvent(new Event('input')); b.dispatchEvent(new Event('change'));
return [b.className, b.nextElementSibling.textContent, document.getElementById('score').textContent];"""


class Tests(browser.PageTests):
    def look(self, name, path):
        """Widths, contrast, names, both grounds."""
        b = self.browser
        for dark in (False, True):
            for width in (360, 800, 1600):
                b.look(width, 900, dark)
                b.open(path)
                inside = b.run("return [document.documentElement.scrollWidth, innerWidth]")
                self.report.check(inside[0] <= inside[1], f"{name}, {width} wide: nothing sticks out", inside[1], inside[0])
                worst = b.run(browser.CONTRAST)
                self.report.check(worst[0][0] >= 4.5, f"{name}, {'dark' if dark else 'light'}: contrast", 4.5, worst)
                self.for_everybody(f"{name}, {width} wide")
                self.quiet(f"{name}, {width} wide")
        b.look(1200, 900)
        b.open(path)
        self.report.equal(f"{name}: names of controls", [n for n in b.names() if not n[1].strip()], [])

    def explained(self):
        b = self.browser
        path = os.path.join(self.folder, "e.html")
        self.report.equal("explain: exit", self.call("explain", EXAMPLE, "-o", path).status, 0)
        b.look(1200, 900)
        b.open(path)
        told = json_values(self.call("explain", EXAMPLE, "-f", "json").out)[0]
        steps = b.run("return [...document.querySelectorAll('details')].map((d) => [d.open, d.querySelector('summary').textContent])")
        self.report.equal("explain: steps", steps, [[True, f"{s['step']} {s['stage']} = {s['formula']}"] for s in told["steps"]])
        lines = sum(len(s["lines"]) for s in told["steps"])
        self.report.equal("explain: lines", b.run("return document.querySelectorAll('.line').length"), lines)
        for step, shown in zip(told["steps"], b.run("return [...document.querySelectorAll('details')].map((d) => [...d.querySelectorAll('.line math')].map((m) => m.lastElementChild.textContent))")):
            for line, text in zip(step["lines"], shown):
                number = float(text.replace("∞", "inf"))
                self.report.check(abs(number - float(line["result"])) <= 6e-5, f"explain: {line['place']}", line["result"], text)
        b.driver.find_element("id", "fold").click()
        self.report.equal("fold all", b.run("return document.querySelectorAll('details[open]').length"), 0)
        b.driver.find_elements("css selector", "summary")[2].click()
        self.report.equal("one step", b.run("return document.querySelectorAll('details[open]').length"), 1)
        b.driver.find_element("id", "unfold").click()
        self.report.equal("unfold all", b.run("return document.querySelectorAll('details[open]').length"), len(told["steps"]))
        self.look("explain", path)
        b.look(1000, 900, script=False)
        b.open(path, ready=False)
        self.report.check("softmax" in b.driver.find_element("css selector", "main").text, "explain without script", "steps", "none")

    def blanks(self):
        b = self.browser
        path = os.path.join(self.folder, "blank.html")
        self.call("explain", EXAMPLE, "--blank", "weights,context", "-o", path)
        told = json_values(self.call("explain", EXAMPLE, "-f", "json").out)[0]
        answers = [(line["place"], float(line["result"])) for s in told["steps"] if s["stage"] in ("weights", "context") for line in s["lines"]]
        with open(path, encoding="utf-8") as file:
            source = file.read()
        body = source[source.index("<main"):source.index("<script")]
        for place, value in answers:
            # The maximum of a row is one of the scores, which are shown.
            self.report.check("[" not in place or f"{value:.4f}" not in body, f"{place} is not in the source", "nothing", value)
        b.look(1200, 900)
        b.open(path)
        places = b.run("return [...document.querySelectorAll('input')].map((b) => b.dataset.place)")
        self.report.equal("boxes", [p.split(" ", 1)[1] for p in places], [place for place, _ in answers])
        for k, (place, value) in enumerate(answers):
            for typed, expected in ((f"{value:.4f}", "good"), (repr(value), "good"), (f"{value:.4f}".replace(".", ","), "good")):
                self.report.equal(f"{place}: {typed}", b.run(TYPE, k, typed)[0], expected)
            self.report.equal(f"{place}: too large", b.run(TYPE, k, f"{round(value, 4) + 0.0312:.4f}")[:2], ["bad", "too large by 0.0312"])
            self.report.equal(f"{place}: too small", b.run(TYPE, k, f"{round(value, 4) - 0.5:.4f}")[:2], ["bad", "too small by 0.5000"])
        self.report.equal("far away", b.run(TYPE, 0, "77")[:2], ["bad", "wrong by more than 2"])
        self.report.equal("no number", b.run(TYPE, 0, "abc")[:2], ["", "not a number"])
        for k, (_, value) in enumerate(answers):
            score = b.run(TYPE, k, f"{value:.4f}")[2]
        self.report.equal("the score", score, f"{len(answers)} of {len(answers)} right")
        green = b.run("return getComputedStyle(document.querySelector('input')).color")
        self.report.equal("green", green, "rgb(20, 108, 46)")
        self.look("worksheet", path)
        solved = self.call("explain", EXAMPLE, "--blank", "weights", "--key", "-f", "html").text
        self.report.check("<input" not in solved and 'class="solution"' in solved, "--key", "the solution", "boxes")

    def compared(self):
        b = self.browser
        document = os.path.join(self.folder, "m.json")
        with open(document, "w", encoding="utf-8") as file:
            json.dump({"variant": "multi_head", "num_heads": 2, "causal": True, "embeddings": {"init": "torch.rand", "seed": 5, "shape": [5, 4]},
                       "weights": {"init": "torch.nn.Linear", "seed": 3, "d_out": 4}}, file)
        trace = json_values(self.call("run", document, "-f", "json").out)[0]
        theirs = json.loads(json.dumps({"stages": {n: trace["stages"][n]["data"] for n in ("scores", "weights", "context")}}))["stages"]
        theirs["weights"][0][1][3][2] += 0.125
        path = os.path.join(self.folder, "theirs.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(theirs, file)
        page, svg = os.path.join(self.folder, "d.html"), os.path.join(self.folder, "d.svg")
        self.report.equal("diff: exit", self.call("diff", path, document, "-o", page, "-o", svg).status, 1)
        text = self.call("diff", path, document).text
        b.look(1300, 900)
        b.open(page)
        said = b.run("return document.querySelector('.report').textContent")
        self.report.check("first difference: weights[0,1,3,2]" in said and "cause" in said, "diff: in words", text, said)
        ours = trace["stages"]["weights"]["data"][0][1][3][2]
        found = self.expect("diff: the first difference", "#cell", r"^weights\[0,1,3,2\]: theirs (\S+), ours (\S+), difference (\S+)$")
        if found:
            self.report.check(abs(float(found[1]) - ours - 0.125) < 1e-6 and abs(float(found[2]) - ours) < 1e-6 and
                              abs(float(found[3]) - 0.125) < 1e-6, "diff: its numbers", ours, found[0])
        self.expect("diff: what differs", "#count", r"^1 of 50 numbers")
        b.run("const s = document.getElementById('atol'); s.value = Math.log10(0.2); s.dispatchEvent(new Event('input'))")
        self.expect("diff: a larger tolerance", "#count", r"^all 50 numbers are within it$")
        from selenium.webdriver.common.keys import Keys
        slider = b.driver.find_element("id", "atol")
        slider.send_keys(Keys.HOME)
        self.expect("diff: the slider by keyboard", "#count", r"^1 of 50")
        b.driver.find_elements("css selector", "#stages button")[0].click()
        self.expect("diff: another stage", "#words", r"^scores is equal")
        b.run("document.getElementById('ours').focus()")
        b.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.PAGE_DOWN)
        self.expect("diff: a cell by keyboard", "#cell", r"^scores\[0,1,1,1\]: theirs (-?\d\.\d{5})\d*, ours \1\d*, difference ")
        self.quiet("diff")
        self.look("diff", page)
        b.look(1000, 900, script=False)
        b.open(page, ready=False)
        self.report.check(all(e.is_displayed() for e in b.driver.find_elements("css selector", ".report, #first svg")), "diff without script", True, False)
        with open(svg, encoding="utf-8") as file:
            root = ET.fromstring(file.read())
        texts = " ".join("".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text"))
        self.report.check(all(w in texts for w in ("theirs weights", "ours weights", "difference weights", "first difference: weights[0,1,3,2]")),
                          "diff: SVG", "three pictures and words", texts[:300])
        equal = os.path.join(self.folder, "same.html")
        self.call("run", document, "-o", os.path.join(self.folder, "t.json"))
        self.report.equal("diff: equal", self.call("diff", os.path.join(self.folder, "t.json"), document, "-o", equal).status, 0)
        b.look(1000, 900)
        b.open(equal)
        self.expect("diff: nothing differs", "#count", "^all ")
        self.quiet("diff of equal ones")

    def run(self):
        self.explained()
        self.blanks()
        self.compared()



if __name__ == "__main__":
    sys.exit(browser.run_tests(__doc__, Tests))

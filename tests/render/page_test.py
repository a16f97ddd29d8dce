"""Pages of HTML in a real browser: numbers, calculations, every control by mouse and by keyboard, no request, no word on the console."""
import glob
import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import browser  # noqa: E402
from harness import SANITIZED, SOURCE, float32, json_values, number, same  # noqa: E402

HEADS = {"variant": "multi_head", "num_heads": 4, "causal": True, "tokens": ["Your", "journey", "starts", "with", "one", "step"],
         "embeddings": {"init": "torch.rand", "seed": 5, "shape": [2, 6, 8]},
         "weights": {"init": "torch.nn.Linear", "seed": 3, "d_out": 8, "out_proj": True}}
CROSS = {"variant": "cross_attention", "tokens": ["un", "deux", "trois"], "key_tokens": [f"k{n}" for n in range(9)],
         "embeddings": {"init": "torch.rand", "seed": 1, "shape": [3, 4]}, "key_embeddings": {"init": "torch.rand", "seed": 2, "shape": [9, 4]},
         "weights": {"init": "torch.nn.Linear", "seed": 7, "d_out": 4}}
EMPTY = {"variant": "scaled_dot_product", "queries": [[1, 2], [3, 4]], "keys": [[1, 0], [0, 1]], "values": [[1, 1], [2, 2]],
         "mask": {"keep": [[1, 1], [0, 0]]}}
ROPE = {"variant": "grouped_query", "num_heads": 4, "num_kv_heads": 2, "rope": {"base": 100}, "qk_norm": {"type": "rms"}, "causal": True,
        "softcap": 3, "sinks": [0.1, 0.2, 0.3, 0.4], "embeddings": {"init": "torch.randn", "seed": 4, "shape": [5, 8]},
        "weights": {"init": "torch.nn.Linear", "seed": 6, "d_out": 16}}
GIVEN = {"variant": "scaled_dot_product", **{name: {"init": "torch.randn", "seed": n, "shape": [2, 2, 3, 6]} for n, name in enumerate(("queries", "keys", "values"))}}
SCALED = {**GIVEN, "rope": {"positions": [[0, 1, 2.5], [7, 8, 9]], "reverse": True,
                            "scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 30}}}
COLUMNS = {**GIVEN, "rope": {"pairs": "interleaved", **{name: {"init": "torch.rand", "seed": n, "shape": [2, 3, 6]} for n, name in enumerate(("cos", "sin"))}}}
NORMS = {"variant": "grouped_query", "num_heads": 4, "num_kv_heads": 2, "embeddings": {"init": "torch.randn", "seed": 4, "shape": [2, 3, 8]}, "rope": {},
         "qk_norm": {"type": "layer", "after": "rope"}, "value_norm": {"type": "rms"}, "query_scale": [[1, 2, 0.5], [2, 1, 1], [1, 1, 3], [0.5, 2, 2]],
         "clip_qkv": 0.75, "weights": {"W_query": {"init": "torch.rand", "seed": 1, "shape": [8, 16]}, "W_key": {"init": "torch.rand", "seed": 2, "shape": [8, 8]},
                                 "W_value": {"init": "torch.rand", "seed": 3, "shape": [8, 8]}, "q_norm.weight": [[1, 2, 3, 4]] * 4, "k_norm.bias": [1, 2, 3, 4],
                                 "v_norm.weight": [2, 1, 0.5, 1]}}

GATES = {"variant": "gated", "num_heads": 2, "embeddings": {"init": "torch.randn", "seed": 4, "shape": [2, 3, 4]}, "gate": {"activation": "softplus", "norm": "rms", "over": "width"},
         "embeddings_norm": {"type": "layer", "weight": [1, 2, 0.5, 1], "bias": [0, 1, 0, 2]}, "concat_norm": {"type": "layer"}, "weights": {**{name: {"init": "torch.rand", "seed": n, "shape": [4, 4]} for n, name in enumerate(("W_query", "W_key", "W_value", "W_out"))},
                                                       "W_gate": [[1, -2], [3, 1], [20, 1], [2, -1]], "norm.weight": [1, 2, 3, 4], "concat_norm.weight": [2, 1, 1, 3], "concat_norm.bias": [0.5, 0, 1, 0]}}

VALUE_HEADS = {"variant": "delta", "num_heads": 2, "num_value_heads": 4, "embeddings": {"init": "torch.randn", "seed": 4, "shape": [1, 3, 6]}, "qk_norm": {"type": "l2"},
               "weights": {"in_proj_qkv.weight": {"init": "torch.rand", "seed": 1, "shape": [16, 6]}, "W_beta": {"init": "torch.rand", "seed": 2, "shape": [6, 4]},
                           "W_out": {"init": "torch.rand", "seed": 3, "shape": [8, 5]}}}
LATENT = {"variant": "latent", "num_heads": 2, "causal": True, "embeddings": {"init": "torch.randn", "seed": 4, "shape": [4, 6]},
          "weights": {**{name: {"init": "torch.rand", "seed": n, "shape": shape} for n, (name, shape) in enumerate({
              "q_a_proj.weight": [3, 6], "q_b_proj.weight": [10, 3], "kv_a_proj_with_mqa.weight": [5, 6], "kv_b_proj.weight": [12, 3]}.items())},
              "q_a_layernorm.weight": [0.5, 1, 2], "kv_a_layernorm.weight": [1, 0.25, 3]}}
HALVES = {**GIVEN, "variant": "differential", "pairing": "halves", "lambda": -0.3, "queries": {"init": "torch.randn", "seed": 1, "shape": [8, 3, 6]},
          "keys": {"init": "torch.randn", "seed": 2, "shape": [4, 3, 6]}, "values": {"init": "torch.randn", "seed": 3, "shape": [2, 3, 5]}}

# Milliseconds that a page of 12 heads of 512 x 512 may take to open, and to follow the pointer, where nothing else runs (the test
# prints what they took). Where other tests run beside it, only this many times as much is a mistake and not a slow machine.
OPENS, FOLLOWS, BESIDE_OTHERS = 2000, 250, 10

# Goes to each address and reads what is shown there.
VISIT = r"""
const [places, done] = arguments, out = [];
const wait = () => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));
(async () => {
    for (const [place, name] of places) {
        location.hash = place;
        for (let k = 0; k < 100 && !document.getElementById('exact').textContent.startsWith(name + ' '); ++k) await wait();
        out.push({exact: document.getElementById('exact').textContent, said: document.getElementById('said').textContent,
                  lines: [...document.querySelectorAll('#told .line')].map((e) => e.textContent),
                  silent: document.querySelector('#told p.why') ? document.querySelector('#told p.why').textContent : '',
                  cut: document.querySelectorAll('#told .more').length,
                  places: [...document.querySelectorAll('#told [data-place]')].map((e) => e.dataset.place)});
    }
    done(out);
})();
"""


class Tests(browser.PageTests):
    random = random.Random(1)
    backwards = []  # whether a gradient's calculation is told

    def document(self, name, content):
        path = os.path.join(self.folder, name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file)
        return path

    def page(self, path, *options):
        out = os.path.join(self.folder, os.path.basename(path).replace(".json", "") + ".html")
        result = self.call("run", path, *options, "-o", out)
        self.report.equal(f"{os.path.basename(path)}: exit", (result.status, result.out), (0, b""))
        return out

    # --- numbers ------------------------------------------------------------------------------------------------

    def cells(self, trace, each):
        """Some cells of every stage: [(address, place, number)]."""
        out = []
        for stage in trace["order"]:
            data = trace["stages"][stage]
            if 0 in data["shape"]:
                continue
            for _ in range(each):
                at = [self.random.randrange(n) for n in data["shape"]]
                value = data["data"]
                for k in at:
                    value = value[k]
                part = dict(zip(data["axes"][:-1][:2], at))
                rest = at[sum(axis in ("batch", "head") for axis in data["axes"][:-1]):]
                row, column = ([0] + rest)[-2:]
                token = rest[:-2]
                address = "/".join(map(str, [stage, part.get("batch", 0), part.get("head", 0), row, column, *token]))
                out.append((address, f"{stage}[{','.join(map(str, at))}]", number(value)))
        return out

    def told(self, path, each=1, full=True):
        """Numbers are those of the trace; a calculation has the numbers that `explain --cell` has."""
        name = os.path.basename(path)
        trace = json_values(self.call("run", path, "-f", "json").out)[0]
        self.browser.open(self.page(path))
        cells = self.cells(trace, each)
        shown = self.browser.run_async(VISIT, [["#" + c[0], c[1]] for c in cells])
        for (_, place, value), seen in zip(cells, shown):
            label = f"{name}: {place}"
            written = re.fullmatch(re.escape(place) + r" = (\S+)( \(hidden\))?", seen["exact"])
            if not self.report.check(written, label, place, seen["exact"]):
                continue
            found = float(written[1].replace("∞", "inf"))
            if trace["plan"]["dtype"] == "float32":
                found, value = float32(found), float32(value)
            self.report.check(same(found, value), label, value, seen["exact"])
            self.explained(path, label, place, seen, value)
        self.quiet(name)

    def explained(self, path, label, place, seen, value):
        told = json_values(self.call("explain", path, "--cell", place, "--level", "full", "-f", "json").out)[0]["steps"][0]
        last = [line for line in told["lines"] if line["place"] == place][-1]
        backwards = place.startswith("d_")
        if backwards:
            self.backwards.append(bool(seen["lines"]))
        if not (backwards and seen["silent"].startswith("Its calculation is not shown here")):
            self.report.check(seen["lines"], label + ": told", last["expression"], seen["silent"])
        if not seen["lines"]:
            return
        # What the whole step is made of: numbers of stages and of the document, however far they are taken along.
        stage = place.split("[")[0]
        if value == 0 and (stage.endswith("weights") or backwards):
            return  # hidden: nothing is calculated
        terms = {term["place"] for line in told["lines"] for term in line["terms"] if "place" in term and re.search(r"\]$", term["place"])}
        terms -= {p for p in terms if p.startswith(stage + "[") and "states" not in stage}
        if not seen["cut"]:
            mine = {p for p in seen["places"] if not re.match(r"(query|key)_position|frequency_factor|query_scale|slope|sink", p)}
            theirs = {p for p in terms if not re.match(r"slope|sinks", p)}
            self.report.equal(label + ": numbers", sorted(mine), sorted(theirs))

    # --- what can be done ---------------------------------------------------------------------------------------

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        for key in keys:
            ActionChains(self.browser.driver).send_keys(key).perform()

    def click(self, selector, index=0):
        self.browser.until(lambda: len(self.browser.driver.find_elements("css selector", selector)) > index)
        element = self.browser.driver.find_elements("css selector", selector)[index]
        self.browser.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def controls(self):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys
        path = self.page(self.document("heads", HEADS))
        b = self.browser
        b.look(1300, 1000)
        b.open(path)
        self.expect("begins with the weights", "#matrix-title", r"^weights, head 0 of 4, item 0$")
        self.expect("a sentence is said", "#said", r"^weights, query journey, key Your, 0\.\d{4}$")
        # The strip, by mouse and by keyboard.
        self.click("#strip button", 0)
        self.expect("strip by mouse", "#matrix-title", "^queries")
        self.press(Keys.ARROW_RIGHT)
        self.expect("strip by keyboard", "#matrix-title", "^keys")
        self.press(Keys.END)
        self.expect("the strip's end", "#matrix-title", "^output")
        # The matrix by keyboard.
        b.open(path, "#weights/0/1/2/1")
        self.expect("an address", "#exact", r"^weights\[0,1,2,1\] = ")
        b.run("document.getElementById('scroll').focus()")
        for keys, place in ((Keys.ARROW_LEFT, "0,1,2,0"), (Keys.ARROW_DOWN, "0,1,3,0"), (Keys.ARROW_RIGHT, "0,1,3,1"), (Keys.END, "0,1,3,5"),
                            (Keys.HOME, "0,1,3,0"), (Keys.ARROW_UP, "0,1,2,0"), (Keys.PAGE_DOWN, "0,2,2,0"), (Keys.PAGE_UP, "0,1,2,0"),
                            (Keys.PAGE_UP, "0,0,2,0"), (Keys.PAGE_UP, "0,0,2,0")):
            self.press(keys)
            self.expect(f"key {ascii(keys)}", "#exact", rf"^weights\[{place}\] = ")
        not_kept = "return document.getElementById('kept').hidden"
        self.becomes("an address keeps its cell", not_kept, False)
        self.press(Keys.ESCAPE)
        self.becomes("Escape lets go", not_kept, True)
        self.press(Keys.ENTER)
        self.becomes("Enter keeps", not_kept, False)
        self.press(Keys.ESCAPE)
        self.becomes("the address", "return location.hash", "#weights/0/0/2/0")
        # By mouse: point, keep, let go.
        canvas = b.driver.find_element("id", "matrix")
        # From the middle of what is drawn to the last cell: the matrix ends before the canvas does.
        x, y = b.run("const r = arguments[0].getBoundingClientRect(), s = document.getElementById('space'); "
                     "return [parseFloat(s.style.width) - r.width / 2, parseFloat(s.style.height) - r.height / 2]", canvas)
        ActionChains(b.driver).move_to_element_with_offset(canvas, int(x - 20), int(y - 12)).perform()
        self.expect("pointing", "#exact", r"^weights\[0,0,5,5\] = ")
        ActionChains(b.driver).click().perform()
        ActionChains(b.driver).move_by_offset(-64, -32).perform()
        self.expect("a click keeps", "#exact", r"^weights\[0,0,5,5\] = ")
        self.press(Keys.ESCAPE)
        ActionChains(b.driver).move_by_offset(1, 0).perform()
        self.expect("Escape lets go of it", "#exact", r"^weights\[0,0,4,4\] = ")
        # Heads: look, keep, let go.
        buttons = b.driver.find_elements("css selector", "#heads button")
        self.report.equal("heads", len(buttons), 4)
        ActionChains(b.driver).move_to_element(buttons[2]).perform()
        self.expect("a head is looked at", "#matrix-title", "head 2 of 4")
        ActionChains(b.driver).move_to_element(canvas).perform()
        self.expect("and let go", "#matrix-title", "head 0 of 4")
        ActionChains(b.driver).move_to_element(buttons[3]).perform()
        self.expect("another head is looked at", "#matrix-title", "head 3 of 4")
        buttons[3].click()
        self.expect("a head is kept", "#matrix-title", "head 3 of 4")
        self.becomes("pressed", "return [...document.querySelectorAll('#heads button')].map((e) => e.ariaPressed)",
                     ["false", "false", "false", "true"])
        self.press(Keys.ARROW_LEFT, Keys.ENTER)
        self.expect("a head by keyboard", "#matrix-title", "head 2 of 4")
        self.click("#head-back")
        self.expect("head back", "#matrix-title", "head 1 of 4")
        self.click("#head-on")
        self.expect("head on", "#matrix-title", "head 2 of 4")
        # Batch items.
        b.run("const s = document.getElementById('item'); s.value = '1'; s.dispatchEvent(new Event('change'))")
        self.expect("an item", "#exact", r"^weights\[1,2,")
        # The sentence.
        self.click("#words button", 3)
        self.expect("a word", "#exact", r"^weights\[1,2,3,")
        self.expect("what it attends to", "#words-said", r"^with attends most to \S+: 0\.\d+$")
        self.press(Keys.ARROW_RIGHT)
        self.expect("the next word", "#exact", r"^weights\[1,2,4,")
        # Down to the document and back.
        b.open(path, "#weights/0/0/2/1")
        for stage in ("masked_scores", "scaled_scores", "scores", "queries"):
            self.click("#told .cells button", 0)
            self.expect(f"down to {stage}", "#exact", rf"^{stage}\[0,0,2,")
        self.expect("the document's numbers", "#told", r"embeddings\[0,2,0\] = ")
        self.click("#trail button", 1)
        self.expect("back along the way", "#exact", r"^masked_scores\[0,0,2,")
        # Steps.
        b.open(path, "#queries/0/0/0/0")
        for button, place in (("#step-on", "queries[0,0,0,0]"), ("#step-on", "queries[0,0,0,1]"), ("#step-on", "queries[0,0,1,0]"),
                              ("#step-back", "queries[0,0,0,1]"), ("#stage-on", "keys[0,0,0,0]"), ("#step-back", "queries[0,0,5,1]"),
                              ("#step-on", "keys[0,0,0,0]"), ("#stage-back", "queries[0,0,0,0]")):
            self.click(button)
            self.expect(f"{button} to {place}", "#exact", "^" + re.escape(place))
        self.click("#step-all")
        self.becomes("all is shown again", "return document.getElementById('step-all').hidden", True)
        self.click("#larger")
        self.click("#smaller")
        self.downloads(path)
        self.quiet("controls")
        self.named("heads")

    def downloads(self, path):
        b = self.browser
        trace = json_values(self.call("run", os.path.join(self.folder, "heads.json"), "-f", "json").out)[0]
        b.open(path, "#weights/1/2/0/0")
        for button, name in (("#save-csv", "weights-item1-head2.csv"), ("#save-svg", "weights-item1-head2.svg")):
            self.click(button)
            target = os.path.join(self.folder, name)
            if not self.report.check(b.until(lambda target=target: os.path.exists(target)), name, "a file", os.listdir(self.folder)):
                continue
            with open(target, encoding="utf-8", newline="") as file:
                text = file.read()
            if name.endswith(".csv"):
                rows = [line.split(",") for line in text.split("\r\n")[:-1]]
                self.report.equal("CSV: labels", (rows[0][1:], [r[0] for r in rows[1:]]), (HEADS["tokens"], HEADS["tokens"]))
                expected = [[float32(float(x)) for x in row] for row in trace["stages"]["weights"]["data"][1][2]]
                self.report.equal("CSV: numbers", [[float32(float(x)) for x in row[1:]] for row in rows[1:]], expected)
            else:
                import xml.etree.ElementTree as ET
                titles = [e.text for e in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}title")]
                self.report.equal("SVG: titles", len(titles), 37)

    def named(self, name):
        nameless = [n for n in self.browser.names() if not n[1].strip()]
        self.report.equal(f"{name}: every control has a name", nameless, [])

    # --- how it looks -------------------------------------------------------------------------------------------

    def looks(self):
        b = self.browser
        path = self.page(self.document("heads", HEADS))
        for dark in (False, True):
            for width in (360, 800, 1600):
                b.look(width, 900, dark)
                b.open(path)
                name = f"{width} wide, {'dark' if dark else 'light'}"
                inside = b.run("return [document.documentElement.scrollWidth, innerWidth]")
                self.report.check(inside[0] <= inside[1], name + ": nothing sticks out", inside[1], inside[0])
                worst = b.run(browser.CONTRAST)
                self.report.check(worst[0][0] >= 4.5, name + ": contrast", 4.5, worst)
                self.for_everybody(name)
                self.quiet(name)
            ground = b.run("return getComputedStyle(document.body).backgroundColor")
            self.report.equal("ground", ground, "rgb(22, 24, 28)" if dark else "rgb(255, 255, 255)")
        # Without script the first picture stands, and nothing else is promised.
        b.look(1000, 900, script=False)
        b.open(path, ready=False)
        svg = b.driver.find_element("css selector", "#first svg")
        self.report.check(svg.is_displayed() and svg.rect["height"] > 100, "without script: the first picture", "an SVG", svg.rect)
        shown = [e.is_displayed() for e in b.driver.find_elements("css selector", "#strip, #panes")]
        self.report.equal("without script: no empty panes", shown, [False, False])
        b.look(1200, 900)

    def large(self):
        """12 heads of 512 x 512: opens, points and scrolls."""
        b = self.browser
        content = {"variant": "multi_head", "num_heads": 12, "causal": True, "embeddings": {"init": "torch.randn", "seed": 1, "shape": [512, 768]},
                   "weights": {"init": "torch.nn.Linear", "seed": 2, "d_out": 768, "out_proj": True}}
        path = self.page(self.document("large", content))
        size = os.path.getsize(path)
        self.report.check(size < 64e6, "large: size", 64e6, size)
        b.look(1400, 1000)
        b.open(path, "#weights/0/3/300/200")
        shown = b.run("return Number(document.documentElement.dataset.shown)")
        self.report.check(shown < BESIDE_OTHERS * OPENS, "large: milliseconds to the picture", BESIDE_OTHERS * OPENS, shown)
        trace = json_values(self.call("run", os.path.join(self.folder, "large.json"), "-f", "json", "--stages", "weights", "--heads", "3", "--rows", "300").out)[0]
        seen = self.browser.run_async(VISIT, [["#" + p.replace("[", "/").replace(",", "/").rstrip("]"), p] for p in ("weights[0,3,300,200]", "context[0,3,300,5]", "queries[0,3,300,5]")])
        value = number(trace["stages"]["weights"]["data"][0][0][0][200])
        self.report.equal("large: a number", float32(float(seen[0]["exact"].split(" = ")[1])), float32(value))
        self.report.check(all(s["lines"] for s in seen), "large: told", "lines", seen)
        b.open(path, "#weights/0/3/300/200")
        slowest = b.run_async(r"""const done = arguments[0], canvas = document.getElementById('matrix'), scroll = document.getElementById('scroll');
            const wait = () => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));
            document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}));
            (async () => { let worst = 0; for (let k = 0; k < 12; ++k) { const begin = performance.now(), box = canvas.getBoundingClientRect();
                canvas.dispatchEvent(new MouseEvent('mousemove', {clientX: box.left + 200 + 9 * k, clientY: box.top + 150 + 11 * k, bubbles: true}));
                scroll.scrollTop = 30 * k; scroll.scrollLeft = 20 * k; await wait(); worst = Math.max(worst, performance.now() - begin); } done(worst); })();""")
        self.report.check(slowest < BESIDE_OTHERS * FOLLOWS, "large: milliseconds to point and scroll", BESIDE_OTHERS * FOLLOWS, slowest)
        print(f"12 heads of 512 x 512: opens in {shown} ms, follows the pointer in at most {slowest:.0f} ms")
        self.quiet("large")

    def refused(self):
        content = {"variant": "multi_head", "num_heads": 16, "embeddings": {"init": "torch.randn", "seed": 1, "shape": [1024, 16]},
                   "weights": {"init": "torch.nn.Linear", "seed": 2, "d_out": 16}}
        path = self.document("huge", content)
        target = os.path.join(self.folder, "huge.html")
        result = self.call("run", path, "-o", target)
        self.report.equal("too large: exit", result.status, 3)
        self.report.matches("too large: the remedy", result.said, r"huge\.json: .* MB .*\n.*--stages")
        self.report.check(not os.path.exists(target), "too large: no file", "none", "one")

    def equal_bytes(self):
        path = self.document("heads", HEADS)
        first, second = (self.call("run", path, "-f", "html", *o).out for o in ((), ("--threads", "1")))
        self.report.check(first == second and len(first) > 10000, "equal bytes", len(first), len(second))

    def run(self):
        self.browser.look(1200, 900)
        for path in sorted(glob.glob(os.path.join(SOURCE, "data", "examples", "*.json"))):
            self.told(path)
        for name, content in (("cross", CROSS), ("empty", EMPTY), ("rope", ROPE), ("scaled", SCALED), ("columns", COLUMNS), ("norms", NORMS), ("gates", GATES), ("value_heads", VALUE_HEADS), ("latent", LATENT), ("halves", HALVES)):
            self.told(self.document(name, content), each=3)
        for name, content in (("heads", HEADS), ("cross", CROSS), ("rope", ROPE), ("halves", HALVES)):
            self.told(self.document(f"{name}_backwards", {**content, "gradient": {"loss": "sum"}}))
        self.report.check(sum(self.backwards) > 0.8 * len(self.backwards) > 0, "most gradients are told", "four of five",
                          (sum(self.backwards), len(self.backwards)))
        self.controls()
        self.looks()
        self.equal_bytes()
        self.refused()
        if not SANITIZED:
            self.large()



if __name__ == "__main__":
    sys.exit(browser.run_tests(__doc__, Tests))

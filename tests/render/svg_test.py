"""SVG pictures from outside: their form, and the colours that viewers make of them read back into numbers.

The SVG is drawn by rsvg-convert and, where it is there, by Chromium. Which number a colour means is read off the picture's own
legend, as a reader of the picture has to; the numbers are those of the JSON trace. Titles of cells are compared in full.
"""
import json
import math
import os
import random
import re
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Report, execute, leaves, number, parser_of, program_of  # noqa: E402

NAMESPACE = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg": {"class", "viewBox", "width", "height", "role"}, "title": set(), "desc": set(), "style": set(), "defs": set(),
            "linearGradient": {"id"}, "stop": {"offset", "stop-color"}, "pattern": {"id", "width", "height", "patternUnits"},
            "path": {"d", "stroke"}, "g": {"class", "transform"}, "tspan": {"class"}, "text": {"class", "x", "y", "transform"},
            "rect": {"class", "x", "y", "width", "height", "fill"},
            "image": {"x", "y", "width", "height", "preserveAspectRatio", "href"}}
ZOOM = 2
NASTY = ["<script>alert(1)</script>", "]]><b>", "\x1b[31m", "&lt;", "\"'>", "‮abc", "日本語", "\uffff"]


def noise(rows, columns, seed, scale=1.0):
    generator = random.Random(seed)
    return [[round(generator.gauss(0, scale), 4) for _ in range(columns)] for _ in range(rows)]


def attention(count, heads, width=4, seed=1, **more):
    return {"variant": "scaled_dot_product", "num_heads": heads, "queries": [noise(count, width, seed + h, 2) for h in range(heads)],
            "keys": [noise(count, width, seed + 100 + h) for h in range(heads)],
            "values": [noise(count, width, seed + 200 + h) for h in range(heads)], **more}


CASES = {
    "causal": (attention(6, 1, tokens=["Your", "journey", "starts", "with", "one", "step"], causal=True), ["scores", "masked_scores", "weights", "context"]),
    "heads": (attention(12, 12, causal=True), ["weights"]),
    "cross": ({"variant": "scaled_dot_product", "tokens": ["a", "b", "c"], "queries": noise(3, 4, 1), "keys": noise(9, 4, 2), "values": noise(9, 4, 3)}, ["weights", "scores"]),
    "window": (attention(10, 2, window={"left": 2, "right": 1}), ["masked_scores", "weights"]),
    "empty rows": (attention(5, 1, mask={"keep": [[i != 2 and j <= i for j in range(5)] for i in range(5)]}, empty_rows="zero"), ["weights"]),
    "rows of NaN": (attention(5, 1, mask={"keep": [[i != 2 for j in range(5)] for i in range(5)]}, empty_rows="nan"), ["weights"]),
    "image": (attention(120, 1, causal=True), ["scores", "masked_scores", "weights"]),
    "images": (attention(104, 4), ["weights"]),
}


class Shape:
    """What is drawn at which place: a cell, an image of cells, a legend."""

    def __init__(self, element, x, y, panel):
        self.element, self.panel = element, panel
        self.kind = (element.get("class") or element.tag[len(NAMESPACE):]).split()[0]
        self.x, self.y = x + float(element.get("x", 0)), y + float(element.get("y", 0))
        self.width, self.height = (float(element.get(a, "0").rstrip("%")) for a in ("width", "height"))
        self.title = element.findtext(NAMESPACE + "title") or ""


def stages_of(root):
    """For each stage: its panels as lists of shapes, and its legend as (low, high, shape)."""
    def walk(element, x, y, panel):
        moved = re.fullmatch(r"translate\((-?\d+),(-?\d+)\)", element.get("transform", ""))
        if moved:
            x, y = x + int(moved[1]), y + int(moved[2])
        if element.get("class") == "panel":
            panel = walk.panels
            walk.panels += 1
        for child in element:
            if child.tag in (NAMESPACE + "rect", NAMESPACE + "image"):
                yield Shape(child, x, y, panel)
            elif child.tag == NAMESPACE + "g":
                yield from walk(child, x, y, panel)

    for stage in root.findall(NAMESPACE + "g"):
        walk.panels = 0
        shapes = list(walk(stage, 0, 0, None))
        words = [t.text for t in stage.findall(NAMESPACE + "text") if t.get("class") == "legend"]
        scale = next(s for s in shapes if s.kind == "scale")
        panels = [[s for s in shapes if s.panel == p and s.kind in ("cell", "hidden", "other", "image")]
                  for p in range(walk.panels)]
        yield panels, (float(words[0]), float(words[1]), scale)


class Drawn:
    """Pixels of a drawing, ZOOM for each unit."""

    def __init__(self, path):
        from matplotlib import image
        self.pixels = image.imread(path)

    def colour(self, x, y):
        return [float(c) for c in self.pixels[int(y * ZOOM), int(x * ZOOM)][:3]]


def number_reader(drawn, low, high, scale):
    """colour -> the number that the legend has it for, and how far from the legend's colour it is"""
    y, steps = scale.y + scale.height / 2, int(scale.width * ZOOM)
    colours = [drawn.colour(scale.x + (k + 0.5) / ZOOM, y) for k in range(steps)]

    def read(colour):
        distance, best = min((math.dist(c, colour), k) for k, c in enumerate(colours))
        return low + (best + 0.5) / steps * (high - low), distance

    return read


class Tests:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder
        self.viewers = {"rsvg": self.by_rsvg} if shutil.which("rsvg-convert") else {}
        if shutil.which("chromium"):
            self.viewers["chromium"] = self.by_chromium
        for name in {"rsvg", "chromium"} - set(self.viewers):
            print(f"{name} is not there: nothing is drawn by it")

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def run(self, *arguments):
        return execute([self.program, *arguments], self.folder)

    def by_rsvg(self, svg, png):
        return execute(["rsvg-convert", "-z", str(ZOOM), "-o", png, svg], self.folder)

    def by_chromium(self, svg, png):
        width, height = re.search(r'viewBox="0 0 (\d+) (\d+)"', open(svg, encoding="utf-8").read()).groups()
        return execute(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={self.folder}/profile",
                        f"--force-device-scale-factor={ZOOM}", f"--window-size={width},{height}", f"--screenshot={png}", "file://" + svg], self.folder)

    def picture(self, name, arguments):
        """The SVG as a tree, after a look at its form."""
        result = self.run(*arguments, "-f", "svg")
        if not self.report.check(result.status == 0, f"{name}: svg", "exit 0", result.said):
            return None, None
        self.report.check(self.run(*arguments, "-f", "svg").out == result.out, f"{name}: a second run", "the same bytes")
        root = ET.fromstring(result.text)
        for element in root.iter():
            tag = element.tag[len(NAMESPACE):]
            odd = set(element.attrib) - ELEMENTS.get(tag, set())
            self.report.check(tag in ELEMENTS and not odd, f"{name}: an element", "one that is known", f"{tag} {odd}")
            self.report.check(element.get("href", "data:image/png;base64,").startswith("data:image/png;base64,"), f"{name}: an image", "inside the file", element.get("href"))
        self.report.check("url(" not in re.sub(r"url\(#attn-[a-z]+\)", "", result.text) and "@import" not in result.text, f"{name}: style", "nothing from outside")
        left, top, width, height = map(float, root.get("viewBox").split())
        for panels, legend in stages_of(root):
            for s in [legend[2], *(s for p in panels for s in p)]:
                inside = left <= s.x and top <= s.y and s.x + s.width <= width and s.y + s.height <= height
                self.report.check(inside, f"{name}: a shape", "inside the viewBox", f"{s.kind} {s.x} {s.y}")
        return root, self.file("picture.svg", result.text)

    def compare(self, name, document, stages):
        path = self.file("x.json", document)
        arguments = ["run", path, "--stages", ",".join(stages)]
        trace = json.loads(self.run(*arguments, "-f", "json").text)
        root, svg = self.picture(name, arguments)
        if root is None:
            return
        drawings = {}
        for viewer, draw in self.viewers.items():
            png = os.path.join(self.folder, viewer + ".png")
            result = draw(svg, png)
            if self.report.check(os.path.exists(png), f"{name}: {viewer}", "a drawing", result.said):
                drawings[viewer] = Drawn(png)
                os.remove(png)
        mask = leaves(trace["stages"]["masked_scores"]["data"]) if "masked_scores" in trace["stages"] else None
        for stage, (panels, legend) in zip(trace["order"], stages_of(root)):
            data = trace["stages"][stage]
            rows, columns = data["shape"][-2:]
            numbers = [number(x) for x in leaves(data["data"])]
            self.report.equal(f"{name} {stage}: panels", len(panels), len(numbers) // (rows * columns))
            for p, shapes in enumerate(panels):
                own = numbers[p * rows * columns:(p + 1) * rows * columns]
                hidden_of = mask[p * rows * columns:(p + 1) * rows * columns] if mask and stage in ("masked_scores", "weights") else None
                self.cells(f"{name} {stage} {p}", shapes, own, rows, columns, legend, drawings, hidden_of)

    def cells(self, name, shapes, numbers, rows, columns, legend, drawings, mask):
        low, high, scale = legend
        images = [s for s in shapes if s.kind == "image"]
        generator = random.Random(name)
        chosen = generator.sample(range(len(numbers)), min(len(numbers), 40))
        if images:
            image = images[0]
            centre = lambda k: (image.x + (k % columns + 0.5) * image.width / columns, image.y + (k // columns + 0.5) * image.height / rows)  # noqa: E731
            hidden = [k for k in chosen if mask and mask[k] == "-Infinity" and numbers[k] in (0, -math.inf)]
            chosen = [k for k in chosen if k not in hidden]
            for viewer, drawn in drawings.items():
                for k in hidden:
                    red, green, blue = drawn.colour(*centre(k))
                    self.report.check(max(red, green, blue) - min(red, green, blue) < 0.01, f"{name} {k}: hidden, by {viewer}", "a hatch of grey", (red, green, blue))
        else:
            if not self.report.equal(f"{name}: cells", len(shapes), len(numbers)):
                return
            for k, s in enumerate(shapes):
                if s.kind == "hidden":
                    self.report.check(s.title.endswith(": hidden") and (numbers[k] in (0, -math.inf)), f"{name} {k}", "a hidden cell", s.title)
                    continue
                told = s.title.rsplit(": ", 1)[1]
                said = math.nan if told == "NaN" else float(told.replace("Infinity", "inf"))
                self.report.check(said == numbers[k] or said != said and numbers[k] != numbers[k], f"{name} {k}: title", numbers[k], told)
                self.report.equal(f"{name} {k}: class", s.kind, "cell" if math.isfinite(numbers[k]) else "other")
            if mask:
                self.report.equal(f"{name}: hidden cells", [s.kind == "hidden" for s in shapes], [x == "-Infinity" for x in mask])
            centre = lambda k: (shapes[k].x + 3, shapes[k].y + 3)  # noqa: E731, numbers stand in the middle
            chosen = [k for k in chosen if shapes[k].kind == "cell"]
        for viewer, drawn in drawings.items():
            read = number_reader(drawn, low, high, scale)
            for k in chosen:
                found, distance = read(drawn.colour(*centre(k)))
                self.report.check(abs(found - numbers[k]) <= 0.016 * (high - low) and distance < 0.03,
                                  f"{name} {k // columns},{k % columns}: its colour by {viewer}", numbers[k], f"{found}, {distance} from the legend")

    def test_numbers(self):
        for name, (document, stages) in CASES.items():
            self.compare(name, document, stages)

    def test_scales(self):
        """Weights keep 0 to 1; scores lie symmetric around 0 and as far as the numbers do."""
        path = self.file("x.json", {"queries": [[0.01, 0.02]], "keys": [[0.01, 0.01], [0, 0.01]], "values": [[1], [2]]})
        root, _ = self.picture("near", ["run", path, "--stages", "weights,scores"])
        (_, scores), (_, weights) = stages_of(root)
        self.report.equal("weights of 0.49 and 0.51: legend", weights[:2], (0, 1))
        self.report.check(abs(scores[0] + scores[1]) == 0 and abs(scores[1] - 0.0003) < 1e-9, "scores: legend", 0.0003, scores[:2])

    def test_sizes(self):
        """One row of 100 000 keys, 64 heads, 1000 tokens: said, drawn, small."""
        row = {"queries": [[1]], "keys": [[math.sin(k * 0.01) * 3] for k in range(100_000)], "values": [[1]] * 100_000}
        result = self.run("view", self.file("row.json", row), "-f", "svg")
        self.report.check(result.status == 0 and "1 × 72 cells are drawn as one" in result.text, "a row of 100 000 keys", "said", result.text[-400:] + result.said)
        root, _ = self.picture("64 heads", ["view", self.file("heads.json", attention(16, 64))])
        self.report.equal("64 heads: panels", len(next(stages_of(root))[0]), 64)
        result = self.run("view", self.file("long.json", attention(1000, 2)), "-f", "svg")
        self.report.check(result.status == 0 and len(result.out) < 4_000_000, "1000 tokens", "under 4 MB", len(result.out))

    def test_tokens(self):
        path = self.file("x.json", attention(8, 1, tokens=NASTY))
        plain = self.file("plain.json", attention(8, 1, tokens=list("abcdefgh")))
        nasty, _ = self.picture("nasty tokens", ["view", path])
        tame, _ = self.picture("plain tokens", ["view", plain])
        kinds = [{(e.tag, tuple(sorted(e.attrib))) for e in root.iter() if e.tag != NAMESPACE + "text"} for root in (nasty, tame)]
        self.report.equal("nasty tokens: elements", kinds[0], kinds[1])
        text = "".join(nasty.itertext())
        for shown in ("<script>alert(", "]]><b>", "\\x1b[31m", "&lt;", "\"'>", "\\u202eabc", "日本語", "\\uffff"):
            self.report.check(shown in text, "nasty tokens: text", shown)
        ascii_ = self.run("view", path, "-f", "svg", "--ascii")
        self.report.check(ascii_.out.isascii(), "--ascii", "ASCII")
        self.report.equal("--ascii: text", "".join(ET.fromstring(ascii_.text).itertext()), text)

    def test_threads(self):
        path = self.file("x.json", attention(70, 3, causal=True))
        one, two = (self.run("run", path, "-f", "svg", "--threads", n).out for n in "12")
        self.report.check(one == two and one.startswith(b"<svg "), "threads", "the same bytes")

    def test_given(self):
        """Somebody's numbers: a printed tensor, a matrix of CSV, our own traces in every format give the same cells."""
        printed = self.file("printed.txt", "tensor([[0.2500, 0.7500],\n        [0.5000, 0.5000]])\n")
        root, _ = self.picture("printed", ["view", printed, "--tokens", "a,b"])
        titles = [s.title for p in next(stages_of(root))[0] for s in p]
        self.report.equal("printed: titles", titles, ["query a, key a: 0.25", "query a, key b: 0.75", "query b, key a: 0.5", "query b, key b: 0.5"])
        document = self.file("x.json", attention(5, 2, tokens=list("abcde"), key_tokens=list("abcde"), causal=True))
        drawn = lambda path: [(s.kind, s.title) for p in next(stages_of(self.picture(path, ["view", path])[0]))[0] for s in p]  # noqa: E731
        ours = drawn(document)
        for form in ("json", "ndjson", "npz", "safetensors", "csv"):
            trace = os.path.join(self.folder, "trace." + form)
            self.run("run", document, "-o", trace)
            found = drawn(trace)
            self.report.equal(f"a trace as {form}", found, ours)
            os.remove(trace)

    def test_refused(self):
        """What cannot be drawn: said, with its exit code."""
        for name, content, arguments, status, words in (
                ("none.json", {"a": 1}, [], 3, "holds no numbers that can be drawn"),
                ("empty.json", {"a": []}, [], 3, "holds no numbers"),
                ("m.json", {"a": [[1, 2], [3, 4]]}, ["--stages", "b"], 2, "holds no such array\n  hint: .*arrays: a"),
                ("m.json", {"a": [[1, 2], [3, 4]]}, ["--tokens", "x,y,z"], 2, "--tokens has 3 tokens, but a has 2 rows and 2 columns"),
                ("m.json", {"a": [[1, 2], [3, 4]]}, ["--heads", "1"], 2, "there is no head 1"),
                ("m.json", {"a": [[1, 2], [3, 4]]}, ["--dtype", "float64"], 2, "--dtype has no use"),
                ("d.json", attention(3, 1), ["--tokens", "a,b"], 2, "--tokens has 2 tokens, but there are 3 queries and 3 keys"),
                ("d.json", attention(3, 1), ["-f", "json"], 2, "writes text")):
            result = self.run("view", self.file(name, content), *arguments)
            self.report.check(result.status == status and not result.out, f"view {name} {arguments}", status, (result.status, result.text[:80]))
            self.report.matches(f"view {name} {arguments}: said", result.said, words)

    def test_all(self):
        for name in [n for n in dir(self) if n.startswith("test_") and n != "test_all"]:
            getattr(self, name)()


def main():
    options = parser_of(__doc__.split("\n\n")[0]).parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        Tests(program, report, folder).test_all()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())

"""The lines of the table "What each program needs" of docs/formats.md, each as a few lines for the program and what it prints then.

The files: string, null and bare .json, .ndjson and .csv, which hold a hidden score as --nonfinite says; float64.csv and .ndjson with the
weights alone; ints.csv (30 000 whole numbers, then 0.5), infs.csv (30 000 -inf, then 0.5), words.csv (30 000 tokens 7, then cat),
digits.csv (every token is 007); trace.npz and
weights.npy. The document is causal: in row 0 of masked_scores every number but the first is -inf.
"""
import json
import os
from typing import NamedTuple

from harness import CSV_HEADER, execute


class Claim(NamedTuple):
    reader: str
    what: str
    kind: str
    code: str
    expected: str  # a regular expression of what is printed, errors too


def octave(path):
    return f'm = jsondecode(fileread("{path}")).stages.masked_scores.data; printf("%s", class(m)); if isnumeric(m), disp(m(1, 1, 1, 2)), end\n'


def octave_line(path):
    return f'''lines = strsplit(fileread("{path}"), "\\n");
for i = 1:numel(lines) - 1
  e = jsondecode(lines{{i}});
  if strcmp(e.event, "stage") && strcmp(e.name, "masked_scores"), printf("%s", class(e.data)); if isnumeric(e.data), disp(e.data(1, 2)), end, break, end
end
'''


def jsonlite(path):
    return f'm <- jsonlite::fromJSON("{path}")$stages$masked_scores$data; cat(typeof(m), m[1, 1, 1, 2])\n'


def jsonlite_lines(path):
    return (f't <- jsonlite::stream_in(file("{path}"), verbose = FALSE); m <- t$data[[which(t$name == "masked_scores")[1]]]\n'
            'cat(typeof(m), m[1, 2])\n')


def duckdb_json(path):
    return f"SELECT typeof(stages.masked_scores.data), stages.masked_scores.data[1][1][1][2] FROM read_json('{path}')"


def duckdb_lines(path):
    return f"SELECT typeof(data), data[1][2] FROM read_json('{path}') WHERE name = 'masked_scores' LIMIT 1"


def polars(code):
    return f'import pl from "nodejs-polars";\n{code}\n'


def polars_json(path):
    return polars(f'const d = pl.readJSON("{path}", {{ format: "json" }});\n'
                  'const m = d.select(pl.col("stages").struct.field("masked_scores").struct.field("data").alias("m"));\n'
                  'console.log(m.getColumn("m").toArray()[0][0][0][0].slice(0, 2));')


def polars_lines(path):
    return polars(f'const d = pl.scanJson("{path}", {{ inferSchemaLength: null }}).collectSync();\n'
                  'console.log(d.filter(pl.col("name").eq(pl.lit("masked_scores"))).getColumn("data").toArray()[0][0].slice(0, 2));')


def hidden(program, path, then=""):
    return f"{program} -c '.stages.masked_scores.data[0][0][0][:2]{then}' {path}\n"


def hidden_line(program, path, then=""):
    return f"{program} -c 'select(.name == \"masked_scores\" and .batch == 0 and .head == 0).data[0][:2]{then}' {path}\n"


def miller(path):
    return f"""mlr --icsv --ojson filter '$stage == "masked_scores" && $row == 0 && $column == 1' then head -n 1 then put '$next = $value + 1' {path}\n"""


def miller_lines(path):
    return f"""mlr --ijsonl --ojson filter '$name == "masked_scores"' then head -n 1 then put -q 'print typeof($data[1][2]) . " " . ($data[1][2] + 1)' {path}\n"""


def python(code):
    return f"python3 -c '\n{code}\n'\n"


def pandas(call, then):
    return python(f"import pandas\nd = pandas.{call}\n{then}")


def digits_of(call, member):
    """How many weights are not the float64 that the JSON trace has."""
    return pandas(call, f"""import json
exact = json.load(open("float64.json"))["stages"]["weights"]["data"]
leaves = lambda x: [y for z in x for y in leaves(z)] if isinstance(x, list) else [x]
print(sum(a != b for a, b in zip({member}, leaves(exact))) > 0, len({member}) == len(leaves(exact)))""")


MASKED = '''d.loc[(d.stage == "masked_scores") & (d.row == 0) & (d.column == 1), "value"].iloc[0]'''
SQLITE = ("sqlite3 :memory: 'CREATE TABLE trace (stage TEXT, batch INT, head INT, row INT, \"column\" INT, row_token TEXT, column_token TEXT, value REAL)' "
          "'.import --csv --skip 1 string.csv trace' \"SELECT typeof(value), value + 0, value > 1e300 FROM trace WHERE value = '-inf' LIMIT 1\"\n")


def sqlite_json(path):
    return f"""sqlite3 :memory: "WITH t AS (SELECT CAST(readfile('{path}') AS TEXT) j) SELECT typeof(value), value FROM t, json_each(j, '\\$.stages.masked_scores.data[0][0][0]') WHERE key = 1"\n"""


def textscan():
    return '''f = fopen("string.csv"); fgetl(f);
c = textscan(f, "%s %f %f %f %f %s %s %f", "Delimiter", ",", "EndOfLine", "\\r\\n"); fclose(f);
k = find(strcmp(c{1}, "masked_scores"), 2); disp(c{8}(k(2))), disp(c{7}{k(2)})
'''


R_TYPES = 'class(read.csv("digits.csv", na.strings = character(0))$row_token)'
CLAIMS = [
    Claim("octave-cli", "json, string", "octave", octave("string.json"), r"^cell"),
    Claim("octave-cli", "json, null", "octave", octave("null.json"), r"^double\s*NaN"),
    Claim("octave-cli", "json, bare", "octave", octave("bare.json"), r"^double\s*-Inf"),
    Claim("octave-cli", "ndjson, string", "octave", octave_line("string.ndjson"), r"^cell"),
    Claim("octave-cli", "ndjson, bare", "octave", octave_line("bare.ndjson"), r"^double\s*-Inf"),
    Claim("octave-cli", "csv", "octave", textscan(), r"^-Inf\s+NA\s"),
    Claim("jsonlite", "json, string", "r", jsonlite("string.json"), r"^character -Infinity"),
    Claim("jsonlite", "json, null", "r", jsonlite("null.json"), r"^double NA"),
    Claim("jsonlite", "json, bare", "r", jsonlite("bare.json"), r"lexical error"),
    Claim("jsonlite", "ndjson, string", "r", jsonlite_lines("string.ndjson"), r"^character -Infinity"),
    Claim("jsonlite", "ndjson, null", "r", jsonlite_lines("null.ndjson"), r"^double NA"),
    Claim("Rscript", "csv, NA as it is", "r", 'd <- read.csv("string.csv"); cat(any(is.na(d$row_token)), class(d$value), min(d$value))\n', r"^TRUE numeric -Inf"),
    Claim("Rscript", "csv, na.strings", "r", 'd <- read.csv("string.csv", na.strings = character(0)); cat(any(is.na(d$row_token)), sum(d$row_token == "NA") > 0)\n', r"^FALSE TRUE"),
    Claim("Rscript", "csv, 007", "r", f'cat({R_TYPES}, class(read.csv(text = "x\\nT")$x))\n', r"^integer logical"),
    Claim("duckdb", "csv, whole numbers", "sql", "SELECT typeof(value), value FROM read_csv('ints.csv') WHERE \"row\" = 30000", r"^BIGINT 1\b"),
    Claim("duckdb", "csv, -inf", "sql", "SELECT max(value) FROM read_csv('infs.csv')", r"DATE"),
    Claim("duckdb", "csv, whole numbers, types", "sql", "SELECT value FROM read_csv('ints.csv', types = {'value': 'DOUBLE'}) WHERE \"row\" = 30000", r"^0\.5"),
    Claim("duckdb", "csv, -inf, types", "sql", "SELECT max(value), min(value) FROM read_csv('infs.csv', types = {'value': 'DOUBLE'})", r"^0\.5 -Infinity"),
    Claim("duckdb", "csv, a word after numbers", "sql", "SELECT max(row_token) FROM read_csv('words.csv')", r"Could not convert string \"cat\""),
    Claim("duckdb", "csv, a word after numbers, types", "sql", "SELECT max(row_token) FROM read_csv('words.csv', types = {'row_token': 'VARCHAR'})", r"^cat\s"),
    Claim("duckdb", "json, string", "sql", duckdb_json("string.json"), r'^(JSON|VARCHAR)\S* "-Infinity"'),
    Claim("duckdb", "json, null", "sql", duckdb_json("null.json"), r"^DOUBLE\S* *\n"),
    Claim("duckdb", "json, bare", "sql", duckdb_json("bare.json"), r"^DOUBLE\S* -Infinity"),
    Claim("duckdb", "ndjson, string", "sql", duckdb_lines("string.ndjson"), r'^(JSON|VARCHAR)\S* "-Infinity"'),
    Claim("duckdb", "ndjson, null", "sql", duckdb_lines("null.ndjson"), r"^DOUBLE\S* *\n"),
    Claim("duckdb", "ndjson, bare", "sql", duckdb_lines("bare.ndjson"), r"^DOUBLE\S* -Infinity"),
    Claim("polars", "csv", "js", polars('console.log(Math.min(...pl.readCSV("string.csv").getColumn("value").toArray()));'), r"^-Infinity"),
    Claim("polars", "csv, whole numbers", "js", polars('pl.readCSV("ints.csv");'), r"could not parse `0\.5`"),
    Claim("polars", "csv, 007", "js", polars('console.log(pl.readCSV("digits.csv").getColumn("row_token").toArray()[0]);'), r"^7\s"),
    Claim("polars", "csv, types", "js", polars('const d = pl.readCSV("ints.csv", { dtypes: { value: pl.Float64 } });\nconsole.log(d.getColumn("value").toArray().at(-1));'), r"^0\.5"),
    Claim("polars", "json, string", "js", polars_json("string.json"), r"'-Infinity'"),
    Claim("polars", "json, null", "js", polars_json("null.json"), r"^\[ -?\d[\d.e-]*, null \]"),
    Claim("polars", "json, bare", "js", polars_json("bare.json"), r"InvalidNumber"),
    Claim("polars", "ndjson, string", "js", polars_lines("string.ndjson"), r"'-Infinity'"),
    Claim("polars", "ndjson, null", "js", polars_lines("null.ndjson"), r"^\[ -?\d[\d.e-]*, null \]"),
    Claim("polars", "ndjson, bare", "js", polars_lines("bare.ndjson"), r"InvalidNumber"),
    Claim("sqlite3", "csv", "sh", SQLITE, r"^text\|0\|1"),
    Claim("sqlite3", "json, string", "sh", sqlite_json("string.json"), r"^text\|-Infinity"),
    Claim("sqlite3", "json, null", "sh", sqlite_json("null.json"), r"^null\|"),
    Claim("sqlite3", "json, bare", "sh", sqlite_json("bare.json"), r"malformed JSON"),
    Claim("jq", "json, string", "sh", hidden("jq", "string.json", " | max"), r'^"-Infinity"'),
    Claim("jq", "json, map(tonumber)", "sh", hidden("jq", "string.json", " | map(tonumber) | [max == .[0], .[1] < -1e308]"), r"^\[true,true\]"),
    Claim("jq", "ndjson, map(tonumber)", "sh", hidden_line("jq", "string.ndjson", " | map(tonumber) | [max == .[0], .[1] < -1e308]"), r"^\[true,true\]"),
    Claim("gojq", "json, tonumber", "sh", hidden("gojq", "string.json", " | map(tonumber)"), r"invalid number"),
    Claim("gojq", "json, bare", "sh", hidden("gojq", "bare.json"), r"invalid json"),
    Claim("gojq", "json, null", "sh", hidden("gojq", "null.json"), r"^\[-?\d[\d.e-]*,null\]"),
    Claim("gojq", "ndjson, null", "sh", hidden_line("gojq", "null.ndjson"), r"^\[-?\d[\d.e-]*,null\]"),
    Claim("mlr", "csv, string", "sh", miller("string.csv"), r'"next": \(error\)'),
    Claim("mlr", "csv, null", "sh", miller("null.csv"), r'"next": ""'),
    Claim("mlr", "ndjson, string", "sh", miller_lines("string.ndjson"), r"^\(error\)"),
    Claim("mlr", "ndjson, null", "sh", miller_lines("null.ndjson"), r"(null|empty) "),
    Claim("mlr", "ndjson, bare", "sh", miller_lines("bare.ndjson"), r"invalid character"),
    Claim("pandas", "csv, NA as it is", "sh", pandas('read_csv("string.csv")', f"print(d.row_token.isna().any(), {MASKED})"), r"^True -inf"),
    Claim("pandas", "csv, an empty cell", "sh", pandas('read_csv("null.csv", keep_default_na=False)', "print(d.value.dtype, d.head(0)[\"head\"].dtype)"), r"^object object"),
    Claim("pandas", "csv, na_values", "sh", pandas('read_csv("null.csv", keep_default_na=False, na_values={"value": ["", "NaN"], "head": ""})', f"print(d.value.dtype, (d.row_token == \"NA\").any(), {MASKED})"), r"^float64 True nan"),
    Claim("pandas", "csv, a NaN", "sh", python('import io, pandas\nprint(pandas.read_csv(io.StringIO("value,x\\n1,1\\nNaN,1"), keep_default_na=False).value.dtype)'), r"^object"),
    Claim("pandas", "csv of float64", "sh", digits_of('read_csv("float64.csv")', "d.value.tolist()"), r"^True True"),
    Claim("pandas", "csv of float64, round_trip", "sh", digits_of('read_csv("float64.csv", float_precision="round_trip")', "d.value.tolist()"), r"^False True"),
    Claim("pandas", "ndjson of float64", "sh", digits_of('read_json("float64.ndjson", lines=True)', "leaves(d.data.dropna().tolist())"), r"^True True"),
    Claim("pandas", "ndjson of float64, precise_float", "sh", digits_of('read_json("float64.ndjson", lines=True, precise_float=True)', "leaves(d.data.dropna().tolist())"), r"^False True"),
    Claim("pandas", "ndjson, bare", "sh", pandas('read_json("bare.ndjson", lines=True)', 'print(d[d.name == "masked_scores"].data.iloc[0][0][1])'), r"^-inf"),
    Claim("pandas", "ndjson, string", "sh", pandas('read_json("string.ndjson", lines=True)', 'print(d[d.name == "masked_scores"].data.iloc[0][0][1])'), r"^-Infinity"),
    Claim("python3", "json", "sh", python('import json\nfor f in ("string", "bare"): print(float(json.load(open(f + ".json"))["stages"]["masked_scores"]["data"][0][0][0][1]))'), r"^-inf\n-inf"),
    Claim("node", "json", "js", 'import { readFileSync } from "node:fs";\nconst m = JSON.parse(readFileSync("string.json")).stages.masked_scores.data[0][0][0];\nconsole.log(Number(m[1]), Number(null));\nJSON.parse(readFileSync("bare.json"));\n', r"^-Infinity 0\n[^$]*SyntaxError"),
    Claim("numpy", "npz", "sh", python('import json, numpy\nt = numpy.load("trace.npz", mmap_mode="r")\nprint(type(t["attn_calc.json"]).__name__, json.loads(t["attn_calc.json"])["variant"], type(t["weights"]).__name__, type(numpy.load("weights.npy", mmap_mode="r")).__name__)'), r"^bytes multi_head ndarray memmap"),
]


def prepare(program, folder, document):
    """Writes the files that are named above."""
    given = json.dumps(document).encode()
    for nonfinite in ("string", "null", "bare"):
        outputs = [word for suffix in ("json", "ndjson", "csv") for word in ("-o", f"{nonfinite}.{suffix}")]
        run(program, folder, given, "--nonfinite", nonfinite, *outputs)
    run(program, folder, given, "--dtype", "float64", "--stages", "weights", "-o", "float64.json", "-o", "float64.csv", "-o", "float64.ndjson")
    run(program, folder, given, "-o", "trace.npz")
    run(program, folder, given, "--stages", "weights", "-o", "weights.npy")
    run(program, folder, json.dumps({**document, "tokens": ["007"] * len(document["tokens"])}).encode(), "--stages", "weights", "-o", "digits.csv")
    for name, word, first, last in (("ints.csv", "the", "1", "the"), ("infs.csv", "the", "-inf", "the"), ("words.csv", "7", "0.5", "cat")):
        lines = [f"weights,0,0,{row},0,{word},the,{first}" for row in range(30000)]
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
            file.write("\r\n".join([",".join(CSV_HEADER), *lines, f"weights,0,0,30000,0,{last},the,0.5", ""]))


def run(program, folder, given, *arguments):
    done = execute([program, "-q", *arguments], folder, stdin=given)
    if done.status != 0:
        raise ValueError(f"attn-calc {' '.join(arguments)}: {done.said}")

"""Files of tensors that libraries wrote, each with what it holds beside it: NAME.json.

{"tensors": {name: {"shape", "dtype", "data" or "sha256"}}, "refuse": what has to be named}; numbers that are not finite are texts,
"sha256" is that of all numbers as float32.
"""
import array
import hashlib
import json
import os
import struct
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import execute  # noqa: E402

TYPES = {"F64": ("float64", "d"), "F32": ("float32", "f"), "F16": ("float16", "e"), "BF16": ("bfloat16", None), "I64": ("int64", "q"),
         "I32": ("int32", "i"), "I16": ("int16", "h"), "I8": ("int8", "b"), "U64": ("uint64", "Q"), "U32": ("uint32", "I"),
         "U16": ("uint16", "H"), "U8": ("uint8", "B"), "BOOL": ("boolean", "?")}


def tensors_of(path):
    """name: (type, shape, numbers) of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header, data, out = json.loads(data[8:8 + size]), data[8 + size:], {}
    for name, said in header.items():
        if name == "__metadata__":
            continue
        part = data[slice(*said["data_offsets"])]
        dtype, code = TYPES[said["dtype"]]
        if code:
            numbers = struct.unpack(f"<{len(part) // struct.calcsize('<' + code)}{code}", part)
        else:
            numbers = tuple(struct.unpack("<f", b"\0\0" + part[k:k + 2])[0] for k in range(0, len(part), 2))
        out[name] = dtype, said["shape"], numbers
    return out


def same(found, wanted):
    if "sha256" in wanted:
        return hashlib.sha256(array.array("f", found).tobytes()).hexdigest() == wanted["sha256"]
    numbers = [float(x.replace("Infinity", "inf")) if isinstance(x, str) else x for x in wanted["data"]]
    return len(found) == len(numbers) and all(a == b or (a != a and b != b)
                                              for a, b in zip(found, numbers))


def check_case(program, report, path, name):
    """What `convert` makes of a file against what it holds."""
    with open(path + ".json", encoding="utf-8") as file:
        said = json.load(file)
    wanted = said.get("tensors", {})
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.safetensors")
        run = execute([program, "convert", path, "-o", out], folder)
        if "refuse" in said:
            # The last word of what has to be named: a class, a function, a type.
            word = said["refuse"].replace("(", " ").replace(")", "").replace(":", " ").split()[0].split(".")[-1]
            report.check(word in run.said, f"{name}: names what it does not read", word, run.said)
        if not wanted:
            report.equal(f"{name}: exit", run.status, 3)
            return
        if not report.equal(f"{name}: exit", run.status, 0):
            return
        found = tensors_of(out)
    report.equal(f"{name}: names", sorted(found), sorted(wanted))
    for key in set(found) & set(wanted):
        dtype, shape, numbers = found[key]
        report.equal(f"{name}: {key!r}", (dtype, shape), (wanted[key]["dtype"], wanted[key]["shape"]))
        report.check(same(numbers, wanted[key]), f"{name}: numbers of {key!r}", wanted[key].get("data"), numbers[:8])

"""Documents whose tensors lie in files of every type, order and alignment, beside the same documents with their numbers
written out. Files are made by numpy; safetensors and headers of odd lengths are written here, from their specifications.
"""
import copy
import io
import json
import struct

import numpy as np

REAL = ("f2", "f4", "f8", "bf16")
WHOLE = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
SAFE = {"f2": "F16", "f4": "F32", "f8": "F64", "bf16": "BF16", "b1": "BOOL", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64",
        "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64"}


def stored_as(code, array):
    """The array in that type, and its numbers as float64. Reals become whole numbers of some size for whole types."""
    if code == "bf16":
        bits = (array.astype("<f4").view("<u4") >> 16).astype("<u2")
        return bits, (bits.astype("<u4") << 16).view("<f4").astype(np.float64)
    if code[0] in "iu" and not np.array_equal(array, np.rint(array)):
        array = np.rint(np.abs(array) * 2 if code[0] == "u" else array * 2)
    made = array.astype(code)
    return made, made.astype(np.float64)


def npy(array, byte="<", fortran=False, version=1, odd=0):
    """The bytes of an npy file. `odd`: so many bytes more than a multiple of 64 before the numbers."""
    descr = byte + array.dtype.str[1:] if array.dtype.itemsize > 1 else array.dtype.str
    header = ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (descr, fortran, tuple(array.shape))).encode()
    start = 10 if version == 1 else 12
    header += b" " * ((-(start + len(header) + 1) % 64) + odd) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    raw = array.astype(descr).tobytes("F" if fortran else "C")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + raw


def safetensors(code, array, odd):
    """One tensor, with bytes of another before it so that it starts at any place."""
    before = b"\0" * odd
    header = {"before": {"dtype": "U8", "shape": [odd], "data_offsets": [0, odd]},
              "w": {"dtype": SAFE[code], "shape": list(array.shape), "data_offsets": [odd, odd + array.nbytes]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + odd)
    return struct.pack("<Q", len(text)) + text + before + array.astype(array.dtype.newbyteorder("<")).tobytes()


def in_npz(array, deflated):
    held = io.BytesIO()
    (np.savez_compressed if deflated else np.savez)(held, w=array)
    return held.getvalue()


class Storage:
    """One way to hold a tensor: a type, and a kind of file."""

    def __init__(self, code, kind, suffix, make):
        self.code, self.name, self.suffix, self.make = code, f"{kind} {code}", suffix, make

    def write(self, folder, stem, array):
        """(reference, numbers as stored)"""
        made, numbers = stored_as(self.code, array)
        path = f"{stem}.{self.suffix}"
        with open(f"{folder}/{path}", "wb") as file:
            file.write(self.make(made))
        return {"file": path} if self.suffix == "npy" else {"file": path, "name": "w"}, numbers


def storages(codes):
    """Every type in every kind of file."""
    found = []
    for code in codes:
        if code != "bf16":
            for byte, fortran, version, odd in (("<", False, 1, 0), (">", False, 2, 0), ("<", True, 1, 0), (">", True, 3, 0),
                                                ("<", False, 1, 1), ("<", False, 2, 2), ("<", True, 1, 3)):
                kind = "npy %s %s +%d" % (byte, "Fortran" if fortran else "C", odd)
                found.append(Storage(code, kind, "npy", lambda a, b=byte, f=fortran, v=version, o=odd: npy(a, b, f, v, o)))
            found.append(Storage(code, "npz stored", "npz", lambda a: in_npz(a, False)))
            found.append(Storage(code, "npz deflated", "npz", lambda a: in_npz(a, True)))
        for odd in (0, 1, 2, 4):
            found.append(Storage(code, f"safetensors +{odd}", "safetensors", lambda a, c=code, o=odd: safetensors(c, a, o)))
    return found


NUMBERS, FLAGS, COUNTS = storages(REAL + WHOLE), storages(("b1", "u1", "i8", "f4")), storages(WHOLE)
TOP = ("embeddings", "key_embeddings", "value_embeddings", "queries", "keys", "values", "past_keys", "past_values", "past_latent",
       "past_rope_keys", "past_state", "position_bias", "decay", "beta", "sinks", "alibi", "key_lengths")
INSIDE = {"rope": ("cos", "sin", "positions", "query_positions", "key_positions"), "dropout": ("keep",)}


def is_tensor(value):
    return isinstance(value, list) and bool(value) or isinstance(value, dict) and "data" in value


def places(doc):
    """(name, owner, key, storages that fit) of everything that may be a file."""
    for key in TOP:
        if is_tensor(doc.get(key)):
            yield key, doc, key, COUNTS if key == "key_lengths" else NUMBERS
    for outer, keys in INSIDE.items():
        for key in keys:
            if is_tensor(doc.get(outer, {}).get(key)):
                fit = FLAGS if key == "keep" else COUNTS if key.endswith("positions") else NUMBERS
                yield f"{outer}.{key}", doc[outer], key, fit
    masks = doc.get("mask", [])
    for mask in masks if isinstance(masks, list) else [masks]:
        for key in mask:
            yield f"mask.{key}", mask, key, NUMBERS if key == "add" else FLAGS
    weights = doc.get("weights", {})
    prefix = weights.get("prefix", "") if isinstance(weights, dict) else ""
    for held in weights if isinstance(weights, list) else [weights]:
        for key in held:
            if is_tensor(held[key]):
                yield "weights." + key[len(prefix):], held, key, NUMBERS


def array_of(value):
    words = {"Infinity": np.inf, "-Infinity": -np.inf}

    def plain(v):
        return [plain(x) for x in v] if isinstance(v, list) else float(words.get(v, v))
    if isinstance(value, dict):
        return np.array(plain(value["data"])).reshape(value["shape"])
    return np.array(plain(value))


def literal(array, like_flags, whole):
    """Nested lists; a number is written so that it is read back."""
    def plain(v):
        if isinstance(v, list):
            return [plain(x) for x in v]
        if v in (np.inf, -np.inf):
            return "Infinity" if v > 0 else "-Infinity"
        return bool(v) if like_flags else int(v) if whole else v
    return plain(array.tolist())


def with_files(doc, folder, stem, choose, leave=()):
    """(document with files, the same with numbers, {place: storage}); choose(place, storages) names one, or None."""
    filed, written, used = copy.deepcopy(doc), copy.deepcopy(doc), {}
    for number, (a, b) in enumerate(zip(list(places(filed)), list(places(written)))):
        name, owner, key, fit = a
        array = array_of(owner[key])
        if not np.isfinite(array).all():
            fit = [s for s in fit if s.code in REAL]
        storage = choose(name, fit) if name not in leave else None
        if storage is None:
            continue
        if name == "decay" and storage.code[0] == "u":  # the log of a share is not above 0
            array = np.zeros_like(array)
        owner[key], numbers = storage.write(folder, f"{stem}_{number}", array)
        b[1][key] = literal(numbers, fit is FLAGS, fit is COUNTS)
        used[name] = storage
    return filed, written, used

"""Files of tensors of 4 GB, of which no disk holds more than the directory: listing them, and using six numbers of them,
takes the memory that these take."""
import json
import math
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SANITIZED, Program, run_tests  # noqa: E402

MOST_MEGABYTES = 60


def tensor_header(dtype, shapes):
    """The header of a safetensors file whose tensors follow one another."""
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + 4 * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


LARGE = [1000, 1_000_000]  # of float32: 4 GB, which no disk holds here
SMALL = [2, 3]


def large_safetensors():
    return [tensor_header("F32", {"x": SMALL, "large": LARGE}), 4 * (6 + math.prod(LARGE))]


def large_gguf():
    entries, offset = b"", 0
    for name, shape in {"x": SMALL, "large": LARGE}.items():
        entries += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I2QIQ", 2, *reversed(shape), 0, offset)
        offset += 32 + 4 * math.prod(shape) // 32 * 32 if name == "x" else 4 * math.prod(shape)
    head = struct.pack("<4sIQQ", b"GGUF", 3, 2, 0) + entries
    return [head + bytes(-len(head) % 32), offset]


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, content):
    """A field of a message of protocol buffers: bytes or a number."""
    if isinstance(content, bytes):
        return varint(number << 3 | 2) + varint(len(content)) + content
    return varint(number << 3) + varint(content)


def proto(name, shape, *fields):
    return b"".join(field(1, n) for n in shape) + field(2, 1) + field(8, name.encode()) + b"".join(fields)


def large_onnx():
    """The numbers stand in the model: nothing is written of them but their size."""
    size = 4 * math.prod(LARGE)
    begin = proto("large", LARGE) + varint(9 << 3 | 2) + varint(size)
    graph = field(5, proto("x", SMALL, field(9, bytes(24)))) + varint(5 << 3 | 2) + varint(len(begin) + size) + begin
    return [field(1, 8) + varint(7 << 3 | 2) + varint(len(graph) + size) + graph, size]


def external_onnx():
    """The numbers stand in w.data."""
    def place(offset, size):
        return field(14, 1) + b"".join(field(13, field(1, key) + field(2, value)) for key, value in (
            (b"location", b"w.data"), (b"offset", b"%d" % offset), (b"length", b"%d" % size)))
    graph = field(5, proto("x", SMALL, place(0, 24))) + field(5, proto("large", LARGE, place(24, 4 * math.prod(LARGE))))
    return [field(1, 8) + field(7, graph), 0]


def large_torch():
    """A zip archive as torch.save(..., with checksums of 0) writes it: members stored, sizes in the directory alone."""
    def tensor(key, shape):
        count = math.prod(shape)
        return (b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + key +
                b"X\x03\0\0\0cpuJ" + struct.pack("<i", count) + b"tQK\0(J" + struct.pack("<i", shape[0]) + b"J" + struct.pack("<i", shape[1]) +
                b"t(J" + struct.pack("<i", shape[1]) + b"K\x01t\x89}tR")
    pickle = b"\x80\x02}(X\x01\0\0\0x" + tensor(b"0", SMALL) + b"X\x05\0\0\0large" + tensor(b"1", LARGE) + b"u."
    pieces, directory, at = [], b"", 0
    for name, content, size in ((b"m/data.pkl", pickle, len(pickle)), (b"m/data/0", bytes(24), 24), (b"m/data/1", b"", 4 * math.prod(LARGE))):
        local = struct.pack("<4s5H3I2H", b"PK\3\4", 0, 8, 0, 0, 0, 0, 0, 0, len(name), 0) + name
        behind = struct.pack("<4s3I", b"PK\7\x08", 0, size, size)
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 0, 0, 8, 0, 0, 0, 0, size, size, len(name), 0, 0, 0, 0, 0, at) + name
        pieces += [local + content, size - len(content), behind]
        at += len(local) + size + len(behind)
    end = directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, len(directory), at, 0)
    return [*pieces, end]


def sparse(path, pieces):
    """Bytes, and numbers of bytes that no disk has."""
    with open(path, "wb") as file:
        for piece in pieces:
            if isinstance(piece, bytes):
                file.write(piece)
            else:
                file.seek(piece, os.SEEK_CUR)
        file.truncate(max(file.tell(), os.path.getsize(path)))


FILES = {"large.safetensors": large_safetensors, "large.gguf": large_gguf, "large.onnx": large_onnx, "outside.onnx": external_onnx,
         "large.pt": large_torch}


class Tests(Program):
    def __init__(self, program, report, folder):
        super().__init__(program, report, folder)
        for name, made in FILES.items():
            sparse(self.path(name), made())
        sparse(self.path("w.data"), [24 + 4 * math.prod(LARGE)])
        with open(self.path("m.index.json"), "w", encoding="utf-8") as file:
            json.dump({"weight_map": {"x": "large.safetensors", "large": "large.safetensors"}}, file)

    def takes(self, name, *arguments):
        done = self.call(*arguments)
        self.report.equal(f"{name}: exit", (done.status, done.said), (0, ""))
        self.report.check(SANITIZED or done.megabytes < MOST_MEGABYTES, f"{name}: memory", f"less than {MOST_MEGABYTES} MB", done.megabytes)
        return done.text

    def test_listing(self):
        for name in (*FILES, "m.index.json"):
            said = self.takes(f"check {name}", "check", name)
            self.report.matches(f"{name}: what is listed", said, r"2 tensors, 4000000024 bytes(.|\n)*large +\[1000, 1000000\] +float32")

    def test_one_tensor(self):
        for name in (*FILES, "m.index.json"):
            with open(self.path("x.json"), "w", encoding="utf-8") as file:
                json.dump({"variant": "simplified", "embeddings": {"file": name, "name": "x"}}, file)
            said = self.takes(f"x of {name}", "x.json", "--stages", "queries", "-f", "csv")
            self.report.equal(f"x of {name}", said.count("\n"), 7)


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))

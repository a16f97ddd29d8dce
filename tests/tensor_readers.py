"""A reader of safetensors, independent of the program."""
import json
import struct

import numpy

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "|b1", "I8": "|i1", "I16": "<i2", "I32": "<i4",
         "I64": "<i8", "U8": "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"}


def safetensors(raw):
    """{name: array} (BF16 as its bits) and the metadata, by the format's own rules: no holes, no overlaps, nothing behind the
    data."""
    length, = struct.unpack_from("<Q", raw)
    assert raw[8:9] == b"{" and length <= 100_000_000
    header = json.loads(raw[8:8 + length])
    metadata = header.pop("__metadata__", {})
    assert all(isinstance(v, str) for v in metadata.values())
    data, arrays, spans = raw[8 + length:], {}, []
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        spans.append((begin, end))
        arrays[name] = numpy.frombuffer(data[begin:end], TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    at = 0
    for begin, end in sorted(spans):
        assert begin == at
        at = end
    assert at == len(data)
    return arrays, metadata

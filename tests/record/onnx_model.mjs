// A graph of one node as the bytes of an ONNX model: protobuf, with the field numbers of onnx.proto.
const types = {float32: 1, int32: 6, int64: 7, bool: 9, float64: 11};

function varint(number) {
    const bytes = [];
    let rest = BigInt.asUintN(64, BigInt(number));
    do {
        bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
        rest >>= 7n;
    } while (rest);
    return Buffer.from(bytes);
}
const integer = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);
const block = (field, content) => Buffer.concat([varint(field << 3 | 2), varint(Buffer.byteLength(content)), Buffer.from(content)]);
function real(field, x) {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(x);
    return Buffer.concat([varint(field << 3 | 5), bytes]);
}
const parts = (...list) => Buffer.concat(list.flat());

/** inputs, outputs: [name, type], or null for one that is left out. */
export function modelOf({op, domain, version, ints = {}, floats = {}, inputs, outputs}) {
    const value = (field, [name, type]) => block(field, parts(block(1, name), block(2, block(1, integer(1, types[type])))));
    const node = parts(
        inputs.map(i => block(1, i ? i[0] : '')), outputs.map(o => block(2, o ? o[0] : '')), block(4, op), block(7, domain),
        Object.entries(ints).map(([name, n]) => block(5, parts(block(1, name), integer(3, n), integer(20, 2)))),
        Object.entries(floats).map(([name, x]) => block(5, parts(block(1, name), real(2, x), integer(20, 1)))));
    const graph = parts(block(1, node), block(2, 'graph'), inputs.filter(Boolean).map(i => value(11, i)), outputs.filter(Boolean).map(o => value(12, o)));
    const opset = (name, n) => block(8, parts(block(1, name), integer(2, n)));
    return parts(integer(1, 10), opset('', domain ? 21 : version), domain ? opset(domain, version) : [], block(7, graph));
}

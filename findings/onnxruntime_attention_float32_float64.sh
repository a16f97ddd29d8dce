#!/bin/sh
# ONNX Runtime 1.30.0, Attention of opset 23 on a CPU: the type of the numbers changes what a mask means. A query whose
# keys are all hidden by a boolean mask has the output 0 in float32 and NaN in float64. A mask [1, keys], which the
# standard broadcasts, is refused in float32 and taken in float64. And float64 is no float64: the square root of the
# scale is held in float32, so the weight e^s / (e^s + 1) with s = 1/sqrt(2) is wrong by more than 1e-9, where the
# rounding of float64 is below 1e-15.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts onnxruntime-node@1.30.0 >&2
cat > run.mjs <<'END'
import * as ort from 'onnxruntime-node';

// One node: Attention, opset 23; inputs Q, K, V, mask.
const models = {
    float32: ['CApCBAoAEBc6YgofCgFRCgFLCgFWCgRtYXNrEgFZIglBdHRlbnRpb246ABIFZ3JhcGhaCQoBURIECgIIAVoJCgFLEgQKAggBWgkKAVYSBAoCCAFaDAoEbWFzaxIECgIICWIJCgFZEgQKAggB', Float32Array],
    float64: ['CApCBAoAEBc6YgofCgFRCgFLCgFWCgRtYXNrEgFZIglBdHRlbnRpb246ABIFZ3JhcGhaCQoBURIECgIIC1oJCgFLEgQKAggLWgkKAVYSBAoCCAtaDAoEbWFzaxIECgIICWIJCgFZEgQKAggL', Float64Array],
};
for (const [type, [model, numbers]] of Object.entries(models)) {
    const session = await ort.InferenceSession.create(Buffer.from(model, 'base64'), {logSeverityLevel: 4});
    const tensor = (shape, data) => new ort.Tensor(type, numbers.from(data), shape);
    const run = async (shape, mask) => (await session.run({
        Q: tensor([1, 1, 2, 2], [1, 0, 1, 0]), K: tensor([1, 1, 2, 2], [1, 0, 0, 1]), V: tensor([1, 1, 2, 2], [1, 0, 0, 1]),
        mask: new ort.Tensor('bool', Uint8Array.from(mask), shape),
    })).Y.data;
    console.log(type, 'a row without keys:', (await run([2, 2], [1, 1, 0, 0])).slice(2).join(' '));
    console.log(type, 'a mask [1, 2]:', await run([1, 2], [1, 1]).then(() => 'taken', () => 'refused'));
    if (type === 'float32') continue;
    const exact = Math.exp(Math.SQRT1_2) / (Math.exp(Math.SQRT1_2) + 1);
    const error = Math.abs((await run([2, 2], [1, 1, 1, 1]))[0] - exact);
    console.log(type, 'an error above 1e-9, below 1e-7:', error > 1e-9 && error < 1e-7);
}
END
node run.mjs > found
cat > shown <<'END'
float32 a row without keys: 0 0
float32 a mask [1, 2]: refused
float64 a row without keys: NaN NaN
float64 a mask [1, 2]: taken
float64 an error above 1e-9, below 1e-7: true
END
cat found
if ! diff shown found; then
    echo "not as described" >&2
    exit 1
fi

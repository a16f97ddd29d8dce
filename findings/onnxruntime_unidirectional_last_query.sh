#!/bin/sh
# ONNX Runtime 1.30.0, com.microsoft MultiHeadAttention on a CPU: with unidirectional=1, more keys than queries and no
# past_key, query i sees the keys up to i, but the last query sees every key. That is neither of the two causal masks
# (diagonal at the top left, or at the bottom right).
#
# Three queries, six keys, one head; values are the identity, so that the output is the weights. Shown: 1 where a
# weight is above 0. Top left would be 100000 110000 111000, bottom right 111100 111110 111111.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts onnxruntime-node@1.30.0 >&2
cat > run.mjs <<'END'
import * as ort from 'onnxruntime-node';

// One node: MultiHeadAttention, num_heads=1, unidirectional=1; inputs query, key, value.
const model = Buffer.from('CApCBAoAEBVCEQoNY29tLm1pY3Jvc29mdBABOqsBCmcKBXF1ZXJ5CgNrZXkKBXZhbHVlEgZvdXRwdXQiEk11bHRpSGVhZEF0dGVudGlvbjoNY29tLm1pY3Jvc29mdCoQCgludW1faGVhZHMYAaABAioVCg51bmlkaXJlY3Rpb25hbBgBoAECEgVncmFwaFoNCgVxdWVyeRIECgIIAVoLCgNrZXkSBAoCCAFaDQoFdmFsdWUSBAoCCAFiDgoGb3V0cHV0EgQKAggB', 'base64');
const float = (shape, number) => new ort.Tensor('float32', Float32Array.from({length: shape[1] * shape[2]}, (_, i) => number(i)), shape);
const session = await ort.InferenceSession.create(model);
const {output} = await session.run({
    query: float([1, 3, 6], i => (i * 7 % 11 - 5) / 8),
    key: float([1, 6, 6], i => (i * 5 % 13 - 6) / 8),
    value: float([1, 6, 6], i => i % 7 === 0 ? 1 : 0),
});
for (const i of [0, 1, 2]) console.log(Array.from(output.data.slice(6 * i, 6 * i + 6), w => w > 0 ? 1 : 0).join(''));
END
node run.mjs > found
cat > shown <<'END'
100000
110000
111111
END
cat found
if ! diff shown found; then
    echo "not as described" >&2
    exit 1
fi

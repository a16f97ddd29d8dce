#!/bin/sh
# ONNX Runtime 1.30.0, com.microsoft MultiHeadAttention on a CPU: key_padding_mask adds -10000 to the scores of padding.
# So an item of padding alone has the weights that it would have without a mask (not 0, NaN or the same for all), and a
# padded key whose score is above the others' by more than 10000 gets all of the weight.
#
# One query, two keys, one head of 2; values are the identity, so that the output is the weights.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts onnxruntime-node@1.30.0 >&2
cat > run.mjs <<'END'
import * as ort from 'onnxruntime-node';

// One node: MultiHeadAttention, num_heads=1; inputs query, key, value, mask (key_padding_mask).
const model = Buffer.from('CApCBAoAEBVCEQoNY29tLm1pY3Jvc29mdBABOqoBClgKBXF1ZXJ5CgNrZXkKBXZhbHVlCgAKBG1hc2sSBm91dHB1dCISTXVsdGlIZWFkQXR0ZW50aW9uOg1jb20ubWljcm9zb2Z0KhAKCW51bV9oZWFkcxgBoAECEgVncmFwaFoNCgVxdWVyeRIECgIIAVoLCgNrZXkSBAoCCAFaDQoFdmFsdWUSBAoCCAFaDAoEbWFzaxIECgIIBmIOCgZvdXRwdXQSBAoCCAE=', 'base64');
const float = (shape, data) => new ort.Tensor('float32', Float32Array.from(data), shape);
const session = await ort.InferenceSession.create(model);
async function weights(keys, mask) {
    const {output} = await session.run({
        query: float([1, 1, 2], [1, 0]), key: float([1, 2, 2], keys), value: float([1, 2, 2], [1, 0, 0, 1]),
        mask: new ort.Tensor('int32', Int32Array.from(mask), [1, 2]),
    });
    return Array.from(output.data, w => w.toFixed(3)).join(' ');
}
console.log('no padding:', await weights([1, 0, 0, 0], [1, 1]));
console.log('all padding:', await weights([1, 0, 0, 0], [0, 0]));
console.log('the second is padding:', await weights([1, 0, 0, 0], [1, 0]));
console.log('the same, and its score is 14849:', await weights([1, 0, 21000, 0], [1, 0]));
END
node run.mjs > found
cat > shown <<'END'
no padding: 0.670 0.330
all padding: 0.670 0.330
the second is padding: 1.000 0.000
the same, and its score is 14849: 0.000 1.000
END
cat found
if ! diff shown found; then
    echo "not as described" >&2
    exit 1
fi

#!/bin/sh
# ONNX Runtime 1.30.0, com.microsoft GroupQueryAttention on a CPU: in output_qk before the softmax (qk_output=1) keys
# that the causal mask hides have the score 0, which is a score that a visible key may have. (MultiHeadAttention has the
# lowest float there.)
#
# Three tokens, one head, each query's product with each key is 8; the scale is 1/sqrt(8).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts onnxruntime-node@1.30.0 >&2
cat > run.mjs <<'END'
import * as ort from 'onnxruntime-node';

// One node: GroupQueryAttention, num_heads=1, kv_num_heads=1, qk_output=1.
const model = Buffer.from('CApCBAoAEBVCEQoNY29tLm1pY3Jvc29mdBABOtsCCrUBCgVxdWVyeQoDa2V5CgV2YWx1ZQoACgAKCXNlcWxlbnNfawoFdG90YWwSBm91dHB1dBILcHJlc2VudF9rZXkSDXByZXNlbnRfdmFsdWUSCW91dHB1dF9xayITR3JvdXBRdWVyeUF0dGVudGlvbjoNY29tLm1pY3Jvc29mdCoQCgludW1faGVhZHMYAaABAioTCgxrdl9udW1faGVhZHMYAaABAioQCglxa19vdXRwdXQYAaABAhIFZ3JhcGhaDQoFcXVlcnkSBAoCCAFaCwoDa2V5EgQKAggBWg0KBXZhbHVlEgQKAggBWhEKCXNlcWxlbnNfaxIECgIIBloNCgV0b3RhbBIECgIIBmIOCgZvdXRwdXQSBAoCCAFiEwoLcHJlc2VudF9rZXkSBAoCCAFiFQoNcHJlc2VudF92YWx1ZRIECgIIAWIRCglvdXRwdXRfcWsSBAoCCAE=', 'base64');
const ones = new ort.Tensor('float32', new Float32Array(24).fill(1), [1, 3, 8]);
const session = await ort.InferenceSession.create(model);
const {output_qk} = await session.run({
    query: ones, key: ones, value: ones,
    seqlens_k: new ort.Tensor('int32', Int32Array.from([2]), [1]), total: new ort.Tensor('int32', Int32Array.from([3]), [1]),
});
for (const i of [0, 1, 2]) console.log(Array.from(output_qk.data.slice(3 * i, 3 * i + 3), s => s.toFixed(4)).join(' '));
END
node run.mjs > found
cat > shown <<'END'
2.8284 0.0000 0.0000
2.8284 2.8284 0.0000
2.8284 2.8284 2.8284
END
cat found
if ! diff shown found; then
    echo "not as described" >&2
    exit 1
fi

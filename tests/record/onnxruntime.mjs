// Writes data/cases/onnxruntime: what ONNX Runtime's operators of attention give on a CPU, beside the documents that give the same;
// and tests/data/onnxruntime_scores.json: what they give before the softmax.
//
//     npm install --ignore-scripts onnxruntime-node@1.30.0 && node tests/record/onnxruntime.mjs .
//
// Numbers are eighths, so that float32 holds them; values are 1 where the column is the token, so that contexts are weights.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import process from 'node:process';
import {modelOf} from './onnx_model.mjs';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const ort = require('onnxruntime-node');
const version = require('onnxruntime-node/package.json').version;
const arrays = {float32: Float32Array, float64: Float64Array, int32: Int32Array, bool: Uint8Array};
const folder = path.join(process.argv[2], 'data/cases/onnxruntime');

const eighths = (count, step, cycle) => Array.from({length: count}, (_, i) => ((i * step) % cycle - (cycle >> 1)) / 8);
const product = shape => shape.reduce((a, b) => a * b, 1);
const words = x => Number.isFinite(x) ? x : Number.isNaN(x) ? 'NaN' : x > 0 ? 'Infinity' : '-Infinity';

/** [batch, head, token, dim] of some numbers; the two in the middle change places in [batch, token, head * dim]. */
const array = (shape, data) => ({shape, data});
const drawn = (shape, step, cycle) => array(shape, eighths(product(shape), step, cycle));
function tokens([batch, heads, length, dim], from = 0) {
    const data = new Array(batch * heads * length * dim).fill(0);
    for (let b = 0; b < batch * heads; ++b)
        for (let t = 0; t < length; ++t) data[(b * length + t) * dim + from + t] = 1;
    return array([batch, heads, length, dim], data);
}
function merged({shape: [batch, heads, length, dim], data}) {
    const out = new Array(data.length);
    for (let b = 0; b < batch; ++b)
        for (let h = 0; h < heads; ++h)
            for (let t = 0; t < length; ++t)
                for (let d = 0; d < dim; ++d) out[((b * length + t) * heads + h) * dim + d] = data[((b * heads + h) * length + t) * dim + d];
    return {shape: [batch, length, heads * dim], data: out};
}
function split({shape: [batch, length, width], data}, heads) {
    const dim = width / heads, out = new Array(data.length);
    for (let b = 0; b < batch; ++b)
        for (let t = 0; t < length; ++t)
            for (let h = 0; h < heads; ++h)
                for (let d = 0; d < dim; ++d) out[((b * heads + h) * length + t) * dim + d] = data[((b * length + t) * heads + h) * dim + d];
    return {shape: [batch, heads, length, dim], data: out};
}
const nested = ({shape, data}) => shape.length === 0 ? words(data[0])
    : Array.from({length: shape[0]}, (_, i) => nested({shape: shape.slice(1), data: data.slice(i * product(shape.slice(1)), (i + 1) * product(shape.slice(1)))}));

/** Runs one node. feeds: name to [type, shape, data], in the operator's order, null where one is left out. */
export async function run(op, domain, opset, attributes, feeds, outputs) {
    const given = feeds.filter(Boolean);
    const model = modelOf({op, domain, version: opset, ...attributes, inputs: feeds.map(f => f && [f[0], f[1]]), outputs: outputs.map(o => o && [o, given[0][1]])});
    const session = await ort.InferenceSession.create(model, {logSeverityLevel: 4});
    const tensors = Object.fromEntries(given.map(([name, type, shape, data]) => [name, new ort.Tensor(type, arrays[type].from(data), shape)]));
    const found = await session.run(tensors);
    return Object.fromEntries(Object.entries(found).map(([name, t]) => [name, {shape: Array.from(t.dims), data: Array.from(t.data)}]));
}

function write(name, what, input, expect, {atol = 2e-7, rtol = 2e-6} = {}) {
    const stages = Object.entries(expect).map(([stage, {shape, data}]) => [stage, {shape, data: data.map(words)}]);
    const text = JSON.stringify({name, source: `ONNX Runtime ${version}, CPU: ${what}`, atol, rtol, input, expect: Object.fromEntries(stages)});
    fs.writeFileSync(path.join(folder, `${name}.json`), text + '\n');
}

const heads = 2;
const before = [];  // of the softmax
const scores = (name, input, {shape, data}) => before.push({name, source: `ONNX Runtime ${version}, CPU`, input, scores: {shape, data: data.map(words)}});

/** com.microsoft.MultiHeadAttention. */
async function mha(name, what, {batch = 1, queries, keys, past = 0, attributes = {}, more = [], document, change}) {
    const dim = 8;
    const q = drawn([batch, heads, queries, dim], 7, 11), k = drawn([batch, heads, keys, dim], 5, 13), v = tokens([batch, heads, keys, dim], past);
    if (change) change(q, k);
    const pastKeys = drawn([batch, heads, past, dim], 3, 7), pastValues = tokens([batch, heads, past, dim]);
    const feed = (n, x) => [n, 'float32', x.shape, x.data];
    const feeds = [feed('query', merged(q)), feed('key', merged(k)), feed('value', merged(v)), null, ...more];
    if (past) {
        while (feeds.length < 6) feeds.push(null);
        feeds.push(feed('past_key', pastKeys), feed('past_value', pastValues));
    }
    const found = await run('MultiHeadAttention', 'com.microsoft', 1, {ints: {num_heads: heads, ...attributes}}, feeds, ['output', past ? 'present_key' : null, past ? 'present_value' : null, 'qk']);
    const input = {queries: nested(q), keys: nested(k), values: nested(v), ...(past ? {past_keys: nested(pastKeys), past_values: nested(pastValues)} : {}), ...document};
    write(name, `com.microsoft MultiHeadAttention, ${what}`, input, {context: split(found.output, heads)});
    if (attributes.unidirectional) scores(`${name}: qk`, input, found.qk);
}

/** com.microsoft.GroupQueryAttention: two heads on one of keys and values. */
async function gqa(name, what, {batch = 1, queries, past = 0, dim = 8, lengths, ints = {}, floats = {}, more = [], document}) {
    const total = past + queries;
    const q = drawn([batch, heads, queries, dim], 7, 11), k = drawn([batch, 1, queries, dim], 5, 13), v = tokens([batch, 1, queries, dim], past);
    const pastKeys = drawn([batch, 1, past, dim], 3, 7), pastValues = tokens([batch, 1, past, dim]);
    const feed = (n, x) => [n, 'float32', x.shape, x.data];
    const feeds = [feed('query', merged(q)), feed('key', merged(k)), feed('value', merged(v)), past ? feed('past_key', pastKeys) : null, past ? feed('past_value', pastValues) : null,
        ['seqlens_k', 'int32', [batch], lengths ?? new Array(batch).fill(total - 1)], ['total_sequence_length', 'int32', [1], [total]], ...more];
    const found = await run('GroupQueryAttention', 'com.microsoft', 1, {ints: {num_heads: heads, kv_num_heads: 1, qk_output: 1, ...ints}, floats}, feeds, ['output', 'present_key', 'present_value', 'output_qk']);
    const input = {queries: nested(q), keys: nested(k), values: nested(v), num_kv_heads: 1, causal: true, ...(past ? {past_keys: nested(pastKeys), past_values: nested(pastValues)} : {}), ...document};
    write(name, `com.microsoft GroupQueryAttention, ${what}`, input, {context: split(found.output, heads)});
    if (name === 'gqa_window' || name === 'gqa_softcap') scores(`${name}: output_qk, qk_output=1`, input, found.output_qk);
}

/** Attention of the standard, opset 23. */
async function standard(name, what, type, mask, document, options) {
    const q = drawn([1, 1, 3, 4], 7, 11), k = drawn([1, 1, 4, 4], 5, 13), v = tokens([1, 1, 4, 4]);
    const feed = (n, x) => [n, type, x.shape, x.data];
    const found = await run('Attention', '', 23, {ints: {qk_matmul_output_mode: 2}}, [feed('Q', q), feed('K', k), feed('V', v), ['attn_mask', 'bool', mask.shape, mask.data]], ['Y', null, null, 'qk']);
    const keep = nested({shape: mask.shape, data: mask.data}).map(row => Array.isArray(row) ? row.map(m => Array.isArray(m) ? m.map(l => l.map(Boolean)) : Boolean(m)) : Boolean(row));
    const input = {queries: nested(q), keys: nested(k), values: nested(v), mask: {keep}, ...document};
    write(name, `Attention of opset 23, ${what}`, input, {context: found.Y}, options);
    scores(`${name}: qk_matmul_output_mode=2`, input, found.qk);
}

fs.mkdirSync(folder, {recursive: true});
const padded = [1, 1, 1, 0, 0, 0, 0, 0];  // an item with one key of padding, and one that is all padding
await mha('mha_padding_adds', 'key_padding_mask [batch, keys]: -10000 is added, so a row of padding alone has the weights that it has without a mask',
    {batch: 2, queries: 3, keys: 4, more: [['key_padding_mask', 'int32', [2, 4], padded]],
     document: {mask: {add: [[[[0, 0, 0, -10000]]], [[[-10000, -10000, -10000, -10000]]]]}}});
await mha('mha_padded_key_wins', 'key_padding_mask [batch, keys]: a score above 10000 outweighs it',
    {queries: 2, keys: 3, more: [['key_padding_mask', 'int32', [1, 3], [1, 1, 0]]], document: {mask: {add: [[[[0, 0, -10000]]]]}},
     change: (q, k) => { for (const h of [0, 1]) for (let d = 0; d < 8; ++d) { k.data[(h * 3 + 2) * 8 + d] = d ? 0 : 65536; q.data[h * 16 + d] = d ? 0 : 1; } }});
await mha('mha_padding_lengths', 'key_padding_mask [batch]: how many keys there are', {batch: 2, queries: 3, keys: 4, more: [['key_padding_mask', 'int32', [2], [2, 4]]], document: {key_lengths: [2, 4]}});
await mha('mha_attention_bias_nan', 'attention_bias [1, 1, queries, keys] of -inf: a row without keys is NaN',
    {queries: 2, keys: 3, more: [null, ['attention_bias', 'float32', [1, 1, 2, 3], [0, -Infinity, 0.5, -Infinity, -Infinity, -Infinity]]],
     document: {mask: {add: [[0, '-Infinity', 0.5], ['-Infinity', '-Infinity', '-Infinity']]}, empty_rows: 'nan'}});
const last = [[true, false, false, false, false, false], [true, true, false, false, false, false], [true, true, true, true, true, true]];
await mha('mha_unidirectional_more_keys', 'unidirectional=1 with 3 queries and 6 keys: top left, but the last query sees every key', {queries: 3, keys: 6, attributes: {unidirectional: 1}, document: {mask: {keep: last}}});
await mha('mha_unidirectional_past', 'unidirectional=1 with a past of 3', {queries: 2, keys: 2, past: 3, attributes: {unidirectional: 1}, document: {causal: true}});
await gqa('gqa_causal', 'two heads on one', {queries: 5, document: {}});
await gqa('gqa_window', 'local_window_size=2: the token itself is counted', {queries: 5, ints: {local_window_size: 2}, document: {window: {left: 1}}});
await gqa('gqa_window_past', 'local_window_size=3 with a past of 4', {queries: 2, past: 4, ints: {local_window_size: 3}, document: {window: {left: 2}}});
await gqa('gqa_smooth_softmax', 'smooth_softmax=1: a sink of 0', {queries: 5, ints: {smooth_softmax: 1}, document: {sinks: [0, 0]}});
await gqa('gqa_head_sink', 'head_sink', {queries: 5, more: [null, null, null, null, ['head_sink', 'float32', [2], [0.5, -1]]], document: {sinks: [0.5, -1]}});
await gqa('gqa_seqlens_k', 'seqlens_k [4, 2]: the number of keys of each item, less one', {batch: 2, queries: 5, lengths: [4, 2], document: {key_lengths: [5, 3]}});
await gqa('gqa_past', 'one new token, a past of 4', {queries: 1, past: 4, document: {}});
await gqa('gqa_softcap', 'softcap=0.5', {queries: 5, floats: {softcap: 0.5}, document: {softcap: 0.5}});
const turns = 8, angle = (p, n) => p * 10000 ** (-n / 8);
const cache = f => ['float32', [turns, 8], Array.from({length: turns * 8}, (_, i) => f(angle(i >> 3, i & 7)))];
for (const interleaved of [0, 1])
    await gqa(interleaved ? 'gqa_rotary_interleaved' : 'gqa_rotary', `do_rotary=1, rotary_interleaved=${interleaved} with a past of 4: new keys alone are rotated, from position 4`,
        {queries: 2, past: 4, dim: 16, ints: {do_rotary: 1, rotary_interleaved: interleaved}, more: [['cos_cache', ...cache(Math.cos)], ['sin_cache', ...cache(Math.sin)]],
         document: {rope: {base: 10000, pairs: interleaved ? 'interleaved' : 'half'}}});
const row = {shape: [3, 4], data: [1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0]};
await standard('attention_empty_row_float32', 'a boolean mask, float32: a row without keys is 0', 'float32', row, {});
await standard('attention_empty_row_float64', 'a boolean mask, float64: a row without keys is NaN; the root of the scale is held in float32', 'float64', row, {dtype: 'float64', empty_rows: 'nan'}, {atol: 5e-8, rtol: 0});
await standard('attention_mask_broadcast_float64', 'a mask [1, 1, 1, keys], float64: it is broadcast (in float32 it is refused)', 'float64', {shape: [1, 1, 1, 4], data: [1, 1, 0, 1]}, {dtype: 'float64'}, {atol: 5e-8, rtol: 0});
fs.writeFileSync(path.join(process.argv[2], 'tests/data/onnxruntime_scores.json'), `[\n${before.map(b => JSON.stringify(b)).join(',\n')}\n]\n`);

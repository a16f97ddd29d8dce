// Writes data/cases/tfjs: what MultiHeadAttention of TensorFlow.js gives, beside the documents that give the same.
//
//     npm install @tensorflow/tfjs@4.22.0 && node tests/record/tfjs.mjs .
//
// The layer is in the package @tensorflow/tfjs-layers, and not among tf.layers: it is loaded from its own file.
import fs from 'node:fs';
import {createRequire, register} from 'node:module';
import path from 'node:path';
import process from 'node:process';
import {pathToFileURL} from 'node:url';

register('./extensions.mjs', import.meta.url);
const require = createRequire(path.join(process.cwd(), 'package.json'));
const load = async name => import(pathToFileURL(require.resolve(name)));
const tf = (await load('@tensorflow/tfjs')).default;
const layers = path.dirname(require.resolve('@tensorflow/tfjs-layers/package.json'));
const {MultiHeadAttention} = await import(pathToFileURL(path.join(layers, 'dist/layers/nlp/multihead_attention.js')));
const version = require('@tensorflow/tfjs-layers/package.json').version;
await tf.setBackend('cpu');
const folder = path.join(process.argv[2], 'data/cases/tfjs');

const heads = 2, dim = 2, width = 4;
const eighths = (count, step, cycle) => Array.from({length: count}, (_, i) => ((i * step) % cycle - (cycle >> 1)) / 8);
const rows = (data, columns) => Array.from({length: data.length / columns}, (_, i) => data.slice(i * columns, (i + 1) * columns));

fs.mkdirSync(folder, {recursive: true});
function record(name, what, {queries, keys, options, document}) {
    const x = eighths(queries * width, 7, 11), y = eighths(keys * width, 5, 13);
    const query = tf.tensor3d(x, [1, queries, width]), value = tf.tensor3d(y, [1, keys, width]);
    const layer = new MultiHeadAttention({numHeads: heads, keyDim: dim});
    layer.callAndReturnAttentionScores(query, {value});  // builds it
    const weights = {};
    const parts = [['query', layer.queryDense, 3], ['key', layer.keyDense, 5], ['value', layer.valueDense, 7], ['out', layer.outputDense, 9]];
    for (const [part, dense, step] of parts) {
        const [kernel, bias] = dense.getWeights();
        const numbers = eighths(kernel.size, step, 17), shifts = eighths(bias.size, step, 5);
        dense.setWeights([tf.tensor(numbers, kernel.shape), tf.tensor(shifts, bias.shape)]);
        weights[`W_${part}`] = rows(numbers, width);  // [width, heads * dim], or [heads * dim, width]
        weights[`b_${part}`] = shifts;
    }
    const [output, scores] = layer.callAndReturnAttentionScores(query, {value, ...options(tf)});
    const stage = t => ({shape: t.shape, data: Array.from(t.dataSync())});
    const input = {variant: 'cross_attention', num_heads: heads, embeddings: rows(x, width), key_embeddings: rows(y, width), weights, ...document};
    const text = JSON.stringify({name, source: `@tensorflow/tfjs-layers ${version}, MultiHeadAttention, backend cpu: ${what}`, atol: 5e-7, rtol: 5e-6, input,
                                 expect: {weights: stage(scores), output: stage(output)}});
    fs.writeFileSync(path.join(folder, `${name}.json`), text + '\n');
}

const mask = [1, 1, 0, 0, 0, 0, 1, 0, 1];
record('mha_plain', 'queries are scaled before the product', {queries: 3, keys: 5, options: () => ({}), document: {}});
record('mha_causal_top_left', 'useCausalMask with 3 queries and 5 keys', {queries: 3, keys: 5, options: () => ({useCausalMask: true}), document: {causal: 'top_left'}});
record('mha_empty_row_uniform', 'attentionMask, 1 keeps: -1e9 is added, so a row without keys is the mean of all values',
    {queries: 3, keys: 3, options: t => ({attentionMask: t.tensor3d(mask, [1, 3, 3])}),
     document: {mask: {keep: [rows(mask.map(Boolean), 3)]}, empty_rows: 'uniform'}});
record('mha_mask_and_causal', 'attentionMask and useCausalMask are joined; a row without keys has the mean of all values, later ones too',
    {queries: 3, keys: 3, options: t => ({useCausalMask: true, attentionMask: t.tensor3d([1, 1, 0, 0, 0, 1, 1, 0, 1], [1, 3, 3])}),
     document: {causal: 'top_left', mask: {keep: [rows([1, 1, 0, 0, 0, 1, 1, 0, 1].map(Boolean), 3)]}, empty_rows: 'uniform'}});

// @ts-check
// The numbers of a page: one block of JSON, and blocks of base64 of little-endian floats, decoded when they are needed.

/** An axis: its name, the original numbers of what is shown (null: all, from 0) and what they are called.
 * @typedef {{name: string, numbers: number[] | null, labels: string[] | null}} AxisData */
/** A line of a rule: see rule.js.
 * @typedef {{label?: string, let?: string, when?: string, say?: string, value?: string, note?: string}} RuleLine */
/** Where numbers stand: a block; the numbers of another stage (`like`) times a factor, or less those
 * of a third; `packed`: those that no mask
 * hides, the others are `fill`.
 * @typedef {{block?: number, like?: string, times?: number, minus?: string, packed?: boolean, fill?: 'zero' | 'minus'}} Kept */
/** @typedef {{name: string, formula: string, axes: number[], shape: number[], type: string, kept: Kept, ramp: string,
 *   from: number, to: number, reads: string[], masked: boolean}} StageData */
/** @typedef {{name: string, shape: number[], type: string, block: number | null}} InputData */
/** @typedef {{tensor: number, transposed: boolean, source: number, target: number, outputs: number, base: number,
 *   name?: string}} Piece */
/** @typedef {{title: string, plan: string, tool: string, precision: number, axes: AxisData[], stages: StageData[],
 *   inputs: InputData[], weights: Record<string, {weight: Piece[], bias: Piece[]}>, lists: Record<string, number[]>,
 *   rules: Record<string, {axes: string[], lines: RuleLine[]}>, hides: {when: string, text: string}[], ramps: Record<string, Record<string, string>>, sentence: string, start: string,
 *   hidden: {shape: number[], block: number} | null, warnings: string[]}} PageData */

/** @typedef {Float32Array | Float64Array} Floats */

/** @param {string} text @returns {Uint8Array} */
export function bytesOf(text) {
    const all = /** @type {any} */ (Uint8Array);
    if (all.fromBase64) return all.fromBase64(text);
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let k = 0; k < out.length; ++k) out[k] = raw.charCodeAt(k);
    return out;
}

/** The text of an element of the page. @param {string} id */
function textOf(id) {
    const found = document.getElementById(id);
    return found ? found.textContent || '' : '';
}

/** @param {Uint8Array} bytes @param {string} type @returns {Floats} */
function floatsOf(bytes, type) {
    const size = type === 'float64' ? 8 : 4;
    const count = Math.floor(bytes.length / size);
    if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 && bytes.byteOffset % size === 0)
        return size === 8 ? new Float64Array(bytes.buffer, bytes.byteOffset, count)
                          : new Float32Array(bytes.buffer, bytes.byteOffset, count);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const out = size === 8 ? new Float64Array(count) : new Float32Array(count);
    for (let k = 0; k < count; ++k) out[k] = size === 8 ? view.getFloat64(8 * k, true) : view.getFloat32(4 * k, true);
    return out;
}

/** Numbers [batch, head, token, row, column] of a stage: those that its axes have, the others are 0.
 * @typedef {{b: number, h: number, t: number, r: number, c: number}} Place */

/** One stage: a stack of matrices. Places count what is shown, from 0. */
export class Stage {
    /** @param {StageData} data @param {Page} page */
    constructor(data, page) {
        this.data = data;
        this.page = page;
        this.name = data.name;
        const names = data.axes.map((k) => page.data.axes[k].name);
        /** Where in the shape each part of a place stands; -1: nowhere. */
        this.batchAxis = names.indexOf('batch');
        this.headAxis = names.indexOf('head');
        const rest = names.map((_, k) => k).filter((k) => k !== this.batchAxis && k !== this.headAxis);
        this.columnAxis = rest.length ? rest[rest.length - 1] : -1;
        this.rowAxis = rest.length > 1 ? rest[rest.length - 2] : -1;
        this.tokenAxis = rest.length > 2 ? rest[rest.length - 3] : -1;
        /** @type {Floats | null} */ this.floats = null;
    }

    /** @param {number} axis */
    length(axis) { return axis < 0 ? 1 : this.data.shape[axis]; }
    get batches() { return this.length(this.batchAxis); }
    get heads() { return this.length(this.headAxis); }
    get tokens() { return this.length(this.tokenAxis); }
    get rows() { return this.length(this.rowAxis); }
    get columns() { return this.length(this.columnAxis); }
    get isEmpty() { return this.data.shape.some((n) => n === 0); }

    /** @param {number} axis @returns {AxisData | null} */
    axis(axis) { return axis < 0 ? null : this.page.data.axes[this.data.axes[axis]]; }
    /** The original number of what stands at a place of an axis. @param {number} axis @param {number} k */
    number(axis, k) {
        const of = this.axis(axis);
        return of && of.numbers ? of.numbers[k] : k;
    }
    /** The place of an original number; -1 where it is not shown. @param {number} axis @param {number} number */
    placeOf(axis, number) {
        if (axis < 0) return 0;
        const of = this.axis(axis);
        if (of && of.numbers) return of.numbers.indexOf(number);
        return number >= 0 && number < this.length(axis) ? number : -1;
    }
    /** What a row or a column is called. @param {number} axis @param {number} k */
    label(axis, k) {
        const of = this.axis(axis);
        if (!of) return '';
        const number = String(this.number(axis, k));
        if (of.labels && of.labels[k] !== number) return of.labels[k];
        return of.name === 'dim' ? 'd' + number : of.name + ' ' + number;
    }

    /** @param {Place} p */
    offset(p) {
        return (((p.b * this.heads + p.h) * this.tokens + p.t) * this.rows + p.r) * this.columns + p.c;
    }
    /** @param {Place} p @returns {number} */
    at(p) { return this.numbers()[this.offset(p)]; }
    /** A mask hides the cell. @param {Place} p */
    isHidden(p) { return this.data.masked && this.page.isHidden(p.b, p.h, p.r, p.c); }

    /** Original numbers, one for each axis. @param {Place} p */
    numbersOf(p) {
        return this.data.axes.map((_, k) =>
            this.number(k, k === this.batchAxis ? p.b : k === this.headAxis ? p.h : k === this.tokenAxis ? p.t
                           : k === this.rowAxis ? p.r : p.c));
    }
    /** "weights[0,3,1,0]" @param {Place} p */
    placeText(p) { return `${this.name}[${this.numbersOf(p).join(',')}]`; }

    /** @returns {Floats} */
    numbers() {
        if (this.floats) return this.floats;
        const {kept, type, shape} = this.data;
        const count = shape.reduce((a, n) => a * n, 1);
        /** @type {Floats} */
        let out;
        if (kept.like !== undefined) {
            const from = this.page.stage(kept.like).numbers();
            out = type === 'float64' ? Float64Array.from(from) : Float32Array.from(from);
            const times = kept.times;
            if (times !== undefined) for (let k = 0; k < count; ++k) out[k] = from[k] * times;
            if (kept.minus !== undefined) {
                const less = this.page.stage(kept.minus).numbers();
                for (let k = 0; k < count; ++k) out[k] = from[k] === less[k] ? 0 : from[k] - less[k];
            }
            const fill = kept.fill === 'zero' ? 0 : -Infinity;
            if (kept.fill)
                this.eachSheet((mask, first) => {
                    for (let k = 0; k < mask.length; ++k) if (mask[k]) out[first + k] = fill;
                });
        } else if (kept.packed) {
            const from = this.page.block(kept.block || 0, type);
            out = type === 'float64' ? new Float64Array(count) : new Float32Array(count);
            const fill = kept.fill === 'minus' ? -Infinity : 0;
            let next = 0;
            this.eachSheet((mask, first) => {
                for (let k = 0; k < mask.length; ++k) out[first + k] = mask[k] ? fill : from[next++];
            });
        } else {
            out = this.page.block(kept.block || 0, type);
        }
        this.floats = out;
        return out;
    }

    /** Calls f for each matrix: its mask, and where its numbers begin. @param {(mask: Uint8Array, first: number) => void} f */
    eachSheet(f) {
        for (let b = 0; b < this.batches; ++b)
            for (let h = 0; h < this.heads; ++h) {
                const mask = this.page.mask(b, h);
                if (mask) f(mask, this.offset({b, h, t: 0, r: 0, c: 0}));
            }
    }

    /** The range of the scale. */
    get range() { return {from: this.data.from, to: this.data.to}; }
}

export class Page {
    constructor() {
        /** @type {PageData} */
        this.data = JSON.parse(textOf('data'));
        this.stages = this.data.stages.map((s) => new Stage(s, this));
        /** @type {Map<string, Stage>} */
        this.byName = new Map(this.stages.map((s) => [s.name, s]));
        /** @type {Map<number, Floats>} */ this.inputs = new Map();
        /** @type {Uint8Array | null} */ this.bits = null;
    }

    /** @param {string} name @returns {Stage} */
    stage(name) {
        const found = this.byName.get(name);
        if (!found) throw new Error('no stage ' + name);
        return found;
    }

    /** @param {number} block @param {string} type */
    block(block, type) { return floatsOf(bytesOf(textOf('block' + block)), type); }

    /** Number `flat` of an input of the document; undefined where the page does not hold it.
     * @param {number} k @param {number} flat @returns {number | undefined} */
    input(k, flat) {
        const of = this.data.inputs[k];
        if (of.block === null) return undefined;
        let numbers = this.inputs.get(k);
        if (!numbers) {
            numbers = this.block(of.block, of.type);
            this.inputs.set(k, numbers);
        }
        return numbers[flat];
    }

    /** The mask of a matrix, a byte for each cell, 1 where it hides; null: there is none. All heads, or all batch items, may
     * have the same. @param {number} b @param {number} h @returns {Uint8Array | null} */
    mask(b, h) {
        const hidden = this.data.hidden;
        if (!hidden) return null;
        const [batches, heads, rows, columns] = hidden.shape, cells = rows * columns;
        if (!this.bits) {
            const bits = bytesOf(textOf('block' + hidden.block));
            this.bits = new Uint8Array(batches * heads * cells);
            for (let k = 0; k < this.bits.length; ++k) this.bits[k] = bits[k >> 3] >> (k & 7) & 1;
        }
        const of = ((batches === 1 ? 0 : b) * heads + (heads === 1 ? 0 : h)) * cells;
        return this.bits.subarray(of, of + cells);
    }

    /** @param {number} b @param {number} h @param {number} r @param {number} c */
    isHidden(b, h, r, c) {
        const mask = this.mask(b, h), hidden = this.data.hidden;
        return mask !== null && hidden !== null && mask[r * hidden.shape[3] + c] === 1;
    }
}

// --- numbers as text --------------------------------------------------------------------------------------------

/** So many digits after the point; exponents where nothing or too much would be left. @param {number} v
 * @param {number} digits */
export function rounded(v, digits) {
    if (Number.isNaN(v)) return 'NaN';
    if (!Number.isFinite(v)) return v < 0 ? '-∞' : '∞';
    const text = v.toFixed(digits);
    const nothing = v !== 0 && !/[1-9]/.test(text);
    if (Math.abs(v) >= 1e6 || nothing) return v.toExponential(digits);
    return /^-0\.?0*$/.test(text) ? text.slice(1) : text;
}

/** The shortest text that reads back to the same number of its type. @param {number} v @param {string} type */
export function exact(v, type) {
    if (!Number.isFinite(v)) return rounded(v, 4);
    if (type === 'float64') return String(v);
    for (let digits = 6; digits < 10; ++digits) {
        const text = v.toPrecision(digits);
        if (Math.fround(Number(text)) === v) return String(Number(text));
    }
    return String(v);
}

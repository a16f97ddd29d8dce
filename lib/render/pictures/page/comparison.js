// @ts-check
// Theirs, ours and their difference, side by side, with the tolerance as a slider. The stages of the page come in threes:
// "theirs NAME", "ours NAME", "difference NAME".
import {Page, exact, rounded} from './data.js';
import {Painter, drawMatrix, layoutOf} from './draw.js';

/** What is said of a stage beside its three: axes and shape are those that the comparison names.
 * @typedef {{name: string, axes: string[], shape: number[], words: string, first: number[] | null, equal: boolean}} Compared */
/** @typedef {import('./data.js').PageData & {compared: Compared[], atol: number, rtol: number, chosen: string}} ComparisonData */

/** @param {string} id @returns {HTMLElement} */
function part(id) {
    const found = document.getElementById(id);
    if (!found) throw new Error('no element ' + id);
    return found;
}

const sides = ['theirs', 'ours', 'difference'];

/** Where a number of a stage stands in its picture, by the axes that the comparison names. @param {Compared} s
 * @param {number[]} n @param {number} columns @returns {import('./data.js').Place} */
function cellOf(s, n, columns) {
    const at = {b: 0, h: 0, t: 0, r: 0, c: 0};
    let flat = 0;
    s.axes.forEach((axis, k) => {
        if (axis === 'batch') at.b = n[k];
        else if (axis === 'head') at.h = n[k];
        else flat = flat * s.shape[k] + n[k];
    });
    at.r = Math.floor(flat / columns);
    at.c = flat % columns;
    return at;
}
/** The other way round: "weights[0,1,4,3]". @param {Compared} s @param {import('./data.js').Place} at @param {number} columns */
function nameOf(s, at, columns) {
    let flat = at.r * columns + at.c;
    const n = s.axes.map((axis) => axis === 'batch' ? at.b : axis === 'head' ? at.h : -1);
    for (let k = n.length; k-- > 0;) {
        if (n[k] >= 0) continue;
        n[k] = flat % s.shape[k];
        flat = Math.floor(flat / s.shape[k]);
    }
    return `${s.name}[${n.join(',')}]`;
}

class Comparison {
    constructor() {
        this.page = new Page();
        this.data = /** @type {ComparisonData} */ (this.page.data);
        this.painter = new Painter(this.page);
        this.at = {b: 0, h: 0, t: 0, r: 0, c: 0};
        this.pending = 0;
        /** @type {Compared} */ this.chosen = this.data.compared.find((s) => s.name === this.data.chosen) || this.data.compared[0];
        this.slider = /** @type {HTMLInputElement} */ (part('atol'));
        this.layout = layoutOf(this.painter, this.stage('theirs'), 300, 1, this.data.precision);
        for (const id of ['first', 'compared']) part(id).hidden = id === 'first';
        this.list();
        this.controls();
        this.slider.value = String(this.data.atol > 0 ? Math.log10(this.data.atol) : -9);
        this.choose(this.chosen);
        document.documentElement.dataset.ready = 'yes';
    }
    /** @param {string} side */
    stage(side) { return this.page.stage(`${side} ${this.chosen.name}`); }

    get atol() { return Number(this.slider.value) <= -9 ? 0 : Math.pow(10, Number(this.slider.value)); }

    list() {
        for (const s of this.data.compared) {
            const b = document.createElement('button');
            b.type = 'button';
            b.textContent = `${s.name} ${s.equal ? '=' : '≠'}`;
            b.setAttribute('aria-label', `${s.name}: ${s.equal ? 'equal' : 'differs'}`);
            b.addEventListener('click', () => this.choose(s));
            part('stages').append(b);
        }
    }
    /** @param {Compared} s */
    choose(s) {
        this.chosen = s;
        const stage = this.stage('theirs');
        this.at = {b: 0, h: 0, t: 0, r: 0, c: 0};
        if (s.first) this.at = cellOf(s, s.first, stage.columns);
        part('stages').querySelectorAll('button').forEach((b, k) => b.setAttribute('aria-pressed', String(this.data.compared[k] === s)));
        part('words').textContent = s.words;
        this.heads();
        this.relayout();
        for (const side of sides) this.intoView(part(side));
    }
    heads() {
        const stage = this.stage('theirs');
        for (const [id, n, axis, key] of /** @type {[string, number, number, 'b' | 'h'][]} */ ([['item', stage.batches, stage.batchAxis, 'b'], ['head', stage.heads, stage.headAxis, 'h']])) {
            const select = /** @type {HTMLSelectElement} */ (part(id));
            part(id + '-label').hidden = n < 2;
            select.replaceChildren(...Array.from({length: n}, (_, k) => new Option(String(stage.number(axis, k)), String(k))));
            select.value = String(this.at[key]);
        }
    }
    relayout() {
        const stage = this.stage('theirs');
        this.layout = layoutOf(this.painter, stage, part('theirs').clientWidth || 300, 1, this.data.precision);
        for (const side of sides) {
            const space = /** @type {HTMLElement} */ (part(side).firstElementChild);
            space.style.width = this.layout.left + stage.columns * this.layout.width + 2 + 'px';
            space.style.height = this.layout.top + stage.rows * this.layout.height + 2 + 'px';
        }
        this.later();
    }
    later() {
        if (this.pending) return;
        this.pending = requestAnimationFrame(() => {
            this.pending = 0;
            this.draw();
        });
    }
    /** Whether two numbers are close, with the tolerance of the slider. @param {number} theirs @param {number} ours */
    isClose(theirs, ours) {
        if (Number.isNaN(theirs) || Number.isNaN(ours)) return Number.isNaN(theirs) && Number.isNaN(ours);
        return theirs === ours || Math.abs(theirs - ours) <= this.atol + this.data.rtol * Math.abs(ours);
    }
    draw() {
        const theirs = this.stage('theirs'), ours = this.stage('ours');
        const a = theirs.numbers(), b = ours.numbers(), first = theirs.offset({...this.at, r: 0, c: 0});
        let outside = 0, all = 0, worst = 0;
        for (let k = 0; k < a.length; ++k) {
            if (!this.isClose(a[k], b[k])) ++outside;
            ++all;
            const d = Math.abs(a[k] - b[k]);
            if (d > worst) worst = d;
        }
        for (const side of sides) {
            const stage = this.stage(side), box = part(side), canvas = /** @type {HTMLCanvasElement} */ (box.querySelector('canvas'));
            const isDifference = side === 'difference';
            drawMatrix(this.painter, canvas, stage, this.at, this.layout, {
                x: box.scrollLeft, y: box.scrollTop, width: box.clientWidth,
                height: Math.max(40, Math.min(box.clientHeight, this.layout.top + stage.rows * this.layout.height + 2)),
                // Of the difference, only what the tolerance lets through is left out.
                seen: isDifference ? (r, c) => !this.isClose(a[first + r * stage.columns + c], b[first + r * stage.columns + c]) : null,
                kept: false,
            });
        }
        part('atol-value').textContent = this.atol === 0 ? '0' : this.atol.toPrecision(2);
        part('count').textContent = outside ? `${outside} of ${all} numbers differ by more` : `all ${all} numbers are within it`;
        const x = theirs.at(this.at), y = ours.at(this.at);
        part('cell').textContent = `${nameOf(this.chosen, this.at, theirs.columns)}: theirs ${exact(x, theirs.data.type)}, ours ${exact(y, ours.data.type)}, difference ${x === y ? '0' : Number.isFinite(x - y) ? (x - y).toPrecision(4) : rounded(x - y, 4)}`;
        const mark = this.chosen.first;
        part('first-mark').hidden = !mark;
        if (mark) part('to-first').textContent = `first difference: [${mark.join(',')}]`;
    }
    /** @param {HTMLElement} box */
    intoView(box) {
        const l = this.layout, x = this.at.c * l.width, y = this.at.r * l.height;
        if (x < box.scrollLeft || x + l.width > box.scrollLeft + box.clientWidth - l.left) box.scrollLeft = Math.max(0, x - 60);
        if (y < box.scrollTop || y + l.height > box.scrollTop + box.clientHeight - l.top) box.scrollTop = Math.max(0, y - 60);
    }
    /** @param {Partial<import('./data.js').Place>} to */
    move(to) {
        const s = this.stage('theirs'), at = {...this.at, ...to};
        at.b = Math.max(0, Math.min(at.b, s.batches - 1));
        at.h = Math.max(0, Math.min(at.h, s.heads - 1));
        at.r = Math.max(0, Math.min(at.r, s.rows - 1));
        at.c = Math.max(0, Math.min(at.c, s.columns - 1));
        this.at = at;
        /** @type {HTMLSelectElement} */ (part('head')).value = String(at.h);
        this.later();
    }
    controls() {
        this.slider.addEventListener('input', () => this.later());
        for (const [id, key] of /** @type {['item' | 'head', 'b' | 'h'][]} */ ([['item', 'b'], ['head', 'h']]))
            part(id).addEventListener('change', () => this.move({[key]: Number(/** @type {HTMLSelectElement} */ (part(id)).value)}));
        part('to-first').addEventListener('click', () => this.choose(this.chosen));
        window.addEventListener('resize', () => this.relayout());
        matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
            this.painter.refresh();
            this.relayout();
        });
        for (const side of sides) {
            const box = part(side);
            box.addEventListener('scroll', () => {
                for (const other of sides) {
                    part(other).scrollLeft = box.scrollLeft;
                    part(other).scrollTop = box.scrollTop;
                }
                this.later();
            });
            box.addEventListener('mousemove', (e) => {
                const r = box.getBoundingClientRect(), l = this.layout, s = this.stage(side);
                const x = e.clientX - r.left - l.left + box.scrollLeft, y = e.clientY - r.top - l.top + box.scrollTop;
                const to = {r: Math.floor(y / l.height), c: Math.floor(x / l.width)};
                if (to.r >= 0 && to.c >= 0 && to.r < s.rows && to.c < s.columns) this.move(to);
            });
            box.addEventListener('keydown', (e) => {
                const a = this.at, s = this.stage(side);
                const to = e.key === 'ArrowLeft' ? {c: a.c - 1} : e.key === 'ArrowRight' ? {c: a.c + 1} : e.key === 'ArrowUp' ? {r: a.r - 1}
                    : e.key === 'ArrowDown' ? {r: a.r + 1} : e.key === 'Home' ? {c: 0} : e.key === 'End' ? {c: s.columns - 1}
                    : e.key === 'PageUp' ? {h: a.h - 1} : e.key === 'PageDown' ? {h: a.h + 1} : null;
                if (!to) return;
                e.preventDefault();
                this.move(to);
                for (const other of sides) this.intoView(part(other));
            });
        }
    }
}

new Comparison();

// @ts-check
// What is told of a cell: its calculation in lines, as MathML, down to the numbers of the document.
import {Calculation, Missing, leaf, readRule, variablesOf} from './rule.js';
import {exact, rounded} from './data.js';

/** A line: what is calculated, its calculation and its result.
 * @typedef {{label: string, expr: import('./rule.js').Expr | null, result: number, note: string, last: boolean}} Line */
/** @typedef {{lines: Line[], leaves: import('./rule.js').Expr[], complete: boolean}} Told */

/** Sums that are longer are shown by their ends, as `explain` shows them. */
const mostTerms = 8, firstTerms = 3, lastTerms = 2;
/** How far the calculation, in float64, may be from the number that was traced: what float32 and long sums lose. */
const tolerance = {float32: 2e-4, float64: 1e-9};

/** Words of a text with the numbers put in: "key {j} > query {i}". @param {string} text @param {Calculation} c */
function filled(text, c) {
    return text.replace(/\{([^}]*)\}/g, (_, inner) => {
        const e = c.tell(readRule(inner));
        return e.kind === 'number' && e.place && !e.whole ? e.place : String(e.value);
    });
}

/** The numbers that a calculation is made of, in order, none twice. @param {import('./rule.js').Expr} e
 * @param {Map<string, import('./rule.js').Expr>} found */
function collect(e, found) {
    if (e.from) {
        collect(e.from, found);
    } else if (e.kind !== 'number') {
        for (const p of e.parts) collect(p, found);
    } else if (e.place && (e.stage || e.given || e.unknown || e.derived)) {
        if (!found.has(e.place)) found.set(e.place, e);
    }
}

/** @param {import('./data.js').Stage} stage @param {import('./data.js').Place} p @returns {Told} */
export function tellCell(stage, p) {
    const page = stage.page;
    const told = {lines: /** @type {Line[]} */ ([]), leaves: /** @type {import('./rule.js').Expr[]} */ ([]), complete: false};
    const traced = stage.at(p);
    const rule = page.data.rules[stage.name];
    if (!rule) return told;
    const c = new Calculation(page, {...variablesOf(rule.axes, stage.numbersOf(p)), own: traced});
    /** @type {Map<string, import('./rule.js').Expr>} */
    const found = new Map();
    const own = stage.label(stage.columnAxis, p.c);
    try {
        const {value, complete} = c.run(rule.lines, (line, expr) => {
            if (expr) collect(expr, found);
            if (line.let && !line.label) return;
            const note = line.note === 'hidden' ? 'hidden: ' + whyHidden(page, c) : line.note || '';
            told.lines.push({label: line.let ? (line.label || '').replace('*', own) : own, expr,
                             result: expr && line.let ? expr.value : traced, note, last: !line.let});
        });
        const last = told.lines[told.lines.length - 1];
        told.complete = complete && agrees(value, traced, last.expr, stage.data.type);
    } catch (error) {
        if (!(error instanceof Missing || error instanceof RangeError)) throw error;
    }
    told.leaves = [...found.values()];
    if (!told.complete) told.lines = [];
    return told;
}

/** A calculation that does not give the number that was traced is not shown.
 * @param {number} calculated @param {number} traced @param {import('./rule.js').Expr | null} e @param {string} type */
function agrees(calculated, traced, e, type) {
    if (Number.isNaN(calculated) || Number.isNaN(traced)) return Number.isNaN(calculated) === Number.isNaN(traced);
    if (calculated === traced) return true;
    if (!e) return false;
    // Of a sum, what its terms may lose.
    let size = Math.max(Math.abs(calculated), Math.abs(traced));
    const inner = e.kind === 'sum' ? e : e.parts.find((x) => x.kind === 'sum');
    if (inner) size = Math.max(size, ...[inner.parts.reduce((a, x) => a + Math.abs(x.value), 0)].filter(Number.isFinite));
    return Math.abs(calculated - traced) <= (type === 'float64' ? tolerance.float64 : tolerance.float32) * Math.max(size, 1e-6);
}

/** The rule that hides a cell. @param {import('./data.js').Page} page @param {Calculation} c */
function whyHidden(page, c) {
    for (const rule of page.data.hides)
        try {
            if (c.plain(readRule(rule.when))) return filled(rule.text, c);
        } catch (error) {
            if (!(error instanceof Missing)) throw error;
        }
    return 'by the mask';
}

// --- as MathML --------------------------------------------------------------------------------------------------

const mathNames = 'http://www.w3.org/1998/Math/MathML';
/** @param {string} tag @param {(Node | string)[]} inside */
function math(tag, ...inside) {
    const e = document.createElementNS(mathNames, tag);
    e.append(...inside);
    return e;
}
const row = (/** @type {(Node | string)[]} */ ...inside) => math('mrow', ...inside);
const mo = (/** @type {string} */ text) => math('mo', text);
const fenced = (/** @type {Node} */ inside) => row(mo('('), inside, mo(')'));

/** How tightly the outermost operation binds: sum 0, sign 1, product 2, power 3, atom 4. */
const bindings = /** @type {Record<string, number>} */ ({sum: 0, neg: 1, product: 2, quotient: 4, power: 3, sq: 3, exp: 3});

/** @param {number} value @param {number} digits @param {boolean} whole @returns {Node} */
function numberMath(value, digits, whole) {
    const text = whole && Number.isFinite(value) ? String(Number(value.toPrecision(9))) : rounded(value, digits);
    const [mantissa, exponent] = text.split('e');
    const sign = mantissa[0] === '-';
    const number = math('mn', sign ? mantissa.slice(1) : mantissa);
    const body = exponent === undefined ? number
        : row(number, mo('·'), math('msup', math('mn', '10'), math('mn', String(Number(exponent)))));
    return sign ? row(mo('-'), body) : body;
}

/** @param {import('./rule.js').Expr} e @param {number} digits */
const binding = (e, digits) => e.kind === 'number' ? (rounded(e.value, digits)[0] === '-' && !e.unknown ? 1 : 4) : bindings[e.kind] ?? 4;
/** @param {import('./rule.js').Expr} e @param {number} digits @param {number} needed */
function bound(e, digits, needed) {
    const written = exprMath(e, digits);
    return binding(e, digits) >= needed ? written : fenced(written);
}

/** @param {import('./rule.js').Expr} e @param {number} digits @returns {Node} */
export function exprMath(e, digits) {
    switch (e.kind) {
        case 'number': {
            if (e.unknown) return math('mtext', e.place || '?');
            const body = numberMath(e.value, digits, Boolean(e.whole));
            if (!e.more) return body;
            return math('munder', row(mo('…'), body, mo('…')), math('mtext', `${e.more} more`));
        }
        case 'sum': {
            const out = row();
            shortened(e.parts).forEach((p, k) => {
                const isNegative = (/** @type {import('./rule.js').Expr} */ x) => x.kind === 'number' && !x.unknown && !x.more && x.value < 0;
                const positive = (/** @type {import('./rule.js').Expr} */ x) => leaf(-x.value, x.whole ? {whole: true} : {});
                // a + -0.5 · 0.3 is a - 0.5 · 0.3
                const pulled = k > 0 && p.kind === 'product' && isNegative(p.parts[0]);
                const minus = p.kind === 'neg' || pulled || (k > 0 && isNegative(p));
                const of = p.kind === 'neg' ? p.parts[0] : pulled ? {...p, parts: [positive(p.parts[0]), ...p.parts.slice(1)]} : minus ? positive(p) : p;
                if (minus) out.append(mo('-'));
                else if (k > 0) out.append(mo('+'));
                // x - (-0.5), a + (-0.5 · 0.3)
                out.append(bound(of, digits, minus || (k > 0 && of.kind === 'number') ? 2 : 1));
            });
            return out;
        }
        case 'neg': return row(mo('-'), bound(e.parts[0], digits, 2));
        case 'product': {
            const out = row();
            e.parts.forEach((p, k) => {
                if (k > 0) out.append(mo('·'));
                out.append(bound(p, digits, k > 0 ? 2 : 1));
            });
            return out;
        }
        case 'quotient': return math('mfrac', exprMath(e.parts[0], digits), exprMath(e.parts[1], digits));
        case 'power': return math('msup', bound(e.parts[0], digits, 4), exprMath(e.parts[1], digits));
        case 'sq': return math('msup', bound(e.parts[0], digits, 4), math('mn', '2'));
        case 'exp': return math('msup', math('mi', 'e'), exprMath(e.parts[0], digits));
        case 'sqrt': return math('msqrt', exprMath(e.parts[0], digits));
        default: {
            const inside = row();
            e.parts.forEach((p, k) => inside.append(...(k > 0 ? [mo(',')] : []), exprMath(p, digits)));
            return row(math('mi', e.kind), fenced(inside));
        }
    }
}

/** @param {import('./rule.js').Expr[]} parts @returns {import('./rule.js').Expr[]} */
function shortened(parts) {
    if (parts.length <= mostTerms) return parts;
    const rest = parts.slice(firstTerms, parts.length - lastTerms);
    return [...parts.slice(0, firstTerms),
            leaf(rest.reduce((a, p) => a + p.value, 0), {more: rest.length}), ...parts.slice(parts.length - lastTerms)];
}

/** label = calculation = result @param {Line} line @param {number} digits @returns {HTMLElement} */
export function lineElement(line, digits) {
    const out = document.createElement('div');
    out.className = line.last ? 'line last' : 'line';
    const formula = math('math');
    const power = /^e\^(.*)$/.exec(line.label);
    formula.append(power ? math('msup', math('mi', 'e'), math('mtext', power[1])) : math('mtext', line.label), mo('='));
    const copy = line.expr && line.expr.kind === 'number';
    if (line.expr && !copy) formula.append(exprMath(line.expr, digits), mo('='));
    formula.append(numberMath(line.result, digits, false));
    out.append(formula);
    const from = copy && line.expr && line.expr.place ? (line.last ? 'from ' : '') + line.expr.place : '';
    const note = [from, line.note].filter(Boolean).join('; ');
    if (note) {
        const small = document.createElement('span');
        small.className = 'note';
        small.textContent = note;
        out.append(small);
    }
    return out;
}

/** What is said aloud of a cell. @param {import('./data.js').Stage} stage @param {import('./data.js').Place} p
 * @param {number} digits */
export function spoken(stage, p, digits) {
    const words = [stage.name];
    const part = (/** @type {number} */ axis, /** @type {number} */ k) => {
        const of = stage.axis(axis);
        if (!of) return;
        const label = stage.label(axis, k);
        words.push(of.name === 'dim' ? 'column ' + stage.number(axis, k)
                       : label.startsWith(of.name + ' ') ? label : `${of.name} ${label}`);
    };
    part(stage.rowAxis, p.r);
    part(stage.columnAxis, p.c);
    const value = stage.at(p);
    words.push(stage.isHidden(p) && !Number.isFinite(value) ? 'hidden' : rounded(value, digits));
    if (stage.isHidden(p) && Number.isFinite(value)) words.push('hidden');
    return words.join(', ');
}

/** @param {import('./data.js').Stage} stage @param {import('./data.js').Place} p */
export const exactText = (stage, p) => exact(stage.at(p), stage.data.type);

// @ts-check
// How a number of a stage comes about. A rule is a few lines that the program writes into the page, one for each stage:
// "sum(k, 0, 2, queries[b,h,i,k] * keys[b,h,j,k])". Here they are read and calculated, cell by cell.
//
//   sum(k, from, to, what), sum(k, from, to, condition, what)   from <= k < to
//   largest(k, from, to, what)                                  the largest of them, as it stands
//   stage[b,h,i,j]    a number of a stage, by original numbers  list[k]    a number of the plan
//   input(n, flat)    a number of the document                  W(role, i, o), B(role, o)    of a projection
//   as(text, what)    a number on the way, by its name          int(what)    a whole number of the formula
//   hidden(b, h, i, j)    a mask hides the cell                 exp tanh sqrt ln cos sin sq max min; ^ // %
//
// In a rule, b, h, t, i, j are the original numbers of the cell (batch item, head, token of states, row, column), and own
// is its number as it was traced.

/** @typedef {{op: string, args: Tree[], name?: string, value?: number}} Tree */
/** A number with its calculation: `parts` of a `kind`; a leaf has none. `place`: where it comes from. `stage`, `at`: a
 * number of a stage. `more`: so many terms of a sum stand behind it. `from`: a number on the way, and what it is made of.
 * `derived`: a number of a stage that the page does not hold, calculated.
 * @typedef {{kind: string, value: number, parts: Expr[], place?: string, stage?: import('./data.js').Stage,
 *   at?: import('./data.js').Place, given?: boolean, whole?: boolean, more?: number, unknown?: boolean, derived?: boolean, from?: Expr}} Expr */

/** @type {Map<string, Tree>} */
const readAlready = new Map();

/** @param {string} text @returns {Tree} */
export function readRule(text) {
    const known = readAlready.get(text);
    if (known) return known;
    const tokens = text.match(/"[^"]*"|[0-9.]+(?:e[+-]?[0-9]+)?|[A-Za-z_][A-Za-z_0-9]*|\/\/|<=|>=|!=|==|[-+*/%^()[\],<>&|]/g) || [];
    let at = 0;
    /** @param {string} wanted */
    const take = (wanted) => {
        if (tokens[at] !== wanted) throw new Error(`rule "${text}": ${wanted} expected, found ${tokens[at]}`);
        ++at;
    };
    /** @param {string} close @returns {Tree[]} */
    const list = (close) => {
        /** @type {Tree[]} */
        const out = [];
        while (tokens[at] !== close) {
            if (out.length) take(',');
            out.push(level(0));
        }
        ++at;
        return out;
    };
    /** @returns {Tree} */
    const atom = () => {
        const token = tokens[at++];
        if (token === undefined) throw new Error(`rule "${text}" ends too early`);
        if (token === '(') {
            const inner = level(0);
            take(')');
            return inner;
        }
        if (token === '-') return {op: 'neg', args: [level(4)]};
        if (token[0] === '"') return {op: 'text', args: [], name: token.slice(1, -1)};
        if (/^[0-9.]/.test(token)) return {op: 'number', args: [], value: Number(token)};
        if (tokens[at] === '(') {
            ++at;
            return {op: 'call', args: list(')'), name: token};
        }
        if (tokens[at] === '[') {
            ++at;
            return {op: 'at', args: list(']'), name: token};
        }
        return {op: 'name', args: [], name: token};
    };
    const levels = [['|'], ['&'], ['<', '>', '<=', '>=', '==', '!='], ['+', '-'], ['*', '/', '//', '%'], ['^']];
    /** @param {number} k @returns {Tree} */
    const level = (k) => {
        if (k === levels.length) return atom();
        let left = level(k + 1);
        while (levels[k].includes(tokens[at])) {
            const op = tokens[at++];
            left = {op, args: [left, level(k + 1)]};
        }
        return left;
    };
    const tree = level(0);
    if (at !== tokens.length) throw new Error(`rule "${text}": ${tokens[at]} is too much`);
    readAlready.set(text, tree);
    return tree;
}

/** The variables of a rule for a number of a stage with these axes. @param {string[]} axes @param {number[]} n */
export function variablesOf(axes, n) {
    /** @type {Record<string, number>} */
    const out = {b: 0, h: 0, t: 0, i: 0, j: 0};
    const rest = ['j', 'i', 't'];
    for (let k = axes.length; k-- > 0;)
        out[axes[k] === 'batch' ? 'b' : axes[k] === 'head' ? 'h' : /** @type {string} */ (rest.shift())] = n[k];
    return out;
}

/** A rule needs a number that the page does not hold. */
export class Missing extends Error {}

/** @param {number} value @param {Partial<Expr>} [more] @returns {Expr} */
export const leaf = (value, more) => ({kind: 'number', value, parts: [], ...more});

/** @type {Record<string, (x: number) => number>} */
const functions = {exp: Math.exp, tanh: Math.tanh, sqrt: Math.sqrt, ln: Math.log, cos: Math.cos, sin: Math.sin, sq: (x) => x * x};

/** More steps are not taken for one number: nobody waits for them. */
const mostWork = 3e6;

/** Numbers of stages that the page does not hold, calculated from what it holds. @type {Map<string, Expr>} */
const derived = new Map();

export class Calculation {
    /** @param {import('./data.js').Page} page @param {Record<string, number>} variables @param {{left: number}} [work] */
    constructor(page, variables, work = {left: mostWork}) {
        this.page = page;
        this.variables = variables;
        this.work = work;
        /** Numbers on the way, by their names. @type {Map<string, Expr>} */
        this.lets = new Map();
        /** Some number is not in this page. */
        this.incomplete = false;
    }

    /** A plain number: places, conditions. @param {Tree} t @returns {number} */
    plain(t) {
        const p = (/** @type {number} */ k) => this.plain(t.args[k]);
        switch (t.op) {
            case 'number': return t.value || 0;
            case 'neg': return -p(0);
            case '+': return p(0) + p(1);
            case '-': return p(0) - p(1);
            case '*': return p(0) * p(1);
            case '/': return p(0) / p(1);
            case '//': return Math.floor(p(0) / p(1));
            case '%': return p(0) % p(1);
            case '^': return Math.pow(p(0), p(1));
            case '<': return Number(p(0) < p(1));
            case '>': return Number(p(0) > p(1));
            case '<=': return Number(p(0) <= p(1));
            case '>=': return Number(p(0) >= p(1));
            case '==': return Number(p(0) === p(1));
            case '!=': return Number(p(0) !== p(1));
            case '&': return p(0) && p(1);
            case '|': return p(0) || p(1);
            case 'name': {
                const name = t.name || '';
                if (name === 'inf') return Infinity;
                const v = this.variables[name];
                if (v !== undefined) return v;
                const on = this.lets.get(name);
                if (on && on.unknown) throw new Missing(name);
                if (on) return on.value;
                if (name === 'own') throw new Missing(name);
                throw new Error('rule: what is ' + name + '?');
            }
            case 'call':
                if (t.name === 'hidden') return Number(this.isHidden(t.args));
                break;
        }
        const e = this.tell(t);
        if (e.unknown) throw new Missing(e.place);
        return e.value;
    }

    /** hidden(b, h, i, j) @param {Tree[]} args */
    isHidden(args) {
        const weights = this.page.stages.find((s) => s.data.masked);
        const [b, h, i, j] = args.map((a) => this.plain(a));
        if (!weights) {
            const there = new Calculation(this.page, {b, h, i, j}, this.work);
            return this.page.data.hides.some((rule) => there.plain(readRule(rule.when)));
        }
        const at = [weights.placeOf(weights.batchAxis, b), weights.placeOf(weights.headAxis, h),
                    weights.placeOf(weights.rowAxis, i), weights.placeOf(weights.columnAxis, j)];
        if (at.some((k) => k < 0)) throw new Missing('the mask');
        return this.page.isHidden(at[0], at[1], at[2], at[3]);
    }

    /** @param {string} place @returns {Expr} */
    unknown(place) {
        this.incomplete = true;
        return leaf(NaN, {place, unknown: true});
    }

    /** A number of a stage. @param {string} name @param {number[]} n original numbers @returns {Expr} */
    cell(name, n) {
        const stage = this.page.byName.get(name);
        if (!stage) return this.derive(name, n);
        const place = {b: 0, h: 0, t: 0, r: 0, c: 0};
        const of = (/** @type {number} */ axis) => axis < 0 ? 0 : stage.placeOf(axis, n[axis]);
        place.b = of(stage.batchAxis);
        place.h = of(stage.headAxis);
        place.t = of(stage.tokenAxis);
        place.r = of(stage.rowAxis);
        place.c = of(stage.columnAxis);
        if (Math.min(place.b, place.h, place.t, place.r, place.c) < 0) return this.derive(name, n);
        return leaf(stage.at(place), {place: stage.placeText(place), stage, at: place});
    }

    /** A number of a stage that is not shown, by its rule. @param {string} name @param {number[]} n @returns {Expr} */
    derive(name, n) {
        const place = `${name}[${n.join(',')}]`, known = derived.get(place), rule = this.page.data.rules[name];
        if (known) return known;
        if (!rule) return this.unknown(place);
        const there = new Calculation(this.page, variablesOf(rule.axes, n), this.work);
        const {value, complete} = there.run(rule.lines, () => {});
        if (!complete) {
            this.incomplete = true;
            return leaf(NaN, {place, unknown: true});
        }
        const e = leaf(value, {place, derived: true});
        derived.set(place, e);
        return e;
    }

    /** Takes the lines of a rule one after another, to its result; calls f for each.
     * @param {import('./data.js').RuleLine[]} lines @param {(line: import('./data.js').RuleLine, e: Expr | null) => void} f
     * @returns {{value: number, complete: boolean}} */
    run(lines, f) {
        for (const line of lines) {
            if (line.when && !this.plain(readRule(line.when))) continue;
            const e = line.say === undefined ? null : this.tell(readRule(line.say));
            f(line, e);
            if (!e) return {value: this.plain(readRule(line.value || '0')), complete: true};
            if (!line.let) return {value: e.value, complete: !this.incomplete && !e.unknown};
            this.lets.set(line.let, e.unknown || !line.label ? e : leaf(e.value, {place: line.label}));
        }
        return {value: NaN, complete: false};
    }

    /** A number of the document. @param {number} k @param {number} flat @param {string} [name] @returns {Expr} */
    input(k, flat, name) {
        const of = this.page.data.inputs[k];
        const at = [];
        let rest = flat;
        for (let axis = of.shape.length; axis-- > 0;) {
            at.unshift(rest % of.shape[axis]);
            rest = Math.floor(rest / of.shape[axis]);
        }
        const place = `${name || of.name}[${at.join(',')}]`;
        const value = this.page.input(k, flat);
        return value === undefined ? this.unknown(place) : leaf(value, {place, given: true});
    }

    /** W[i, o] or b[o] of a projection, where it stands in the document.
     * @param {string} role @param {boolean} isWeight @param {number} i @param {number} o @returns {Expr | null} */
    weight(role, isWeight, i, o) {
        const pieces = this.page.data.weights[role];
        for (const p of pieces ? (isWeight ? pieces.weight : pieces.bias) : []) {
            if (o < p.target || o >= p.target + p.outputs) continue;
            const output = p.source + o - p.target;
            if (!isWeight) return this.input(p.tensor, output, p.name);
            const shape = this.page.data.inputs[p.tensor].shape, columns = shape[shape.length - 1];
            return this.input(p.tensor, p.base + (p.transposed ? output * columns + i : i * columns + output), p.name);
        }
        return isWeight ? leaf(0, {whole: true}) : null;
    }

    /** @param {string} kind @param {Expr[]} parts @param {number} value @returns {Expr} */
    node(kind, parts, value) {
        return {kind, parts, value, unknown: parts.some((p) => p.unknown)};
    }

    /** @param {Expr[]} parts */
    sum(parts) {
        if (parts.length === 0) return leaf(0, {whole: true});
        return this.node('sum', parts, parts.reduce((a, p) => a + p.value, 0));
    }

    /** Calls f for every value of the variable of sum() or largest() that is wanted. @param {Tree} t
     * @param {() => void} f */
    each(t, f) {
        const name = t.args[0].name || '', from = this.plain(t.args[1]), to = this.plain(t.args[2]);
        const before = this.variables[name];
        for (let k = from; k < to; ++k) {
            if (--this.work.left < 0) throw new Missing('too much work');
            this.variables[name] = k;
            if (t.args.length < 5 || this.plain(t.args[3])) f();
        }
        if (before === undefined) delete this.variables[name];
        else this.variables[name] = before;
    }

    /** The calculation of a rule, as a tree with numbers. @param {Tree} t @returns {Expr} */
    tell(t) {
        const parts = () => t.args.map((a) => this.tell(a));
        switch (t.op) {
            case 'number': return leaf(t.value || 0, {whole: true});
            case 'name': {
                const on = this.lets.get(t.name || '');
                if (on) return on;
                return leaf(this.plain(t), {whole: true});
            }
            case 'neg': {
                const [x] = parts();
                return this.node('neg', [x], -x.value);
            }
            case '+': {
                // One sum, not a sum of sums.
                const [a, b] = parts();
                const all = [...(a.kind === 'sum' ? a.parts : [a]), b];
                return this.sum(all);
            }
            case '-': {
                const [a, b] = parts();
                return this.node('sum', [a, this.node('neg', [b], -b.value)], a.value - b.value);
            }
            case '*': {
                const [a, b] = parts();
                return this.node('product', [...(a.kind === 'product' ? a.parts : [a]), b], a.value * b.value);
            }
            case '/': {
                const [a, b] = parts();
                return this.node('quotient', [a, b], a.value / b.value);
            }
            case '^': {
                const [a, b] = parts();
                return this.node('power', [a, b], Math.pow(a.value, b.value));
            }
            case 'at': {
                const list = this.page.data.lists[t.name || ''];
                const n = t.args.map((a) => this.plain(a));
                if (list) return leaf(list[n[0]], {whole: true, place: `${t.name}[${n[0]}]`});
                return this.cell(t.name || '', n);
            }
            case 'call': return this.call(t);
            default: return leaf(this.plain(t), {whole: true});
        }
    }

    /** @param {Tree} t @returns {Expr} */
    call(t) {
        const name = t.name || '';
        const n = (/** @type {number} */ k) => this.plain(t.args[k]);
        if (name in functions) {
            const x = this.tell(t.args[0]);
            return this.node(name, [x], functions[name](x.value));
        }
        if (--this.work.left < 0) throw new Missing('too much work');
        switch (name) {
            case 'int': return leaf(n(0), {whole: true});
            case 'min': return leaf(Math.min(n(0), n(1)), {whole: true});
            case 'sum': {
                /** @type {Expr[]} */
                const parts = [];
                this.each(t, () => parts.push(this.tell(t.args[t.args.length - 1])));
                return this.sum(parts);
            }
            case 'largest': {
                /** @type {Expr | null} */
                let best = null;
                this.each(t, () => {
                    const e = this.tell(t.args[t.args.length - 1]);
                    if (!best || e.value > best.value || e.unknown) best = e;
                });
                return best || leaf(-Infinity);
            }
            case 'max': {
                const parts = t.args.map((a) => this.tell(a));
                return this.node('max', parts, Math.max(...parts.map((p) => p.value)));
            }
            case 'as': {
                const e = this.tell(t.args[1]);
                return e.unknown ? e : leaf(e.value, {place: t.args[0].name || '', from: e});
            }
            case 'input': return this.input(n(0), n(1));
            case 'W': return this.weight(t.args[0].name || '', true, n(1), n(2)) || leaf(0);
            case 'B': return this.weight(t.args[0].name || '', false, 0, n(1)) || leaf(0, {whole: true});
        }
        throw new Error('rule: there is no ' + name);
    }
}

// @ts-check
// The page: what is chosen, and everything that shows it.
import {Page, exact, rounded} from './data.js';
import {Painter, csvOf, css, drawMatrix, ink, layoutOf, svgOf} from './draw.js';
import {exactText, lineElement, spoken, tellCell} from './tell.js';

/** @param {string} id @returns {HTMLElement} */
function element(id) {
    const found = document.getElementById(id);
    if (!found) throw new Error('no element ' + id);
    return found;
}
/** @param {string} tag @param {string} [text] @param {string} [name] of a class @returns {HTMLElement} */
function made(tag, text, name) {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (name) e.className = name;
    return e;
}
/** A button. @param {string} text @param {() => void} act */
function button(text, act) {
    const e = /** @type {HTMLButtonElement} */ (made('button', text));
    e.type = 'button';
    e.addEventListener('click', act);
    return e;
}

/** One stop for Tab in a group of buttons; arrows, Home and End move in it. @param {HTMLElement} group
 * @param {boolean} choose what is moved to is chosen */
function roving(group, choose) {
    group.addEventListener('keydown', (event) => {
        const all = [...group.querySelectorAll('button')];
        const at = all.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
        if (at < 0) return;
        const to = event.key === 'ArrowRight' || event.key === 'ArrowDown' ? at + 1
            : event.key === 'ArrowLeft' || event.key === 'ArrowUp' ? at - 1
            : event.key === 'Home' ? 0 : event.key === 'End' ? all.length - 1 : -1;
        if (to < 0 || to >= all.length) return;
        event.preventDefault();
        all[to].focus();
        if (choose) all[to].click();
    });
}
/** @param {HTMLElement} group @param {number} chosen */
function stops(group, chosen) {
    group.querySelectorAll('button').forEach((e, k) => { e.tabIndex = k === chosen ? 0 : -1; });
}

const mostSourceCells = 16, mostHeads = 128, mostWords = 2000;

class View {
    constructor() {
        this.page = new Page();
        this.painter = new Painter(this.page);
        const stages = this.page.stages;
        this.stage = this.page.byName.get(this.page.data.start) || stages[stages.length - 1];
        /** @type {import('./data.js').Place} */ this.at = {b: 0, h: 0, t: 0, r: 0, c: 0};
        this.kept = false;
        this.zoom = 1;
        /** Numbers after the cell are not shown: the calculation is stepped through. */
        this.stepping = false;
        /** A head that is looked at and not chosen. @type {number | null} */ this.preview = null;
        /** Where a walk down has come from. @type {string[]} */ this.trail = [];
        /** The stage and sheet that the panes show. */ this.shown = '';
        this.pending = 0;
        this.address = 0;
        this.resting = 0;
        /** Small pictures that have been drawn. @type {Map<string, HTMLCanvasElement>} */ this.minis = new Map();
        this.digits = this.page.data.precision;
        this.scroll = element('scroll');
        this.canvas = /** @type {HTMLCanvasElement} */ (element('matrix'));
        this.layout = layoutOf(this.painter, this.stage, 400, 1, this.digits);
        element('title').textContent = this.page.data.title;
        element('plan').textContent = this.page.data.plan;
        for (const id of ['strip', 'panes']) element(id).hidden = false;
        const first = document.getElementById('first');
        if (first) first.hidden = true;
        this.controls();
        this.strip();
        this.warn();
        if (!this.fromAddress()) this.startCell();
        this.refresh();
        this.intoView();
    }

    /** A cell that is worth a look: the second row, its first column. */
    startCell() {
        this.at = {b: 0, h: 0, t: this.stage.tokens - 1, r: Math.min(1, this.stage.rows - 1), c: 0};
        if (this.at.r < 0) this.at.r = 0;
        if (this.at.t < 0) this.at.t = 0;
    }

    warn() {
        for (const w of this.page.data.warnings) element('warnings').append(made('p', w));
    }

    // --- the address: #weights/0/3/1/0 --------------------------------------------------------------------------

    toAddress() {
        const s = this.stage, a = this.at;
        const n = [s.number(s.batchAxis, a.b), s.number(s.headAxis, a.h), s.number(s.rowAxis, a.r), s.number(s.columnAxis, a.c)];
        if (s.tokenAxis >= 0) n.push(s.number(s.tokenAxis, a.t));
        return '#' + [encodeURIComponent(s.name), ...n].join('/');
    }
    /** @param {string} [hash] @returns {boolean} whether the address names a cell that is here */
    fromAddress(hash = location.hash) {
        const [name, ...rest] = hash.slice(1).split('/');
        let stage;
        try {
            stage = this.page.byName.get(decodeURIComponent(name));
        } catch {
            return false;
        }
        if (!stage) return false;
        const n = rest.map(Number);
        const of = (/** @type {number} */ axis, /** @type {number} */ k) => axis < 0 ? 0 : n[k] === undefined ? 0 : stage.placeOf(axis, n[k]);
        const at = {b: of(stage.batchAxis, 0), h: of(stage.headAxis, 1), r: of(stage.rowAxis, 2), c: of(stage.columnAxis, 3), t: of(stage.tokenAxis, 4)};
        if (Math.min(at.b, at.h, at.t, at.r, at.c) < 0 || Object.values(at).some(Number.isNaN)) return false;
        this.stage = stage;
        this.at = at;
        this.kept = rest.length > 0;
        return true;
    }
    writeAddress() {
        // Browsers limit how often an address may change.
        clearTimeout(this.address);
        this.address = window.setTimeout(() => {
            if (location.hash !== this.toAddress()) history.replaceState(null, '', this.toAddress());
        }, 300);
    }

    // --- choosing -----------------------------------------------------------------------------------------------

    /** The sheet that is drawn. */
    get sheet() { return this.preview === null ? this.at : {...this.at, h: this.preview}; }

    /** Another stage; the cell stays as far as it can. @param {import('./data.js').Stage} stage */
    choose(stage) {
        const old = this.stage, a = this.at;
        if (stage === old) return;
        const same = (/** @type {'rowAxis' | 'columnAxis'} */ axis, /** @type {'r' | 'c'} */ part) => {
            const mine = stage.axis(stage[axis]), theirs = old.axis(old[axis]);
            if (!mine) return 0;
            if (theirs && mine.name === theirs.name) {
                const k = stage.placeOf(stage[axis], old.number(old[axis], a[part]));
                if (k >= 0) return k;
            }
            return Math.min(a[part], stage.length(stage[axis]) - 1);
        };
        const head = stage.heads === old.heads ? a.h : Math.floor(a.h * stage.heads / Math.max(1, old.heads));
        this.stage = stage;
        this.at = {b: Math.min(a.b, stage.batches - 1), h: Math.max(0, Math.min(head, stage.heads - 1)), t: Math.max(0, stage.tokens - 1),
                   r: Math.max(0, same('rowAxis', 'r')), c: Math.max(0, same('columnAxis', 'c'))};
        this.preview = null;
        this.refresh();
    }
    /** @param {Partial<import('./data.js').Place>} to @param {boolean} [show] scrolls the cell into view */
    move(to, show = false) {
        const s = this.stage, at = {...this.at, ...to};
        at.b = Math.max(0, Math.min(at.b, s.batches - 1));
        at.h = Math.max(0, Math.min(at.h, s.heads - 1));
        at.t = Math.max(0, Math.min(at.t, s.tokens - 1));
        at.r = Math.max(0, Math.min(at.r, s.rows - 1));
        at.c = Math.max(0, Math.min(at.c, s.columns - 1));
        this.at = at;
        if (show) this.intoView();
        this.refresh();
    }
    /** @param {boolean} kept */
    keep(kept) {
        this.kept = kept;
        this.refresh();
    }
    letGo() {
        this.preview = null;
        this.trail = [];
        this.kept = false;
        this.stepping = false;
        this.refresh();
    }
    /** To a number that the told one is made of. @param {import('./data.js').Stage} stage
     * @param {import('./data.js').Place} at */
    down(stage, at) {
        this.trail.push(this.toAddress());
        this.stage = stage;
        this.at = {...at};
        this.kept = true;
        this.preview = null;
        this.intoView();
        this.refresh();
    }
    /** Back along the way, to the k-th stop. @param {number} k */
    up(k) {
        const to = this.trail[k];
        this.trail.length = k;
        history.replaceState(null, '', to);
        this.fromAddress();
        this.intoView();
        this.refresh();
    }

    // --- stepping -----------------------------------------------------------------------------------------------

    /** @param {number} by one number on or back, through all stages */
    step(by) {
        const s = this.stage, stages = this.page.stages, k = stages.indexOf(s);
        this.kept = true;
        if (!this.stepping) {
            this.stepping = true;
            if (by > 0) return this.move({r: 0, c: 0}, true);
        }
        const cell = this.at.r * s.columns + this.at.c + by;
        if (cell >= 0 && cell < s.rows * s.columns) return this.move({r: Math.floor(cell / s.columns), c: cell % s.columns}, true);
        this.stepStage(by, by < 0);
    }
    /** @param {number} by @param {boolean} [toEnd] */
    stepStage(by, toEnd = false) {
        const stages = this.page.stages, to = stages[stages.indexOf(this.stage) + by];
        if (!to || to.isEmpty) return;
        this.choose(to);
        if (this.stepping) this.move(toEnd ? {r: to.rows - 1, c: to.columns - 1} : {r: 0, c: 0}, true);
    }

    // --- controls -----------------------------------------------------------------------------------------------

    controls() {
        const on = (/** @type {string} */ id, /** @type {() => void} */ act) => element(id).addEventListener('click', act);
        on('head-back', () => this.move({h: this.at.h - 1}));
        on('head-on', () => this.move({h: this.at.h + 1}));
        on('smaller', () => { this.zoom = Math.max(1 / 8, this.zoom / 1.5); this.relayout(); });
        on('larger', () => { this.zoom = Math.min(16, this.zoom * 1.5); this.relayout(); });
        on('step-back', () => this.step(-1));
        on('step-on', () => this.step(1));
        on('stage-back', () => this.stepStage(-1));
        on('stage-on', () => this.stepStage(1));
        on('step-all', () => { this.stepping = false; this.refresh(); });
        on('save-csv', () => this.save('csv', 'text/csv', csvOf(this.stage, this.at, exact)));
        on('save-svg', () => this.save('svg', 'image/svg+xml', svgOf(this.painter, this.stage, this.at, this.heading(), this.digits)));
        for (const [id, part] of /** @type {['item' | 'after', 'b' | 't'][]} */ ([['item', 'b'], ['after', 't']]))
            element(id).addEventListener('change', () => this.move({[part]: Number(/** @type {HTMLSelectElement} */ (element(id)).value)}));
        for (const id of ['strip', 'heads', 'words']) roving(element(id), id !== 'heads');
        element('heads').addEventListener('mouseleave', () => this.look(null));
        this.scroll.addEventListener('scroll', () => this.later());
        this.scroll.addEventListener('keydown', (e) => this.key(e));
        document.addEventListener('keydown', (e) => { if (e.key === 'Escape') this.letGo(); });
        const cellAt = (/** @type {MouseEvent} */ e) => {
            const box = this.canvas.getBoundingClientRect(), l = this.layout;
            const x = e.clientX - box.left - l.left + this.scroll.scrollLeft, y = e.clientY - box.top - l.top + this.scroll.scrollTop;
            if (e.clientX - box.left < l.left || e.clientY - box.top < l.top) return null;
            const c = Math.floor(x / l.width), r = Math.floor(y / l.height);
            return r >= 0 && c >= 0 && r < this.stage.rows && c < this.stage.columns ? {r, c} : null;
        };
        this.canvas.addEventListener('mousemove', (e) => {
            const to = this.kept ? null : cellAt(e);
            if (to && (to.r !== this.at.r || to.c !== this.at.c)) this.move(to);
        });
        this.canvas.addEventListener('click', (e) => {
            const to = cellAt(e);
            if (!to) return;
            const again = this.kept && to.r === this.at.r && to.c === this.at.c;
            this.kept = !again;
            this.move(to);
        });
        window.addEventListener('hashchange', (e) => {
            // Not location.hash: the address may have been written since.
            if (!this.fromAddress(new URL(e.newURL).hash)) return;
            this.intoView();
            this.refresh();
        });
        window.addEventListener('resize', () => this.relayout());
        matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
            this.painter.refresh();
            this.strip();
            this.relayout();
        });
    }

    /** @param {KeyboardEvent} e */
    key(e) {
        const s = this.stage, a = this.at;
        /** @type {Partial<import('./data.js').Place> | null} */
        const to = e.key === 'ArrowLeft' ? {c: a.c - 1} : e.key === 'ArrowRight' ? {c: a.c + 1}
            : e.key === 'ArrowUp' ? {r: a.r - 1} : e.key === 'ArrowDown' ? {r: a.r + 1}
            : e.key === 'Home' ? {c: 0, ...(e.ctrlKey ? {r: 0} : {})} : e.key === 'End' ? {c: s.columns - 1, ...(e.ctrlKey ? {r: s.rows - 1} : {})}
            : e.key === 'PageUp' ? {h: a.h - 1} : e.key === 'PageDown' ? {h: a.h + 1} : null;
        if (e.key === 'Enter' || e.key === ' ') {
            e.preventDefault();
            this.keep(!this.kept);
        } else if (to && !e.altKey && !e.metaKey) {
            e.preventDefault();
            this.move(to, true);
        }
    }

    /** @param {string} suffix @param {string} type @param {string} text */
    save(suffix, type, text) {
        const link = document.createElement('a');
        const s = this.stage, name = [s.name, ...(s.batches > 1 ? ['item' + s.number(s.batchAxis, this.at.b)] : []),
                                      ...(s.heads > 1 ? ['head' + s.number(s.headAxis, this.at.h)] : [])].join('-');
        link.href = URL.createObjectURL(new Blob([text], {type}));
        link.download = name.replace(/[^A-Za-z0-9_.-]/g, '_') + '.' + suffix;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }

    // --- showing ------------------------------------------------------------------------------------------------

    strip() {
        const strip = element('strip');
        strip.replaceChildren();
        /** @type {(() => void)[]} */
        const tasks = [];
        for (const stage of this.page.stages) {
            const e = button('', () => this.choose(stage));
            const frame = made('span', undefined, 'frame');
            const canvas = /** @type {HTMLCanvasElement} */ (made('canvas'));
            canvas.setAttribute('aria-hidden', 'true');
            const scale = Math.min(120 / Math.max(1, stage.columns), 54 / Math.max(1, stage.rows));
            const least = 6 / Math.max(1, Math.min(stage.rows, stage.columns));
            canvas.style.width = Math.max(6, Math.min(120, stage.columns * Math.max(scale, least))) + 'px';
            canvas.style.height = Math.max(6, Math.min(54, stage.rows * Math.max(scale, least))) + 'px';
            frame.append(canvas);
            e.append(frame, made('span', stage.name, 'name'), made('span', stage.data.formula, 'formula'));
            e.title = stage.name + (stage.data.formula ? ' = ' + stage.data.formula : '');
            strip.append(e);
            tasks.push(() => this.painter.thumbnail(canvas, stage, 0, 0, Math.max(0, stage.tokens - 1), 120, 54));
        }
        // Numbers are decoded one stage at a time, so that nobody waits for all of them.
        const next = () => {
            const task = tasks.shift();
            if (!task) {
                requestAnimationFrame(() => { document.documentElement.dataset.ready = 'yes'; });
                return;
            }
            task();
            setTimeout(next, 0);
        };
        setTimeout(next, 0);
    }

    heading() {
        const s = this.stage, h = this.sheet.h;
        return s.name + (s.heads > 1 ? `, head ${s.number(s.headAxis, h)} of ${s.heads}` : '') +
            (s.batches > 1 ? `, item ${s.number(s.batchAxis, this.at.b)}` : '') +
            (s.tokenAxis >= 0 ? `, after ${s.label(s.tokenAxis, this.at.t)}` : '');
    }

    later() {
        if (this.pending) return;
        this.pending = requestAnimationFrame(() => {
            this.pending = 0;
            this.draw();
        });
    }
    refresh() {
        this.later();
        this.writeAddress();
    }
    relayout() {
        this.shown = '';
        this.refresh();
    }

    draw() {
        const s = this.stage, at = this.sheet;
        // The chosen head too: it may be the one that is looked at already.
        const sheet = [s.name, at.b, at.h, at.t, this.at.h].join('/');
        if (this.shown !== sheet) {
            this.shown = sheet;
            this.panes();
        }
        const box = {width: this.scroll.clientWidth, height: Math.min(this.scroll.clientHeight, this.layout.top + s.rows * this.layout.height + 2)};
        drawMatrix(this.painter, this.canvas, s, at, this.layout, {
            x: this.scroll.scrollLeft, y: this.scroll.scrollTop, width: box.width, height: Math.max(40, box.height),
            seen: this.stepping ? (r, c) => r < at.r || (r === at.r && c <= at.c) : null, kept: this.kept,
        });
        if (s.isEmpty) {
            element('exact').textContent = 'nothing is shown of this stage';
            return;
        }
        element('exact').textContent = `${s.placeText(at)} = ${exactText(s, at)}${s.isHidden(at) ? ' (hidden)' : ''}`;
        element('kept').hidden = !this.kept;
        const said = spoken(s, at, this.digits);
        if (element('said').textContent !== said) element('said').textContent = said;
        element('step-all').hidden = !this.stepping;
        this.told();
        // Many words take their time: they wait until the pointer rests.
        clearTimeout(this.resting);
        const weights = this.page.byName.get(this.page.data.sentence);
        if (weights && weights.rows + weights.columns > 100) this.resting = window.setTimeout(() => this.sentence(), 80);
        else this.sentence();
        // How long it took, for those who look.
        if (!document.documentElement.dataset.shown) document.documentElement.dataset.shown = String(Math.round(performance.now()));
    }

    /** What changes with the stage and the sheet only. */
    panes() {
        const s = this.stage, at = this.sheet;
        element('matrix-title').textContent = this.heading();
        element('formula').textContent = s.data.formula ? `${s.name} = ${s.data.formula}` : '';
        const room = this.scroll.clientWidth || 400;
        this.layout = layoutOf(this.painter, s, room, this.zoom, this.digits);
        const space = element('space');
        space.style.width = this.layout.left + s.columns * this.layout.width + 2 + 'px';
        space.style.height = this.layout.top + s.rows * this.layout.height + 2 + 'px';
        this.select('item', s.batchAxis, s.batches, at.b);
        this.select('after', s.tokenAxis, s.tokens, at.t);
        element('head-steps').hidden = s.heads < 2;
        element('head-name').textContent = `head ${s.number(s.headAxis, at.h)}`;
        /** @type {HTMLButtonElement} */ (element('head-back')).disabled = at.h === 0;
        /** @type {HTMLButtonElement} */ (element('head-on')).disabled = at.h === s.heads - 1;
        const k = this.page.stages.indexOf(s);
        element('strip').querySelectorAll('button').forEach((e, n) => {
            if (n !== k) return e.removeAttribute('aria-current');
            e.setAttribute('aria-current', 'true');
            const strip = element('strip');
            if (e.offsetLeft < strip.scrollLeft || e.offsetLeft + e.offsetWidth > strip.scrollLeft + strip.clientWidth)
                strip.scrollLeft = e.offsetLeft - strip.clientWidth / 2 + e.offsetWidth / 2;
        });
        stops(element('strip'), k);
        this.legend();
        this.headsPane();
    }
    /** @param {string} id @param {number} axis @param {number} n @param {number} chosen */
    select(id, axis, n, chosen) {
        const select = /** @type {HTMLSelectElement} */ (element(id));
        element(id + '-label').hidden = axis < 0 || n < 2;
        if (axis < 0 || n < 2) return;
        select.replaceChildren(...Array.from({length: n}, (_, k) => {
            const option = /** @type {HTMLOptionElement} */ (made('option', id === 'item' ? String(this.stage.number(axis, k)) : this.stage.label(axis, k)));
            option.value = String(k);
            return option;
        }));
        select.value = String(chosen);
    }
    legend() {
        const s = this.stage, {from, to} = s.range;
        const bar = /** @type {HTMLCanvasElement} */ (made('canvas'));
        bar.width = 140;
        bar.height = 1;
        bar.setAttribute('aria-hidden', 'true');
        const context = bar.getContext('2d');
        for (let x = 0; context && x < 140; ++x) {
            context.fillStyle = css(this.painter.colour(s, from + (to - from) * x / 139));
            context.fillRect(x, 0, 1, 1);
        }
        const parts = [made('span', rounded(from, 4).replace(/\.?0+$/, '')), bar, made('span', rounded(to, 4).replace(/\.?0+$/, ''))];
        if (s.data.masked) parts.push(made('span', '╱ hidden'));
        const axes = [s.axis(s.rowAxis), s.axis(s.columnAxis)].map((a) => a ? a.name : '');
        parts.push(made('span', axes[0] ? `rows: ${axes[0]}, columns: ${axes[1]}` : `columns: ${axes[1]}`));
        element('legend').replaceChildren(...parts);
    }

    /** Looks at a head without choosing it. @param {number | null} head */
    look(head) {
        if (this.preview === head) return;
        this.preview = head;
        this.refresh();
    }
    headsPane() {
        const s = this.stage, part = element('heads-part'), pane = element('heads');
        part.hidden = s.heads < 2;
        if (s.heads < 2) return;
        element('others-title').textContent = `All ${s.heads} heads`;
        const name = [s.name, this.at.b, this.at.t, matchMedia('(prefers-color-scheme: dark)').matches].join('/');
        if (pane.dataset.of !== name) {
            pane.dataset.of = name;
            pane.replaceChildren();
            for (let h = 0; h < Math.min(s.heads, mostHeads); ++h) {
                const e = button('', () => {
                    this.preview = null;
                    this.move({h});
                });
                const canvas = /** @type {HTMLCanvasElement} */ (made('canvas'));
                canvas.setAttribute('aria-hidden', 'true');
                e.append(canvas, made('span', 'head ' + s.number(s.headAxis, h)));
                e.addEventListener('mouseenter', () => this.look(h));
                e.addEventListener('focus', () => this.look(h));
                e.addEventListener('blur', () => this.look(null));
                pane.append(e);
                // After the matrix itself has been drawn.
                const {b, t} = this.at;
                setTimeout(() => this.painter.thumbnail(canvas, s, b, h, t, 132, 132), 0);
            }
        }
        pane.querySelectorAll('button').forEach((e, h) => e.setAttribute('aria-pressed', String(h === this.at.h)));
        stops(pane, this.at.h);
    }

    // --- what makes the number ----------------------------------------------------------------------------------

    told() {
        const s = this.stage, at = this.sheet, out = element('told');
        out.replaceChildren();
        if (this.trail.length) {
            const trail = made('p');
            trail.id = 'trail';
            this.trail.forEach((to, k) => trail.append(button(decodeURIComponent(to.slice(1).split('/')[0]), () => this.up(k)), ' ▸ '));
            trail.append(s.placeText(at));
            out.append(trail);
        }
        out.append(made('p', s.data.formula ? `${s.name} = ${s.data.formula}` : s.name));
        const told = tellCell(s, at);
        for (const line of told.lines) out.append(lineElement(line, this.digits));
        if (!told.complete) out.append(made('p', this.silence(told), 'why'));
        /** @type {Map<import('./data.js').Stage, import('./rule.js').Expr[]>} */
        const cells = new Map();
        /** @type {[import('./rule.js').Expr[], import('./rule.js').Expr[]]} */
        const [inputs, derived] = [[], []];
        for (const e of told.leaves) {
            if (e.given) inputs.push(e);
            if (e.derived) derived.push(e);
            if (!e.stage || !e.at) continue;
            const list = cells.get(e.stage) || [];
            list.push(e);
            cells.set(e.stage, list);
        }
        for (const [stage, list] of cells) out.append(this.source(stage, list));
        if (derived.length) out.append(this.listed('not in this page, calculated', derived));
        if (inputs.length) out.append(this.listed('numbers of the document', inputs));
    }
    /** Why a formula has no numbers. @param {import('./tell.js').Told} told */
    silence(told) {
        const missing = told.leaves.filter((e) => e.unknown);
        if (missing.length) return `Not all of its numbers are in this page: ${missing.slice(0, 3).map((e) => e.place).join(', ')}${missing.length > 3 ? ', …' : ''}.`;
        if (this.page.data.rules[this.stage.name]) return 'Its calculation is not shown here: attn-calc explain --cell tells it.';
        return this.stage.data.reads.length ? 'It is made of ' + this.stage.data.reads.join(', ') + '.' : 'These numbers are given: nothing is known of how they were made.';
    }
    /** The numbers of one stage that make the cell. @param {import('./data.js').Stage} stage @param {import('./rule.js').Expr[]} list */
    source(stage, list) {
        const out = made('div', undefined, 'source');
        const places = /** @type {import('./data.js').Place[]} */ (list.map((e) => e.at));
        const all = (/** @type {'r' | 'c' | 'h'} */ part) => places.every((p) => p[part] === places[0][part]);
        const h3 = made('h3', stage.name + ' ');
        const where = [...(stage.heads > 1 && all('h') ? ['head ' + stage.number(stage.headAxis, places[0].h)] : []),
                       ...(stage.rowAxis >= 0 && all('r') ? [stage.label(stage.rowAxis, places[0].r)] : []),
                       ...(all('c') ? [stage.label(stage.columnAxis, places[0].c)] : [])];
        h3.append(made('small', where.join(', ')));
        out.append(h3);
        if (stage.rows * stage.columns > 1) {
            const frame = /** @type {HTMLCanvasElement} */ (made('canvas'));
            frame.setAttribute('aria-hidden', 'true');
            this.mini(frame, stage, places);
            out.append(frame);
        }
        const cells = made('div', undefined, 'cells');
        const shown = list.length > mostSourceCells ? [...list.slice(0, mostSourceCells - 3), null, ...list.slice(-2)] : list;
        for (const e of shown) {
            if (!e || !e.stage || !e.at) {
                cells.append(made('span', `… ${list.length - mostSourceCells + 1} more …`, 'more'));
                continue;
            }
            const {stage: of, at} = e;
            const b = button(rounded(e.value, this.digits), () => this.down(of, at));
            b.dataset.place = e.place || '';
            b.title = `${e.place} = ${exactText(of, at)}`;
            b.setAttribute('aria-label', `${spoken(of, at, this.digits)}: go there`);
            if (Number.isFinite(e.value) && !of.isHidden(at)) {
                const colour = this.painter.colour(of, e.value);
                b.style.background = css(colour);
                b.style.color = ink(colour);
            }
            cells.append(b);
        }
        out.append(cells);
        return out;
    }
    /** A small picture of a stage with the cells that were read. @param {HTMLCanvasElement} canvas
     * @param {import('./data.js').Stage} stage @param {import('./data.js').Place[]} places */
    mini(canvas, stage, places) {
        const p = places[0];
        const name = [stage.name, p.b, p.h, p.t, this.painter.ground].join('/');
        let small = this.minis.get(name);
        if (!small) {
            small = document.createElement('canvas');
            this.painter.thumbnail(small, stage, p.b, p.h, p.t, 160, 96);
            if (this.minis.size > 60) this.minis.clear();
            this.minis.set(name, small);
        }
        const scale = Math.max(1, Math.min(14, Math.floor(Math.min(160 / small.width, 96 / small.height))));
        canvas.width = small.width * scale + 2;
        canvas.height = small.height * scale + 2;
        const context = canvas.getContext('2d');
        if (!context) return;
        context.imageSmoothingEnabled = false;
        context.drawImage(small, 1, 1, small.width * scale, small.height * scale);
        const rows = places.map((q) => q.r), columns = places.map((q) => q.c);
        const x = small.width * scale / stage.columns, y = small.height * scale / stage.rows;
        const r0 = Math.min(...rows), r1 = Math.max(...rows) + 1, c0 = Math.min(...columns), c1 = Math.max(...columns) + 1;
        context.strokeStyle = this.painter.accent || '#c06';
        context.lineWidth = 2;
        context.strokeRect(1 + c0 * x, 1 + r0 * y, Math.max(2, (c1 - c0) * x), Math.max(2, (r1 - r0) * y));
    }
    /** @param {string} title @param {import('./rule.js').Expr[]} inputs */
    listed(title, inputs) {
        const out = made('div', undefined, 'source');
        out.append(made('h3', title));
        const cells = made('div', undefined, 'cells');
        for (const e of inputs.slice(0, mostSourceCells)) {
            const span = made('span', `${e.place} = ${e.derived ? rounded(e.value, this.digits) : exact(e.value, this.stage.data.type)}`);
            span.dataset.place = e.place || '';
            cells.append(span);
        }
        if (inputs.length > mostSourceCells) cells.append(made('span', `… ${inputs.length - mostSourceCells} more`, 'more'));
        out.append(cells);
        return out;
    }

    // --- the sentence -------------------------------------------------------------------------------------------

    sentence() {
        const name = this.page.data.sentence, part = element('words-part');
        const weights = this.page.byName.get(name);
        const has = weights && weights.rows <= mostWords && weights.columns <= mostWords && !weights.isEmpty;
        part.hidden = !has;
        if (!weights || !has) return;
        const s = this.stage, rowAxis = s.axis(s.rowAxis), of = weights.axis(weights.rowAxis);
        const h = s.heads === weights.heads ? this.sheet.h : 0, b = Math.min(this.at.b, weights.batches - 1);
        const query = rowAxis && of && rowAxis.name === of.name ? Math.max(0, weights.placeOf(weights.rowAxis, s.number(s.rowAxis, this.at.r))) : 0;
        element('words-title').textContent = `What does a word attend to? (${weights.name}${weights.heads > 1 ? `, head ${weights.number(weights.headAxis, h)}` : ''})`;
        const words = element('words'), keys = element('key-words');
        if (!words.childElementCount)
            for (let r = 0; r < weights.rows; ++r) {
                const e = button(weights.label(weights.rowAxis, r), () => this.word(weights, r));
                e.setAttribute('aria-pressed', 'false');
                e.tabIndex = -1;
                words.append(e);
            }
        const said = [weights.name, b, h, query, this.painter.ground].join('/');
        if (words.dataset.of === said) return;
        words.dataset.of = said;
        for (const e of words.querySelectorAll('[aria-pressed="true"]')) {
            e.setAttribute('aria-pressed', 'false');
            /** @type {HTMLElement} */ (e).tabIndex = -1;
        }
        const chosen = /** @type {HTMLElement} */ (words.children[query]);
        chosen.setAttribute('aria-pressed', 'true');
        chosen.tabIndex = 0;
        if (!keys.childElementCount)
            for (let c = 0; c < weights.columns; ++c) keys.append(made('span', weights.label(weights.columnAxis, c)));
        let best = -1;
        const at = {b, h, t: 0, r: query, c: 0};
        [...keys.children].forEach((e, c) => {
            const p = {...at, c}, v = weights.at(p), span = /** @type {HTMLElement} */ (e);
            const visible = Number.isFinite(v) && !weights.isHidden(p);
            const colour = visible ? this.painter.colour(weights, v) : null;
            span.style.background = colour ? css(colour) : '';
            span.style.color = colour ? ink(colour) : '';
            span.title = visible ? rounded(v, this.digits) : 'hidden';
            if (visible && (best < 0 || v > weights.at({...at, c: best}))) best = c;
        });
        const word = weights.label(weights.rowAxis, query);
        element('words-said').textContent = best < 0 ? `${word} sees no key`
            : `${word} attends most to ${weights.label(weights.columnAxis, best)}: ${rounded(weights.at({...at, c: best}), this.digits)}`;
    }
    /** @param {import('./data.js').Stage} weights @param {number} r */
    word(weights, r) {
        const s = this.stage, axis = s.axis(s.rowAxis), of = weights.axis(weights.rowAxis);
        if (!axis || !of || axis.name !== of.name) this.choose(weights);
        this.move({r: Math.max(0, this.stage.placeOf(this.stage.rowAxis, weights.number(weights.rowAxis, r)))}, true);
    }

    intoView() {
        const draw = () => {
            const l = this.layout, box = this.scroll, a = this.at;
            const x = a.c * l.width, y = a.r * l.height, w = box.clientWidth - l.left, h = box.clientHeight - l.top;
            if (x < box.scrollLeft) box.scrollLeft = x;
            else if (x + l.width > box.scrollLeft + w) box.scrollLeft = x + l.width - w;
            if (y < box.scrollTop) box.scrollTop = y;
            else if (y + l.height > box.scrollTop + h) box.scrollTop = y + l.height - h;
        };
        draw();
        requestAnimationFrame(draw);
    }
}

new View();

// @ts-check
// Matrices as pictures: colours of the program's own ramps, canvases, SVG.
import {bytesOf, rounded} from './data.js';

/** Colours of a ramp, from its smallest number to its largest, as the program has them: three bytes each. */
export class Ramp {
    /** @param {string} table base64 */
    constructor(table) {
        this.bytes = bytesOf(table);
        this.size = this.bytes.length / 3;
    }
    /** @param {number} share 0 to 1 @returns {[number, number, number]} */
    at(share) {
        const k = 3 * Math.round(Math.min(1, Math.max(0, share)) * (this.size - 1));
        return [this.bytes[k], this.bytes[k + 1], this.bytes[k + 2]];
    }
}

/** @param {[number, number, number]} c */
export const css = (c) => `rgb(${c[0]},${c[1]},${c[2]})`;
/** Relative luminance, WCAG 2. @param {[number, number, number]} c */
export function luminance(c) {
    const [r, g, b] = c.map((v) => v <= 10.31475 ? v / 3294.6 : Math.pow((v / 255 + 0.055) / 1.055, 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
/** Black or white, whichever reads better on a ground. @param {[number, number, number]} c */
export const ink = (c) => luminance(c) > 0.179 ? '#000' : '#fff';

export class Painter {
    /** @param {import('./data.js').Page} page */
    constructor(page) {
        this.page = page;
        /** @type {Map<string, Ramp>} */ this.ramps = new Map();
        this.refresh();
    }
    /** After the colours of the page have changed. */
    refresh() {
        const ground = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
        for (const [name, tables] of Object.entries(this.page.data.ramps)) this.ramps.set(name, new Ramp(tables[ground]));
        const style = getComputedStyle(document.documentElement);
        const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
        this.ground = of('--ground');
        this.text = of('--text');
        this.quiet = of('--quiet');
        this.accent = of('--accent');
        this.hatch = of('--hatch');
        this.face = of('--face') || 'sans-serif';
    }
    /** @param {import('./data.js').Stage} stage @param {number} value @returns {[number, number, number]} */
    colour(stage, value) {
        const {from, to} = stage.range;
        const ramp = this.ramps.get(stage.data.ramp);
        if (!ramp) throw new Error('no ramp ' + stage.data.ramp);
        return ramp.at(to > from ? (value - from) / (to - from) : 0.5);
    }

    /** A small picture of a matrix. A pixel is the number that is farthest from 0 among the visible cells behind it, so
     * that none is lost.
     * @param {HTMLCanvasElement} canvas @param {import('./data.js').Stage} stage @param {number} b @param {number} h
     * @param {number} t @param {number} width @param {number} height most pixels */
    thumbnail(canvas, stage, b, h, t, width, height) {
        const rows = stage.rows, columns = stage.columns;
        const w = Math.max(1, Math.min(columns, width)), l = Math.max(1, Math.min(rows, height));
        canvas.width = w;
        canvas.height = l;
        const context = canvas.getContext('2d');
        if (!context || stage.isEmpty) return;
        const image = context.createImageData(w, l);
        const numbers = stage.numbers();
        const first = stage.offset({b, h, t, r: 0, c: 0});
        const mask = stage.data.masked ? this.page.mask(b, h) : null;
        for (let y = 0; y < l; ++y)
            for (let x = 0; x < w; ++x) {
                let largest = NaN;
                for (let r = Math.floor(y * rows / l); r < Math.floor((y + 1) * rows / l); ++r)
                    for (let c = Math.floor(x * columns / w); c < Math.floor((x + 1) * columns / w); ++c) {
                        const k = r * columns + c;
                        if (mask && mask[k]) continue;
                        const v = numbers[first + k];
                        if (!Number.isFinite(v)) continue;
                        if (!(Math.abs(v) <= Math.abs(largest))) largest = v;
                    }
                const at = 4 * (y * w + x);
                const grey = (x + y) % 2 ? 150 : 110;
                const any = !Number.isNaN(largest);
                const [red, green, blue] = any ? this.colour(stage, largest) : [grey, grey, grey];
                image.data.set([red, green, blue, any ? 255 : 110], at);
            }
        context.putImageData(image, 0, 0);
    }
}

/** How a matrix is laid out: sizes of a cell, room for labels.
 * @typedef {{width: number, height: number, left: number, top: number, digits: number}} Layout */

/** @param {Painter} painter @param {import('./data.js').Stage} stage @param {number} room @param {number} zoom
 * @param {number} digits @returns {Layout} */
export function layoutOf(painter, stage, room, zoom, digits) {
    const probe = /** @type {CanvasRenderingContext2D} */ (document.createElement('canvas').getContext('2d'));
    probe.font = '12px ' + painter.face;
    const longest = (/** @type {number} */ axis, /** @type {number} */ n, /** @type {number} */ most) => {
        let out = 0;
        const step = Math.max(1, Math.ceil(n / 200));
        for (let k = 0; k < n; k += step) out = Math.max(out, probe.measureText(stage.label(axis, k)).width);
        return Math.min(most, Math.ceil(out * 1.2) + 8);
    };
    const left = stage.rowAxis < 0 ? 8 : longest(stage.rowAxis, stage.rows, room < 420 ? 72 : 120);
    const fit = Math.floor((room - left - 2) / Math.max(1, stage.columns));
    const width = Math.max(2, Math.round(Math.max(2, Math.min(64, fit)) * zoom));
    const wide = longest(stage.columnAxis, stage.columns, 96);
    const top = width >= wide ? 20 : width >= 14 ? wide : 20;
    const fitHeight = Math.floor(420 / Math.max(1, stage.rows));
    const height = width >= 40 ? Math.min(32, width) : Math.max(2, stage.rows < 40 && stage.rows * width < 120
        ? Math.min(24, fitHeight) : width);
    return {width, height, left, top, digits};
}

/** The part of a matrix that is to be seen. `seen(r, c)`: false where a cell is not calculated yet.
 * @param {Painter} painter @param {HTMLCanvasElement} canvas @param {import('./data.js').Stage} stage
 * @param {import('./data.js').Place} at @param {Layout} layout
 * @param {{x: number, y: number, width: number, height: number, seen: ((r: number, c: number) => boolean) | null,
 *   kept: boolean}} view */
export function drawMatrix(painter, canvas, stage, at, layout, view) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(view.width * ratio);
    canvas.height = Math.round(view.height * ratio);
    canvas.style.width = view.width + 'px';
    canvas.style.height = view.height + 'px';
    const context = canvas.getContext('2d');
    if (!context) return;
    context.scale(ratio, ratio);
    context.fillStyle = painter.ground || '#fff';
    context.fillRect(0, 0, view.width, view.height);
    if (stage.isEmpty) return;
    const {left, top, width, height} = layout;
    const columns = stage.columns, rows = stage.rows;
    const c0 = Math.max(0, Math.floor(view.x / width)), c1 = Math.min(columns, Math.ceil((view.x + view.width - left) / width));
    const r0 = Math.max(0, Math.floor(view.y / height)), r1 = Math.min(rows, Math.ceil((view.y + view.height - top) / height));
    const numbers = stage.numbers();
    const first = stage.offset({...at, r: 0, c: 0});
    const mask = stage.data.masked ? painter.page.mask(at.b, at.h) : null;
    context.save();
    context.beginPath();
    context.rect(left, top, view.width - left, view.height - top);
    context.clip();
    const x = (/** @type {number} */ c) => left + c * width - view.x;
    const y = (/** @type {number} */ r) => top + r * height - view.y;
    const figures = width >= 38 && height >= 16;
    const digits = width >= 50 ? Math.min(layout.digits, 4) : 2;
    context.font = `${width >= 50 ? 12 : 11}px ${painter.face}`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    const gap = width >= 8 && height >= 8 ? 1 : 0;
    if (!gap && !view.seen) drawSmall(painter, context, stage, first, mask, layout, view, ratio);
    for (let r = gap || view.seen ? r0 : r1; r < r1; ++r)
        for (let c = c0; c < c1; ++c) {
            const k = first + r * columns + c;
            if (view.seen && !view.seen(r, c)) {
                outline(context, x(c), y(r), width - gap, height - gap, painter.quiet || '#888', gap);
                continue;
            }
            const v = numbers[k];
            const isHidden = mask !== null && mask[k - first] === 1;
            if (isHidden || !Number.isFinite(v)) {
                hatched(context, x(c), y(r), width - gap, height - gap, painter.hatch || '#888');
                if (!isHidden && figures) {
                    context.fillStyle = painter.text || '#000';
                    context.fillText(rounded(v, digits), x(c) + width / 2, y(r) + height / 2);
                }
                continue;
            }
            const colour = painter.colour(stage, v);
            context.fillStyle = css(colour);
            context.fillRect(x(c), y(r), width - gap, height - gap);
            if (!figures) continue;
            context.fillStyle = ink(colour);
            const text = rounded(v, digits);
            context.fillText(text.length * 6.6 > width && v !== 0 ? v.toPrecision(2) : text, x(c) + width / 2, y(r) + height / 2, width - 4);
        }
    // The row and the column of the cell, then the cell itself.
    context.strokeStyle = painter.accent || '#06c';
    context.lineWidth = 1;
    if (rows > 1) context.strokeRect(x(0) - 0.5, y(at.r) - 0.5, columns * width, height);
    context.strokeRect(x(at.c) - 0.5, y(0) - 0.5, width, rows * height);
    context.lineWidth = view.kept ? 3 : 2;
    context.strokeRect(x(at.c) - 1, y(at.r) - 1, width + 1, height + 1);
    context.restore();
    labels(painter, context, stage, at, layout, view, r0, r1, c0, c1);
}

/** Many small cells at once, pixel by pixel. @param {Painter} painter @param {CanvasRenderingContext2D} context
 * @param {import('./data.js').Stage} stage @param {number} first @param {Uint8Array | null} mask @param {Layout} layout @param {{x: number, y: number, width: number, height: number}} view @param {number} ratio */
function drawSmall(painter, context, stage, first, mask, layout, view, ratio) {
    const {left, top, width, height} = layout, columns = stage.columns, rows = stage.rows, numbers = stage.numbers();
    const w = Math.floor(Math.min(view.width - left, columns * width - view.x) * ratio);
    const h = Math.floor(Math.min(view.height - top, rows * height - view.y) * ratio);
    if (w <= 0 || h <= 0) return;
    const image = context.createImageData(w, h), pixels = new Uint32Array(image.data.buffer);
    const grey = new Uint32Array(new Uint8ClampedArray([128, 128, 128, 110]).buffer)[0];
    const line = new Uint32Array(w), rgba = new Uint8ClampedArray(4), one = new Uint32Array(rgba.buffer);
    rgba[3] = 255;
    let before = -1;
    for (let y = 0; y < h; ++y) {
        const r = Math.floor((y / ratio + view.y) / height);
        if (r !== before) {
            before = r;
            let last = -1, colour = 0;
            for (let x = 0; x < w; ++x) {
                const c = Math.floor((x / ratio + view.x) / width);
                if (c !== last) {
                    last = c;
                    const k = r * columns + c, v = numbers[first + k];
                    if (!Number.isFinite(v) || (mask && mask[k])) {
                        colour = grey;
                    } else {
                        rgba.set(painter.colour(stage, v));
                        colour = one[0];
                    }
                }
                line[x] = colour;
            }
        }
        pixels.set(line, y * w);
    }
    context.putImageData(image, Math.round(left * ratio), Math.round(top * ratio));
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} w @param {number} h
 * @param {string} colour @param {number} gap */
function outline(context, x, y, w, h, colour, gap) {
    if (!gap) return;
    context.strokeStyle = colour;
    context.globalAlpha = 0.35;
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
    context.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} w @param {number} h
 * @param {string} colour */
function hatched(context, x, y, w, h, colour) {
    if (w < 8 || h < 8) {
        context.fillStyle = colour;
        context.globalAlpha = 0.45;
        context.fillRect(x, y, w, h);
        context.globalAlpha = 1;
        return;
    }
    context.save();
    context.beginPath();
    context.rect(x, y, w, h);
    context.clip();
    context.beginPath();
    const step = 7;
    // The lines of neighbours meet.
    for (let k = Math.floor((x + y) / step) * step; k < x + y + w + h; k += step) {
        context.moveTo(k - y, y);
        context.lineTo(k - y - h, y + h);
    }
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.stroke();
    context.restore();
}

/** @param {Painter} painter @param {CanvasRenderingContext2D} context @param {import('./data.js').Stage} stage
 * @param {import('./data.js').Place} at @param {Layout} layout @param {{x: number, y: number, width: number, height: number}} view
 * @param {number} r0 @param {number} r1 @param {number} c0 @param {number} c1 */
function labels(painter, context, stage, at, layout, view, r0, r1, c0, c1) {
    const {left, top, width, height} = layout;
    context.fillStyle = painter.ground || '#fff';
    context.fillRect(0, 0, view.width, top);
    context.fillRect(0, 0, left, view.height);
    context.textBaseline = 'middle';
    const face = (/** @type {boolean} */ chosen) => { context.font = `${chosen ? 'bold ' : ''}12px ${painter.face}`; };
    const every = (/** @type {number} */ size, /** @type {number} */ wanted) => {
        if (size >= wanted) return 1;
        const raw = Math.ceil(wanted / size), ten = Math.pow(10, Math.floor(Math.log10(raw)));
        return [1, 2, 5, 10].map((k) => k * ten).find((k) => k >= raw) || raw;
    };
    const rowStep = stage.rowAxis < 0 ? 0 : every(height, 14);
    context.textAlign = 'right';
    for (let r = rowStep ? Math.ceil(r0 / rowStep) * rowStep : r1; r < r1; r += rowStep) drawRow(r, r === at.r);
    if (rowStep > 1) drawRow(at.r, true);
    /** @param {number} r @param {boolean} chosen */
    function drawRow(r, chosen) {
        const middle = top + r * height - view.y + height / 2;
        if (middle < top) return;
        face(chosen);
        if (chosen) clear(0, middle - 8, left, 16);
        context.fillStyle = chosen ? painter.text || '#000' : painter.quiet || '#666';
        context.fillText(clipped(context, stage.label(stage.rowAxis, r), left - 8), left - 5, middle);
    }
    const upright = top <= 20;
    const columnStep = every(width, upright ? (width >= 14 ? 1 : 44) : 13);
    for (let c = Math.ceil(c0 / columnStep) * columnStep; c < c1; c += columnStep) drawColumn(c, c === at.c);
    if (columnStep > 1) drawColumn(at.c, true);
    /** @param {number} c @param {boolean} chosen */
    function drawColumn(c, chosen) {
        const middle = left + c * width - view.x + width / 2;
        if (middle < left) return;
        face(chosen);
        const text = stage.label(stage.columnAxis, c);
        if (upright) {
            context.textAlign = 'center';
            if (chosen && columnStep > 1) clear(middle - 24, 0, 48, top);
            context.fillStyle = chosen ? painter.text || '#000' : painter.quiet || '#666';
            context.fillText(columnStep > 1 ? String(stage.number(stage.columnAxis, c)) : clipped(context, text, width - 2), middle, top / 2);
            return;
        }
        context.save();
        context.translate(middle, top - 4);
        context.rotate(-Math.PI / 2);
        context.textAlign = 'left';
        context.fillStyle = chosen ? painter.text || '#000' : painter.quiet || '#666';
        context.fillText(clipped(context, text, top - 6), 0, 0);
        context.restore();
    }
    /** @param {number} x @param {number} y @param {number} w @param {number} h */
    function clear(x, y, w, h) {
        context.fillStyle = painter.ground || '#fff';
        context.fillRect(x, y, w, h);
    }
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function clipped(context, text, room) {
    if (context.measureText(text).width <= room) return text;
    const letters = [...text];
    while (letters.length > 1 && context.measureText(letters.join('') + '…').width > room) letters.pop();
    return letters.join('') + '…';
}

// --- downloads --------------------------------------------------------------------------------------------------

/** @param {string} text */
const xml = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
/** What a spreadsheet could take for a formula gets a ' in front. @param {string} text */
function cell(text) {
    const safe = /^[\s]*[=+\-@\t\r＝＋－＠]/.test(text) ? "'" + text : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

/** The matrix as CSV: a row each, labels first. @param {import('./data.js').Stage} stage
 * @param {import('./data.js').Place} at @param {(v: number, type: string) => string} exact */
export function csvOf(stage, at, exact) {
    const out = [];
    const columns = [...Array(stage.columns).keys()], rows = [...Array(stage.rows).keys()];
    out.push(['', ...columns.map((c) => cell(stage.label(stage.columnAxis, c)))].join(','));
    for (const r of rows)
        out.push([cell(stage.label(stage.rowAxis, r)), ...columns.map((c) => {
            const v = stage.at({...at, r, c});
            return v === Infinity ? 'inf' : v === -Infinity ? '-inf' : Number.isNaN(v) ? 'NaN' : exact(v, stage.data.type);
        })].join(','));
    return out.join('\r\n') + '\r\n';
}

/** The matrix as SVG; large ones as an image in it. @param {Painter} painter @param {import('./data.js').Stage} stage
 * @param {import('./data.js').Place} at @param {string} title @param {number} digits */
export function svgOf(painter, stage, at, title, digits) {
    const large = stage.rows * stage.columns > 10000;
    const size = large ? Math.max(1, Math.floor(800 / Math.max(stage.rows, stage.columns))) : 28;
    const left = stage.rowAxis < 0 ? 10 : 110, top = 90;
    const width = left + size * stage.columns + 10, height = top + size * stage.rows + 10;
    const out = [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11">`,
                 `<title>${xml(title)}</title><rect width="${width}" height="${height}" fill="#fff"/>`,
                 `<text x="${left}" y="14">${xml(title)}</text>`,
                 '<defs><pattern id="hidden" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M0 6 6 0" stroke="#888"/></pattern></defs>'];
    if (large) {
        const canvas = document.createElement('canvas');
        painter.thumbnail(canvas, stage, at.b, at.h, at.t, stage.columns, stage.rows);
        out.push(`<image x="${left}" y="${top}" width="${size * stage.columns}" height="${size * stage.rows}" preserveAspectRatio="none" image-rendering="pixelated" href="${canvas.toDataURL()}"/>`);
    } else {
        for (let r = 0; r < stage.rows; ++r)
            for (let c = 0; c < stage.columns; ++c) {
                const p = {...at, r, c}, v = stage.at(p);
                const fill = stage.isHidden(p) || !Number.isFinite(v) ? 'url(#hidden)' : css(painter.colour(stage, v));
                const name = `${stage.label(stage.rowAxis, r)} ${stage.label(stage.columnAxis, c)}: ${rounded(v, digits)}`;
                out.push(`<rect x="${left + c * size}" y="${top + r * size}" width="${size - 1}" height="${size - 1}" fill="${fill}"><title>${xml(name.trim())}</title></rect>`);
            }
        for (let r = 0; r < stage.rows && stage.rowAxis >= 0; ++r)
            out.push(`<text x="${left - 4}" y="${top + r * size + size / 2 + 4}" text-anchor="end">${xml(stage.label(stage.rowAxis, r).slice(0, 18))}</text>`);
        for (let c = 0; c < stage.columns; ++c)
            out.push(`<text transform="translate(${left + c * size + size / 2 + 4} ${top - 4}) rotate(-90)">${xml(stage.label(stage.columnAxis, c).slice(0, 12))}</text>`);
    }
    out.push('</svg>');
    return out.join('\n') + '\n';
}

// @ts-check
// Explanations: steps that fold, and boxes for numbers. The page holds no solution: of each box only the first half of
// the SHA-256 of its place and its number, rounded as it is shown. How far a wrong number is from the right one is found
// by trying its neighbours.

/** How many neighbours are tried on each side. */
const farthest = 20000;

const roundConstants = new Int32Array(64), firstState = new Int32Array(8);
{
    // Fractional parts of the square roots and the cube roots of the first primes.
    const fraction = (/** @type {number} */ x) => (x - Math.floor(x)) * 4294967296 | 0;
    let n = 0;
    for (let p = 2; n < 64; ++p) {
        let prime = true;
        for (let d = 2; d * d <= p; ++d) prime = prime && p % d !== 0;
        if (!prime) continue;
        if (n < 8) firstState[n] = fraction(Math.sqrt(p));
        roundConstants[n++] = fraction(Math.cbrt(p));
    }
}

/** The first 64 bits of the SHA-256 of a text, as hexadecimal figures. @param {string} text */
function hashOf(text) {
    const bytes = new TextEncoder().encode(text);
    const blocks = (bytes.length + 8 >> 6) + 1, words = new Int32Array(blocks * 16), state = firstState.slice(), w = new Int32Array(64);
    for (let k = 0; k < bytes.length; ++k) words[k >> 2] |= bytes[k] << 24 - 8 * (k & 3);
    words[bytes.length >> 2] |= 0x80 << 24 - 8 * (bytes.length & 3);
    words[blocks * 16 - 1] = bytes.length * 8;
    const turn = (/** @type {number} */ x, /** @type {number} */ n) => x >>> n | x << 32 - n;
    for (let from = 0; from < words.length; from += 16) {
        for (let t = 0; t < 64; ++t) {
            if (t < 16) {
                w[t] = words[from + t];
                continue;
            }
            const x = w[t - 15], y = w[t - 2];
            w[t] = w[t - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >>> 3) + w[t - 7] + (turn(y, 17) ^ turn(y, 19) ^ y >>> 10) | 0;
        }
        let [a, b, c, d, e, f, g, h] = state;
        for (let t = 0; t < 64; ++t) {
            const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + roundConstants[t] + w[t] | 0;
            const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
            h = g;
            g = f;
            f = e;
            e = d + one | 0;
            d = c;
            c = b;
            b = a;
            a = one + two | 0;
        }
        [a, b, c, d, e, f, g, h].forEach((v, k) => { state[k] = state[k] + v | 0; });
    }
    return (state[0] >>> 0).toString(16).padStart(8, '0') + (state[1] >>> 0).toString(16).padStart(8, '0');
}

const main = /** @type {HTMLElement} */ (document.querySelector('main'));
const digits = Number(main.dataset.digits);

/** A number as the program writes it: so many digits. @param {number} v */
function form(v) {
    if (!Number.isFinite(v)) return Number.isNaN(v) ? 'NaN' : v > 0 ? 'inf' : '-inf';
    const text = v.toFixed(digits), nothing = !/[1-9]/.test(text);
    if (v !== 0 && (Math.abs(v) >= 1e6 || nothing)) return v.toExponential(digits).replace('e+', 'e');
    return nothing && text[0] === '-' ? text.slice(1) : text;
}

/** What is typed, as a number; null: it is none. @param {string} text */
function read(text) {
    const plain = text.trim().replace(/[\u2212\u2013]/g, '-').replace(',', '.').replace(/∞/g, 'inf');
    if (/^[+-]?inf(inity)?$/i.test(plain)) return plain[0] === '-' ? -Infinity : Infinity;
    if (/^nan$/i.test(plain)) return NaN;
    if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return Number(plain);
    const quotient = /^([+-]?[\d.]+)\s*\/\s*([\d.]+)$/.exec(plain);
    return quotient ? Number(quotient[1]) / Number(quotient[2]) : null;
}

/** @param {HTMLInputElement} box @param {number} v */
const isRight = (box, v) => hashOf(`attn-calc ${box.dataset.place} ${form(v)}`) === box.dataset.hash;

/** The same of a number that somebody has typed: half a unit may be rounded either way.
 * @param {HTMLInputElement} box @param {number} v */
const isRightTyped = (box, v) => isRight(box, v) || isRight(box, v * (1 - 1e-13));

/** What is said of a number: right, by how much it is wrong. @param {HTMLInputElement} box @param {number} v
 * @returns {[boolean, string]} */
function verdict(box, v) {
    if (isRightTyped(box, v)) return [true, 'right'];
    if (Number.isFinite(v)) {
        const unit = Math.pow(10, -digits), middle = Math.round(v / unit);
        for (let k = 1; k <= farthest; ++k) {
            if (isRight(box, (middle - k) * unit)) return [false, `too large by ${(k * unit).toFixed(digits)}`];
            if (isRight(box, (middle + k) * unit)) return [false, `too small by ${(k * unit).toFixed(digits)}`];
        }
        return [false, `wrong by more than ${(farthest * unit).toFixed(digits).replace(/\.?0+$/, '')}`];
    }
    return [false, 'wrong'];
}

const boxes = [...document.querySelectorAll('input')];
const score = /** @type {HTMLElement} */ (document.getElementById('score'));
function count() {
    const right = boxes.filter((b) => b.classList.contains('good')).length;
    score.textContent = boxes.length ? `${right} of ${boxes.length} right` : '';
}
for (const box of boxes) {
    const said = /** @type {HTMLElement} */ (box.nextElementSibling);
    const look = (/** @type {boolean} */ done) => {
        const v = read(box.value);
        box.classList.remove('good', 'bad');
        box.removeAttribute('aria-invalid');
        said.textContent = '';
        if (v === null) {
            if (done && box.value.trim()) said.textContent = 'not a number';
        } else if (isRightTyped(box, v) || done) {
            const [good, words] = verdict(box, v);
            box.classList.add(good ? 'good' : 'bad');
            if (!good) box.setAttribute('aria-invalid', 'true');
            said.textContent = words;
        }
        count();
    };
    box.addEventListener('input', () => look(false));
    box.addEventListener('change', () => look(true));
}
const controls = /** @type {HTMLElement} */ (document.querySelector('.controls'));
controls.hidden = false;
for (const [id, open] of /** @type {[string, boolean][]} */ ([['fold', false], ['unfold', true]]))
    /** @type {HTMLElement} */ (document.getElementById(id)).addEventListener('click', () => {
        document.querySelectorAll('details').forEach((d) => { d.open = open; });
    });
count();
document.documentElement.dataset.ready = 'yes';

export {};

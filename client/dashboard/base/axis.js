/* Steps on an axis, and numbers as text. A chart draws x = log10(step + 1) or x = step: this file
 * alone knows which, so the log axis shows step 0 and looks the same in every chart. */

/** @typedef {"log"|"linear"} Spacing */

/** @param {number} step @param {Spacing} spacing */
export function toX(step, spacing) {
    return spacing === "log" ? Math.log10(step + 1) : step;
}

/** @param {number} x @param {Spacing} spacing */
export function toStep(x, spacing) {
    return spacing === "log" ? 10 ** x - 1 : x;
}

/**
 * The steps from..to, wider by `share` of it on each side, as integers that a query takes.
 * @param {[number, number]} range @param {Spacing} spacing @param {number} share
 * @returns {[number, number]}
 */
export function widen([from, to], spacing, share) {
    const a = toX(from, spacing);
    const b = toX(to, spacing);
    const more = (b - a) * share;

    return [
        Math.max(0, Math.floor(toStep(a - more, spacing))),
        Math.ceil(toStep(b + more, spacing)),
    ];
}

/**
 * Where ticks stand, in x. Log: whole decades, with 2 and 5 between them when few are in view, and
 * even steps when not even a decade is.
 * @param {number} min @param {number} max @param {number} space x units that a label needs
 * @param {Spacing} spacing @returns {number[]}
 */
export function ticks(min, max, space, spacing) {
    if (spacing === "linear") return linearTicks(min, max, space);
    const first = toStep(min, spacing);
    const last = toStep(max, spacing);

    if (max - min < 1.2) {
        const count = Math.max(2, (max - min) / space);
        return linearTicks(first, last, (last - first) / count)
            .map((s) => toX(s, spacing))
            .filter((x) => x >= min && x <= max);
    }
    const within = space < 0.3 ? [1, 2, 5] : [1];
    const every = Math.max(1, Math.ceil(space));
    const found = min <= 0 ? [0] : [];
    for (let e = Math.max(0, Math.floor(min)); e <= max; e += every) {
        for (const m of within) {
            const x = toX(m * 10 ** e, spacing);
            if (x >= min && x <= max && (found.length === 0 || x - found.at(-1) >= space))
                found.push(x);
        }
    }
    return found;
}

/** @param {number} min @param {number} max @param {number} space */
function linearTicks(min, max, space) {
    const power = 10 ** Math.floor(Math.log10(space || 1));
    const unit = Math.max([1, 2, 5, 10].map((m) => m * power).find((u) => u >= space) ?? power, 1);
    const found = [];

    for (let v = Math.ceil(min / unit) * unit; v <= max; v += unit) found.push(v);
    return found;
}

/** Whole powers of ten, at most `count` of them: the splits of a log value axis. */
export function decades(min, max, count) {
    const first = Math.ceil(Math.log10(min) - 1e-9);
    const last = Math.floor(Math.log10(max) + 1e-9);
    const every = Math.max(1, Math.ceil((last - first + 1) / count));
    const found = [];

    for (let e = last; e >= first; e -= every) found.unshift(10 ** e);
    return found;
}

const SUFFIXES = ["", "k", "M", "G", "T"];

/** A step for a tick: 20k, 1.5M. @param {number} step */
export function shortStep(step) {
    const rounded = Math.round(step);
    let size = 0;
    let value = rounded;

    while (Math.abs(value) >= 1000 && size < SUFFIXES.length - 1 && value % 100 === 0) {
        value /= 1000;
        size++;
    }
    return size === 0 && rounded >= 10000 ? longStep(rounded) : `${value}${SUFFIXES[size]}`;
}

/** A step in full, digits in groups. @param {number|null} step */
export function longStep(step) {
    return step === null || step === undefined
        ? "–"
        : String(Math.round(step)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A value with four significant digits, never a false zero. @param {number|null|undefined} value */
export function shortValue(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const size = Math.abs(value);

    if (size !== 0 && (size < 1e-4 || size >= 1e6))
        return value.toExponential(2).replace("e+", "e");
    if (size >= 1000) return value.toFixed(0);
    if (size >= 10) return value.toFixed(2);
    return value.toFixed(4);
}

/** How long ago, in words that change slowly. @param {number} seconds */
export function duration(seconds) {
    if (seconds < 100) return `${Math.max(0, Math.round(seconds))} s`;
    if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} d`;
}

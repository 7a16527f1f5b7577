/* Places on the x axis, and numbers as text. A place is a step, or with another axis seconds or an epoch. A chart draws x = log10(step + 1) or x = step: this file
 * alone knows which, so the log axis shows step 0 and looks the same in every chart. */

/** @typedef {"log"|"linear"} Spacing */
/** @typedef {"step"|"time"|"elapsed"|"epoch"} Axis */

/** What stands under an axis. */
export const AXES = { step: "step", time: "time", elapsed: "time since the run's start", epoch: "epoch" };
const [MINUTE, HOUR, DAY] = [60, 3600, 86400];
/** Seconds between ticks of a clock. */
const CLOCK = [1, 2, 5, 10, 15, 30].flatMap((n) => [n, n * MINUTE]);
CLOCK.push(...[1, 2, 3, 6, 12, 24, 48, 168, 336].map((n) => n * HOUR));
CLOCK.sort((a, b) => a - b);

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
 * @param {Spacing} spacing @param {Axis} [axis] @returns {number[]}
 */
export function ticks(min, max, space, spacing, axis = "step") {
    if (spacing === "linear") return evenTicks(min, max, space, axis);
    const first = toStep(min, spacing);
    const last = toStep(max, spacing);

    if (max - min < 1.2) {
        const count = Math.max(2, (max - min) / space);
        return evenTicks(first, last, (last - first) / count, axis)
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

/** @param {number} min @param {number} max @param {number} space @param {Axis} axis */
function evenTicks(min, max, space, axis) {
    const isTime = axis === "time" || axis === "elapsed";
    const unit = (isTime && CLOCK.find((u) => u >= space)) || decimalUnit(space, axis === "step" || isTime ? 1 : 0);
    const noon = axis === "time" ? new Date(min * 1000).getTimezoneOffset() * MINUTE : 0;
    const found = [];

    for (let i = Math.ceil((min - noon) / unit); i * unit + noon <= max; i++)
        found.push(Number((i * unit + noon).toPrecision(15)));
    return found;
}

function decimalUnit(space, least) {
    const power = 10 ** Math.floor(Math.log10(space || 1));

    return Math.max([1, 2, 5, 10].map((m) => m * power).find((u) => u >= space) ?? power, least);
}

/** A place for a tick. @param {number} x @param {Axis} axis */
export function shortPlace(x, axis) {
    if (axis === "time") return clock(x).slice(new Date(x * 1000).getSeconds() ? 11 : 5, new Date(x * 1000).getSeconds() ? 19 : 16);
    if (axis === "elapsed") return span(x);
    return axis === "epoch" ? String(Number(x.toPrecision(6))) : shortStep(x);
}

/** A place in full. @param {number|null} x @param {Axis} axis */
export function longPlace(x, axis) {
    if (axis === "step" || x === null || x === undefined) return longStep(x);
    return axis === "time" ? clock(x) : axis === "elapsed" ? span(x) : x.toFixed(2);
}

/** A place in full, with what it is. @param {number} x @param {Axis} axis */
export function namedPlace(x, axis) {
    return axis === "elapsed" ? `${span(x)} after the start` : axis === "time" ? clock(x) : `${axis} ${longPlace(x, axis)}`;
}

/* 2026-11-28 04:10:33, as the reader's clock has it. */
function clock(seconds) {
    return new Date(seconds * 1000).toLocaleString("sv-SE");
}

/* 90 s, 2:30 min, 1:05 h, 3 d 12 h */
function span(seconds) {
    const [small, name, large, wide] = seconds < 2 * HOUR ? [1, "min", MINUTE, 60] : seconds < 2 * DAY ? [MINUTE, "h", HOUR, 60] : [HOUR, "d", DAY, 24];
    const whole = Math.round(seconds / small);
    const rest = whole % wide;

    if (seconds < 2 * MINUTE) return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
    if (name === "d") return `${Math.floor(whole / 24)} d${rest ? ` ${rest} h` : ""}`;
    return `${Math.floor((whole * small) / large)}${rest ? `:${String(rest).padStart(2, "0")}` : ""} ${name}`;
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

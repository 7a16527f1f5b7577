/* The axis of a value, not of a step: where values stand, and where its ticks do. Pure functions. */

import { decades } from "./axis.js";

/**
 * @typedef {object} Scale
 * @property {(value: number|string) => number} at 0 at the low end, 1 at the high one
 * @property {(number|string)[]} ticks at most about `count` of them
 */

/** Words stand in their order, apart from each other. @param {string[]} words @returns {Scale} */
export function wordScale(words) {
    return {
        at: (word) => (words.indexOf(String(word)) + 0.5) / words.length,
        ticks: words,
    };
}

/**
 * @param {number} low @param {number} high @param {"log"|"linear"} spacing @param {number} count @returns {Scale}
 */
export function numberScale(low, high, spacing, count) {
    const to = spacing === "log" ? Math.log10 : (/** @type {number} */ v) => v;
    const [a, b] = [to(low), to(high)];
    const width = b - a || 1;

    return {
        at: (value) => (to(Number(value)) - a) / width,
        ticks: spacing === "log" ? logTicks(low, high, count) : evenTicks(low, high, count),
    };
}

function logTicks(low, high, count) {
    const found = decades(low, high, count);

    return found.length > 1 ? found : evenTicks(low, high, count);
}

/* Values that differ by less than this share are one value, which was rounded in two ways. */
const ROUNDING = 1e-9;

/** How far values spread, or, where they are all one, its size: never so little that ticks cannot be told apart.
 * @param {number} low @param {number} high */
export function spreadOf(low, high) {
    const size = Math.max(Math.abs(low), Math.abs(high));

    return high - low > ROUNDING * size ? high - low : size || 1;
}

function evenTicks(low, high, count) {
    const rough = spreadOf(low, high) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const unit = [1, 2, 5, 10].map((m) => m * power).find((u) => u >= rough);
    const first = Math.ceil(low / unit - 1e-9);
    const found = [];

    for (let i = first; i * unit <= high + unit * 1e-9; i++) found.push(Number((i * unit).toPrecision(12)));
    return found;
}

/* Parallel axes: where the value of each run stands on each, and which runs the brushes leave. Pure
 * functions over RUN OBJECTs that have `values`; places on an axis are shares, 0 at its low end. */

import { compareValues } from "../base/looks.js";
import { numberScale, spreadOf, wordScale } from "../base/scale.js";
import { configValue, spacingOf } from "./sweep.js";

/**
 * @typedef {object} Axis
 * @property {string} name a key of the configuration, a measure or scalar:NAME
 * @property {string} label
 * @property {(number|null)[]} places of the runs; null: the run has no value
 * @property {(number|string)[]} ticks @property {(tick: number|string) => number} at
 * @property {(share: number) => number|string} valueAt
 * @property {number} nWords 0: the axis is of numbers
 */
/** @typedef {{name: string, low: string, high: string}} Brush both ends belong to it */

/* A number in a link is rounded: a run at the brush's end stays within it. */
const ROUNDING = 1e-4;
const TICKS = 6;
/* So few values have a tick each. */
const EACH_MAX = 8;

/** @param {any} run @param {string} name @returns {number|string|null} */
export function valueOf({ config, values = {} }, name) {
    return name in values ? values[name] : configValue(config, name);
}

/** @param {any[]} runs @param {string} name @param {string} label @returns {Axis} */
export function axisOf(runs, name, label) {
    const values = runs.map((run) => valueOf(run, name));
    const known = values.filter((v) => v !== null);
    const axis = known.length && known.every((v) => typeof v === "number") ? numberAxis(known) : wordAxis(known);

    return { name, label, ...axis, places: values.map((v) => (v === null ? null : axis.at(v))) };
}

function numberAxis(values) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const air = high > low ? 0 : spreadOf(low, high) / 2;
    const spacing = spacingOf(values);
    const [from, to] = [low - air, high + air];
    const scale = numberScale(from, to, spacing, TICKS);
    const each = [...new Set(values)];

    return {
        at: scale.at,
        ticks: each.length <= EACH_MAX ? each : scale.ticks.filter((tick) => tick >= from && tick <= to),
        valueAt: (share) => (spacing === "log" ? from * (to / from) ** share : from + (to - from) * share),
        nWords: 0,
    };
}

function wordAxis(values) {
    const words = [...new Set(values.map(String))].sort(compareValues);

    return {
        ...wordScale(words),
        valueAt: (share) => words[Math.min(words.length - 1, Math.max(0, Math.floor(share * words.length)))] ?? "",
        nWords: words.length,
    };
}

/** What of the axis a brush covers; null of a brush that means nothing here. @param {Axis} axis @param {Brush} brush @returns {[number, number]|null} */
export function sharesOf(axis, { low, high }) {
    const half = axis.nWords ? 0.5 / axis.nWords : 0;
    const ends = [axis.at(axis.nWords ? low : Number(low)) - half, axis.at(axis.nWords ? high : Number(high)) + half];

    if (!ends.every(Number.isFinite) || ends[0] > ends[1] || ends[0] < -ROUNDING - half) return null;
    return [Math.max(0, ends[0]), Math.min(1, ends[1])];
}

/** @param {Axis} axis @param {[number, number]} shares @returns {Brush} of categories those whose middle is covered, one at least */
export function brushOf(axis, [from, to]) {
    const half = axis.nWords ? Math.min(0.5 / axis.nWords, (to - from) / 2) : 0;
    const text = (share) => {
        const value = axis.valueAt(share);
        return typeof value === "number" ? String(Number(value.toPrecision(6))) : value;
    };

    return { name: axis.name, low: text(from + half), high: text(to - half - (half && 1e-9)) };
}

/** For each run whether every brush covers it. @param {Axis[]} axes @param {Map<string, [number, number]>} brushes @param {number} n runs */
export function coveredBy(axes, brushes, n) {
    const brushed = axes.filter((axis) => brushes.has(axis.name));

    return Array.from({ length: n }, (_, i) =>
        brushed.every((axis) => {
            const [from, to] = brushes.get(axis.name);
            const place = axis.places[i];
            return place !== null && place >= from - ROUNDING && place <= to + ROUNDING;
        }),
    );
}

/** As a link has them. @param {Brush} brush */
export function brushText({ name, low, high }) {
    return [name, low, high].map(encodeURIComponent).join(" ");
}

/** @param {string} text @returns {Brush|null} */
export function parseBrush(text) {
    const parts = text.split(" ");

    if (parts.length !== 3) return null;
    const [name, low, high] = parts.map(decodeURIComponent);
    return { name, low, high };
}

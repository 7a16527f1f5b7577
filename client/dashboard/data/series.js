/* A series as a chart wants it: from the columns of series.query and scalars.query, binned or not,
 * and longer by a point that comes live. Pure functions over plain objects. */

import { flaggedOf, noteFlags } from "./flags.js";

/**
 * Arrays of one length, by step. Binned: `values` are the last ones of their bins, `low` and `high`
 * the extremes; not binned: two standard errors around the value, or null.
 * @typedef {object} Series
 * @property {string} run
 * @property {string} layer "" for a scalar
 * @property {string} name of the metric or scalar
 * @property {boolean} binned
 * @property {number[]} steps
 * @property {number[]} values where the measure has one
 * @property {(number|null)[]|null} low
 * @property {(number|null)[]|null} high
 * @property {(number|null)[]} [times] of the values, in seconds since 1970, where they were asked for
 * @property {number[]} [attempts] of the values
 * @property {number[]} gaps steps of points whose window misses rows; of bins with such a point the last ones
 * @property {import("./flags.js").Flagged[]} flagged points or bins with flags, also those without the measure
 * @property {number} attempt the latest
 * @property {number} n_added points that came live
 */

/** Standard errors that the band is wide, to each side. */
const BAND_WIDTH = 2;

/** @param {(number|null)[]} values @param {(number|null)[]|undefined} errors @param {number} sign */
function around(values, errors, sign) {
    return errors ? values.map((v, i) => shifted(v, errors[i], sign)) : null;
}

function shifted(value, error, sign) {
    return value === null || error === null || error === undefined
        ? null
        : value + sign * BAND_WIDTH * error;
}

/**
 * @param {string} run @param {any} entry of series.query's `layers` @param {string} metric
 * @param {string|undefined} error the measure that is its standard error
 * @returns {Series}
 */
export function fromLayer(run, entry, metric, error) {
    const columns = entry.columns;
    const base = { run, layer: entry.layer, name: metric, binned: entry.binned, n_added: 0 };

    if (entry.binned) return { ...base, ...bins(columns, metric), ...marksOf(columns), attempt: 0 };
    const has = measured(columns.step, columns[metric]);
    const pick = (column) => column && has.map((i) => column[i]);
    const values = pick(columns[metric]);
    const errors = pick(error && columns[error]);

    return {
        ...base,
        steps: pick(columns.step),
        values,
        low: around(values, errors, -1),
        high: around(values, errors, 1),
        times: pick(columns.time),
        attempts: pick(columns.attempt),
        gaps: columns.step.filter((_, i) => columns.rows_missing[i] > 0),
        flagged: flaggedOf(columns),
        attempt: columns.attempt.at(-1) ?? 0,
    };
}

/* Of bins: what any of their points has. */
function marksOf(columns) {
    const flagged = flaggedOf(columns);

    return { flagged, gaps: flagged.filter(({ names }) => names.includes("partial")).map(({ step }) => step) };
}

/* The places that have a value, in the order of their steps: not every checkpoint has every measure,
 * and an attempt may go back below its first step. Of one step the later attempt counts. */
function measured(steps, values) {
    const places = new Map();

    steps.forEach((step, i) => values[i] !== null && places.set(step, i));
    return [...places.values()].sort((i, j) => steps[i] - steps[j]);
}

/**
 * Of the forms of a measure the one that is shown: the first that has a number in each of these
 * entries that has any; one form for all, as they are compared with each other.
 * @param {any[]} entries of series.query's `layers` @param {string[]} forms
 */
export function chooseForm(entries, forms) {
    const has = (entry, form) => {
        const column = entry.columns[form];
        return (entry.binned ? column.last : column).some((v) => v !== null);
    };
    const measured = entries.filter((entry) => forms.some((form) => has(entry, form)));

    return forms.find((form) => measured.every((entry) => has(entry, form))) ?? forms[0];
}

/** @param {string} run @param {any} entry of scalars.query's `scalars` @returns {Series} */
export function fromScalar(run, { name, binned, columns }) {
    const base = { run, layer: "", name, binned, n_added: 0, gaps: [], flagged: [] };

    if (binned) return { ...base, ...bins(columns, "value"), attempt: 0 };
    const has = measured(columns.step, columns.value);

    return {
        ...base,
        steps: has.map((i) => columns.step[i]),
        values: has.map((i) => columns.value[i]),
        times: has.map((i) => columns.time[i]),
        attempts: has.map((i) => columns.attempt[i]),
        low: null,
        high: null,
        attempt: columns.attempt.at(-1) ?? 0,
    };
}

function bins(columns, name) {
    const { last, min, max } = columns[name];
    const has = measured(columns.step_end, last);
    const { time, attempt } = columns;

    return {
        times: time && has.map((i) => time[i]),
        attempts: attempt && has.map((i) => attempt[i]),
        steps: has.map((i) => columns.step_end[i]),
        values: has.map((i) => last[i]),
        low: has.map((i) => min[i]),
        high: has.map((i) => max[i]),
    };
}

/** A series that is all there, and empty: before the first point. @returns {Series} */
export function emptySeries(run, layer, name, hasBand) {
    return {
        run,
        layer,
        name,
        binned: false,
        steps: [],
        values: [],
        low: hasBand ? [] : null,
        high: hasBand ? [] : null,
        times: [],
        attempts: [],
        gaps: [],
        flagged: [],
        attempt: 0,
        n_added: 0,
    };
}

/**
 * Adds a live value where it belongs. Returns "added"; "known" when it is there already, superseded,
 * or no value; or "reload" when it rewrites what is there, as the first point of a resumed run does.
 * @param {Series} series
 * @param {{attempt: number, step: number, time?: number, rows_missing?: number, flags?: string[]}} at
 * @param {number|null} value @param {number|null|undefined} error
 */
export function append(series, at, value, error) {
    const last = series.steps.at(-1) ?? -1;

    if (at.attempt > series.attempt && series.attempt > 0 && at.step <= last) return "reload";
    if (at.attempt < series.attempt) return "known";
    series.attempt = at.attempt;
    if (at.rows_missing > 0 && !series.gaps.includes(at.step)) series.gaps.push(at.step);
    if (!series.binned || at.step > last) noteFlags(series.flagged, at);
    if (typeof value !== "number") return "known";
    if (at.step <= last && (series.binned || series.steps.includes(at.step))) return "known";
    insert(series, at.step, {
        steps: at.step,
        values: value,
        times: at.time,
        attempts: at.attempt,
        low: series.binned ? value : shifted(value, error, -1),
        high: series.binned ? value : shifted(value, error, 1),
    });
    series.n_added++;
    return "added";
}

/* At the end in place, as most points come; elsewhere in new arrays, for what is drawn is known by
 * its array. */
function insert(series, step, entries) {
    const place = series.steps.findLastIndex((known) => known < step) + 1;
    const isLast = place === series.steps.length;

    for (const [name, entry] of Object.entries(entries)) {
        if (!series[name]) continue;
        if (isLast) series[name].push(entry);
        else series[name] = series[name].toSpliced(place, 0, entry);
    }
}

/**
 * The exponential moving average of values that TensorBoard draws: m = w m + (1 - w) v, divided by
 * 1 - w^n, so that it does not begin at zero. It goes over the points as they are drawn; where there is
 * none it has none.
 * @param {(number|null)[]} values @param {number} weight w, from 0 (as they are) to below 1
 */
export function smoothed(values, weight) {
    let mean = 0;
    let missing = 1;

    return values.map((value) => {
        if (value === null) return null;
        mean = weight * mean + (1 - weight) * value;
        missing *= weight;
        return mean / (1 - missing);
    });
}

/** The index of the step nearest to `step`; -1 when there is none. @param {number[]} steps @param {number} step */
export function nearest(steps, step) {
    let low = 0;
    let high = steps.length - 1;

    while (low < high) {
        const middle = (low + high) >> 1;
        if (steps[middle] < step) low = middle + 1;
        else high = middle;
    }
    return low > 0 && step - steps[low - 1] <= steps[low] - step ? low - 1 : high < 0 ? -1 : low;
}

/** First and last step of several; null without any. @param {Iterable<Series>} many @returns {[number, number]|null} */
export function extent(many) {
    let first = Infinity;
    let last = -Infinity;

    for (const { steps } of many) {
        if (steps.length === 0) continue;
        first = Math.min(first, steps[0]);
        last = Math.max(last, steps.at(-1));
    }
    return first <= last ? [first, last] : null;
}

/* A series as a chart wants it: from the columns of series.query and scalars.query, binned or not,
 * and longer by a point that comes live. Pure functions over plain objects. */

/**
 * Arrays of one length, by step. Binned: `values` are the last ones of their bins, `low` and `high`
 * the extremes; not binned: two standard errors around the value, or null.
 * @typedef {object} Series
 * @property {string} run
 * @property {string} layer "" for a scalar
 * @property {string} name of the metric or scalar
 * @property {boolean} binned
 * @property {number[]} steps
 * @property {(number|null)[]} values
 * @property {(number|null)[]|null} low
 * @property {(number|null)[]|null} high
 * @property {number[]} gaps steps of points whose window misses rows
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

    if (entry.binned) return { ...base, ...bins(columns, metric), gaps: [], attempt: 0 };
    return {
        ...base,
        steps: columns.step,
        values: columns[metric],
        low: around(columns[metric], error && columns[error], -1),
        high: around(columns[metric], error && columns[error], 1),
        gaps: columns.step.filter((_, i) => columns.rows_missing[i] > 0),
        attempt: columns.attempt.at(-1) ?? 0,
    };
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
    const base = { run, layer: "", name, binned, n_added: 0, gaps: [] };

    if (binned) return { ...base, ...bins(columns, "value"), attempt: 0 };
    return {
        ...base,
        steps: columns.step,
        values: columns.value,
        low: null,
        high: null,
        attempt: columns.attempt.at(-1) ?? 0,
    };
}

function bins(columns, name) {
    return {
        steps: columns.step_end,
        values: columns[name].last,
        low: columns[name].min,
        high: columns[name].max,
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
        gaps: [],
        attempt: 0,
        n_added: 0,
    };
}

/**
 * Adds a live value at the end. Returns "added"; "known" when it is there already or superseded; or
 * "reload" when it rewrites what is there, as the first point of a resumed run does, and one that
 * comes again with its spectrum.
 * @param {Series} series
 * @param {{attempt: number, step: number, rows_missing?: number}} at
 * @param {number|null} value @param {number|null|undefined} error
 */
export function append(series, at, value, error) {
    const last = series.steps.at(-1) ?? -1;

    if (at.attempt > series.attempt && series.attempt > 0 && at.step <= last) return "reload";
    if (at.attempt === series.attempt && fillsGap(series, at.step, value)) return "reload";
    if (at.step <= last || at.attempt < series.attempt) return "known";
    series.attempt = at.attempt;
    series.steps.push(at.step);
    series.values.push(value);
    series.low?.push(series.binned ? value : shifted(value, error, -1));
    series.high?.push(series.binned ? value : shifted(value, error, 1));
    if (at.rows_missing > 0) series.gaps.push(at.step);
    series.n_added++;
    return "added";
}

function fillsGap(series, step, value) {
    return (
        typeof value === "number" &&
        !series.binned &&
        series.values[series.steps.indexOf(step)] === null
    );
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

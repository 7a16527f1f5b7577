/* A sweep as a chart wants it: one row a run, with what its configuration says, and what a measure
 * and a scalar came to. Pure functions over RUN OBJECTs that have `values` (run.list of FEED.md). */

import { longStep } from "../base/axis.js";
import { compareValues } from "../base/looks.js";

/**
 * @typedef {object} Row
 * @property {string} run
 * @property {number|string|null} x
 * @property {string} group "" without grouping
 * @property {number|null} value
 * @property {number|null} error its standard error
 * @property {number|null} right
 */

/**
 * @typedef {object} Column a place on the x axis and what stands there, of one group
 * @property {number|string} x @property {string} group
 * @property {number} mean @property {number|null} sd over its runs; null of a single one
 * @property {number|null} right mean of the right axis
 * @property {Row[]} rows
 */

/** A value of the configuration, or "" of none; objects as JSON. @param {any} config @param {string} key */
export function configValue(config, key) {
    const value = config?.[key];

    if (value === undefined || value === null) return null;
    return typeof value === "number" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * The keys of the configuration by which the runs differ, those with the most values first.
 * @param {any[]} runs @returns {string[]}
 */
export function differingKeys(runs) {
    const values = new Map();

    for (const { config } of runs)
        for (const key of Object.keys(config ?? {})) {
            if (!values.has(key)) values.set(key, new Set());
            values.get(key).add(String(configValue(config, key)));
        }
    return [...values]
        .filter(([, found]) => found.size > 1)
        .sort(([a, x], [b, y]) => y.size - x.size || a.localeCompare(b))
        .map(([key]) => key);
}

/**
 * What of the keys the sweep is over: a number, if there is one, and no seed.
 * @param {any[]} runs @param {string[]} keys
 */
export function likelyKey(runs, keys) {
    const isNumber = (key) => runs.every(({ config }) => typeof (configValue(config, key) ?? 0) === "number");
    const swept = keys.filter((key) => !/seed/i.test(key));

    return swept.find(isNumber) ?? swept[0] ?? keys[0] ?? "";
}

/** Which end of its values is the good one, as a name that everybody knows says; "" is unknown, as of the
 * measures: a rich run need not be a good one. @param {string} name @returns {"least"|"greatest"|""} */
export function directionOf(name) {
    const [, scalar = ""] = /^scalar:(.*)/.exec(name) ?? [];

    if (/acc|f1|auc|bleu|recall|precision/i.test(scalar)) return "greatest";
    return /loss|err|perplexity|ppl|nll|mse|mae/i.test(scalar) ? "least" : "";
}

/**
 * Where the value of that name is read (`values_at` of run.list): what has a good end is read there,
 * wherever it is not asked for the last one or a step.
 * @param {string} name @param {import("../base/view.js").ViewState} state @param {boolean} isAsked by its own name
 * @returns {"last"|"least"|"greatest"|number}
 */
export function placeOf(name, { sweepAt, sweepStep }, isAsked) {
    if (sweepAt === "step") return sweepStep ?? "last";
    if (sweepAt === "last") return "last";
    if (sweepAt !== "best" && (isAsked || !directionOf(name))) return sweepAt;
    return directionOf(name) || "last";
}

/** @param {string} name @param {"last"|"least"|"greatest"|number} place */
export function placeText(name, place) {
    if (typeof place === "number") return `${name} at step ${longStep(place)}`;
    return place === "last" ? name : `${place} ${name}`;
}

/** The accuracy among these scalars, on held-out data if there is one; "" none. @param {string[]} names */
export function likelyAccuracy(names) {
    const find = (pattern) => names.find((name) => pattern.test(name));

    return find(/^(test|val|eval).*acc/i) ?? find(/acc/i) ?? "";
}

/**
 * @param {any[]} runs @param {{x: string, group: string, y: string, error: string, right: string}} names
 *   `x` is a key of the configuration, or one of `values` @returns {Row[]} those that have x and value
 */
export function rowsOf(runs, { x, group, y, error, right }) {
    return runs
        .map(({ run, config, values = {} }) => ({
            run,
            x: x in values ? values[x] : configValue(config, x),
            group: group ? String(configValue(config, group) ?? "(none)") : "",
            value: values[y] ?? null,
            error: values[error] ?? null,
            right: values[right] ?? null,
        }))
        .filter((row) => row.x !== null && row.value !== null);
}

/** Rows of one group at one place are repetitions: seeds. @param {Row[]} rows @returns {Column[]} in the order of the axis */
export function columnsOf(rows) {
    const found = new Map();

    for (const row of rows) {
        const key = JSON.stringify([row.group, row.x]);
        if (!found.has(key)) found.set(key, []);
        found.get(key).push(row);
    }
    return [...found.values()].map(summary).sort((a, b) => compareValues(String(a.x), String(b.x)));
}

function summary(rows) {
    const mean = meanOf(rows.map((row) => row.value));
    const squares = rows.reduce((sum, row) => sum + (row.value - mean) ** 2, 0);

    return {
        x: rows[0].x,
        group: rows[0].group,
        mean,
        sd: rows.length > 1 ? Math.sqrt(squares / (rows.length - 1)) : null,
        right: meanOf(rows.map((row) => row.right).filter((v) => v !== null)),
        rows,
    };
}

function meanOf(values) {
    return values.length ? values.reduce((sum, v) => sum + v, 0) / values.length : null;
}

/** How numbers from `low` to `high` stand on an axis: over powers when they span more than one. */
export function spacingOf(values) {
    const low = Math.min(...values);

    return low > 0 && Math.max(...values) / low >= 20 ? "log" : "linear";
}

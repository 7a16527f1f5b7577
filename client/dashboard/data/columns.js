/* The columns of the runs' table: by their names, how a cell reads, what run.list has to be asked for
 * and sorted by. A name is that of a FIELD, config:KEY, scalar:NAME, or a measure; least: or greatest:
 * before the last two means the extreme of the run. */

import { duration, longStep, shortValue } from "../base/axis.js";
import { visible } from "../base/names.js";
import { configValue, directionOf } from "./sweep.js";

/**
 * `isNumber`: it stands on the right.
 * @typedef {{text: string, isNumber: boolean, sort?: string, widthPx: number, cell: (run: any) => string}} Column
 */

/* Values that run.list gives at most. */
const VALUES_MAX = 32;
const KEYS_BY_DEFAULT = 5;
const WIDTH_PX = 104;
/* Of a time to the minute, in wide fonts. */
const TIME_PX = 148;
const EXTREME = /^(least|greatest):(.*)$/;

/** @type {Object<string, Column>} */
export const FIELDS = {
    project: field("project", (run) => visible(run.project), { sort: "name" }),
    name: field("name", (run) => visible(run.name), { sort: "name", widthPx: 190 }),
    state: field("state", (run) => run.state, { sort: "state", widthPx: 100 }),
    group: field("group", (run) => visible(run.group)),
    tags: field("tags", (run) => run.tags.map(visible).join(", ")),
    note: field("note", (run) => visible(run.note ?? ""), { widthPx: 180 }),
    created: field("start", (run) => when(run.created), { sort: "created", widthPx: TIME_PX }),
    updated: field("last change", (run) => when(run.updated), { sort: "updated", widthPx: TIME_PX }),
    duration: field("duration", (run) => duration(run.updated - run.created), { isNumber: true, widthPx: 80 }),
    host: field("host", (run) => visible(run.host ?? "")),
    attempt: field("attempt", (run) => String(run.attempt), { isNumber: true, widthPx: 70 }),
    step: field("last step", (run) => (run.last_step === null ? "" : longStep(run.last_step)), { isNumber: true, widthPx: 84 }),
    points: field("points", (run) => longStep(run.n_points), { isNumber: true, widthPx: 70 }),
    id: field("id", (run) => run.run, { widthPx: 190 }),
};

function field(text, cell, more = {}) {
    return { text, cell, isNumber: false, widthPx: WIDTH_PX, ...more };
}

/** @param {string} name @param {any} catalogue @param {any[]} runs some of those that are shown @returns {Column} */
export function columnOf(name, catalogue, runs = []) {
    if (Object.hasOwn(FIELDS, name)) return FIELDS[name];
    if (name.startsWith("config:")) {
        const key = name.slice(7);
        const cell = ({ config }) => visible(settingText(configValue(config, key) ?? ""));

        return field(visible(key), cell, { sort: name, isNumber: runs.every(({ config }) => typeof (config?.[key] ?? 0) === "number") });
    }
    const [, place, of] = EXTREME.exec(name) ?? [];
    if (place) return { ...columnOf(of, catalogue), ...field(`${place} ${columnOf(of, catalogue).text}`, ({ values = {} }) => valueText(values[name]), { isNumber: true, sort: undefined }) };
    const error = catalogue.errorOf(name);
    const cell = ({ values = {} }) => valueText(values[name], values[error]);

    return field(visible(name.replace(/^scalar:/, "")), cell, { sort: name, isNumber: true, widthPx: error ? 146 : WIDTH_PX });
}

/**
 * Whether a table that is sorted by it begins with the greatest, until it is turned: times with the newest;
 * values with the best, as loss-like names and measures of richness have at their low end and others at
 * their high one. Settings and words begin with the first.
 * @param {string} sort of a Column @param {any} catalogue
 */
export function beginsWithGreatest(sort, catalogue) {
    if (sort === "created" || sort === "updated") return true;
    if (sort.startsWith("scalar:")) return directionOf(sort) !== "least";
    return Boolean(catalogue.metric(sort)) && !catalogue.isRichness(sort);
}

/* Of a number that was computed (0.1 / 3) six digits. */
function settingText(value) {
    return String(typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value);
}

/** A value with two standard errors, as everywhere. */
function valueText(value, error) {
    if (typeof value !== "number") return "";
    return typeof error === "number" ? `${shortValue(value)} ± ${shortValue(2 * error)}` : shortValue(value);
}

/** The `values` of run.list that these columns show, errors among them. @param {string[]} names @param {any} catalogue */
export function valuesOf(names, catalogue) {
    const shown = names.filter((name) => name.startsWith("scalar:") || catalogue.metric(name));

    return [...new Set(shown.flatMap((name) => [name, catalogue.errorOf(name)]))].filter(Boolean).slice(0, VALUES_MAX);
}

/** Extremes that these columns show, by their place. @param {string[]} names @returns {Object<string, string[]>} */
export function extremesOf(names) {
    const found = {};

    for (const [, place, name] of names.map((one) => EXTREME.exec(one) ?? []))
        if (place && (found[place] ??= []).length < VALUES_MAX) found[place].push(name);
    return found;
}

/** What can be shown beside these columns: the extremes of their values. @param {string[]} names @param {any} catalogue */
export function extremesBeside(names, catalogue) {
    const values = names.filter((name) => name.startsWith("scalar:") || catalogue.metric(name));

    return values.flatMap((name) => [`least:${name}`, `greatest:${name}`]);
}

/**
 * The columns where a view names none: what tells these runs apart, and what came out.
 * @param {any[]} runs @param {string[]} keys of the configuration, by which they differ
 * @param {string[]} values measures and scalars @returns {string[]}
 */
export function usualColumns(runs, keys, values) {
    const varied = keys.slice(0, KEYS_BY_DEFAULT).map((key) => `config:${key}`);
    const isUsed = { tags: runs.some((run) => run.tags?.length), note: runs.some((run) => run.note), group: runs.some((run) => run.group), host: new Set(runs.map((run) => run.host)).size > 1 };

    return [
        "project",
        "name",
        "state",
        ...varied,
        ...values,
        ...Object.keys(isUsed).filter((name) => isUsed[name]),
        "created",
        "duration",
    ];
}

/** A time as it is written where the reader is, to the minute. @param {number} seconds since 1970 */
function when(seconds) {
    const date = new Date(seconds * 1000);
    const two = (n) => String(n).padStart(2, "0");

    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

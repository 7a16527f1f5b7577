/* The runs of a group as one line: their mean at each step, and how far they lie apart. Pure functions
 * over Series. */

import { compareValues } from "../base/looks.js";

/* The most steps at which a mean is taken: with more points than these every k-th step is. */
const STEPS_MAX = 1000;

/** What the band around a mean is, in words. */
export const SPREADS = {
    sd: "± one standard deviation over the group's runs",
    se: "± two standard errors of the mean over the group's runs",
    range: "least and greatest of the group's runs",
};

/** How a mean is defined, for the reader of the page. */
export const DEFINITION =
    "A mean is over the runs that have been at a step: between two of its own points a run counts by the straight line between them, before its first and after its last not at all. Where fewer than half of the group are left, or fewer than two, there is no mean; n in the chart says where their number changes.";

/**
 * A Series of a group: `values` are means, null where too few of its runs have been; `low` and `high` the band.
 * @typedef {import("./series.js").Series & {group: string, runs: string[], n: number[]}} Mean
 * `runs` are all of the group's, `n` how many of them there are at each step
 */

/**
 * @param {import("./series.js").Series[]} all @param {(run: string) => string} groupOf
 * @param {"sd"|"se"|"range"} spread @param {boolean} byLayer each layer has a mean of its own
 * @returns {Mean[]} one for each group, measure and layer, in the order of the groups
 */
export function meansOf(all, groupOf, spread, byLayer) {
    const found = new Map();

    for (const series of all) {
        if (series.steps.length === 0) continue;
        const group = groupOf(series.run);
        const key = JSON.stringify([group, series.name, byLayer ? series.layer : ""]);
        if (!found.has(key)) found.set(key, { group, members: [] });
        found.get(key).members.push(series);
    }
    return [...found.values()]
        .sort((a, b) => compareValues(a.group, b.group))
        .map(({ group, members }) => meanOf(group, members, spread));
}

/** The places of a mean at which the number of its runs changes. @param {Mean} mean */
export function changesOf({ n, runs }) {
    return n.flatMap((count, i) => (count !== (i ? n[i - 1] : runs.length) ? [i] : []));
}

function meanOf(group, members, spread) {
    const least = Math.min(members.length, Math.max(2, Math.ceil(members.length / 2)));
    const readers = members.map(reader);
    const rows = stepsOf(members).map((step) => {
        const values = readers.map((at) => at(step)).filter((value) => value !== null);
        return { step, n: values.length, ...(values.length < least ? NOTHING : summary(values, spread)) };
    });
    const shown = rows.slice(
        rows.findIndex((row) => row.mean !== null),
        rows.findLastIndex((row) => row.mean !== null) + 1,
    );
    const layers = new Set(members.map((series) => series.layer));

    return {
        group,
        runs: members.map((series) => series.run),
        run: "",
        layer: layers.size === 1 ? members[0].layer : "",
        name: members[0].name,
        binned: members.some((series) => series.binned),
        steps: shown.map((row) => row.step),
        values: shown.map((row) => row.mean),
        low: shown.map((row) => row.low),
        high: shown.map((row) => row.high),
        n: shown.map((row) => row.n),
        gaps: [],
        attempt: 0,
        n_added: 0,
    };
}

const NOTHING = { mean: null, low: null, high: null };

function summary(values, spread) {
    const n = values.length;
    const mean = values.reduce((sum, v) => sum + v, 0) / n;

    if (n < 2) return { ...NOTHING, mean };
    if (spread === "range") return { mean, low: Math.min(...values), high: Math.max(...values) };
    const sd = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1));
    const reach = spread === "se" ? (2 * sd) / Math.sqrt(n) : sd;
    return { mean, low: mean - reach, high: mean + reach };
}

/* All steps at which any of them has a point; of very many evenly chosen ones, and each run's ends. */
function stepsOf(members) {
    const all = [...new Set(members.flatMap((series) => series.steps))].sort((a, b) => a - b);
    const every = Math.ceil(all.length / STEPS_MAX);
    const ends = new Set(members.flatMap(({ steps }) => [steps[0], steps.at(-1)]));

    return all.filter((step, i) => i % every === 0 || ends.has(step));
}

/* Asked with rising steps: the value on the straight line between the series' own points; null
 * outside of them. */
function reader({ steps, values }) {
    let i = 0;

    return (step) => {
        if (step < steps[0] || step > steps.at(-1)) return null;
        while (i + 1 < steps.length && steps[i + 1] <= step) i++;
        if (steps[i] === step) return values[i];
        const share = (step - steps[i]) / (steps[i + 1] - steps[i]);
        return values[i] + share * (values[i + 1] - values[i]);
    };
}

/* Which points of a series are flagged, and by what: from the columns of series.query, longer by what
 * comes live. Binned series have none. Pure functions. */

/** @typedef {{step: number, names: string[]}} Flagged a point with at least one flag */
/** @typedef {{from: number, to: number, count: number, names: string[]}} Span flagged points in a row */

/** @param {any} columns of series.query, not binned @returns {Flagged[]} by step; of one step the later attempt counts */
export function flaggedOf({ step, flags = [] }) {
    const found = new Map(step.map((at, i) => [at, flags[i] ?? []]));

    return [...found]
        .filter(([, names]) => names.length)
        .map(([at, names]) => ({ step: at, names }))
        .sort((a, b) => a.step - b.step);
}

/** Takes a point that came live. @param {Flagged[]} flagged @param {{step: number, flags?: string[]}} point */
export function noteFlags(flagged, { step, flags = [] }) {
    const place = flagged.findIndex((f) => f.step >= step);
    const isKnown = flagged[place]?.step === step;

    flagged.splice(
        place < 0 ? flagged.length : place,
        isKnown ? 1 : 0,
        ...(flags.length ? [{ step, names: flags }] : []),
    );
}

/** The flags of the point at a step. @param {{flagged: Flagged[]}} series @param {number} step */
export function flagsAt({ flagged }, step) {
    return flagged.find((f) => f.step === step)?.names ?? [];
}

/**
 * Neighbours with the same flags become one span, and so do those whose marks would touch.
 * @param {{steps: number[], flagged: Flagged[]}} series @param {(a: number, b: number) => boolean} touch of two steps
 * @returns {Span[]}
 */
export function spansOf({ steps, flagged }, touch) {
    const names = new Map(flagged.map((f) => [f.step, f.names]));
    const all = [...new Set([...steps, ...names.keys()])].sort((a, b) => a - b);
    const spans = [];
    let before = "";

    for (const step of all) {
        const own = names.get(step);
        const last = spans.at(-1);

        if (own && last && (before === String(own) || touch(last.to, step))) {
            last.to = step;
            last.count++;
            last.names = [...new Set([...last.names, ...own])];
        } else if (own) spans.push({ from: step, to: step, count: 1, names: own });
        before = own ? String(own) : "";
    }
    return spans;
}

/**
 * How many points in view have each flag.
 * @param {{binned: boolean, steps: number[], flagged: Flagged[]}[]} many @param {[number, number]|null} range
 * @returns {{points: number, binned: boolean, counts: Map<string, number>}} `binned`: of some there are no single points
 */
export function countFlags(many, range) {
    const isIn = (step) => range === null || (step >= range[0] && step <= range[1]);
    const counts = new Map();
    let points = 0;

    for (const { steps, flagged, binned } of many) {
        if (binned) continue;
        points += new Set([...steps, ...flagged.map((f) => f.step)].filter(isIn)).size;
        for (const { step, names } of flagged)
            if (isIn(step)) for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return { points, binned: many.some((s) => s.binned), counts };
}

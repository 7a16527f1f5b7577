/* Which points of a series are flagged, and by what: from the columns of series.query, longer by what
 * comes live. Of a binned series these are bins: any of its points has the flag. Pure functions. */

/** @typedef {{step: number, names: string[], from?: number}} Flagged a point with at least one flag, or a bin `from` a step to `step` */
/** @typedef {{from: number, to: number, count: number, names: string[]}} Span flagged points in a row */

/** @param {any} columns of series.query @returns {Flagged[]} by step; of one step the later attempt counts */
export function flaggedOf({ step, step_end, flags = [] }) {
    const at = step_end ?? step;
    const found = new Map(at.map((end, i) => [end, { step: end, names: flags[i] ?? [], ...(step_end && { from: step[i] }) }]));

    return [...found.values()].filter(({ names }) => names.length).sort((a, b) => a.step - b.step);
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
    const known = new Map(flagged.map((f) => [f.step, f]));
    const all = [...new Set([...steps, ...known.keys()])].sort((a, b) => a - b);
    const spans = [];
    let before = "";

    for (const step of all) {
        const own = known.get(step)?.names;
        const last = spans.at(-1);

        if (own && last && (before === String(own) || touch(last.to, step))) {
            last.to = step;
            last.count++;
            last.names = [...new Set([...last.names, ...own])];
        } else if (own) spans.push({ from: known.get(step).from ?? step, to: step, count: 1, names: own });
        before = own ? String(own) : "";
    }
    return spans;
}

/**
 * How many points in view have each flag.
 * @param {{binned: boolean, steps: number[], flagged: Flagged[]}[]} many @param {[number, number]|null} range
 * @returns {{points: number, binned: boolean, counts: Map<string, number>}} `binned`: some are bins, whose flags
 *   count 0, as nobody knows of how many of their points they are
 */
export function countFlags(many, range) {
    const isIn = (step) => range === null || (step >= range[0] && step <= range[1]);
    const counts = new Map();
    let points = 0;

    for (const { steps, flagged, binned } of many) {
        if (!binned) points += new Set([...steps, ...flagged.map((f) => f.step)].filter(isIn)).size;
        for (const { step, names } of flagged)
            if (isIn(step)) for (const name of names) counts.set(name, (counts.get(name) ?? 0) + Number(!binned));
    }
    return { points, binned: many.some((s) => s.binned), counts };
}

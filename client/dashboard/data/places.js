/* Where things stand on the x axis of all charts over time: at their step, at the time of day, at the
 * time since their run began, or at their epoch. Series are asked for and kept by step; of() puts one on
 * the axis. A run has a table for what has no time of its own: marks, and the steps of what is zoomed. */

import { widen } from "../base/axis.js";

/* A table is for marks and questions, not for curves: they have the times of their own points. */
const WHOLE = { points: 2000, spacing: "linear", times: true };
const EPOCH = /(^|\/)epoch$/i;

/** @typedef {{steps: number[], xs: number[]}} Table both rise */

/** Rows that rise in both. @param {[number, number][]} rows @returns {Table} */
export function rising(rows) {
    const table = { steps: [], xs: [] };

    for (const [step, x] of [...rows].sort((a, b) => a[0] - b[0] || b[1] - a[1])) add(table, step, x);
    return table;
}

function add({ steps, xs }, step, x) {
    if (typeof x !== "number" || (steps.length && (step <= steps.at(-1) || x <= xs.at(-1)))) return;
    steps.push(step);
    xs.push(x);
}

/** The straight line through a rising table, and on beyond its ends. @param {number[]} from @param {number[]} to @param {number} at */
export function between(from, to, at) {
    if (from.length < 2) return to[0] ?? null;
    const next = from.findIndex((known) => known > at);
    const i = Math.max(1, next < 0 ? from.length - 1 : next);

    return to[i - 1] + ((at - from[i - 1]) / (from[i] - from[i - 1])) * (to[i] - to[i - 1]);
}

/**
 * A line as it is drawn over time: with a gap where another attempt takes over, for between them
 * nothing was trained.
 * @param {any} series
 */
export function broken({ steps, values, low, high, attempts }) {
    const made = { steps: [], values: [], low: low && [], high: high && [] };

    steps.forEach((x, i) => {
        const isNew = i > 0 && attempts && attempts[i] !== attempts[i - 1];
        const entries = { steps: x, values: values[i], low: low?.[i], high: high?.[i] };
        for (const [name, entry] of Object.entries(entries)) {
            if (!made[name]) continue;
            if (isNew) made[name].push(name === "steps" ? (steps[i - 1] + x) / 2 : null);
            made[name].push(entry);
        }
    });
    return made;
}

/** Event: "change" (a run's table is there, or another). */
export class Places extends EventTarget {
    /**
     * @param {import("./feed.js").Feed} feed @param {import("../base/view.js").View} view
     * @param {import("./catalogue.js").Catalogue} catalogue
     */
    constructor(feed, view, catalogue) {
        super();
        Object.assign(this, { feed, view, catalogue });
        /** @type {Map<string, Table>} by axis and run */ this.tables = new Map();
        /** @type {Map<string, Promise<void>>} */ this.asked = new Map();
        view.on(["runs", "axis"], () => this.load());
    }

    get isTime() {
        return ["time", "elapsed"].includes(this.view.state.axis);
    }

    /** Begins with what the shown runs need. */
    load() {
        this.view.state.runs.forEach((run) => this.ready(run));
    }

    /** Resolves when the run can be placed, or cannot ever be. @param {string} run @returns {Promise<void>} */
    ready(run) {
        const key = this.#key(run);

        if (this.view.state.axis === "step") return Promise.resolve();
        if (!this.asked.has(key)) this.asked.set(key, this.#load(run, key).catch(() => {}));
        return this.asked.get(key);
    }

    /* The time since the start is the time, less another number. */
    #key(run) {
        return `${this.isTime ? "time" : "epoch"} ${run}`;
    }

    async #load(run, key) {
        const { isTime } = this;

        if (!this.catalogue.get(run)?.scalars) await this.catalogue.load(run);
        this.tables.set(key, isTime ? await this.#times(run) : await this.#epochs(run));
        this.dispatchEvent(new Event("change"));
    }

    async #times(run) {
        const [layer] = this.catalogue.layersOf(run, "");
        const [name] = this.catalogue.get(run)?.scalars ?? [];
        const [{ layers }, { scalars }] = await Promise.all([
            layer ? this.feed.call("series.query", { run, layer, metrics: ["d_lr"], ...WHOLE }) : { layers: [] },
            name ? this.feed.call("scalars.query", { run, names: [name], ...WHOLE }) : { scalars: [] },
        ]);

        return rising([...layers, ...scalars].flatMap((entry) => rowsOf(entry, entry.columns.time)));
    }

    /* As it was logged, or else as the configuration has it. */
    async #epochs(run) {
        const { scalars = [], config } = this.catalogue.get(run) ?? {};
        const name = scalars.find((known) => EPOCH.test(known));
        const length = Number(config?.steps_per_epoch);

        if (!name) return rising(length > 0 ? [[0, 0], [length, 1]] : []);
        const answer = await this.feed.call("scalars.query", { run, names: [name], ...WHOLE });
        return rising(
            answer.scalars.flatMap((entry) => rowsOf(entry, entry.columns.value.last ?? entry.columns.value)),
        );
    }

    /** A page of series.subscribe. @param {{points: any[], scalars: any[]}} page */
    takeUpdate({ points, scalars }) {
        if (this.view.state.axis === "step") return;
        for (const { run, step, time, name, value } of [...points, ...scalars]) {
            const table = this.tables.get(this.#key(run));
            if (table && this.isTime) add(table, step, time);
            else if (table && EPOCH.test(name ?? "")) add(table, step, value);
        }
    }

    #origin(run) {
        return this.view.state.axis === "elapsed" ? (this.catalogue.get(run)?.created ?? 0) : 0;
    }

    /** Where a step of a run stands; null where nobody knows. @param {string} run @param {number} step */
    xOf(run, step) {
        if (this.view.state.axis === "step") return step;
        const table = this.tables.get(this.#key(run));

        return table?.steps.length ? between(table.steps, table.xs, step) - this.#origin(run) : null;
    }

    /** The step that stands there; null where nobody knows. @param {string} run @param {number} x */
    stepOf(run, x) {
        if (this.view.state.axis === "step") return x;
        const table = this.tables.get(this.#key(run));

        return table?.steps.length ? Math.max(0, between(table.xs, table.steps, x + this.#origin(run))) : null;
    }

    /** A curve on the axis: `steps`, `gaps` and the steps of `flagged` are places. @template {any} S @param {S} series @returns {S} */
    of(series) {
        if (this.view.state.axis === "step") return series;
        const { run, steps, times, gaps, flagged } = series;
        const origin = this.#origin(run);
        const at = steps.map((step, i) => (this.isTime && times?.[i] ? times[i] - origin : this.xOf(run, step)));
        const order = [...at.keys()].filter((i) => at[i] !== null).sort((i, j) => at[i] - at[j]);
        const pick = (column) => column && order.map((i) => column[i]);
        const own = new Map(steps.map((step, i) => [step, at[i]])); // a mark stands where its point does
        const x = (step) => own.get(step) ?? this.xOf(run, step);

        return {
            ...series,
            steps: pick(at),
            values: pick(series.values),
            low: pick(series.low),
            high: pick(series.high),
            attempts: pick(series.attempts),
            gaps: gaps.map(x).filter((place) => place !== null),
            flagged: flagged
                .map((f) => ({ ...f, step: x(f.step), ...(f.from !== undefined && { from: x(f.from) ?? undefined }) }))
                .filter((f) => f.step !== null),
        };
    }

    /** Events of a run on the axis. @param {string} run @param {any[]} events */
    ofEvents(run, events) {
        const x = (step) => (typeof step === "number" ? this.xOf(run, step) : step);

        if (this.view.state.axis === "step") return events;
        return events.map((e) => ({ ...e, start: x(e.start), end: x(e.end), returned: x(e.returned) }));
    }

    /** As a line of one run is drawn. @param {any} series on the axis */
    drawn(series) {
        return this.isTime && series.group === undefined ? broken(series) : series;
    }

    /** First and last place of all shown runs; null when nobody knows. @returns {[number, number]|null} */
    extent() {
        const ends = this.view.state.runs.flatMap((run) => {
            const xs = this.tables.get(this.#key(run))?.xs ?? [];
            return xs.length ? [xs[0] - this.#origin(run), xs.at(-1) - this.#origin(run)] : [];
        });

        return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
    }

    /** The steps of a run that are in view, and `share` more on each side; null: all. @param {string} run @returns {[number, number]|null} */
    steps(run, share = 0) {
        const { from, to, axis } = this.view.state;

        if (from === null || to === null) return null;
        if (axis === "step") return widen([from, to], this.view.spacing, share);
        const more = (to - from) * share;
        const [a, b] = [this.stepOf(run, from - more), this.stepOf(run, to + more)];
        return a === null ? null : [Math.floor(a), Math.ceil(b)];
    }

    /** What a question about a curve in view has. @param {string} run @param {number} [share] */
    question(run, share) {
        const steps = this.steps(run, share);

        return {
            spacing: this.view.spacing,
            ...(this.isTime ? { times: true } : {}),
            ...(steps ? { from: steps[0], to: steps[1] } : {}),
        };
    }
}

function rowsOf({ binned, columns }, xs) {
    return (binned ? columns.step_end : columns.step).map((step, i) => [step, xs[i]]);
}

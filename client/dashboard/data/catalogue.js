/* What is known of runs: RUN OBJECTs from lists, kept fresh by what comes live, and for those that
 * are shown their attempts and scalars. Every part of the page that shows runs reads them here. */

import { visible } from "../base/names.js";
import { isTraining } from "./depth.js";

/** @typedef {{layer: string, p: number, c: number, step: number|null, d_lr: number|null, d_debiased?: number|null}} RunLayer */
/**
 * RUN OBJECT of FEED.md, with what run.get adds.
 * @typedef {{run: string, name: string, project: string, group: string, tags: string[], config: any, summary: any,
 *   state: string, attempt: number, created: number, updated: number, last_step: number|null, n_points: number,
 *   note?: string, hidden?: boolean, host?: string|null, layers: RunLayer[], attempts?: {attempt: number, first_step: number|null, state: string}[], scalars?: string[]}} Run
 */
/** @typedef {{name: string, unit: string, needs: string, description: string, read_as: string, corrected?: string,
 *   low_end?: string, high_end?: string, in_words?: string}} Metric and more of MEASURES.md */

/** D_LR as a layer of RUN OBJECT has it: the corrected form, or the plain one with a star. @param {RunLayer|undefined} layer */
export function shownOf(layer) {
    const hasCorrected = typeof layer?.d_debiased === "number";

    if (hasCorrected) return { value: layer.d_debiased, star: "", form: "d_debiased" };
    return {
        value: layer?.d_lr,
        star: typeof layer?.d_lr === "number" ? "*" : "",
        form: "d_lr itself: there is no d_debiased",
    };
}

/**
 * Events: "change" (a run is new or differs), "unknown" (of a run that the list of runs may lack: a point of
 * one that nothing told of, or one that is newer than all others and was met elsewhere),
 * "named" (detail: what a link called a run by its name, and the run's id).
 */
export class Catalogue extends EventTarget {
    /** @param {import("./feed.js").Feed} feed */
    constructor(feed) {
        super();
        this.feed = feed;
        /** @type {Map<string, Promise<void>>} by run: answers that are out */ this.loading = new Map();
        /** @type {Map<string, Run>} */ this.runs = new Map();
        /** When the newest run that is known was made. */ this.newest = -Infinity;
        /** Runs that a link names and this daemon does not have. @type {Set<string>} */ this.absent =
            new Set();
        /** @type {Metric[]} */ this.metrics = [];
        /** @type {{name: string, description: string}[]} */ this.flags = [];
    }

    async loadMetrics() {
        const { metrics, flags } = await this.feed.call("metric.list");

        this.metrics = metrics;
        this.flags = flags;
    }

    /** @param {string} name */
    metric(name) {
        return this.metrics.find((m) => m.name === name);
    }

    /** The measure that is the standard error of `name`, if there is one. @param {string} name */
    errorOf(name) {
        return this.metric(`${name}_se`)?.name;
    }

    /** The plain form of a measure that is corrected for few rows; of any other itself. @param {string} name */
    plainOf(name) {
        return this.metrics.find((m) => m.corrected === name)?.name ?? name;
    }

    /** What is asked for to show a measure: the corrected form and, where that is null, the plain one. @param {string} name */
    formsOf(name) {
        return [...new Set([name, this.plainOf(name)])];
    }

    /** The measure in all its forms. @param {string} name */
    familyOf(name) {
        const plain = this.plainOf(name);

        return [plain, this.metric(plain)?.corrected].filter(Boolean);
    }

    /** D_LR, in either form: what is compared with its beginning and with white noise. @param {string} name */
    isRichness(name) {
        return this.plainOf(name) === "d_lr";
    }

    /** The measures that are values, not errors of others. */
    get measures() {
        return this.metrics.filter(
            (m) => !(m.name.endsWith("_se") && this.metric(m.name.slice(0, -3))),
        );
    }

    /** @param {string} id */
    get(id) {
        return this.runs.get(id);
    }

    /** A run's name for people; with the project where it is not the default one. @param {string} id */
    title(id) {
        return this.runs.get(id)?.name ?? id;
    }

    /** @param {Run[]} runs @param {boolean} [isList] they come from the list of runs itself */
    take(runs, isList = false) {
        const before = this.newest;

        this.newest = runs.reduce((newest, { created }) => Math.max(newest, created), before);
        for (const run of runs)
            this.runs.set(run.run, {
                ...this.runs.get(run.run),
                ...run,
                ...{ name: visible(run.name), project: visible(run.project), group: visible(run.group) },
            });
        this.dispatchEvent(new Event("change"));
        if (!isList && before !== -Infinity && this.newest > before) this.dispatchEvent(new Event("unknown"));
    }

    /** Loads what only run.get has. Who asks meanwhile gets the same answer. @param {string} id @returns {Promise<void>} */
    load(id) {
        if (!this.loading.has(id)) this.loading.set(id, this.#load(id).finally(() => this.loading.delete(id)));
        return this.loading.get(id);
    }

    async #load(id) {
        try {
            const run = await this.feed.call("run.get", { run: id });
            this.absent.delete(id);
            this.take([run]);
            if (run.run !== id)
                this.dispatchEvent(new CustomEvent("named", { detail: { name: id, run: run.run } }));
        } catch {
            this.absent.add(id);
            this.dispatchEvent(new Event("change"));
        }
    }

    /**
     * The names of a run's scalars, and of all that were seen: the runs of a sweep log alike, so one is asked.
     * @param {string|undefined} id @returns {Promise<string[]>}
     */
    async scalarsOf(id) {
        if (id && !this.runs.get(id)?.scalars) await this.load(id);
        const own = this.runs.get(id)?.scalars ?? [];
        const others = [...this.runs.values()].flatMap((run) => run.scalars ?? []);

        return [...new Set([...own, ...others])];
    }

    /** The run has left the history. @param {string} id */
    remove(id) {
        if (this.runs.delete(id)) this.dispatchEvent(new Event("change"));
    }

    /** The layers that the view means. @param {string} id @param {string} layer as ViewState has it */
    layersOf(id, layer) {
        const names = this.runs.get(id)?.layers.map((l) => l.layer) ?? [];

        if (layer === "*") return names;
        if (layer !== "") return names.filter((n) => n === layer);
        return (names.some(isTraining) ? names.filter(isTraining) : names).slice(-1);
    }

    /** A page of series.subscribe. @param {{points: any[], scalars: any[]}} page */
    takeUpdate({ points, scalars }) {
        const unknown = new Set();
        let hasNew = false;

        for (const point of points) {
            const run = this.runs.get(point.run);
            if (!run) unknown.add(point.run);
            else hasNew = takePoint(run, point) || hasNew;
        }
        for (const scalar of scalars) {
            const run = this.runs.get(scalar.run);
            if (!run) unknown.add(scalar.run);
            else if (run.scalars && !run.scalars.includes(scalar.name))
                hasNew = Boolean(run.scalars.push(scalar.name));
        }
        if (unknown.size) this.dispatchEvent(new CustomEvent("unknown", { detail: unknown }));
        if (points.length || hasNew) this.dispatchEvent(new Event("change"));
    }
}

/** @param {Run} run @param {any} point */
function takePoint(run, point) {
    const layer = run.layers.find((l) => l.layer === point.layer);

    run.updated = Math.max(run.updated, point.time);
    run.last_step =
        point.attempt > run.attempt ? point.step : Math.max(run.last_step ?? 0, point.step);
    run.attempt = Math.max(run.attempt, point.attempt);
    run.state = "open";
    const { step, d_lr, d_debiased } = point;
    if (layer) Object.assign(layer, { step, d_lr, d_debiased });
    else run.layers.push({ layer: point.layer, p: point.p, c: point.c, step, d_lr, d_debiased });
    return !layer;
}

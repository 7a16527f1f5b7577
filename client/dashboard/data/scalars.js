/* What the trainers logged, by name: which names are wanted, and the curves of those that are in sight,
 * of all shown runs. A run may have hundreds; only what is seen is asked for, and kept fresh by what
 * comes live. */

import { debounced } from "../base/dom.js";
import { append, emptySeries, fromScalar } from "./series.js";

/* A small chart has half as many pixels. Of many runs each has fewer, so that a chart is quick. */
const POINTS = 600;
const POINTS_MIN = 120;
const POINTS_OF_ALL = 8000;
/* While the reader scrolls, names come into sight one by one. */
const ASK_MS = 40;
const REFRESH_MS = 2000;
/* What is zoomed reaches beyond the frame, so that lines leave it on both sides. */
const MARGIN = 0.1;

/**
 * Which names a filter means: words of which one has to fit; one with a star fits the whole name, as
 * train/* does, another one any part of it.
 * @param {string} text @returns {(name: string) => boolean}
 */
export function matcher(text) {
    const patterns = text
        .toLowerCase()
        .split(/[\s,]+/)
        .filter(Boolean)
        .map((word) => {
            const pattern = word.split("*").map((part) => part.replace(/[^\w]/g, "\\$&"));
            return new RegExp(pattern.length > 1 ? `^${pattern.join(".*")}$` : pattern[0]);
        });

    return (name) => patterns.length === 0 || patterns.some((p) => p.test(name.toLowerCase()));
}

/**
 * Names by what stands before their first slash; those without one come first.
 * @param {string[]} names @returns {Map<string, string[]>}
 */
export function byPrefix(names) {
    const found = new Map();

    for (const name of [...names].sort((a, b) => a.localeCompare(b, "en", { numeric: true }))) {
        const prefix = name.includes("/") ? name.slice(0, name.indexOf("/")) : "";
        if (!found.has(prefix)) found.set(prefix, []);
        found.get(prefix).push(name);
    }
    return new Map([...found].sort(([a], [b]) => a.localeCompare(b)));
}

/** Event: "change" (curves differ). */
export class Scalars extends EventTarget {
    /**
     * @param {import("./feed.js").Feed} feed @param {import("../base/view.js").View} view
     * @param {import("./catalogue.js").Catalogue} catalogue @param {import("./places.js").Places} places
     */
    constructor(feed, view, catalogue, places) {
        super();
        Object.assign(this, { feed, view, catalogue, places });
        /** @type {Map<string, Map<string, import("./series.js").Series>>} by name, then run */ this.curves = new Map();
        /** @type {Set<string>} what was asked for, as the view is now: run and name */ this.asked = new Set();
        /** @type {string[]} names in sight */ this.seen = [];
        this.generation = 0;
        this.ask = debounced(() => this.#ask(), ASK_MS);
        view.on(["axis", "from", "to", "spacing"], () => this.reload());
        view.on(["runs"], () => {
            for (const key of this.asked)
                if (!view.state.runs.includes(JSON.parse(key)[0])) this.asked.delete(key);
            this.ask();
        });
    }

    /** All names of the shown runs. */
    names() {
        return [...new Set(this.view.state.runs.flatMap((run) => this.catalogue.get(run)?.scalars ?? []))];
    }

    /** Says which are in sight. @param {string[]} names */
    see(names) {
        this.seen = names;
        this.ask();
    }

    /** The curves of a scalar, of the shown runs in their order. @param {string} name */
    of(name) {
        const known = this.curves.get(name);

        return this.view.state.runs.flatMap((run) => known?.get(run) ?? []).filter((s) => s.steps.length);
    }

    /** Asks again for what is in sight; the old curves stay until the new ones are there. */
    reload() {
        this.generation++;
        this.asked.clear();
        this.ask();
    }

    /* Of each run. */
    #points() {
        return Math.max(POINTS_MIN, Math.min(POINTS, Math.round(POINTS_OF_ALL / this.view.state.runs.length)));
    }

    #ask() {
        for (const run of this.view.state.runs) {
            const own = this.catalogue.get(run)?.scalars ?? [];
            const names = this.seen.filter(
                (name) => own.includes(name) && !this.asked.has(JSON.stringify([run, name])),
            );
            if (names.length) this.#askRun(run, names);
        }
    }

    async #askRun(run, names) {
        const { generation } = this;
        const keys = names.map((name) => JSON.stringify([run, name]));

        keys.forEach((key) => this.asked.add(key));
        try {
            await this.places.ready(run);
            const range = { points: this.#points(), ...this.places.question(run, MARGIN) };
            const { scalars } = await this.feed.callLater("scalars.query", { run, names, ...range });
            if (generation !== this.generation) return;
            for (const entry of scalars) this.#of(entry.name).set(run, fromScalar(run, entry));
            this.dispatchEvent(new Event("change"));
        } catch {
            if (generation === this.generation) keys.forEach((key) => this.asked.delete(key));
        }
    }

    #of(name) {
        if (!this.curves.has(name)) this.curves.set(name, new Map());
        return this.curves.get(name);
    }

    /** A page of series.subscribe. @param {{scalars: any[]}} page */
    takeUpdate({ scalars }) {
        const points = this.#points();
        let isOld = false;

        for (const scalar of scalars) {
            if (!this.asked.has(JSON.stringify([scalar.run, scalar.name]))) continue;
            const known = this.#of(scalar.name);
            const series = known.get(scalar.run) ?? emptySeries(scalar.run, "", scalar.name, false);
            known.set(scalar.run, series);
            isOld ||=
                append(series, scalar, scalar.value, undefined) === "reload" ||
                series.n_added > points;
        }
        if (isOld) this.#reloadLater();
        if (scalars.length) this.dispatchEvent(new Event("change"));
    }

    #reloadLater() {
        this.timer ??= setTimeout(() => {
            this.timer = undefined;
            this.reload();
        }, REFRESH_MS);
    }
}

/* The curve that others are compared with: of a run, a layer and a measure that a reader kept, whatever
 * else is chosen. It is kept in this browser until it is removed, and a link has it, too. */

import { append, fromLayer } from "./series.js";

const KEPT = "richd.reference";
const POINTS = 1600;

/** What this browser keeps: run, layer and measure; [] nothing. @returns {string[]} */
function kept() {
    try {
        const found = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
        return Array.isArray(found) && found.length === 3 && found.every((t) => typeof t === "string") ? found : [];
    } catch {
        return [];
    }
}

/** Event: "change" (the curve is there, or another). */
export class Reference extends EventTarget {
    /** @param {{feed: any, view: any, catalogue: any, places: any}} parts */
    constructor(parts) {
        super();
        Object.assign(this, parts);
        /** @type {import("./series.js").Series|null} */ this.series = null;
        this.isAbsent = false;
        this.generation = 0;
        this.view.on(["reference", "axis", "spacing", "from", "to"], () => this.load());
    }

    /** As it was kept before, unless a link has another one. */
    begin() {
        if (this.view.state.reference.length === 0) this.view.set({ reference: kept() });
    }

    /** @param {string[]} reference run, layer and measure; [] none any more */
    keep(reference) {
        this.view.set({ reference });
        try {
            localStorage.setItem(KEPT, JSON.stringify(reference));
        } catch {
            // a browser that stores nothing: the link still has it
        }
    }

    async load() {
        const generation = ++this.generation;
        const [run, layer, metric] = this.view.state.reference;
        let series = null;

        this.isAbsent = false;
        if (metric)
            try {
                if (!this.catalogue.get(run)?.scalars) await this.catalogue.load(run);
                await this.places.ready(run);
                const range = { points: POINTS, ...this.places.question(run, 0.25) };
                const { layers } = await this.feed.call("series.query", { run, layer, metrics: [metric], ...range });
                series = layers.length ? fromLayer(run, layers[0], metric, undefined) : null;
            } catch {
                this.isAbsent = generation === this.generation;
            }
        if (generation !== this.generation) return;
        this.series = series;
        this.dispatchEvent(new Event("change"));
    }

    /** A page of series.subscribe. @param {{points: any[]}} page */
    takeUpdate({ points }) {
        const { series } = this;
        const own = points.filter((p) => series && p.run === series.run && p.layer === series.layer);
        const results = own.map((p) => append(series, p, p[series.name], undefined));

        if (results.includes("reload")) this.load();
        else if (own.length) this.dispatchEvent(new Event("change"));
    }

    /** On the axis; null where the chart shows another measure. @returns {import("./series.js").Series|null} */
    drawn() {
        const isShown = this.series && this.catalogue.familyOf(this.view.state.metric).includes(this.series.name);

        return isShown ? this.places.of(this.series) : null;
    }
}

/* The row of the legend for the reference, and its end. */

import { shortValue } from "../base/axis.js";
import { byId, element, oncePerFrame, unlessHeld } from "../base/dom.js";
import { nearest } from "../data/series.js";
import { swatch } from "./legend.js";

export class ReferenceRow {
    /** @param {{view: any, catalogue: any, reference: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        const draw = unlessHeld(byId("legend-reference"), oncePerFrame(() => this.#draw()));

        this.chart.addEventListener("drawn", draw);
        this.chart.addEventListener("cursor", draw);
        this.view.on(["reference"], draw);
    }

    #draw() {
        const [run, layer, metric] = this.view.state.reference;
        const key = JSON.stringify([run, layer, metric, this.#text(metric), this.#value(), run && this.catalogue.title(run)]);

        if (key === this.key) return;
        this.key = key;
        byId("legend-reference").replaceChildren(...(metric ? [this.#row(run, layer, metric)] : []));
    }

    #row(run, layer, metric) {
        const remove = element(
            "button",
            { type: "button", class: "quiet", title: "remove the reference", aria: { label: "remove the reference" }, onclick: () => this.reference.keep([]) },
            "×",
        );

        return element(
            "tr",
            {},
            element("td", {}, swatch({ ...this.chart.referenceLook(), sign: "" })),
            element("th", { scope: "row", class: "name", title: run }, `reference: ${this.catalogue.title(run)}`),
            element("td", { class: "muted layer", title: layer }, layer),
            element("td", { class: "number strong" }, this.#value()),
            element("td", { class: "muted", colspan: "3" }, this.#text(metric)),
            element("td", { class: "actions" }, remove),
        );
    }

    #value() {
        const series = this.reference.drawn();
        const step = this.chart.cursorStep;

        return series ? shortValue(step === null ? series.values.at(-1) : series.values[nearest(series.steps, step)]) : "";
    }

    #text(metric) {
        if (this.reference.isAbsent) return "not on this daemon";
        return this.reference.drawn() ? metric : `drawn where the measure is ${metric}`;
    }
}

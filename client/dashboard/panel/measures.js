/* What the measures and flags mean, in a table: sentences of metric.list, nothing of its own. */

import { byId, element } from "../base/dom.js";

export class Measures {
    /** @param {{view: any, catalogue: any}} parts */
    constructor({ view, catalogue }) {
        Object.assign(this, { view, catalogue });
        this.section = byId("measures");
        this.section.addEventListener("toggle", () => this.#draw());
    }

    #draw() {
        if (!this.section.open) return;
        byId("measure-rows").replaceChildren(
            ...this.catalogue.metrics.map((m) => this.#measureRow(m)),
        );
        byId("flag-rows").replaceChildren(
            ...this.catalogue.flags.map((flag) =>
                element(
                    "tr",
                    {},
                    element("th", { scope: "row" }, flag.name),
                    element("td", {}, flag.description),
                ),
            ),
        );
    }

    #measureRow(metric) {
        const needs = metric.needs === "nothing" ? "" : metric.needs;
        const choose = element(
            "button",
            {
                type: "button",
                class: "link",
                title: "show in the main chart",
                onclick: () => this.view.set({ metric: metric.name }),
            },
            metric.name,
        );

        return element(
            "tr",
            {},
            element("th", { scope: "row" }, choose),
            element("td", {}, metric.description),
            element("td", {}, metric.read_as),
            element("td", {}, needs),
        );
    }
}

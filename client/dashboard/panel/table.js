/* The main chart as a table: for screen readers, and for reading exact values off. It holds what the
 * chart holds; of long series evenly many rows, which it says. */

import { AXES, longPlace, shortValue } from "../base/axis.js";
import { byId, debounced, element } from "../base/dom.js";
import { nearest } from "../data/series.js";

const ROWS_MAX = 200;
const REDRAW_MS = 500;

export class DataTable {
    /** @param {{view: any, looks: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("data");
        this.section.addEventListener("toggle", () => this.#draw());
        this.chart.addEventListener(
            "drawn",
            debounced(() => this.#draw(), REDRAW_MS),
        );
    }

    #draw() {
        if (!this.section.open) return;
        const { left, right } = this.chart.series();
        const range = this.chart.range();
        const isInView = (s) => range !== null && s >= range[0] && s <= range[1];
        const steps = [...new Set(left.flatMap((s) => s.steps))]
            .filter(isInView)
            .sort((a, b) => a - b);
        const every = Math.max(1, Math.ceil(steps.length / ROWS_MAX));
        const shown = steps.filter((_, i) => i % every === 0 || i === steps.length - 1);
        const columns = [...left, ...right];

        byId("table-caption").textContent =
            `${steps.length} steps in view${every > 1 ? `, every ${every}th shown` : ""}${left.some((s) => s.binned) ? "; values are the last ones of bins" : ""}`;
        byId("table-head").replaceChildren(
            element(
                "tr",
                {},
                element("th", { scope: "col" }, AXES[this.chart.view.state.axis]),
                ...columns.map((s) => this.#head(s)),
            ),
        );
        byId("table-body").replaceChildren(...shown.map((step) => this.#row(step, columns)));
    }

    #head(series) {
        return element(
            "th",
            { scope: "col" },
            `${this.looks.title(series)} ${series.layer} ${series.name}`,
        );
    }

    #row(step, columns) {
        const cells = columns.map((s) => {
            const i = nearest(s.steps, step);
            return element(
                "td",
                { class: "number" },
                i >= 0 && s.steps[i] === step ? shortValue(s.values[i]) : "",
            );
        });

        return element(
            "tr",
            {},
            element("th", { scope: "row", class: "number" }, longPlace(step, this.chart.view.state.axis)),
            ...cells,
        );
    }
}

/* Beside a chart of grouped runs: which value each colour stands for, and whether the lines are the
 * runs or the means of their groups. */

import { byId, element } from "../base/dom.js";
import { DEFINITION } from "../data/groups.js";
import { dot } from "./legend.js";

export class GroupBar {
    /** @param {{view: any, looks: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.chart.addEventListener("drawn", () => this.#draw());
        for (const lines of ["runs", "means"])
            byId(`lines-${lines}`).addEventListener("change", () => this.view.set({ lines }));
        this.view.follow({ spread: "spread" });
    }

    #draw() {
        const { group, runs, spread } = this.view.state;
        const { showsMeans } = this.looks;

        byId("group-bar").hidden = group === "" || runs.length === 0;
        byId("lines-runs").checked = !showsMeans;
        byId("lines-means").checked = showsMeans;
        byId("spread").value = spread;
        byId("spread-label").hidden = byId("mean-text").hidden = !showsMeans;
        byId("mean-text").textContent = showsMeans ? DEFINITION : "";
        byId("group-key").replaceChildren(
            element("span", { class: "muted" }, group.replace(/^config\./, "")),
            ...this.looks.groups().map((value) => this.#entry(value)),
        );
    }

    #entry(value) {
        const count = this.view.state.runs.filter((run) => this.looks.group(run) === value).length;

        return element(
            "span",
            { class: "name" },
            dot(this.looks.groupColour(value)),
            value,
            element("span", { class: "muted" }, ` × ${count}`),
        );
    }
}

/* "Copy Python": what the main chart shows, for a notebook. */

import { ticks, toStep, toX } from "../base/axis.js";
import { byId } from "../base/dom.js";
import { visible } from "../base/names.js";
import { pythonOf } from "../data/notebook.js";
import { save } from "./export.js";

/* Ticks of a log axis, as the page has them at this width. */
const WIDTH_PX = 900;
const TICK_PX = 56;
/* A line leaves the frame on both sides. */
const MARGIN = 0.25;

export class Notebook {
    /** @param {{view: any, catalogue: any, chart: any, looks: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        byId("export-python").addEventListener("click", () => this.#copy());
    }

    async #copy() {
        const notice = byId("notice");

        byId("export-menu").open = false;
        if (!this.chart.range()) return void (notice.textContent = "Nothing is drawn.");
        const lines = this.lines();
        try {
            await navigator.clipboard.writeText(lines);
            notice.textContent = "Python copied.";
        } catch {
            save("richd-view.py", new Blob([lines], { type: "text/x-python" })); // no clipboard without a secure origin
        }
    }

    /** The main chart as Python. */
    lines() {
        const { view, chart, looks } = this;
        const { left, right } = chart.series();
        const { scales } = chart.chart.plot;
        const reference = chart.reference.drawn();
        const x = chart.range();
        const [from, to] = x.map((place) => toX(place, view.spacing));

        return pythonOf({
            title: visible(byId("chart").getAttribute("aria-label").replace(/^Chart: |\. Arrow.*/g, "")),
            link: location.href,
            curves: [
                ...(reference ? [{ ...this.#curve(reference, false), ...chart.referenceLook(), marker: undefined, band: false, label: "reference" }] : []),
                ...right.map((series) => ({ ...this.#curve(series, true), dash: [1.5, 3.5], width: 1.25, label: "" })),
                ...left.map((series) => this.#curve(series, false)),
            ],
            levels: chart.references().filter(({ value }) => value >= scales.y.min && value <= scales.y.max),
            axis: view.state.axis,
            spacing: view.spacing,
            spread: looks.showsMeans ? view.state.spread : null,
            isDark: document.documentElement.dataset.theme === "dark",
            x,
            y: [scales.y.min, scales.y.max],
            y2: scales.y2 ? [scales.y2.min, scales.y2.max] : null,
            ticks: ticks(from, to, ((to - from) * TICK_PX) / WIDTH_PX, view.spacing, view.state.axis).map((tick) => Number(toStep(tick, view.spacing).toPrecision(6))),
            leftLabel: [...new Set(left.map((series) => series.name))].join(", ") || view.state.metric,
            rightLabel: [...new Set(right.map((series) => series.name))].join(", "),
        });
    }

    #curve(series, isRight) {
        const { chart, catalogue, looks, view } = this;
        const error = (isRight ? null : catalogue.errorOf(series.name)) ?? null;
        const runs = series.runs ?? [series.run];
        const steps = runs.map((run) => chart.places.steps(run, MARGIN)).filter(Boolean);

        return {
            ...looks.lineOf(series),
            members: runs.map((run) => [run, isRight ? null : this.#layerOf(run, series), series.name, error]),
            steps: steps.length ? [Math.min(...steps.map(([a]) => a)), Math.max(...steps.map(([, b]) => b))] : null,
            label: visible([looks.title(series), series.layer].filter(Boolean).join(" ")),
            right: isRight,
            band: view.state.band && series.low !== null && (!isRight || series.group !== undefined),
        };
    }

    /* A mean over the last layers of runs that call them otherwise has no layer of its own. */
    #layerOf(run, { layer, name }) {
        return layer || (this.chart.curves.metrics.get(run) ?? []).find((series) => series.name === name)?.layer;
    }
}

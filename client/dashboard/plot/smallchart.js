/* A small chart over the same steps as the main one, with its cursor: what companions and scalars have
 * in common. */

import { element } from "../base/dom.js";
import { extent } from "../data/series.js";
import { StepChart } from "./stepchart.js";

/* Values over more decades than these are drawn on a log axis. */
const LOG_FROM = 1e3;

/** Bound over a series' values, which may be many: no spread of arguments. @param {any[]} all */
function ends(all) {
    let [low, high] = [Infinity, -Infinity];

    for (const { values } of all)
        for (const value of values) {
            if (value === null) continue;
            low = Math.min(low, value);
            high = Math.max(high, value);
        }
    return { low, high };
}

export class SmallChart {
    /**
     * @param {{view: any, looks: any, chart: any}} parts @param {string} name
     * @param {string} label what it shows, for those who do not see it @param {...any} head stands above it
     */
    constructor(parts, name, label, ...head) {
        this.parts = parts;
        this.name = name;
        this.host = element("div", { class: "small-chart", role: "img", aria: { label } });
        this.box = element("div", { class: "companion" }, ...head, this.host);
    }

    /**
     * @param {any[]} all Series or Means, on the axis
     * @param {(series: any, values: (number|null)[]) => any[]} [tracesOf] what is drawn of each
     */
    draw(all, tracesOf = () => [{}]) {
        const { view, looks, chart } = this.parts;
        const { from, to, axis } = view.state;
        const { low, high } = ends(all);

        this.#chart().draw({
            traces: all.flatMap((series) => {
                const line = chart.places.drawn(series);
                const base = {
                    ...looks.lineOf(series),
                    key: `${series.group ?? series.run}/${series.layer}`,
                    steps: line.steps,
                    values: line.values,
                    low: series.binned || series.group !== undefined ? line.low : null,
                    high: line.high,
                    width: 1.5,
                };
                return tracesOf(series, line.values).map((change) => ({ ...base, ...change }));
            }),
            axis,
            spacing: view.spacing,
            leftLabel: this.name,
            logY: low > 0 && high / low > LOG_FROM,
            range: from === null ? extent(all) : [from, to],
        });
    }

    #chart() {
        const { view, chart } = this.parts;

        return (this.chart ??= new StepChart(this.host, {
            compact: true,
            onZoom: (from, to) => chart.zoom.to(from, to),
            onReset: () => view.set({ from: null, to: null }),
        }));
    }
}

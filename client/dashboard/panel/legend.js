/* The legend: one row a line of the main chart, with its values at the cursor or, without one, the
 * latest. */

import { duration, namedPlace, shortValue } from "../base/axis.js";
import { byId, element, oncePerFrame, replaceRows, unlessHeld } from "../base/dom.js";
import { shortened } from "../base/names.js";
import { middleText, svg } from "../plot/svg.js";
import { nearest } from "../data/series.js";

const STATE_SIGN = { open: "◉ open", finished: "✓ finished", failed: "✕ failed", lost: "? lost" };

/** @param {string} state */
export function stateText(state) {
    return STATE_SIGN[state] ?? state;
}

/** A short line in a run's look. @param {{colour: string, dash: number[], sign: string}} look */
export function swatch(look) {
    return svg(
        "svg",
        { class: "swatch", width: 34, height: 14, "aria-hidden": "true" },
        svg("line", { x1: 0, x2: 34, y1: 7, y2: 7, "stroke-width": 2, "stroke-dasharray": look.dash.join(" "), stroke: look.colour }),
        middleText(17, 11, look.sign, { "font-size": 11, fill: look.colour }),
    );
}

/** A spot of a colour. @param {string} colour */
export function dot(colour) {
    const made = element("span", { class: "dot", aria: { hidden: true } });

    made.style.background = colour;
    return made;
}

export class Legend {
    /** @param {{view: any, catalogue: any, curves: any, looks: any, chart: any, reference: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        const redraw = oncePerFrame(unlessHeld(byId("legend"), () => this.#draw()));

        this.chart.addEventListener("drawn", redraw);
        this.chart.addEventListener("cursor", redraw);
        this.view.on(["runs", "pins", "group", "lines", "focus"], redraw);
        setInterval(redraw, 1000); // ages
    }

    #draw() {
        const { runs } = this.view.state;
        const step = this.chart.cursorStep;
        const isOfMeans = this.looks.showsMeans;

        replaceRows(
            byId("legend"),
            isOfMeans
                ? this.#meanRows(step)
                : runs.flatMap((run) => this.#rowsOf(run, step)),
        );
        byId("legend-who").textContent = isOfMeans ? "mean of" : "run";
        byId("legend-state").textContent = isOfMeans ? "runs" : "state";
        byId("legend-head").hidden = runs.length === 0;
        byId("legend-step").textContent =
            step !== null
                ? `at ${namedPlace(step, this.view.state.axis)}`
                : this.view.state.to === null
                  ? "latest"
                  : "last in view";
    }

    #rowsOf(run, step) {
        const list = this.chart.series().left.filter((series) => series.run === run);

        if (this.catalogue.absent.has(run)) return [this.#emptyRow(run, "not on this daemon")];
        if (list.length === 0)
            return [
                this.#emptyRow(
                    run,
                    this.curves.metrics.has(run) ? this.#whyNothing(run) : "loading …",
                ),
            ];
        const short = shortened(list.map((series) => series.layer));
        return list.map((series, i) => this.#row(series, step, i === 0, short.get(series.layer)));
    }

    #meanRows(step) {
        const { right, left: drawn } = this.chart.series();
        const left = drawn.filter((series) => series.group !== undefined); // runs, until it is drawn again

        return left.map((mean, i) => {
            const isFirst = left.findIndex((other) => other.group === mean.group) === i;
            return this.#meanRow(mean, step, isFirst && right.find((other) => other.group === mean.group));
        });
    }

    #meanRow(mean, step, right) {
        const i = this.#index(mean, step);
        const { runs } = this.view.state;
        const remove = () => this.view.set({ runs: runs.filter((run) => !mean.runs.includes(run)) });

        return element(
            "tr",
            { dataset: { group: mean.group, key: `${mean.group}/${mean.layer}/${mean.name}` } },
            element("td", {}, swatch(this.looks.lineOf(mean))),
            element(
                "th",
                { scope: "row", class: "name", title: mean.runs.map((run) => this.catalogue.title(run)).join(", ") },
                this.looks.title(mean),
            ),
            element("td", { class: "muted layer", title: mean.layer }, mean.layer),
            this.#valueCell(mean, i),
            element("td", { class: "number muted" }, spreadText(mean, i)),
            element("td", { class: "number" }, right ? shortValue(right.values[this.#index(right, step)]) : ""),
            element("td", { class: "muted state" }, `${mean.n[i] ?? 0} of ${mean.runs.length} runs`),
            element("td", { class: "actions" }, this.#button(this.looks.title(mean), "remove", "remove", remove)),
        );
    }

    #whyNothing(run) {
        const { layer } = this.view.state;

        return layer && layer !== "*" && this.catalogue.get(run)?.layers.length
            ? `no layer ${layer}`
            : "no point yet";
    }

    #cells(run, isFirst, series) {
        const reference = series && [run, series.layer, series.name];

        return element(
            "td",
            { class: "actions" },
            isFirst && [
                series && this.#button(this.catalogue.title(run), "keep", "keep as reference", () => this.reference.keep(reference)),
                this.#button(this.catalogue.title(run), "pin", this.view.state.pins.includes(run) ? "unpin" : "pin", () =>
                    this.view.pin(run, !this.view.state.pins.includes(run)),
                ),
                this.#button(this.catalogue.title(run), "remove", "remove", () => this.view.show(run, false)),
            ],
        );
    }

    #button(title, kind, what, onclick) {
        const sign = { "keep as reference": "⚓", pin: "☆", unpin: "★", remove: "×" }[what];

        return element(
            "button",
            {
                type: "button",
                class: "quiet",
                title: what,
                aria: { label: `${what} ${title}` },
                dataset: { kind },
                onclick,
            },
            sign,
        );
    }

    #emptyRow(run, text) {
        return element(
            "tr",
            { dataset: { run, key: run } },
            element("td", {}, swatch(this.looks.line(run, ""))),
            element("td", { class: "name" }, this.catalogue.title(run)),
            element("td", { colspan: "5", class: "muted" }, text),
            this.#cells(run, true),
        );
    }

    #row(series, step, isFirst, layer) {
        const run = this.catalogue.get(series.run);
        const scalar = isFirst ? this.curves.scalars.get(series.run) : undefined;
        const i = this.#index(series, step);

        return element(
            "tr",
            { dataset: { run: series.run, key: isFirst ? series.run : "" } },
            element("td", {}, swatch(this.looks.line(series.run, series.layer))),
            element(
                isFirst ? "th" : "td",
                { scope: isFirst ? "row" : undefined, class: "name", title: series.run },
                isFirst ? this.catalogue.title(series.run) : "",
                isFirst && this.#groupText(series.run),
            ),
            element("td", { class: "muted layer", title: series.layer }, layer),
            this.#valueCell(series, i),
            element(
                "td",
                { class: "number muted" },
                i < 0 || !series.low ? "" : bandText(series, i),
            ),
            element(
                "td",
                { class: "number" },
                scalar ? shortValue(scalar.values[this.#index(scalar, step)]) : "",
            ),
            element("td", { class: "muted state" }, isFirst ? this.#ageText(run) : ""),
            this.#cells(series.run, isFirst, series),
        );
    }

    #valueCell(series, i) {
        return element(
            "td",
            { class: "number strong", title: `${series.name}${i < 0 ? "" : ` at ${namedPlace(series.steps[i], this.view.state.axis)}`}` },
            shortValue(series.values[i]),
            this.#isStandIn(series) && element("span", { class: "muted" }, ` ${series.name}`),
        );
    }

    #groupText(run) {
        const { group } = this.view.state;

        return group.startsWith("config.")
            ? element("span", { class: "muted" }, ` ${group.slice(7)} = ${this.looks.group(run)}`)
            : "";
    }

    /* The plain form, where the corrected one that was chosen is null. */
    #isStandIn(series) {
        return series.name !== this.view.state.metric;
    }

    /* At the cursor; without one the last in view, beyond which there may be a margin. */
    #index(series, step) {
        const { to } = this.view.state;

        return step !== null
            ? nearest(series.steps, step)
            : to === null
              ? series.steps.length - 1
              : series.steps.findLastIndex((s) => s <= to);
    }

    #ageText(run) {
        const age = Date.now() / 1000 - run.updated;

        return run.state === "open" ? `◉ open, ${duration(age)} ago` : stateText(run.state);
    }
}

/* Beside a mean that is in the middle its reach alone. */
function spreadText({ values, low, high }, i) {
    if (i < 0 || low[i] === null) return "";
    const [below, above] = [values[i] - low[i], high[i] - values[i]];

    return Math.abs(below - above) <= 1e-9 * Math.abs(above)
        ? `± ${shortValue(above)}`
        : `${shortValue(low[i])} – ${shortValue(high[i])}`;
}

function bandText(series, i) {
    const { low, high } = series;

    if (low[i] === null) return "";
    return series.binned
        ? `${shortValue(low[i])} – ${shortValue(high[i])}`
        : `± ${shortValue((high[i] - low[i]) / 2)}`;
}

/* The sweep's runs over parallel axes: which axes there are, in which order, and what is brushed; all of
 * it stands in the link. The brushed runs are counted, and shown in the chart when one asks. */

import { byId, element, replaceRows } from "../base/dom.js";
import { colourAmong, compareValues } from "../base/looks.js";
import { cssColour, groupColour } from "../base/palette.js";
import { SHOWN_MAX } from "../base/view.js";
import { axisOf, brushOf, brushText, coveredBy, parseBrush, sharesOf, valueOf } from "../data/parallel.js";
import { ParallelPlot } from "../plot/parallel.js";
import { tickText } from "../plot/svg.js";

const KEYS_MAX = 6;
const RAMP_STEPS = 24;
/* So many values have colours of their own; more of them, when they are numbers, a ramp. */
const GROUPS_MAX = 12;

export class Parallel {
    /** @param {{view: any, catalogue: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.plot = new ParallelPlot(byId("parallel-chart"));
        /** @type {any[]} */ this.runs = [];
        /** @type {import("../data/parallel.js").Axis[]} */ this.axes = [];
        this.covered = [];
        this.#follow();
    }

    #follow() {
        const on = (name, work) => this.plot.addEventListener(name, (event) => work(/** @type {CustomEvent} */ (event).detail));

        on("brush", ({ name, shares }) => this.#brush(name, shares));
        on("move", ({ name, place }) => this.#move(name, place));
        on("remove", (name) => this.#setAxes(this.#names().filter((n) => n !== name)));
        on("pick", (run) => this.view.show(run, !this.view.state.runs.includes(run)));
        on("over", (run) => this.#tellRun(run));
        on("show", () => this.#show());
        byId("brushed-show").addEventListener("click", () => this.#show());
        byId("brushes-clear").addEventListener("click", () => this.view.set({ sweepBrushes: [] }));
        byId("axes-usual").addEventListener("click", () => this.view.set({ sweepAxes: [], sweepBrushes: [] }));
    }

    #names() {
        return this.axes.map((axis) => axis.name);
    }

    /* Brushes of axes that went go with them: what cannot be seen chooses nothing. */
    #setAxes(sweepAxes) {
        const kept = this.view.state.sweepBrushes.filter((text) => sweepAxes.includes(parseBrush(text)?.name));

        this.view.set({ sweepAxes, sweepBrushes: kept });
    }

    #move(name, place) {
        const others = this.#names().filter((n) => n !== name);

        others.splice(Math.max(0, place), 0, name);
        this.#setAxes(others);
    }

    #brush(name, shares) {
        const axis = this.axes.find((a) => a.name === name);
        const others = this.view.state.sweepBrushes.filter((text) => parseBrush(text)?.name !== name);

        this.view.set({ sweepBrushes: shares ? [...others, brushText(brushOf(axis, shares))] : others });
    }

    #show() {
        const chosen = this.runs.filter((_, i) => this.covered[i]).slice(0, SHOWN_MAX);

        if (chosen.length) this.view.set({ runs: chosen.map(({ run }) => run) });
    }

    /**
     * @param {any[]} runs @param {{keys: string[], values: string[], measured: string[], colour: string, label: (name: string) => string}} parts
     *   `keys` of the configuration that differ, all `values` that can be asked for, those that are `measured` by default
     */
    draw(runs, parts) {
        const { sweepAxes, sweepBrushes } = this.view.state;
        const names = sweepAxes.length ? sweepAxes : [...usualKeys(parts.keys), ...parts.measured];
        const brushes = new Map();

        this.runs = runs;
        this.axes = names.map((name) => axisOf(runs, name, parts.label(name)));
        const found = new Map(sweepBrushes.map(parseBrush).filter(Boolean).map((brush) => [brush.name, brush]));
        for (const axis of this.axes) {
            const shares = found.has(axis.name) && sharesOf(axis, found.get(axis.name));
            if (shares) brushes.set(axis.name, shares);
        }
        this.covered = coveredBy(this.axes, brushes, runs.length);
        this.#tellBrushed(found, brushes);
        this.#fillChoices(parts, names);
        const colours = coloursOf(runs, parts.colour || names.at(-1));
        this.plot.show({
            axes: this.axes,
            brushes,
            words: (axis) => (found.has(axis.name) ? brushWords(axis, found.get(axis.name)) : ""),
            lines: runs.map(({ run }, i) => ({
                run,
                colour: colours[i],
                isCovered: this.covered[i],
                isShown: this.view.state.runs.includes(run),
            })),
        });
    }

    #tellBrushed(found, brushes) {
        const n = this.covered.filter(Boolean).length;
        const parts = this.axes
            .filter((axis) => brushes.has(axis.name))
            .map((axis) => `${axis.label} ${brushWords(axis, found.get(axis.name))}`);

        byId("brushed").textContent = parts.length
            ? `${n} of ${this.runs.length} runs: ${parts.join(", ")}`
            : `${this.runs.length} runs. Drag along an axis, or use its arrow keys, to choose some.`;
        byId("brushed-show").hidden = !parts.length || n === 0;
        byId("brushed-show").textContent = n > SHOWN_MAX ? `Show the first ${SHOWN_MAX}` : "Show in the chart";
        byId("brushes-clear").hidden = !parts.length;
    }

    #tellRun(id) {
        const run = this.runs.find((r) => r.run === id);
        const text = (value) => (value === null ? "none" : tickText(value));

        byId("parallel-value").textContent = run
            ? `${this.catalogue.title(id)}: ${this.axes.map((axis) => `${axis.label} ${text(valueOf(run, axis.name))}`).join(", ")}`
            : "";
    }

    #fillChoices({ keys, values, label }, names) {
        if (!byId("axis-menu").open) return;
        const all = [...new Set([...names, ...keys, ...values])];

        replaceRows(
            byId("axis-choices"),
            all.map((name) =>
                element(
                    "label",
                    { class: "check", title: name, dataset: { key: name } },
                    element("input", { type: "checkbox", checked: names.includes(name), onchange: (e) => this.#toggle(name, e.target.checked) }),
                    ` ${label(name)}`,
                ),
            ),
        );
    }

    #toggle(name, isWanted) {
        const names = this.#names();

        this.#setAxes(isWanted ? [...names, name] : names.filter((n) => n !== name));
    }
}

/* What a brush covers. */
function brushWords(axis, { low, high }) {
    const [from, to] = [low, high].map((text) => tickText(axis.nWords ? text : Number(text)));

    return from === to ? from : `${from} to ${to}`;
}

/* A seed has an axis when one asks for it. */
function usualKeys(keys) {
    const swept = keys.filter((key) => !/seed/i.test(key));

    return (swept.length ? swept : keys).slice(0, KEYS_MAX);
}

function coloursOf(runs, name) {
    const values = runs.map((run) => valueOf(run, name));
    const known = [...new Set(values.filter((v) => v !== null).map(String))].sort(compareValues);
    const axis = axisOf(runs, name, name);

    if (axis.nWords || known.length <= GROUPS_MAX) return values.map((v) => colourAmong(known, String(v)));
    const ramp = Array.from({ length: RAMP_STEPS }, (_, i) => groupColour(i, RAMP_STEPS, true));
    return axis.places.map((place) => (place === null ? cssColour("--muted") : ramp[Math.round(place * (RAMP_STEPS - 1))]));
}

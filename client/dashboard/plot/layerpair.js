/* Two layers of a run over the steps: their curves one upon the other, and below what the first has more
 * than the second, as SVG. The heat map hands on its layers. */

import { longStep, shortStep, shortValue, ticks, toStep, toX } from "../base/axis.js";
import { byId, fillSelect } from "../base/dom.js";
import { numberScale } from "../base/scale.js";
import { valueScale } from "./scatter.js";
import { leftAxis, middleText, polyline, showSvg } from "./svg.js";

const MARGIN = { left: 54, right: 12, top: 10, bottom: 24 };
/* Of the height, for the difference. */
const SHARE = 0.36;
const BETWEEN = 16;

/** At the steps that both have. @param {any} a a Series @param {any} b @returns {{steps: number[], values: number[]}} */
export function differenceOf(a, b) {
    const others = new Map(b.steps.map((step, i) => [step, b.values[i]]));
    const both = a.steps.map((step, i) => ({ step, value: a.values[i] - others.get(step) })).filter(({ value }) => !Number.isNaN(value));

    return { steps: both.map(({ step }) => step), values: both.map(({ value }) => value) };
}

export class LayerPair {
    /** @param {any} view */
    constructor(view) {
        this.view = view;
        this.host = byId("pair-chart");
        for (const side of [0, 1]) byId(`pair-${side}`).addEventListener("change", (event) => this.#choose(side, event.target.value));
    }

    /* The first that is chosen has the last layer beside it, or the first. */
    #choose(side, name) {
        const pair = [...this.view.state.layerPair];
        const others = this.layers.map((l) => l.layer).filter((layer) => layer !== name);

        pair[side] = name;
        pair[1 - side] ||= others.at(-1);
        this.view.set({ layerPair: name ? pair : [] });
    }

    /** @param {any[]} layers Series of the run @param {{x0: number, x1: number, spacing: any}} frame its steps, as the map has them */
    draw(layers, frame) {
        const options = layers.map((l) => l.layer);
        const [a, b] = this.view.state.layerPair.map((name) => layers.find((l) => l.layer === name));

        this.layers = layers;
        byId("pair").hidden = layers.length < 2;
        for (const side of [0, 1]) {
            const chosen = [a, b][side]?.layer ?? "";
            fillSelect(byId(`pair-${side}`), [{ value: "", text: "–" }, ...options], chosen);
        }
        this.host.hidden = byId("pair-key").hidden = !a || !b;
        if (a && b && this.host.clientWidth) this.#drawPair(a, b, frame);
    }

    #drawPair(a, b, { x0, x1, spacing }) {
        const [width, height] = [this.host.clientWidth, this.host.clientHeight];
        const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom - BETWEEN };
        const difference = differenceOf(a, b);
        const x = (step) => MARGIN.left + (inner.width * (toX(step, spacing) - x0)) / (x1 - x0);
        const curves = pane([...a.values, ...b.values], MARGIN.top, inner.height * (1 - SHARE), valueScale);
        const below = pane(difference.values, MARGIN.top + inner.height * (1 - SHARE) + BETWEEN, inner.height * SHARE, aboutZero);
        const line = (kind, { steps, values }, { y }) =>
            polyline({ class: kind }, steps.map((step, i) => [x(step), y(values[i])]));
        const grid = (part) => leftAxis(part.ticks, part.y, MARGIN.left, width - MARGIN.right);

        const steps = ticks(x0, x1, ((x1 - x0) * 60) / inner.width, spacing).map((at) => toStep(at, spacing));

        showSvg(this.host, width, height, [
            ...grid(curves),
            ...grid(below),
            ...steps.map((step) => middleText(x(step), height - 6, shortStep(step))),
            line("now", a, curves),
            line("pinned", b, curves),
            line("difference", difference, below),
        ]);
        this.#tell(a, b, difference);
    }

    #tell(a, b, { steps, values }) {
        const most = values.reduce((best, value, i) => (Math.abs(value) > Math.abs(values[best]) ? i : best), 0);
        const text = values.length
            ? `${a.layer} less ${b.layer}: ${shortValue(values.at(-1))} at the end, ${shortValue(values[most])} at most, at step ${longStep(steps[most])}`
            : `${a.layer} and ${b.layer} have no step in common`;

        for (const [side, { layer }] of [a, b].entries()) byId(`pair-name-${side}`).textContent = layer;
        byId("pair-text").textContent = text;
        this.host.setAttribute("aria-label", `${a.name} of ${a.layer} and ${b.layer} over steps. ${text}`);
    }
}

function aboutZero(values, count) {
    const most = values.reduce((reach, value) => Math.max(reach, Math.abs(value)), 0) || 1;

    return numberScale(-most * 1.05, most * 1.05, "linear", count);
}

function pane(values, top, height, scaleOf) {
    const scale = scaleOf(values.length ? values : [0, 1], height / 22);

    return { ticks: scale.ticks, y: (value) => top + height * (1 - scale.at(value)) };
}

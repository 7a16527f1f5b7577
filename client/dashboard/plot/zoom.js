/* Which part of the axis the main chart has in view: zoomed and panned by buttons, keys, a drag, and by what
 * lies in a run's steps. It stands in the view, so all charts follow, and the link has it. */

import { byId } from "../base/dom.js";
import { toStep, toX } from "../base/axis.js";

/* The least that can be zoomed to: steps, and seconds or epochs. */
const ZOOM_MIN_STEPS = 2;
const ZOOM_MIN = 0.01;
const ZOOM_FACTOR = 0.5;
const PAN_SHARE = 0.5;

export class Zoom {
    /** @param {any} chart the MainChart */
    constructor(chart) {
        const { view, places } = chart;

        Object.assign(this, { chart, view, places });
        byId("zoom-in").addEventListener("click", () => this.by(ZOOM_FACTOR));
        byId("zoom-out").addEventListener("click", () => this.by(1 / ZOOM_FACTOR));
        byId("zoom-left").addEventListener("click", () => this.pan(-PAN_SHARE));
        byId("zoom-right").addEventListener("click", () => this.pan(PAN_SHARE));
        byId("zoom-all").addEventListener("click", () => this.all());
        /** Commands of the chart's keys. */
        this.commands = {
            zoom: (key) => this.by(key === "-" ? 1 / ZOOM_FACTOR : ZOOM_FACTOR),
            pan: (key) => this.pan(key === "PageUp" ? -PAN_SHARE : PAN_SHARE),
            all: () => this.all(),
        };
    }

    all() {
        this.view.set({ from: null, to: null });
    }

    /** To places of the axis. @param {number} from @param {number} to */
    to(from, to) {
        const isStep = this.view.state.axis === "step";
        const least = isStep ? ZOOM_MIN_STEPS : ZOOM_MIN;
        const [a, b] = isStep ? [Math.floor(from), Math.ceil(to)] : [from, to].map((x) => Number(x.toFixed(3)));

        this.view.set(
            b - a < least ? { from: Math.max(0, a - least / 2), to: a + least } : { from: Math.max(0, a), to: b },
        );
    }

    /** Zooms to steps of a run, whatever the axis is. @param {string} run @param {number} from @param {number} to */
    toSteps(run, from, to) {
        const [a, b] = [from, to].map((step) => this.places.xOf(run, step));

        if (a !== null && b !== null) this.to(a, b);
    }

    /** Around the cursor. @param {number} factor of what is in view; below 1: zooms in */
    by(factor) {
        const { cursorStep } = this.chart;

        this.#rescale((a, b) => {
            const { spacing } = this.view;
            const at =
                cursorStep === null
                    ? (a + b) / 2
                    : Math.min(b, Math.max(a, toX(cursorStep, spacing)));
            return [at - (at - a) * factor, at + (b - at) * factor];
        });
    }

    /** @param {number} share of what is in view, to later steps */
    pan(share) {
        this.#rescale((a, b) => [a + (b - a) * share, b + (b - a) * share]);
    }

    #rescale(change) {
        const range = this.chart.range();
        const { spacing } = this.view;
        if (!range) return;
        const [a, b] = change(toX(range[0], spacing), toX(range[1], spacing)).map((x) => toStep(x, spacing));
        const [first, last] = this.#ends();
        const coversAll = this.view.state.from !== null && a <= first + 0.5 * (first === 0) && b >= last;

        if (coversAll) this.view.set({ from: null, to: null });
        else if (this.view.state.axis === "step") this.to(Math.round(a), Math.max(1, Math.round(b)));
        else this.to(a, b);
    }

    /* Of all there is, in view or not. */
    #ends() {
        if (this.view.state.axis !== "step") return this.places.extent() ?? [0, Infinity];
        return [0, this.chart.lastStep() ?? Infinity];
    }
}

/* Depth against step: the measure of every layer of one run as colour, the first layer at the bottom,
 * those of evaluation rows apart on top. The profile beside it has one kind of rows: evaluation's, where
 * such a layer is chosen.
 * Colours are cividis, which reads the same with and without colour vision and in grey; the value
 * under the cursor is told in words. */

import { longStep, shortStep, shortValue, ticks, toStep, toX } from "../base/axis.js";
import { byId, oncePerFrame, throttled } from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { shortened } from "../base/names.js";
import { cssColour } from "../base/palette.js";
import { LayerPair } from "./layerpair.js";
import { drawProfile } from "./profile.js";
import { byRows, isTraining, LINES_MAX, nearestStep, profileAt } from "../data/depth.js";
import { chooseForm, extent, fromLayer, nearest } from "../data/series.js";

const POINTS = 800;
const REFRESH_MS = 1000;
/* A map of many layers is not drawn in each frame in which the chart's cursor moves. */
const CURSOR_MS = 100;
const AXIS_PX = 24;
const FONT = "12px system-ui, sans-serif";
const ROW_MIN_PX = 18;
const GROUPS_PX = 10;
const LABEL_LENGTH_MAX = 18;

/** Nine stops of cividis (Nuñez, Anderton, Renslow 2018), dark to light. */
const CIVIDIS = [
    [0, 34, 78],
    [18, 53, 112],
    [59, 73, 108],
    [87, 93, 109],
    [112, 113, 115],
    [138, 134, 120],
    [165, 156, 116],
    [195, 179, 105],
    [254, 232, 56],
];

/** @param {number} share in 0..1 */
export function heatColour(share) {
    const at = Math.min(1, Math.max(0, share)) * (CIVIDIS.length - 1);
    const i = Math.min(CIVIDIS.length - 2, Math.floor(at));
    const mix = CIVIDIS[i].map((c, k) => Math.round(c + (CIVIDIS[i + 1][k] - c) * (at - i)));

    return `rgb(${mix.join(",")})`;
}

export class Heatmap {
    /** @param {{feed: any, view: any, catalogue: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.canvas = byId("heatmap");
        this.section = byId("layers");
        /** @type {import("../data/series.js").Series[]} */ this.layers = [];
        this.cursor = null;
        this.generation = 0;
        this.draw = oncePerFrame(() => this.#draw());
        this.view.on(["runs", "focus", "metric", "spacing", "from", "to"], () => this.load());
        this.home = this.section.parentElement;
        this.pair = new LayerPair(this.view);
        this.view.on(["depthPin", "layerPair"], this.draw);
        this.view.on(["layer", "runs", "focus"], () => this.#place());
        this.catalogue.addEventListener("change", () => this.#place());
        this.chart.addEventListener("cursor", throttled(this.draw, CURSOR_MS));
        byId("profile-unpin").addEventListener("click", () => this.view.set({ depthPin: null }));
        this.section.addEventListener("toggle", () => this.load());
        this.canvas.addEventListener("mousemove", (e) => this.#point(e));
        this.canvas.addEventListener("click", () => this.#pin());
        this.canvas.addEventListener("mouseleave", () => this.#say(null));
        bindKeys(this.canvas, "layers", {
            move: (key) => this.#move(key),
            pin: () => this.#pin(),
            leave: () => this.#say(null),
        });
        new ResizeObserver(this.draw).observe(this.canvas.parentElement);
    }

    /* Of more layers than the chart has lines the map comes first. */
    #place() {
        const { run } = this.view;
        const isFirst = this.view.state.layer === "*" && this.catalogue.layersOf(run, "*").filter(isTraining).length > LINES_MAX;
        const parent = isFirst ? this.home.parentElement : this.home;

        if (this.section.parentElement === parent) return;
        if (isFirst) parent.prepend(this.section);
        else parent.append(this.section);
        this.section.open ||= isFirst;
        this.draw();
    }

    #pin() {
        const { cursor } = this;

        if (cursor) this.view.set({ depthPin: nearestStep(this.layers, cursor.step) });
    }

    async load() {
        const generation = ++this.generation;
        const { metric, spacing } = this.view.state;
        const run = this.view.run;
        const steps = this.chart.places.steps(run);
        const forms = this.catalogue.formsOf(metric);

        if (!this.section.open) return;
        try {
            const answer = run
                ? await this.feed.callLater("series.query", {
                      run,
                      metrics: forms,
                      spacing,
                      points: POINTS,
                      ...(steps ? { from: steps[0], to: steps[1] } : {}),
                  })
                : { layers: [] };
            if (generation !== this.generation) return;
            const form = chooseForm(answer.layers, forms);
            const { training, evaluation } = byRows(answer.layers.map((entry) => fromLayer(run, entry, form, undefined)));
            this.layers = [...training, ...evaluation];
        } catch {
            this.layers = []; // the chart above says what is wrong with the run
        }
        this.draw();
    }

    /** Something of the run came live. */
    touch(runs) {
        if (!runs.has(this.view.run) || this.waits) return;
        this.waits = true;
        setTimeout(() => {
            this.waits = false;
            this.load();
        }, REFRESH_MS);
    }

    /** The values that are dark and light: 0 and the next tenth for shares, else the extremes. */
    #scale() {
        const values = this.layers.flatMap((l) => l.values);
        const low = values.reduce((a, b) => Math.min(a, b), Infinity);
        const high = values.reduce((a, b) => Math.max(a, b), -Infinity);

        if (!values.length) return [0, 1];
        return low >= 0 && high <= 1
            ? [0, Math.max(0.1, Math.ceil(high * 10) / 10)]
            : low === high
              ? [low - 0.5, high + 0.5]
              : [low, high];
    }

    #frame() {
        const labels = [...this.#names().values()].map((name) => name.length);
        const left = Math.min(140, 16 + 7 * Math.max(4, ...labels));
        const width = this.canvas.parentElement.clientWidth;
        const height = Math.max(120, Math.min(360, this.layers.length * 28 + AXIS_PX));
        const { spacing } = this.view.state;
        const [a, b] = this.chart.places.steps(this.view.run) ?? extent(this.layers) ?? [0, 1];

        return {
            left,
            width,
            height,
            x0: toX(a, spacing),
            x1: Math.max(toX(b, spacing), toX(a, spacing) + 1e-9),
            spacing,
        };
    }

    #names() {
        return shortened(
            this.layers.map((l) => l.layer),
            LABEL_LENGTH_MAX,
        );
    }

    #draw() {
        const names = this.#names();
        const frame = (this.frame = this.#frame());
        const ratio = devicePixelRatio;
        const context = this.canvas.getContext("2d");
        const [low, high] = this.#scale();

        this.canvas.width = frame.width * ratio;
        this.canvas.height = frame.height * ratio;
        this.canvas.style.height = `${frame.height}px`;
        context.scale(ratio, ratio);
        context.font = FONT;
        this.layers.forEach((layer, i) => {
            this.#drawRow(context, layer, i, low, high);
            this.#drawName(context, names.get(layer.layer), i);
        });
        this.#drawAxis(context);
        byId("layers-run").textContent = this.view.run ? this.catalogue.title(this.view.run) : "";
        byId("heat-low").textContent = shortValue(low);
        byId("heat-high").textContent = shortValue(high);
        this.canvas.setAttribute(
            "aria-label",
            `${this.layers[0]?.name ?? this.view.state.metric} of ${this.layers.length} layers over steps. Arrow keys move the cursor.`,
        );
        this.#drawSteps(context);
        if (this.cursor) this.#drawCursor(context);
        this.#drawProfile();
        this.pair.draw(this.layers, frame);
        if (this.canvas.dataset.layers !== String(this.layers.length))
            this.canvas.dataset.layers = String(this.layers.length);
    }

    #x(step) {
        const { left, width, x0, x1, spacing } = this.frame;

        return left + ((toX(step, spacing) - x0) / (x1 - x0)) * (width - left);
    }

    /* The last layer on top, as depth grows upwards. */
    #rowBox(i) {
        const { training, evaluation } = byRows(this.layers);
        const between = evaluation.length ? GROUPS_PX : 0;
        const height = (this.frame.height - AXIS_PX - between) / Math.max(1, this.layers.length);

        return { top: (this.layers.length - 1 - i) * height + (i < training.length ? between : 0), height };
    }

    #rowAt(y) {
        return this.layers.findIndex((_, i) => {
            const { top, height } = this.#rowBox(i);
            return y >= top && y < top + height;
        });
    }

    /* What stands against depth: layers of one kind of rows. */
    #deep() {
        const { training, evaluation } = byRows(this.layers);

        return isTraining(this.view.state.layer) || !evaluation.length ? training : evaluation;
    }

    /** A point holds from its step to the next one. */
    #drawRow(context, layer, i, low, high) {
        const { top, height } = this.#rowBox(i);
        const right = this.frame.width;

        for (let k = 0; k < layer.steps.length; k++) {
            const x = Math.max(this.frame.left, this.#x(layer.steps[k]));
            const next =
                k + 1 < layer.steps.length ? Math.min(right, this.#x(layer.steps[k + 1])) : right;
            if (next < this.frame.left || x > right) continue;
            context.fillStyle = heatColour((layer.values[k] - low) / (high - low));
            context.fillRect(x, top + 0.5, Math.max(1, next - x) + 0.5, height - 1);
        }
    }

    /* Where rows are low, the first and the last alone. */
    #drawName(context, name, i) {
        const { top, height } = this.#rowBox(i);

        if (height < ROW_MIN_PX - 8 && i !== 0 && i !== this.layers.length - 1) return;
        context.fillStyle = cssColour("--text");
        context.textAlign = "right";
        context.textBaseline = "middle";
        context.fillText(name, this.frame.left - 8, top + height / 2, this.frame.left - 10);
    }

    #drawAxis(context) {
        const { left, width, height, x0, x1, spacing } = this.frame;

        context.fillStyle = cssColour("--muted");
        context.textAlign = "center";
        context.textBaseline = "bottom";
        for (const x of ticks(x0, x1, ((x1 - x0) * 60) / (width - left), spacing)) {
            const at = left + ((x - x0) / (x1 - x0)) * (width - left);
            if (at < width - 12) context.fillText(shortStep(toStep(x, spacing)), at, height - 4);
        }
    }

    /* The steps that are compared: at the cursor here or in the chart, else the latest; and the pinned
     * one, else the first. */
    #steps() {
        const [first, last] = extent(this.layers) ?? [null, null];
        const { depthPin } = this.view.state;
        const at = this.cursor?.step ?? this.chart.stepAtCursor(this.view.run);

        if (last === null) return null;
        return {
            now: nearestStep(this.layers, at ?? last),
            pinned: nearestStep(this.layers, depthPin ?? first),
        };
    }

    /* Through all layers. */
    #drawSteps(context) {
        const steps = this.#steps();
        const bottom = this.frame.height - AXIS_PX;

        if (!steps || this.#deep().length < 2) return;
        for (const [step, dash] of [[steps.now, []], [steps.pinned, [4, 3]]]) {
            const x = this.#x(step);
            if (x < this.frame.left || x > this.frame.width) continue;
            for (const [colour, width] of [["--panel", 3], ["--text", 1]]) {
                context.strokeStyle = cssColour(colour);
                context.lineWidth = width;
                context.setLineDash(dash);
                context.beginPath();
                context.moveTo(x, 0);
                context.lineTo(x, bottom);
                context.stroke();
            }
        }
        context.setLineDash([]);
    }

    #drawProfile() {
        const steps = this.#steps();
        const layers = this.#deep();

        byId("profile").hidden = !steps || layers.length < 2;
        if (byId("profile").hidden) return;
        const lines = [
            { kind: "pinned", step: steps.pinned },
            { kind: "now", step: steps.now },
        ].map(({ kind, step }) => ({ kind, text: `step ${longStep(step)}`, values: profileAt(layers, step) }));
        const label = layers[0].name;
        const host = byId("profile-chart");

        drawProfile(host, { layers: layers.map((l) => l.layer), label, lines });
        const ends = (values) => `${shortValue(values[0])} in the first layer, ${shortValue(values.at(-1))} in the last`;
        host.setAttribute(
            "aria-label",
            `${label} against depth, ${lines.map(({ text, values }) => `${text}: ${ends(values)}`).join("; ")}`,
        );
        byId("profile-now").textContent = `step ${longStep(steps.now)}`;
        byId("profile-pinned").textContent = `step ${longStep(steps.pinned)}${this.view.state.depthPin === null ? ", the first" : ", pinned"}`;
        byId("profile-unpin").hidden = this.view.state.depthPin === null;
    }

    #drawCursor(context) {
        const { top, height } = this.#rowBox(this.cursor.layer);
        const x = this.#x(this.cursor.step);

        context.strokeStyle = cssColour("--text");
        context.lineWidth = 2;
        context.strokeRect(x - 4, top + 1, 8, height - 2);
        context.strokeStyle = cssColour("--panel");
        context.lineWidth = 1;
        context.strokeRect(x - 5.5, top - 0.5, 11, height + 1);
    }

    #point(event) {
        const box = this.canvas.getBoundingClientRect();
        const { left, width, x0, x1, spacing } = this.frame;
        const share = (event.clientX - box.left - left) / (width - left);
        const layer = this.#rowAt(event.clientY - box.top);

        if (share < 0 || layer < 0) this.#say(null);
        else this.#say({ layer, step: Math.max(0, toStep(x0 + share * (x1 - x0), spacing)) });
    }

    #move(key) {
        const moves = {
            ArrowUp: [1, 0],
            ArrowDown: [-1, 0],
            ArrowRight: [0, 1],
            ArrowLeft: [0, -1],
        }[key];
        const at = this.cursor ?? {
            layer: this.layers.length - 1,
            step: this.layers.at(-1)?.steps.at(-1) ?? 0,
        };
        if (this.layers.length === 0) return;
        const layer = Math.min(this.layers.length - 1, Math.max(0, at.layer + moves[0]));
        const { steps } = this.layers[layer];
        const i = Math.min(
            steps.length - 1,
            Math.max(0, nearest(steps, at.step) + (this.cursor ? moves[1] : 0)),
        );

        if (steps.length) this.#say({ layer, step: steps[i] });
    }

    #say(cursor) {
        this.cursor = cursor;
        const layer = cursor && this.layers[cursor.layer];
        const i = layer ? nearest(layer.steps, cursor.step) : -1;

        byId("heat-value").textContent =
            i < 0
                ? ""
                : `${layer.layer}, step ${longStep(layer.steps[i])}: ${shortValue(layer.values[i])}`;
        this.draw();
    }
}

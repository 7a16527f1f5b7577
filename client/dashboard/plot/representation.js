/* Linear CKA of what a run kept of its probe's rows: all layers at one checkpoint, or all checkpoints
 * of one layer, against themselves or another run. Light is alike; the value under the cursor is told
 * in words, and stands in each cell that has room for it. */

import { longStep, shortStep, shortValue } from "../base/axis.js";
import { byId, debounced, fillSelect, oncePerFrame } from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { cssColour } from "../base/palette.js";
import { heatColour } from "./heatmap.js";

const REFRESH_MS = 1000;
const SLIDE_MS = 30;
const AXIS_PX = 24;
const SIDE_MAX_PX = 520;
const CELL_MAX_PX = 72;
const CELL_TEXT_PX = 34;
const LABEL_PX = 18;
/* Above it a cell is light, and its number dark. */
const LIGHT = 0.55;
const FONT = "12px system-ui, sans-serif";

export class RepresentationView {
    /** @param {{feed: any, view: any, catalogue: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("map");
        this.canvas = byId("map-canvas");
        this.slider = byId("map-step");
        /** @type {any[]} */ this.kept = [];
        /** @type {any} */ this.map = null;
        this.cursor = null;
        this.generation = 0;
        this.draw = oncePerFrame(() => this.#draw());
        const show = debounced(() => this.#show(), SLIDE_MS);
        this.slider.addEventListener("input", () => this.#slide(Number(this.slider.value)));
        this.view.follow({ "map-layer": "mapLayer", "map-with": "mapWith" });
        this.view.on(["runs", "focus"], () => this.load());
        this.view.on(["mapLayer", "mapWith", "mapStep"], show);
        this.section.addEventListener("toggle", () => this.load());
        this.canvas.addEventListener("mousemove", (e) => this.#point(e));
        this.canvas.addEventListener("mouseleave", () => this.#say(null));
        bindKeys(this.canvas, "map", { move: (key) => this.#move(key) });
        new ResizeObserver(this.draw).observe(this.canvas.parentElement);
    }

    /** "" for all layers. */
    get layer() {
        const { mapLayer } = this.view.state;

        return this.kept.some((k) => k.layer === mapLayer) ? mapLayer : "";
    }

    get other() {
        const { mapWith, runs } = this.view.state;

        return mapWith !== this.view.run && runs.includes(mapWith) ? mapWith : "";
    }

    /** The steps at which a layer was kept. */
    get steps() {
        return [...new Set(this.kept.flatMap((k) => k.columns.step))].sort((a, b) => a - b);
    }

    /** Finds what the run kept, and shows it. */
    async load() {
        const generation = ++this.generation;
        const { run } = this.view;

        if (!this.section.open) return;
        try {
            const answer = run
                ? await this.feed.callLater("representation.list", { run })
                : { layers: [] };
            if (generation !== this.generation) return;
            this.kept = answer.layers;
        } catch {
            this.kept = []; // the chart above says what is wrong with the run
        }
        this.#show();
    }

    /** Something of the run came live. */
    touch(runs) {
        if (!(runs.has(this.view.run) || runs.has(this.other)) || this.waits) return;
        this.waits = true;
        setTimeout(() => {
            this.waits = false;
            this.load();
        }, REFRESH_MS);
    }

    #fillChoices() {
        const others = this.view.state.runs.filter((run) => run !== this.view.run);
        const layers = this.kept.map((k) => k.layer);
        const runs = others.map((run) => ({ value: run, text: this.catalogue.title(run) }));

        fillSelect(byId("map-layer"), [{ value: "", text: "all layers" }, ...layers], this.layer);
        fillSelect(byId("map-with"), [{ value: "", text: "itself" }, ...runs], this.other);
    }

    #index() {
        const { steps } = this;
        const { mapStep } = this.view.state;
        const found =
            mapStep === null ? steps.length - 1 : steps.findLastIndex((s) => s <= mapStep);

        return Math.max(0, found);
    }

    #slide(i) {
        const isLast = i >= this.steps.length - 1;

        this.view.set({ mapStep: isLast ? null : this.steps[i] });
        this.#tellStep();
    }

    #tellStep() {
        const { steps, layer } = this;
        const step = steps[this.#index()];
        const words = layer ? "all" : step === undefined ? "–" : longStep(step);

        this.slider.max = String(Math.max(0, steps.length - 1));
        this.slider.disabled = steps.length < 2 || layer !== "";
        this.slider.value = String(this.#index());
        this.slider.setAttribute("aria-valuetext", layer ? "all steps" : `step ${words}`);
        byId("map-step-text").textContent = words;
    }

    #parameters() {
        const { run } = this.view;
        const { layer, other, steps } = this;
        const which = layer ? { layers: [layer], from: 0 } : { step: steps[this.#index()] };

        return { run, ...which, ...(other ? { with: other } : {}) };
    }

    async #show() {
        const generation = ++this.generation;
        const isEmpty = this.kept.length === 0;

        this.#fillChoices();
        this.#tellStep();
        byId("map-empty").hidden = !isEmpty;
        byId("map-body").hidden = isEmpty;
        byId("map-run").textContent = this.view.run ? this.catalogue.title(this.view.run) : "";
        if (isEmpty) return;
        try {
            const map = await this.feed.call("representation.map", this.#parameters());
            if (generation !== this.generation) return;
            this.map = map;
            byId("map-note").textContent = describe(map);
        } catch (error) {
            if (generation !== this.generation) return;
            this.map = null;
            byId("map-note").textContent = error.message;
        }
        this.cursor = null;
        byId("map-value").textContent = "";
        this.draw();
    }

    // ---- drawing -----------------------------------------------------------------------------

    #label(place) {
        return this.layer ? shortStep(place.step) : place.layer;
    }

    #frame() {
        const { rows, columns } = this.map;
        const labels = rows.map((place) => this.#label(place).length);
        const left = Math.min(140, 16 + 7 * Math.max(4, ...labels));
        const width = this.canvas.parentElement.clientWidth;
        const side = Math.min(width - left, SIDE_MAX_PX);
        const cell = Math.min(side / Math.max(columns.length, rows.length), CELL_MAX_PX);

        return { left, cell, width, height: Math.ceil(cell * rows.length) + AXIS_PX };
    }

    #draw() {
        const context = this.canvas.getContext("2d");
        const isEmpty = !this.map || this.canvas.parentElement.clientWidth === 0;
        const frame = (this.frame = isEmpty
            ? { left: 0, cell: 0, width: 0, height: 0 }
            : this.#frame());

        this.canvas.width = frame.width * devicePixelRatio;
        this.canvas.height = frame.height * devicePixelRatio;
        this.canvas.style.height = `${frame.height}px`;
        this.canvas.dataset.shape = this.map
            ? `${this.map.rows.length} x ${this.map.columns.length}`
            : "";
        if (isEmpty) return;
        context.scale(devicePixelRatio, devicePixelRatio);
        context.font = FONT;
        this.map.cka_debiased.forEach((values, i) => this.#drawRow(context, values, i));
        this.#drawLabels(context);
        if (this.cursor) this.#drawCursor(context);
        this.canvas.setAttribute(
            "aria-label",
            `Linear CKA, de-biased, of ${this.map.rows.length} by ${this.map.columns.length} ` +
                `${this.layer ? "checkpoints" : "layers"}. Arrow keys move the cursor.`,
        );
    }

    #drawRow(context, values, i) {
        const { left, cell } = this.frame;

        context.textAlign = "center";
        context.textBaseline = "middle";
        values.forEach((value, j) => {
            if (value === null) return;
            context.fillStyle = heatColour(value);
            context.fillRect(left + j * cell, i * cell, cell - 0.5, cell - 0.5);
            if (cell < CELL_TEXT_PX) return;
            context.fillStyle = value > LIGHT ? "rgb(0 0 0)" : "rgb(255 255 255)";
            context.fillText(value.toFixed(2), left + (j + 0.5) * cell, (i + 0.5) * cell);
        });
    }

    /* As many as have room, evenly. */
    #drawLabels(context) {
        const { left, cell, height } = this.frame;
        const { rows, columns } = this.map;
        const down = Math.ceil(LABEL_PX / cell);
        const widest = Math.max(...columns.map((place) => this.#label(place).length));
        const across = Math.ceil((7 * widest + 8) / cell);

        context.fillStyle = cssColour("--text");
        context.textAlign = "right";
        context.textBaseline = "middle";
        rows.forEach((place, i) => {
            if (i % down === 0)
                context.fillText(this.#label(place), left - 8, (i + 0.5) * cell, left - 10);
        });
        context.fillStyle = cssColour("--muted");
        context.textAlign = "center";
        context.textBaseline = "bottom";
        columns.forEach((place, j) => {
            if (j % across === 0)
                context.fillText(this.#label(place), left + (j + 0.5) * cell, height - 4);
        });
    }

    #drawCursor(context) {
        const { left, cell } = this.frame;
        const { row, column } = this.cursor;

        context.strokeStyle = cssColour("--text");
        context.lineWidth = 2;
        context.strokeRect(left + column * cell, row * cell, cell - 1, cell - 1);
    }

    // ---- the cursor --------------------------------------------------------------------------

    #point(event) {
        if (!this.map) return;
        const box = this.canvas.getBoundingClientRect();
        const { left, cell } = this.frame;
        const column = Math.floor((event.clientX - box.left - left) / cell);
        const row = Math.floor((event.clientY - box.top) / cell);
        const isInside = this.map.rows[row] && this.map.columns[column];

        this.#say(isInside ? { row, column } : null);
    }

    #move(key) {
        const move = {
            ArrowUp: [-1, 0],
            ArrowDown: [1, 0],
            ArrowRight: [0, 1],
            ArrowLeft: [0, -1],
        }[key];
        if (!this.map) return;
        const at = this.cursor ?? { row: 0, column: 0 };
        const step = this.cursor ? move : [0, 0];
        const within = (i, list) => Math.min(list.length - 1, Math.max(0, i));

        this.#say({
            row: within(at.row + step[0], this.map.rows),
            column: within(at.column + step[1], this.map.columns),
        });
    }

    #say(cursor) {
        this.cursor = cursor;
        byId("map-value").textContent = cursor ? this.#tell(cursor) : "";
        this.draw();
    }

    #tell({ row, column }) {
        const name = (place) =>
            `${this.other ? `${this.catalogue.title(place.run)} ` : ""}${place.layer}, step ${longStep(place.step)}`;
        const { rows, columns, cka_debiased, cka } = this.map;

        return (
            `${name(rows[row])} and ${name(columns[column])}: ` +
            `${shortValue(cka_debiased[row][column])}; not corrected ${shortValue(cka[row][column])}`
        );
    }
}

/** What the numbers are of, in words. */
function describe(map) {
    const error = Math.SQRT2 / map.n;
    const left = map.left_out ? ` ${map.left_out} checkpoints between these are left out.` : "";

    return (
        `Linear CKA of ${map.n} of the probe's ${map.probe_rows} rows, corrected for their number: ` +
        `1 is alike but for rotation and scale, unrelated features stray about 0 by ${error.toFixed(3)}.${left}`
    );
}

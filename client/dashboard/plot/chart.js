/* The main chart: the shown runs' measure on the left axis, an accuracy or another scalar on the
 * right one, marks, a cursor for mouse and keyboard. What it shows comes from Curves; zoom.js has what is in
 * view of it. */

import { AXES, longPlace, namedPlace, shortValue, toX } from "../base/axis.js";
import { byId, oncePerFrame } from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { drawnLayers, LINES_MAX } from "../data/depth.js";
import { changesOf, meansOf } from "../data/groups.js";
import { drawCounts, drawSigns, drawTransitions, ofPlot, resumes, together } from "./marks.js";
import { cssColour } from "../base/palette.js";
import { whyEmpty } from "./empty.js";
import { FlagMarks } from "./flagmarks.js";
import { drawReferences, nameEnds, nameReferences, references } from "./references.js";
import { extent, nearest } from "../data/series.js";
import { StepChart } from "./stepchart.js";
import { Zoom } from "./zoom.js";

/** Events: "cursor" (detail: step or null), "drawn". */
export class MainChart extends EventTarget {
    /** @param {{view: any, catalogue: any, curves: any, places: any, reference: any, looks: any}} parts */
    constructor(parts) {
        super();
        Object.assign(this, parts);
        this.host = byId("chart");
        /** @type {number|null} */ this.cursorStep = null;
        this.isKeyboard = false;
        this.drawn = { left: [], right: [] };
        this.flags = new FlagMarks(this);
        this.zoom = new Zoom(this);
        this.chart = new StepChart(this.host, {
            onZoom: (from, to) => this.zoom.to(from, to),
            onReset: () => this.zoom.all(),
            onCursor: (step) => this.#moveCursor(step),
            under: (u) => this.#drawUnder(u),
            over: (u) => this.#drawOver(u),
        });
        this.redraw = oncePerFrame(() => this.#draw());
        this.curves.addEventListener("change", this.redraw);
        this.catalogue.addEventListener("change", this.redraw);
        this.places.addEventListener("change", this.redraw);
        this.reference.addEventListener("change", this.redraw);
        this.view.on(["axis", "spacing", "band", "pins", "group", "lines", "spread", "from", "to"], this.redraw);
        bindKeys(this.host, "chart", this.#commands());
        this.host.addEventListener("blur", () => this.#moveCursor(null));
        new ResizeObserver(() => (this.curves.width_px = this.host.clientWidth)).observe(this.host);
    }

    /** The series that were drawn last, in drawing order: shown runs, or means of groups, in turn. */
    series() {
        return this.drawn;
    }

    /** The most layers of a run of which the chart has lines of a part alone; 0 when all are drawn. */
    get cutLayers() {
        const { runs } = this.view.state;
        const most = Math.max(0, ...runs.map((run) => this.curves.metrics.get(run)?.length ?? 0));

        return most > LINES_MAX ? most : 0;
    }

    #runs() {
        const { runs } = this.view.state;

        const placed = (/** @type {any} */ series) => this.places.of(series);

        return {
            left: runs.flatMap((run) => drawnLayers(this.curves.metrics.get(run) ?? [])).map(placed),
            right: runs.flatMap((run) => this.curves.scalars.get(run) ?? []).map(placed),
        };
    }

    #collect() {
        const { left, right } = this.#runs();
        const { spread, layer } = this.view.state;
        const means = (all) => meansOf(all, (run) => this.looks.group(run), spread, layer === "*");

        return this.looks.showsMeans ? { left: means(left), right: means(right) } : { left, right };
    }

    /** Places in view; null before there are any. @returns {[number, number]|null} */
    range() {
        const { from, to } = this.view.state;
        const { left, right } = this.series();
        const all = left.length + right.length ? [...left, ...right] : [this.reference.drawn()].filter(Boolean);

        return from !== null && to !== null ? [from, to] : extent(all);
    }

    #trace(series, isRight) {
        const look = this.looks.lineOf(series);
        const isMean = series.group !== undefined;
        const line = this.places.drawn(series);
        const hasBand = this.view.state.band && series.low !== null && (!isRight || series.binned || isMean);

        return {
            key: `${series.group ?? series.run}/${series.layer}/${series.name}`,
            steps: line.steps,
            values: line.values,
            colour: look.colour,
            marker: look.marker,
            low: hasBand ? line.low : null,
            high: hasBand ? line.high : null,
            right: isRight,
            dash: isRight ? [1.5, 3.5] : look.dash,
            width: isRight ? 1.25 : look.width,
        };
    }

    /** How the reference looks: like no run. */
    referenceLook() {
        return { colour: cssColour("--muted"), dash: [7, 4], width: 1.25 };
    }

    #referenceTrace() {
        const series = this.reference.drawn();

        return series ? [{ key: "reference", ...this.places.drawn(series), low: null, ...this.referenceLook() }] : [];
    }

    /** What the curves of D_LR are compared with. @returns {import("./references.js").Reference[]} */
    references() {
        const names = {
            title: (run) => this.catalogue.title(run),
            colour: (run) => this.looks.colour(run),
        };

        return this.catalogue.isRichness(this.view.state.metric)
            ? references(this.#runs().left, this.curves.beside, names)
            : [];
    }

    #draw() {
        const { left, right } = (this.drawn = this.#collect());
        const traces = [
            ...this.#referenceTrace(),
            ...right.map((s) => this.#trace(s, true)),
            ...left.map((s) => this.#trace(s, false)),
        ];

        this.chart.draw({
            traces,
            axis: this.view.state.axis,
            spacing: this.view.spacing,
            range: this.range(),
            leftLabel: [...new Set(left.map((s) => s.name))].join(", ") || this.view.state.metric,
            levels: this.view.state.from === null ? this.references().map((r) => r.value) : [],
            rightLabel: [...new Set(right.map((s) => s.name))].join(", "),
        });
        this.#describe(left, right);
        this.#noteDrawn();
        this.dispatchEvent(new Event("drawn"));
    }

    #describe(left, right) {
        const { axis } = this.view.state;
        const range = this.range();
        const names = [...new Set([...left, ...right].map((s) => s.name))].join(" and ");
        const of = this.looks.showsMeans ? `${left.length} means` : `${this.view.state.runs.length} runs`;
        const what = `${names || "nothing"} of ${of} over ${AXES[axis]}${range ? ` ${range.map((x) => longPlace(x, axis)).join(" to ")}` : ""}`;

        byId("chart-empty").hidden =
            [...left, ...right].some((s) => s.steps.length) || this.reference.drawn() !== null;
        byId("chart-empty").textContent = whyEmpty(this);
        this.host.setAttribute(
            "aria-label",
            `Chart: ${what}. Arrow keys move the cursor, plus and minus zoom, 0 shows all.`,
        );
        byId("zoom-all").disabled =
            byId("zoom-left").disabled =
            byId("zoom-right").disabled =
                this.view.state.from === null;
    }

    /* The newest step on the screen: performance.getEntriesByName("richd:drawn") has the time. */
    #noteDrawn() {
        const all = this.view.state.runs.flatMap((run) => this.curves.metrics.get(run) ?? []);
        const step = Math.max(-1, ...all.map((s) => s.steps.at(-1) ?? -1));

        if (step === this.drawnStep) return;
        this.drawnStep = step;
        this.host.dataset.step = String(step);
        performance.clearMarks("richd:drawn");
        performance.mark("richd:drawn", { detail: { step, time_ms: Date.now() } });
    }

    // ---- marks and cursor --------------------------------------------------------------------

    /* What one run does is no mark of its group. */
    #marks() {
        const { layer, metric } = this.view.state;
        const runs = this.looks.showsMeans ? [] : this.view.state.runs;
        const of = (run, list) =>
            list.map((entry) => ({ ...entry, colour: this.looks.colour(run) }));
        const shown = (run) =>
            ofPlot(
                this.curves.events.get(run) ?? [],
                this.catalogue.familyOf(metric),
                this.catalogue.layersOf(run, layer),
            );

        return {
            spacing: this.view.spacing,
            events: runs.flatMap((r) => of(r, together(this.places.ofEvents(r, shown(r))))),
            resumes: runs.flatMap((r) =>
                of(
                    r,
                    resumes(this.catalogue.get(r)).map((a) => ({
                        step: this.places.xOf(r, a.first_step),
                        attempt: a.attempt,
                    })),
                ),
            ),
            gaps: runs.flatMap((r) =>
                of(
                    r,
                    (this.curves.metrics.get(r) ?? [])
                        .flatMap((s) => this.places.of(s).gaps)
                        .map((step) => ({ step })),
                ),
            ),
        };
    }

    #drawUnder(u) {
        drawTransitions(u, this.#marks());
        drawReferences(u, this.references());
    }

    #drawOver(u) {
        nameReferences(u, this.references());
        nameEnds(u, this.catalogue.metric(this.view.state.metric));
        this.flags.draw(u);
        drawSigns(u, this.#marks());
        if (this.looks.showsMeans) drawCounts(u, this.#counts(), this.view.spacing);
        this.#drawKeyboardCursor(u);
    }

    #counts() {
        return this.drawn.left.flatMap((mean) =>
            changesOf(mean).map((i) => ({
                step: mean.steps[i],
                value: mean.values[i],
                n: mean.n[i],
                colour: this.looks.lineOf(mean).colour,
            })),
        );
    }

    /* The mouse has uPlot's own. */
    #drawKeyboardCursor(u) {
        if (this.cursorStep === null || !this.isKeyboard) return;
        const x = u.valToPos(toX(this.cursorStep, this.view.spacing), "x", true);

        u.ctx.save();
        u.ctx.strokeStyle = cssColour("--text");
        u.ctx.lineWidth = devicePixelRatio;
        u.ctx.beginPath();
        u.ctx.moveTo(x, u.bbox.top);
        u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
        u.ctx.stroke();
        u.ctx.restore();
    }

    #moveCursor(step, isKeyboard = false) {
        const hasMoved = this.isKeyboard || isKeyboard;

        this.cursorStep = step === null ? null : Math.max(0, step);
        this.isKeyboard = isKeyboard;
        this.flags.show(this.cursorStep, isKeyboard);
        this.dispatchEvent(new CustomEvent("cursor", { detail: this.cursorStep }));
        if (hasMoved) this.chart.plot?.redraw(false);
    }

    /** The values at a step, as text: what a reader without the picture needs. @param {number} step */
    sayAt(step) {
        const { left, right } = this.series();
        const parts = [...left, ...right].map((s) => {
            const i = nearest(s.steps, step);
            return i < 0
                ? ""
                : `${this.looks.title(s)} ${s.layer} ${s.name} ${shortValue(s.values[i])}`;
        });

        return `${namedPlace(step, this.view.state.axis)}: ${[...parts, this.flags.sayAt(step)].filter(Boolean).join(", ")}`;
    }

    /** The step of a run at the cursor; null without one. @param {string} run */
    stepAtCursor(run) {
        return this.cursorStep === null ? null : this.places.stepOf(run, this.cursorStep);
    }

    // ---- keyboard ----------------------------------------------------------------------------

    #commands() {
        return {
            walk: (key, event) => this.#walk((key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1)),
            end: (key) => this.#walk(key === "Home" ? -Infinity : Infinity),
            ...this.zoom.commands,
            leave: () => this.#moveCursor(null),
        };
    }

    /* To the n-th point after the cursor, of any run's. */
    #walk(n) {
        const range = this.range();
        const { left } = this.series();
        if (!range) return;
        const steps = [...new Set(left.flatMap((s) => [...s.steps, ...(s.flagged ?? []).map((f) => f.step)]))]
            .filter((s) => s >= range[0] && s <= range[1])
            .sort((a, b) => a - b);
        if (steps.length === 0) return;
        const at =
            this.cursorStep === null
                ? n > 0
                    ? -1
                    : steps.length
                : nearest(steps, this.cursorStep);
        const step = steps[Math.min(steps.length - 1, Math.max(0, at + n))];

        this.#moveCursor(step, true);
        byId("spoken").textContent = this.sayAt(step);
    }

    /** The last step of all shown runs, in view or not. @returns {number|null} */
    lastStep() {
        const steps = this.view.state.runs.map((r) => this.catalogue.get(r)?.last_step ?? -1);

        return steps.length ? Math.max(...steps) : null;
    }
}

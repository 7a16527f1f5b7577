/* uPlot as all charts over steps use it: a log or linear step axis, lines with bands and markers, a
 * second axis, drag to zoom. It draws what it is given and knows neither runs nor the daemon. */

import { AXES, decades, shortPlace, ticks, toStep, toX } from "../base/axis.js";
import { cssColour, traceMarker } from "../base/palette.js";

const { uPlot } = globalThis;

/**
 * @typedef {object} Trace
 * @property {string} key distinguishes traces
 * @property {number[]} steps
 * @property {(number|null)[]} values
 * @property {(number|null)[]|null} low
 * @property {(number|null)[]|null} high
 * @property {string} colour
 * @property {number[]} dash
 * @property {number} [marker] none without an index of a marker's shape
 * @property {number} width
 * @property {boolean} [right] belongs to the right axis
 */

/**
 * @typedef {object} Picture
 * @property {Trace[]} traces
 * @property {"log"|"linear"} spacing
 * @property {import("../base/axis.js").Axis} [axis] what the places of the traces are; steps, if it does not say
 * @property {[number, number]|null} range places in view
 * @property {string} leftLabel
 * @property {string} [rightLabel]
 * @property {boolean} [logY]
 * @property {number[]} [levels] values that the left axis shall hold, too
 */

/* uPlot's NULL_EXPAND: where a trace has no value it has a gap, whatever places the others have there. */
const GAP = 2;
const FONT = "12px system-ui, sans-serif";
const MARKER_EVERY_PX = 90;

/** One place where steps become x, so that a chart that is drawn every frame maps only new ones. */
const mapped = new WeakMap();

/** @param {number[]} steps @param {"log"|"linear"} spacing */
function xOf(steps, spacing) {
    if (spacing === "linear") return steps;
    let xs = mapped.get(steps);
    if (!xs) mapped.set(steps, (xs = []));
    for (let i = xs.length; i < steps.length; i++) xs.push(toX(steps[i], spacing));
    return xs;
}

/** The value axis: a little air, zero where it is near, one height where nothing varies. */
function padded(_u, min, max) {
    if (min === null || min === undefined || max === null) return [0, 1];
    if (min === max) return [Math.min(0, min * 2), max === 0 ? 1 : Math.max(0, max * 2)];
    const air = (max - min) * 0.06;
    const low = min >= 0 && min < (max - min) * 1.5 ? 0 : min - air;
    return [low, max + air];
}

/** An accuracy's axis shows all of it: chance stays at the bottom while nothing is learned. */
function shares(u, min, max) {
    return min !== null && min >= 0 && max <= 1 ? [0, 1.03] : padded(u, min, max);
}

export class StepChart {
    /**
     * @param {HTMLElement} host fills it, and follows its size
     * @param {{compact?: boolean, onZoom?: (from: number, to: number) => void, onReset?: () => void,
     *   onCursor?: (step: number|null) => void, under?: (u: any) => void, over?: (u: any) => void}} options
     */
    constructor(host, options = {}) {
        this.host = host;
        this.options = options;
        this.plot = null;
        this.shape = "";
        /** @type {Picture|null} */ this.picture = null;
        new ResizeObserver(() => this.#fit()).observe(host);
    }

    /** @param {Picture} picture */
    draw(picture) {
        const shape = JSON.stringify([
            picture.axis,
            picture.spacing,
            picture.leftLabel,
            picture.rightLabel,
            picture.logY,
            cssColour("--text"),
            picture.traces.map((t) => [
                t.key,
                t.colour,
                t.dash,
                t.marker,
                t.width,
                t.right,
                Boolean(t.low),
            ]),
        ]);

        this.picture = picture;
        if (this.plot && shape === this.shape) {
            this.plot.batch(() => {
                this.plot.setData(this.#data(), false);
                this.#setScales();
            });
            return;
        }
        this.shape = shape;
        this.plot?.destroy();
        this.plot = new uPlot(this.#uplotOptions(), this.#data(), this.host);
        this.#setScales();
    }

    #leftRange(u, min, max) {
        const { levels = [] } = this.picture;

        if (min === null || min === undefined || max === null) return padded(u, min, max);
        return padded(u, Math.min(min, ...levels), Math.max(max, ...levels));
    }

    #setScales() {
        const { range, spacing } = this.picture;
        const [from, to] = range ?? [0, 1];

        this.plot.setScale("x", {
            min: toX(from, spacing),
            max: Math.max(toX(to, spacing), toX(from, spacing) + 1e-9),
        });
        for (const key of ["y", "y2"])
            if (this.plot.scales[key]) this.plot.setScale(key, { min: null, max: null });
    }

    #data() {
        const { traces, spacing } = this.picture;
        const tables = traces.map((t) => [
            xOf(t.steps, spacing),
            t.values,
            ...(t.low ? [t.low, t.high] : []),
        ]);

        return tables.length
            ? uPlot.join(tables, tables.map((table) => table.map(() => GAP)))
            : [[0], [null]];
    }

    #uplotOptions() {
        const { picture, options } = this;
        const series = [{}];
        const bands = [];

        for (const trace of picture.traces) {
            const scale = trace.right ? "y2" : "y";
            series.push({
                scale,
                stroke: trace.colour,
                dash: trace.dash,
                width: trace.width,
                points: { show: false },
            });
            if (!trace.low) continue;
            const edge = { scale, stroke: "transparent", width: 0, points: { show: false } };
            series.push(edge, { ...edge });
            bands.push({
                series: [series.length - 1, series.length - 2],
                fill: `${trace.colour}2e`,
            });
        }
        if (series.length === 1) series.push({ scale: "y" });
        return {
            ...this.#size(),
            series,
            bands,
            padding: [options.compact ? 6 : 12, null, 0, null],
            legend: { show: false },
            scales: {
                x: { time: false, auto: false },
                y: picture.logY ? { distr: 3 } : { range: (u, ...ends) => this.#leftRange(u, ...ends) },
                ...(picture.traces.some((t) => t.right) ? { y2: { range: /acc/.test(picture.rightLabel ?? "") ? shares : padded } } : {}),
            },
            axes: this.#axes(),
            cursor: this.#cursor(),
            hooks: {
                drawClear: [(u) => options.under?.(u)],
                draw: [(u) => this.#drawMarkers(u), (u) => options.over?.(u)],
                setSelect: [(u) => this.#zoom(u)],
                setCursor: [
                    (u) =>
                        options.onCursor?.(
                            u.cursor.left >= 0
                                ? toStep(u.posToVal(u.cursor.left, "x"), picture.spacing)
                                : null,
                        ),
                ],
            },
        };
    }

    #axes() {
        const { compact } = this.options;
        const { axis: over = "step", spacing, leftLabel, rightLabel, traces, logY } = this.picture;
        const width_px = { step: 46, time: 84, elapsed: 56, epoch: 46 }[over] + (compact ? 0 : 10);
        const style = {
            stroke: cssColour("--muted"),
            font: FONT,
            labelFont: FONT,
            ticks: { stroke: cssColour("--line"), width: 1, size: 4 },
        };
        const grid = { stroke: cssColour("--line"), width: 1 };
        const labelled = (text) =>
            compact || !text ? {} : { label: text, labelSize: 18, labelGap: 0 };
        const logSplits = logY
            ? {
                  splits: (_u, _axis, min, max) => decades(min, max, 5),
                  filter: (_u, splits) => splits,
              }
            : {};
        const axes = [
            {
                ...style,
                grid,
                space: compact ? 46 : 60,
                size: compact ? 24 : 30,
                ...(compact ? {} : { label: AXES[over], labelSize: 16, labelGap: 0 }),
                splits: (u, _axis, min, max) =>
                    ticks(
                        min,
                        max,
                        ((max - min) * width_px) / (u.bbox.width / uPlot.pxRatio),
                        spacing,
                        over,
                    ),
                values: (_u, xs) => xs.map((x) => shortPlace(toStep(x, spacing), over)),
            },
            {
                ...style,
                grid,
                scale: "y",
                size: compact ? 48 : 52,
                space: compact ? 30 : 36,
                ...logSplits,
                ...labelled(leftLabel),
                values: (_u, vs) => vs.map((v) => (v === null ? "" : tickValue(v))),
            },
        ];
        if (traces.some((t) => t.right))
            axes.push({
                ...style,
                grid: { show: false },
                scale: "y2",
                side: 1,
                size: 46,
                space: 36,
                ...labelled(rightLabel),
                values: (_u, vs) => vs.map(tickValue),
            });
        return axes;
    }

    #cursor() {
        return {
            y: false,
            points: { show: false },
            drag: { x: Boolean(this.options.onZoom), y: false, setScale: false, dist: 6 },
            bind: { dblclick: () => () => (this.options.onReset?.(), null) },
            sync: {
                key: "richd",
                setSeries: false,
                scales: ["x", null],
                filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
            },
        };
    }

    #zoom(u) {
        const { left, width } = u.select;
        const spacing = this.picture.spacing;

        if (width < 2) return;
        const from = toStep(u.posToVal(left, "x"), spacing);
        const to = toStep(u.posToVal(left + width, "x"), spacing);
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        this.options.onZoom?.(from, to);
    }

    /** Sparse, at the data's own points, and always at the last one. */
    #drawMarkers(u) {
        if (this.options.compact) return;
        const { spacing } = this.picture;
        const ratio = uPlot.pxRatio;

        u.ctx.save();
        u.ctx.beginPath();
        u.ctx.rect(
            u.bbox.left - 6 * ratio,
            u.bbox.top - 6 * ratio,
            u.bbox.width + 12 * ratio,
            u.bbox.height + 12 * ratio,
        );
        u.ctx.clip();
        this.picture.traces.forEach((trace, n) => {
            if (trace.marker === undefined) return;
            const path = new Path2D();
            let last = -Infinity;
            const phase = ((n % 4) * MARKER_EVERY_PX) / 4;
            const xs = xOf(trace.steps, spacing);
            for (let i = 0; i < xs.length; i++) {
                if (trace.values[i] === null) continue;
                const x = u.valToPos(xs[i], "x", true);
                const isDue =
                    last === -Infinity
                        ? x >= u.bbox.left + phase * ratio
                        : x - last >= MARKER_EVERY_PX * ratio;
                if (
                    x < u.bbox.left - 1 ||
                    x > u.bbox.left + u.bbox.width + 1 ||
                    !(isDue || i === xs.length - 1)
                )
                    continue;
                traceMarker(
                    path,
                    trace.marker,
                    x,
                    u.valToPos(trace.values[i], trace.right ? "y2" : "y", true),
                    7 * ratio,
                );
                last = x;
            }
            u.ctx.lineWidth = 1.5 * ratio;
            u.ctx.setLineDash([]);
            u.ctx.strokeStyle = trace.colour;
            u.ctx.fillStyle = trace.right ? cssColour("--panel") : trace.colour;
            u.ctx.fill(path);
            u.ctx.stroke(path);
        });
        u.ctx.restore();
    }

    #size() {
        return {
            width: Math.max(200, this.host.clientWidth),
            height: Math.max(90, this.host.clientHeight),
        };
    }

    #fit() {
        if (
            this.plot &&
            (this.plot.width !== this.#size().width || this.plot.height !== this.#size().height)
        )
            this.plot.setSize(this.#size());
    }
}

/** @param {number} v */
function tickValue(v) {
    if (v === 0) return "0";
    return Math.abs(v) >= 1e4 || Math.abs(v) < 1e-3
        ? v.toExponential(0).replace("e+", "e")
        : String(Number(v.toPrecision(4)));
}

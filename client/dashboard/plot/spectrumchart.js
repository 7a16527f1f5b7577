/* The two charts of the feature decomposition, of as many spectra as are given: rho_k / rho_1 against k,
 * and PI_hat (full line) and PI_star (broken line) against k or against rho_k / rho_1, as the paper
 * has them (arXiv 2410.04264, Eq. 5). It draws what it is given. */

import { decades } from "../base/axis.js";
import { cssColour, traceMarker } from "../base/palette.js";

const { uPlot } = globalThis;

/* Smaller eigenvalues are rounding for what is drawn. */
const RHO_FLOOR = 1e-8;
const FONT = "12px system-ui, sans-serif";
const MARKERS = 5;

/**
 * @typedef {object} Curve
 * @property {string} key
 * @property {string} colour
 * @property {number} marker
 * @property {number} width
 * @property {any} spectrum SPECTRUM of FEED.md
 */
/** @typedef {{curves: Curve[], against: "k"|"rho", logK: boolean, logRho: boolean}} Picture */

/** rho_k / rho_1; null where it is rounding. @param {any} spectrum @returns {(number|null)[]} */
export function relative({ rho }) {
    return rho.map((r) => (r > RHO_FLOOR * rho[0] ? r / rho[0] : null));
}

export class SpectrumChart {
    /** @param {HTMLElement} rhoHost @param {HTMLElement} piHost @param {(k: number|null) => void} onCursor */
    constructor(rhoHost, piHost, onCursor) {
        this.hosts = [rhoHost, piHost];
        this.onCursor = onCursor;
        /** @type {any[]} */ this.plots = [];
        this.shape = "";
        const fit = () => this.plots.forEach((plot, i) => plot.setSize(sizeOf(this.hosts[i])));
        for (const host of this.hosts) new ResizeObserver(fit).observe(host);
    }

    /** @param {Picture} picture */
    draw(picture) {
        const { curves, ...axes } = picture;
        const looks = curves.map((c) => [c.key, c.colour, c.marker, c.width]);
        const shape = JSON.stringify([axes, looks, cssColour("--text")]);
        const tables = [rhoTable(picture), piTable(picture)];

        this.picture = picture;
        if (this.plots.length && shape === this.shape) return this.plots.forEach((plot, i) => plot.setData(tables[i]));
        this.shape = shape;
        for (const plot of this.plots) plot.destroy();
        this.plots = [this.#rhoOptions(), this.#piOptions()].map((options, i) => new uPlot(options, tables[i], this.hosts[i]));
    }

    /** Puts the cursor on k, from 1; null: nowhere. @param {number|null} k @param {any} [from] the plot that has it */
    point(k, from) {
        for (const plot of this.plots.filter((p) => p !== from)) {
            const x = k === null ? null : this.#x(plot, k);
            const left = x === null ? -10 : plot.valToPos(x, "x");
            plot.setCursor({ left, top: left < 0 ? -10 : 1 }, false);
        }
    }

    #isAgainstRho(plot) {
        return plot === this.plots[1] && this.picture.against === "rho";
    }

    #x(plot, k) {
        return this.#isAgainstRho(plot) ? (relative(this.picture.curves[0].spectrum)[k - 1] ?? null) : k;
    }

    /* The k that is nearest to the cursor; against rho by the first curve. */
    #sayCursor(plot) {
        if (!this.picture.curves.length) return;
        const { left } = plot.cursor;
        const x = left >= 0 ? plot.posToVal(left, "x") : null;
        const k = x === null ? null : this.#isAgainstRho(plot) ? nearestK(this.picture.curves[0].spectrum, x) : Math.max(1, Math.round(x));

        this.point(k, plot);
        this.onCursor(k);
    }

    #options(i, scales, series, axes) {
        return {
            ...sizeOf(this.hosts[i]),
            legend: { show: false },
            padding: [10, 12, 0, null],
            scales,
            series: [{}, ...series],
            axes,
            cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
            hooks: { draw: [(u) => this.#drawMarkers(u)], setCursor: [(u) => this.#sayCursor(u)] },
        };
    }

    #kScale() {
        const longest = Math.max(2, ...this.picture.curves.map((c) => c.spectrum.rho.length));

        return { time: false, distr: this.picture.logK ? 3 : 1, range: () => [1, longest] };
    }

    #rhoScale() {
        const low = (_u, min) => [Math.min(0.1, 10 ** Math.floor(Math.log10(min || 1e-3))), 1.3];

        return this.picture.logRho ? { distr: 3, range: low } : { range: [0, 1.03] };
    }

    #rhoOptions() {
        const { curves, logK, logRho } = this.picture;
        const series = curves.map((c) => lineOf(c, "rho", []));

        return this.#options(0, { x: this.#kScale(), rho: this.#rhoScale() }, series, [
            kAxis(logK),
            { ...axis("ρₖ / ρ₁"), scale: "rho", size: 50, ...rhoTicks(logRho) },
        ]);
    }

    #piOptions() {
        const { curves, against, logK, logRho } = this.picture;
        const isRho = against === "rho";
        const series = curves.flatMap((c) => [lineOf(c, "pi", []), lineOf(c, "pi", [5, 4])]);
        const x = isRho ? { time: false, dir: -1, ...this.#rhoScale() } : this.#kScale();

        return this.#options(1, { x, pi: { range: [0, 1.03] } }, series, [
            isRho ? { ...axis("ρₖ / ρ₁, the largest at the left"), size: 28, ...rhoTicks(logRho) } : kAxis(logK),
            { ...axis("Π̂, Π*"), scale: "pi", size: 50 },
        ]);
    }

    /* What a curve is without its colour: some signs along it, in the middle of what it has. */
    #drawMarkers(u) {
        const n = u.series.length - 1;
        const each = n / Math.max(1, this.picture.curves.length);
        const ratio = devicePixelRatio;

        u.ctx.save();
        this.picture.curves.forEach((curve, c) => {
            for (let s = 0; s < each; s++)
                drawAlong(u, 1 + c * each + s, curve, (c + 0.5) / this.picture.curves.length, ratio);
        });
        u.ctx.restore();
    }
}

/* At MARKERS places of the line, evenly in pixels, each curve a little further. */
function drawAlong(u, s, { colour, marker }, phase, ratio) {
    const [xs, ys] = [u.data[0], u.data[s]];
    const width = u.bbox.width / MARKERS;
    const path = new Path2D();
    let due = u.bbox.left + phase * width;
    const order = xs.map((_, i) => i);

    if (u.scales.x.dir === -1) order.reverse();
    for (const i of order) {
        if (ys[i] === null || ys[i] === undefined) continue;
        const x = u.valToPos(xs[i], "x", true);
        if (x < due) continue;
        traceMarker(path, marker, x, u.valToPos(ys[i], u.series[s].scale, true), 7 * ratio);
        due += Math.ceil((x - due + 1) / width) * width;
    }
    u.ctx.setLineDash([]);
    u.ctx.lineWidth = 1.5 * ratio;
    u.ctx.strokeStyle = colour;
    u.ctx.fillStyle = u.series[s].dash?.length ? cssColour("--panel") : colour;
    u.ctx.fill(path);
    u.ctx.stroke(path);
}

function sizeOf(host) {
    return { width: Math.max(200, host.clientWidth), height: Math.max(140, host.clientHeight) };
}

function lineOf({ colour, width, spectrum }, scale, dash) {
    return { scale, stroke: colour, dash, width, points: { show: spectrum.rho.length === 1, size: 5 } };
}

function join(tables) {
    return tables.length ? uPlot.join(tables) : [[1], [null]];
}

function rhoTable({ curves }) {
    return join(curves.map(({ spectrum }) => [spectrum.rho.map((_, i) => i + 1), relative(spectrum)]));
}

function piTable({ curves, against }) {
    return join(curves.map(({ spectrum }) => (against === "rho" ? byRho(spectrum) : byK(spectrum))));
}

function byK({ rho, pi_hat, pi_star }) {
    const none = rho.map(() => null);

    return [rho.map((_, i) => i + 1), pi_hat ?? none, pi_star ?? none];
}

/* Ascending, as uPlot has it; of equal eigenvalues the last, which holds the others. */
function byRho(spectrum) {
    const places = new Map();

    relative(spectrum).forEach((rho, i) => rho !== null && places.set(rho, i));
    const entries = [...places].reverse();
    const of = (list) => entries.map(([, i]) => list?.[i] ?? null);
    return [entries.map(([rho]) => rho), of(spectrum.pi_hat), of(spectrum.pi_star)];
}

function nearestK(spectrum, rho) {
    const distance = (r) => (r === null ? Infinity : Math.abs(Math.log(r / rho)));
    const all = relative(spectrum).map(distance);

    return all.indexOf(Math.min(...all)) + 1 || null;
}

function axis(label) {
    return {
        stroke: cssColour("--muted"),
        font: FONT,
        labelFont: FONT,
        label,
        labelSize: 18,
        labelGap: 0,
        grid: { stroke: cssColour("--line"), width: 1 },
        ticks: { stroke: cssColour("--line"), width: 1, size: 4 },
    };
}

function kAxis(isLog) {
    const few = (max) => [1, 2, 5, 10, 20, 50].filter((k) => k <= max);
    const splits = (_u, _axis, min, max) => (max < 100 ? few(max) : decades(min, max, 4));

    return {
        ...axis("feature k, the largest first"),
        size: 28,
        ...(isLog ? { splits, filter: (_u, all) => all } : {}),
        values: (_u, all) => all.map((k) => (k === null || k % 1 ? "" : String(k))),
    };
}

function rhoTicks(isLog) {
    const splits = (_u, _axis, min, max) => decades(min, max, 5);
    const text = (v) => (v === null ? "" : v >= 0.01 || v === 0 ? String(Number(v.toPrecision(2))) : v.toExponential(0));

    return {
        ...(isLog ? { splits, filter: (_u, all) => all } : {}),
        values: (_u, all) => all.map(text),
    };
}

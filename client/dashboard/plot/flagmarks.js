/* Flags of points as marks at the chart's lower edge, one line a curve: a small flag at a point, a thin
 * band over many in a row. The pointer on a mark, or the keyboard's cursor at its step, shows what the
 * flag says. */

import { longPlace, longStep, namedPlace, toX } from "../base/axis.js";
import { byId } from "../base/dom.js";
import { cssColour } from "../base/palette.js";
import { flagsAt, spansOf } from "../data/flags.js";

const { uPlot } = globalThis;

const MARK_PX = 8;
const LINE_PX = 11;
/* Curves beyond these share the uppermost line. */
const LINES_MAX = 4;
/* Signs for missing rows stand below (marks.js). */
const GAPS_PX = 16;
/* Fewer points in a row are marked each. */
const BAND_MIN = 3;
/* Missing rows have a sign of their own. */
const OWN_SIGN = "partial";

export class FlagMarks {
    /** @param {any} chart the MainChart */
    constructor(chart) {
        this.chart = chart;
        this.tip = byId("flag-tip");
        /** Where marks are, in CSS pixels of the plot. @type {{left: number, right: number, top: number, series: any, span: any}[]} */
        this.places = [];
    }

    #series() {
        return this.chart.series().left.filter((s) => s.group === undefined);
    }

    #xOf(u, step) {
        return u.valToPos(toX(step, this.chart.view.spacing), "x");
    }

    /** Over the lines. @param {any} u the uPlot */
    draw(u) {
        const all = this.#series();
        const bottom = all.some((s) => s.gaps.length) ? GAPS_PX : 2;

        this.places = all.flatMap((series, i) => {
            const top = u.bbox.height / uPlot.pxRatio - bottom - LINE_PX * (Math.min(i, LINES_MAX - 1) + 1);
            return this.#placesOf(u, series).map((place) => ({ ...place, top, series }));
        });
        u.ctx.save();
        for (const place of this.places) drawMark(u, place, this.chart.looks.lineOf(place.series).colour);
        u.ctx.restore();
    }

    #placesOf(u, series) {
        const touch = (a, b) => Math.abs(this.#xOf(u, b) - this.#xOf(u, a)) < MARK_PX;
        const flagged = series.flagged.filter(({ names }) => String(names) !== OWN_SIGN);
        const width = u.bbox.width / uPlot.pxRatio;

        return spansOf({ steps: series.steps, flagged }, touch)
            .flatMap((span) =>
                span.count < BAND_MIN ? flaggedIn(flagged, span) : [span],
            )
            .map((span) => ({
                left: Math.max(0, this.#xOf(u, span.from)),
                right: Math.min(width, this.#xOf(u, span.to)),
                span,
            }))
            .filter(({ left, right }) => left <= width && right >= 0);
    }

    /** What a flag says. @param {string} name */
    sentence(name) {
        const info = this.chart.catalogue.flags.find((f) => f.name === name);

        return info ? `${name}: ${info.description}` : name;
    }

    /** The flags at a step, in words; "" for none. @param {number} step */
    sayAt(step) {
        const all = this.#series();

        return all
            .flatMap((series) =>
                flagsAt(series, step).map(
                    (name) => `⚑ ${all.length > 1 ? `${this.chart.looks.title(series)} ${series.layer}: ` : ""}${this.sentence(name)}`,
                ),
            )
            .join("\n");
    }

    /** Shows what is at the cursor, or nothing. @param {number|null} step @param {boolean} isKeyboard */
    show(step, isKeyboard) {
        const { cursor } = this.chart.chart.plot;
        const text = step === null ? "" : isKeyboard ? this.sayAt(step) : this.#under(cursor);

        this.tip.hidden = text === "";
        this.tip.textContent = text;
    }

    #under({ left, top }) {
        const place = this.places.find(
            (p) => left >= p.left - MARK_PX && left <= p.right + MARK_PX && top >= p.top - 2 && top <= p.top + LINE_PX,
        );

        if (!place) return "";
        const { span, series } = place;
        const { axis } = this.chart.view.state;
        const from = namedPlace(span.from, axis);
        const what = series.binned ? "some of the points, " : span.count > 1 ? `${longStep(span.count)} points, ` : "";
        const where = span.to > span.from ? `${what}${from} – ${longPlace(span.to, axis)}` : from;

        return [`${this.chart.looks.title(series)} ${series.layer}, ${where}`, ...span.names.map((name) => `⚑ ${this.sentence(name)}`)].join("\n");
    }
}

/* Each point of a span as a span of its own. */
function flaggedIn(flagged, { from, to }) {
    return flagged
        .filter(({ step }) => step >= from && step <= to)
        .map(({ step, names, from = step }) => ({ from, to: step, count: 1, names }));
}

/* A pole with a pennant; behind it the band, where there are many in a row. */
function drawMark({ ctx, bbox }, { left, right, top, span }, colour) {
    const ratio = uPlot.pxRatio;
    const [x, y, size] = [bbox.left + left * ratio, bbox.top + top * ratio, MARK_PX * ratio];

    ctx.setLineDash([]);
    ctx.lineJoin = "round";
    if (span.count >= BAND_MIN) {
        ctx.fillStyle = `${colour}70`;
        ctx.fillRect(x, y + size / 2, (right - left) * ratio, 2 * ratio);
    }
    ctx.beginPath();
    ctx.moveTo(x, y + size + ratio);
    ctx.lineTo(x, y);
    ctx.lineTo(x + size * 0.75, y + size * 0.3);
    ctx.lineTo(x, y + size * 0.6);
    ctx.strokeStyle = cssColour("--panel");
    ctx.lineWidth = 4 * ratio;
    ctx.stroke();
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.lineWidth = 1.25 * ratio;
    ctx.fill();
    ctx.stroke();
}

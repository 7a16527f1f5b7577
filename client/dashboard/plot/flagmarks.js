/* Flags of points as marks at the chart's lower edge, one line a curve, and one for all whose marks are the
 * same: a small flag at a point, a row of ticks over many in a row, which no curve looks like. The pointer on a mark, or the keyboard's cursor at its step, shows what the
 * flag says. */

import { longPlace, longStep, namedPlace, toX } from "../base/axis.js";
import { byId } from "../base/dom.js";
import { fewOf } from "../base/names.js";
import { cssColour } from "../base/palette.js";
import { flagsAt, spansOf } from "../data/flags.js";

const { uPlot } = globalThis;

const MARK_PX = 8;
const LINE_PX = 11;
/* Curves beyond these share the uppermost line. */
const LINES_MAX = 4;
/* Signs for missing rows stand below (marks.js). */
const GAPS_PX = 16;
const TICKS_PX = 7;
/* Fewer points in a row are marked each. */
const BAND_MIN = 3;
/* Missing rows have a sign of their own. */
const OWN_SIGN = "partial";

export class FlagMarks {
    /** @param {any} chart the MainChart */
    constructor(chart) {
        this.chart = chart;
        this.tip = byId("flag-tip");
        /** Where marks are, in CSS pixels of the plot, and of which curves. @type {{left: number, right: number, top: number, many: any[], span: any}[]} */
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

        this.places = this.#lines(u, all).flatMap(({ many, places }, i) => {
            const top = u.bbox.height / uPlot.pxRatio - bottom - LINE_PX * (Math.min(i, LINES_MAX - 1) + 1);
            return places.map((place) => ({ ...place, top, many }));
        });
        u.ctx.save();
        for (const place of this.places) drawMark(u, place, this.#colourOf(place.many));
        u.ctx.restore();
    }

    /* Curves that have the same marks share a line. */
    #lines(u, all) {
        const lines = new Map();

        for (const series of all) {
            const places = this.#placesOf(u, series);
            const key = JSON.stringify(places.map(({ span }) => span));
            if (lines.has(key)) lines.get(key).many.push(series);
            else if (places.length) lines.set(key, { many: [series], places });
        }
        return [...lines.values()];
    }

    #colourOf(many) {
        return many.length > 1 ? cssColour("--muted") : this.chart.looks.lineOf(many[0]).colour;
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
        const owners = new Map();

        for (const series of all)
            for (const name of flagsAt(series, step)) owners.set(name, [...(owners.get(name) ?? []), `${this.chart.looks.title(series)} ${series.layer}`]);
        return [...owners].map(([name, many]) => `⚑ ${all.length > 1 ? `${fewOf(many)}: ` : ""}${this.sentence(name)}`).join("\n");
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
        const { span, many } = place;
        const who = fewOf(many.map((series) => `${this.chart.looks.title(series)} ${series.layer}`));
        const { axis } = this.chart.view.state;
        const from = namedPlace(span.from, axis);
        const what = many[0].binned ? "some of the points, " : span.count > 1 ? `${longStep(span.count)} points, ` : "";
        const where = span.to > span.from ? `${what}${from} – ${longPlace(span.to, axis)}` : from;

        return [`${who}${many.length > 1 ? ":" : ","} ${where}`, ...span.names.map((name) => `⚑ ${this.sentence(name)}`)].join("\n");
    }
}

/* Each point of a span as a span of its own. */
function flaggedIn(flagged, { from, to }) {
    return flagged
        .filter(({ step }) => step >= from && step <= to)
        .map(({ step, names, from = step }) => ({ from, to: step, count: 1, names }));
}

/* A pole with a pennant; behind it ticks, where there are many in a row. */
function drawMark({ ctx, bbox }, { left, right, top, span }, colour) {
    const ratio = uPlot.pxRatio;
    const [x, y, size] = [bbox.left + left * ratio, bbox.top + top * ratio, MARK_PX * ratio];

    ctx.setLineDash([]);
    ctx.lineJoin = "round";
    if (span.count >= BAND_MIN) {
        ctx.fillStyle = `${colour}90`;
        for (let at = left + TICKS_PX; at <= right; at += TICKS_PX) ctx.fillRect(bbox.left + at * ratio, y + size / 2, ratio, size / 2);
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

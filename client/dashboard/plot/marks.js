/* What is marked in the main chart beside its lines: transitions as a band over their steps, resumed
 * attempts, and points whose window misses rows. Each has a sign of its own, so that none is told by
 * colour alone; in words they stand under the chart. */

import { longStep, shortValue, toX } from "../base/axis.js";
import { cssColour } from "../base/palette.js";

const { uPlot } = globalThis;

/* Room that a number of runs takes. */
const COUNT_PX = [34, 14];

/**
 * An EVENT of FEED.md as a sentence. It speaks of grokking only where held-out accuracy agrees.
 * @param {any} event
 */
export function sentence(event) {
    if (event.kind === "alert")
        return `⚠ ${event.level}: ${event.title}${event.text ? `: ${event.text}` : ""} (step ${longStep(event.step)})`;
    const way = `${event.direction === "fall" ? "falls" : "rises"} ${shortValue(event.from)} → ${shortValue(event.to)}`;
    const where = `over steps ${longStep(event.start)}–${longStep(event.end)}`;
    const accuracy =
        event.accuracy &&
        `${event.accuracy.name} ${shortValue(event.accuracy.from)} → ${shortValue(event.accuracy.to)}`;
    const verdict = {
        true: `grokking-like: ${accuracy}`,
        false: `${accuracy}: it did not rise with it`,
        null: "",
    }[String(event.agrees)];

    const back = isNumber(event.returned) ? `, back by ${longStep(event.returned)}` : "";

    return `${event.metric} ${way} ${where}${back}${verdict ? `, ${verdict}` : ""}`;
}

const isNumber = (value) => typeof value === "number";

/** Where the passage ends; one that has returned lasted until then. @param {any} event */
export function lastStep(event) {
    return isNumber(event.returned) ? event.returned : event.end;
}

/**
 * An element of event.query's `watched` as a sentence; "" when there are points enough to judge.
 * @param {{metric: string, points: number, needed: number}} series
 */
export function shortage({ metric, points, needed }) {
    return points < needed
        ? `${metric}: too few points to judge: ${points} of ${needed}, still needed: ${needed - points}. Train on, or take points more often`
        : "";
}

/** Attempts after the first, with the step at which each took over. @param {any} run */
export function resumes(run) {
    return (run?.attempts ?? []).filter((a) => a.attempt > 1 && a.first_step !== null);
}

/**
 * Those that a plot of a measure and these layers marks: what one form of it does, the other does.
 * @param {any[]} events @param {string[]} forms of the measure @param {string[]} layers
 */
export function ofPlot(events, forms, layers) {
    return events.filter((e) => forms.includes(e.metric) && layers.includes(e.layer));
}

/**
 * Layers of a run that pass together make one mark.
 * @param {any[]} events of one run @returns {{event: any, count: number}[]}
 */
export function together(events) {
    const found = new Map();

    for (const event of events) {
        const key = `${event.direction} ${event.start} ${event.end} ${event.returned}`;
        found.set(key, { event, count: (found.get(key)?.count ?? 0) + 1 });
    }
    return [...found.values()];
}

/**
 * Beneath the lines: a band over each transition.
 * @param {any} u the uPlot @param {{events: {event: any, colour: string}[], spacing: any}} marks
 */
export function drawTransitions(u, { events, spacing }) {
    u.ctx.save();
    for (const { event, colour } of events) {
        const left = u.valToPos(toX(event.start, spacing), "x", true);
        const right = u.valToPos(toX(lastStep(event), spacing), "x", true);
        const [a, b] = [
            Math.max(left, u.bbox.left),
            Math.min(Math.max(right, left + 2), u.bbox.left + u.bbox.width),
        ];
        if (b <= a) continue;
        u.ctx.fillStyle = `${colour}1c`;
        u.ctx.fillRect(a, u.bbox.top, b - a, u.bbox.height);
        if (!isNumber(event.returned)) continue;
        u.ctx.strokeStyle = `${colour}80`; // an interval, with both its ends
        u.ctx.lineWidth = uPlot.pxRatio;
        u.ctx.strokeRect(a, u.bbox.top, b - a, u.bbox.height);
    }
    u.ctx.restore();
}

/**
 * Over the lines: signs at the top edge for transitions and resumes, at the bottom one for gaps.
 * @param {any} u
 * @param {{events: {event: any, count: number, colour: string}[], resumes: {step: number, attempt: number, colour: string}[],
 *   gaps: {step: number, colour: string}[], spacing: any}} marks
 */
export function drawSigns(u, marks) {
    const ratio = uPlot.pxRatio;
    const { ctx, bbox } = u;
    const xOf = (step) => u.valToPos(toX(step, marks.spacing), "x", true);
    const isInside = (x) => x >= bbox.left && x <= bbox.left + bbox.width;
    const taken = [];
    /* Signs that would cover each other go one line lower. */
    const lineFor = (x, width) => {
        let line = 0;
        while (taken.some((t) => t.line === line && Math.abs(t.x - x) < (t.width + width) / 2))
            line++;
        taken.push({ x, width, line });
        return bbox.top + (4 + 15 * line) * ratio;
    };

    ctx.save();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "top";
    for (const { event, count, colour } of marks.events) {
        const x = (xOf(event.start) + xOf(lastStep(event))) / 2;
        const text = `${signOf(event)}${count > 1 ? ` × ${count}` : ""}`;
        if (isInside(x))
            label(
                ctx,
                text,
                x,
                lineFor(x, ctx.measureText(text).width + 10 * ratio),
                colour,
                ratio,
            );
    }
    for (const { step, attempt, colour } of marks.resumes) {
        const x = xOf(step);
        if (!isInside(x)) continue;
        ctx.strokeStyle = colour;
        ctx.lineWidth = ratio;
        ctx.setLineDash([3 * ratio, 4 * ratio]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        label(ctx, `↻ ${attempt}`, x, lineFor(x, 40 * ratio), colour, ratio);
    }
    ctx.textBaseline = "bottom";
    for (const { step, colour } of marks.gaps) {
        const x = xOf(step);
        if (isInside(x)) label(ctx, "△", x, bbox.top + bbox.height - 2 * ratio, colour, ratio);
    }
    ctx.restore();
}

/**
 * Over the lines of groups: how many runs a mean is of, where that changes; not where it would cover another.
 * @param {any} u @param {{step: number, value: number|null, n: number, colour: string}[]} counts @param {any} spacing
 */
export function drawCounts(u, counts, spacing) {
    const ratio = uPlot.pxRatio;
    const { ctx, bbox } = u;
    const taken = [];

    ctx.save();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    for (const { step, value, n, colour } of counts) {
        if (value === null) continue;
        const [x, y] = [u.valToPos(toX(step, spacing), "x", true), u.valToPos(value, "y", true)];
        const isFree = taken.every((t) => Math.abs(t.x - x) > COUNT_PX[0] * ratio || Math.abs(t.y - y) > COUNT_PX[1] * ratio);
        if (!isFree || x < bbox.left || x > bbox.left + bbox.width) continue;
        taken.push({ x, y });
        label(ctx, `n ${n}`, x, y - 4 * ratio, colour, ratio);
    }
    ctx.restore();
}

/** @param {any} event */
function signOf(event) {
    if (isNumber(event.returned)) return event.direction === "fall" ? "↘↗ excursion" : "↗↘ excursion";
    return `${event.direction === "fall" ? "↘" : "↗"} ${event.agrees === true ? "grokking-like" : "transition"}`;
}

/** Text with a rim of the paper's colour, so that it reads on any line. */
function label(ctx, text, x, y, colour, ratio) {
    ctx.setLineDash([]);
    ctx.lineWidth = 4 * ratio;
    ctx.lineJoin = "round";
    ctx.strokeStyle = cssColour("--panel");
    ctx.strokeText(text, x, y);
    ctx.fillStyle = colour;
    ctx.fillText(text, x, y);
}

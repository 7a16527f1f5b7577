/* What a curve of D_LR is compared with: where it began, and what white-noise features with a random
 * head read at this p and C (d_white). Thin dotted lines under the curves, each named at its right
 * end, so that none is told by colour alone. */

import { shortValue } from "../base/axis.js";
import { cssColour } from "../base/palette.js";

const { uPlot } = globalThis;

/* With more curves than these their beginnings hide what they are compared with. */
const BEGINNINGS_MAX = 4;
const LINE_PX = 14;
/* From the left edge to the middle of the axis' name, and the room that the name takes. */
const END_PX = 9;
const NAME_PX = 86;

/**
 * @typedef {object} Reference
 * @property {number} value on the left axis
 * @property {string} text
 * @property {string} colour
 */

/**
 * @param {import("../data/series.js").Series[]} left curves of D_LR
 * @param {Map<string, {layers: Map<string, {first: any, last: any}>}>} beside by run
 * @param {{title: (run: string) => string, colour: (run: string) => string}} names
 * @returns {Reference[]}
 */
export function references(left, beside, names) {
    const isMany = left.length > 1;
    const whites = new Map();
    const firsts = [];

    for (const series of left) {
        const points = beside.get(series.run)?.layers.get(series.layer);
        const white = points?.last?.d_white;
        const first = points?.first?.[series.name];
        const whose = isMany ? `${names.title(series.run)} ${series.layer} ` : "";

        if (isNumber(white)) whites.set(shortValue(white), white);
        if (isNumber(first) && left.length <= BEGINNINGS_MAX)
            firsts.push({
                value: first,
                text: `${whose}began ${shortValue(first)}`,
                colour: names.colour(series.run),
            });
    }
    return [
        ...[...whites].map(([text, value]) => ({
            value,
            text: `white noise ${text}`,
            colour: cssColour("--muted"),
        })),
        ...firsts,
    ];
}

function isNumber(value) {
    return typeof value === "number";
}

/** The lines, under the curves. @param {any} u @param {Reference[]} all */
export function drawReferences(u, all) {
    const ratio = uPlot.pxRatio;
    const { ctx, bbox } = u;

    ctx.save();
    ctx.lineWidth = ratio;
    ctx.setLineDash([ratio, 4 * ratio]);
    for (const { value, colour } of all) {
        const y = u.valToPos(value, "y", true);
        if (y < bbox.top || y > bbox.top + bbox.height) continue;
        ctx.strokeStyle = colour;
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
    }
    ctx.restore();
}

/** Their names, over the curves; those that would cover each other stand one above the other. */
export function nameReferences(u, all) {
    const ratio = uPlot.pxRatio;
    const { ctx, bbox } = u;
    let free = Infinity;

    ctx.save();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    ctx.lineJoin = "round";
    ctx.setLineDash([]);
    for (const { value, text, colour } of [...all].sort((a, b) => a.value - b.value)) {
        const y = u.valToPos(value, "y", true);
        if (y < bbox.top || y > bbox.top + bbox.height) continue;
        const at = Math.min(y - 2 * ratio, free - LINE_PX * ratio);
        const right = bbox.left + bbox.width - 6 * ratio;
        ctx.lineWidth = 4 * ratio;
        ctx.strokeStyle = cssColour("--panel");
        ctx.strokeText(text, right, at);
        ctx.fillStyle = colour;
        ctx.fillText(text, right, at);
        free = at;
    }
    ctx.restore();
}

/**
 * What the ends of the left axis mean, along it: as far as there is room.
 * @param {any} u @param {{low_end?: string, high_end?: string}|undefined} metric of metric.list
 */
export function nameEnds(u, metric) {
    const { ctx, bbox } = u;
    const ratio = uPlot.pxRatio;

    if (!metric?.low_end) return;
    ctx.save();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.fillStyle = cssColour("--muted");
    ctx.textBaseline = "middle";
    ctx.translate(END_PX * ratio, bbox.top + bbox.height);
    ctx.rotate(-Math.PI / 2);
    const room = (bbox.height - NAME_PX * ratio) / 2;
    ctx.textAlign = "left";
    ctx.fillText(`← ${metric.low_end}`, 0, 0, room);
    ctx.textAlign = "right";
    ctx.fillText(`${metric.high_end} →`, bbox.height, 0, room);
    ctx.restore();
}

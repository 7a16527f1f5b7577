/* Values of runs against what was varied, as SVG: a point a run, a line through the means of each
 * group, bars of one standard deviation over seeds or two standard errors of a single run, and on the
 * right axis the means of a scalar. It draws what it is given, and knows neither runs nor the daemon. */

import { shortValue } from "../base/axis.js";
import { numberScale, spreadOf, wordScale } from "../base/scale.js";
import { compareValues } from "../base/looks.js";
import { spacingOf } from "../data/sweep.js";
import { leftAxis, middleText, polyline, showSvg, sideways, svg, tickText } from "./svg.js";

const MARGIN = { left: 58, right: 54, top: 14, bottom: 42 };
const AIR = 0.05;

/**
 * @typedef {object} Picture
 * @property {import("../data/sweep.js").Column[]} columns
 * @property {(group: string) => string} colour
 * @property {(row: import("../data/sweep.js").Row) => string} title of a point
 * @property {(run: string) => boolean} isShown
 * @property {(run: string) => void} onPick
 * @property {string} xLabel @property {string} yLabel @property {string} rightLabel
 */

/** @param {HTMLElement} host @param {Picture} picture */
export function drawScatter(host, picture) {
    const width = Math.max(240, host.clientWidth);
    const height = Math.max(180, host.clientHeight);
    const frame = frameOf(picture, width, height);

    showSvg(host, width, height, [
        ...axes(picture, frame),
        ...groupsOf(picture.columns).flatMap((columns) => drawGroup(picture, frame, columns)),
    ]);
}

function groupsOf(columns) {
    const groups = new Map();

    for (const column of columns) groups.set(column.group, [...(groups.get(column.group) ?? []), column]);
    return [...groups.values()];
}

/* Where everything stands. */
function frameOf({ columns }, width, height) {
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const xs = columns.map((c) => c.x);
    const x = xs.every((v) => typeof v === "number")
        ? spreadScale(xs, inner.width / 70)
        : wordScale([...new Set(xs.map(String))].sort(compareValues));
    const values = columns.flatMap((c) => c.rows.flatMap((r) => [r.value, c.mean - (c.sd ?? 0), c.mean + (c.sd ?? 0)]));
    const rights = columns.map((c) => c.right).filter((v) => v !== null);
    const place = (scale) => (value) => MARGIN.top + inner.height * (1 - scale.at(value));

    const left = valueScale(values, inner.height / 45);
    const right = rights.length ? valueScale(rights, inner.height / 45) : null;
    return {
        width,
        height,
        inner,
        x: (value) => MARGIN.left + inner.width * x.at(value),
        xTicks: x.ticks,
        y: place(left),
        yTicks: left.ticks,
        right: right && place(right),
        rightTicks: right?.ticks ?? [],
    };
}

/* A little air at both ends, so that no point lies on an axis. */
function spreadScale(values, count) {
    const spacing = spacingOf(values);
    const [low, high] = [Math.min(...values), Math.max(...values)];

    if (spacing === "log") {
        const air = (high / low) ** AIR;
        return numberScale(low / air, high * air, spacing, count);
    }
    const air = spreadOf(low, high) * AIR;
    return numberScale(low - air, high + air, spacing, count);
}

/** The axis of values, from 0 where that is near. @param {number[]} values @param {number} count of ticks */
export function valueScale(values, count) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const air = spreadOf(low, high) * AIR;
    const bottom = low >= 0 && low < (high - low) * 1.5 ? 0 : low - air;

    return numberScale(bottom, high + air, "linear", count);
}

function axes({ xLabel, yLabel, rightLabel }, frame) {
    const { width, height, inner } = frame;
    const bottom = MARGIN.top + inner.height;
    const far = MARGIN.left + inner.width;

    return [
        ...leftAxis(frame.yTicks, frame.y, MARGIN.left, far),
        ...frame.xTicks.flatMap((v) => [
            svg("line", { class: "grid", x1: frame.x(v), x2: frame.x(v), y1: MARGIN.top, y2: bottom }),
            middleText(frame.x(v), bottom + 16, tickText(v)),
        ]),
        ...frame.rightTicks.map((v) => svg("text", { x: far + 6, y: frame.right(v) + 4 }, tickText(v))),
        middleText(MARGIN.left + inner.width / 2, height - 6, xLabel),
        sideways(14, MARGIN.top + inner.height / 2, -90, yLabel),
        sideways(width - 8, MARGIN.top + inner.height / 2, 90, rightLabel),
    ];
}

function drawGroup(picture, frame, columns) {
    const colour = picture.colour(columns[0].group);
    const line = (kind, list, y) => polyline({ class: kind, stroke: colour }, list.map((c) => [frame.x(c.x), y(c)]));
    const rights = columns.filter((c) => c.right !== null);

    return [
        ...(frame.right && rights.length
            ? [
                  line("right", rights, (c) => frame.right(c.right)),
                  ...rights.map((c) => svg("circle", { class: "right", stroke: colour, cx: frame.x(c.x), cy: frame.right(c.right), r: 3 })),
              ]
            : []),
        line("mean", columns, (c) => frame.y(c.mean)),
        ...columns.map((c) => bar(frame, c, colour)),
        ...columns.flatMap((c) => c.rows.map((row) => point(picture, frame, row, colour))),
    ];
}

/* One standard deviation over the runs, or two standard errors of the only one. */
function bar(frame, { x, mean, sd, rows }, colour) {
    const reach = sd ?? 2 * (rows[0].error ?? 0);

    return svg("line", {
        class: "bar",
        stroke: colour,
        x1: frame.x(x),
        x2: frame.x(x),
        y1: frame.y(mean - reach),
        y2: frame.y(mean + reach),
    });
}

function point(picture, frame, row, colour) {
    const title = picture.title(row);
    const made = svg(
        "circle",
        {
            class: "point",
            cx: frame.x(row.x),
            cy: frame.y(row.value),
            r: 5,
            fill: colour,
            "fill-opacity": picture.isShown(row.run) ? 1 : 0.35,
            stroke: colour,
            tabindex: 0,
            role: "button",
            "aria-label": title,
            "aria-pressed": picture.isShown(row.run),
            "data-run": row.run,
        },
        svg("title", {}, title),
    );

    made.addEventListener("click", () => picture.onPick(row.run));
    made.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        picture.onPick(row.run);
    });
    return made;
}

/** A row in words. @param {string} name @param {import("../data/sweep.js").Row} row @param {{x: string, y: string, right: string}} labels */
export function rowText(name, row, labels) {
    const error = row.error === null ? "" : ` ± ${shortValue(2 * row.error)}`;
    const right = row.right === null ? "" : `, ${labels.right} ${shortValue(row.right)}`;
    const x = typeof row.x === "number" ? Number(row.x.toPrecision(6)) : row.x;

    return `${name}: ${labels.x} = ${x}, ${labels.y} ${shortValue(row.value)}${error}${right}`;
}

/* A measure against depth, as SVG: one line a step, from the first layer to the last. It draws what it
 * is given. */

import { shortValue } from "../base/axis.js";
import { numberScale } from "../base/scale.js";
import { svg, tickText, valueScale } from "./scatter.js";

const MARGIN = { left: 54, right: 12, top: 10, bottom: 36 };
const DOTS_MAX = 64;

/**
 * @param {HTMLElement} host
 * @param {{layers: string[], label: string, lines: {values: (number|null)[], kind: string, text: string}[]}} picture
 *   `kind` is the line's class in style.css
 */
export function drawProfile(host, { layers, label, lines }) {
    const [width, height] = [Math.max(200, host.clientWidth), Math.max(150, host.clientHeight)];
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const known = lines.flatMap((line) => line.values).filter((v) => v !== null);
    const depth = numberScale(1, Math.max(2, layers.length), "linear", inner.width / 50);
    const value = valueScale(known.length ? known : [0, 1], inner.height / 40);
    const x = (n) => MARGIN.left + inner.width * depth.at(n);
    const y = (v) => MARGIN.top + inner.height * (1 - value.at(v));

    host.replaceChildren(
        svg(
            "svg",
            { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
            ...axes({ depth, value, x, y, width, height, inner, label }),
            ...lines.flatMap((line) => drawLine(line, layers, x, y)),
        ),
    );
}

function axes({ depth, value, x, y, width, height, inner, label }) {
    const bottom = MARGIN.top + inner.height;
    const middle = MARGIN.top + inner.height / 2;

    return [
        ...value.ticks.flatMap((v) => [
            svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(v), y2: y(v) }),
            svg("text", { x: MARGIN.left - 6, y: y(v) + 4, "text-anchor": "end" }, tickText(v)),
        ]),
        ...depth.ticks
            .filter(Number.isInteger)
            .map((n) => svg("text", { x: x(n), y: bottom + 15, "text-anchor": "middle" }, String(n))),
        svg("text", { x: MARGIN.left + inner.width / 2, y: height - 5, "text-anchor": "middle" }, "layer"),
        svg("text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, label),
    ];
}

function drawLine({ values, kind, text }, layers, x, y) {
    const places = values.flatMap((value, i) => (value === null ? [] : [{ value, n: i + 1 }]));
    const points = places.map(({ n, value }) => `${x(n)},${y(value)}`).join(" ");
    const dots = places.length > DOTS_MAX ? [] : places;

    return [
        svg("polyline", { class: kind, points }),
        ...dots.map(({ n, value }) =>
            svg(
                "circle",
                { class: kind, cx: x(n), cy: y(value), r: 2.5 },
                svg("title", {}, `${layers[n - 1]}, ${text}: ${shortValue(value)}`),
            ),
        ),
    ];
}

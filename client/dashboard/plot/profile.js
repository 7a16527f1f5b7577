/* A measure against depth, as SVG: one line a step, from the first layer to the last. It draws what it
 * is given. */

import { shortValue } from "../base/axis.js";
import { numberScale } from "../base/scale.js";
import { valueScale } from "./scatter.js";
import { leftAxis, middleText, polyline, showSvg, sideways, svg } from "./svg.js";

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

    showSvg(host, width, height, [
        ...axes({ depth, value, x, y, width, height, inner, label }),
        ...lines.flatMap((line) => drawLine(line, layers, x, y)),
    ]);
}

function axes({ depth, value, x, y, width, height, inner, label }) {
    const bottom = MARGIN.top + inner.height;
    const middle = MARGIN.top + inner.height / 2;

    return [
        ...leftAxis(value.ticks, y, MARGIN.left, width - MARGIN.right),
        ...depth.ticks.filter(Number.isInteger).map((n) => middleText(x(n), bottom + 15, String(n))),
        middleText(MARGIN.left + inner.width / 2, height - 5, "layer"),
        sideways(13, middle, -90, label),
    ];
}

function drawLine({ values, kind, text }, layers, x, y) {
    const places = values.flatMap((value, i) => (value === null ? [] : [{ value, n: i + 1 }]));
    const dots = places.length > DOTS_MAX ? [] : places;

    return [
        polyline({ class: kind }, places.map(({ n, value }) => [x(n), y(value)])),
        ...dots.map(({ n, value }) =>
            svg(
                "circle",
                { class: kind, cx: x(n), cy: y(value), r: 2.5 },
                svg("title", {}, `${layers[n - 1]}, ${text}: ${shortValue(value)}`),
            ),
        ),
    ];
}

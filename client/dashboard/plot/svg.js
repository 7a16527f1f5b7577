/* What the charts in SVG have in common. They draw what they are given. */

const NAMESPACE = "http://www.w3.org/2000/svg";

/** @param {string} name @param {Object<string, any>} attributes @param {...(Node|string)} children */
export function svg(name, attributes, ...children) {
    const made = document.createElementNS(NAMESPACE, name);

    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    made.append(...children);
    return made;
}

/** Puts a picture in the place of the host's. @param {HTMLElement} host @param {number} width @param {number} height @param {Node[]} children */
export function showSvg(host, width, height, children) {
    host.replaceChildren(svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, ...children));
}

/** A line through points. @param {Object<string, any>} attributes @param {[number, number][]} points */
export function polyline(attributes, points) {
    return svg("polyline", { ...attributes, points: points.map((point) => point.join()).join(" ") });
}

/** A text with its middle at x. @param {number} x @param {number} y @param {string} words @param {Object<string, any>} [more] */
export function middleText(x, y, words, more = {}) {
    return svg("text", { x, y, "text-anchor": "middle", ...more }, words);
}

/** A text beside an axis, read upwards (-90) or downwards (90). @param {number} x @param {number} y @param {number} angle @param {string} words */
export function sideways(x, y, angle, words) {
    return middleText(x, y, words, { transform: `rotate(${angle} ${x} ${y})` });
}

/**
 * The ticks of a left axis, each with a line across.
 * @param {(number|string)[]} ticks @param {(value: any) => number} y @param {number} left @param {number} right of the frame
 */
export function leftAxis(ticks, y, left, right) {
    return ticks.flatMap((value) => [
        svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
        svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, tickText(value)),
    ]);
}

/** @param {number|string} value */
export function tickText(value) {
    if (typeof value === "string") return value.length > 12 ? `${value.slice(0, 11)}…` : value;
    return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)
        ? value.toExponential().replace("e+", "e")
        : String(Number(value.toPrecision(4)));
}

/* The charts that are seen as pictures: each an SVG of its own, with its legend below it. What is drawn on
 * a canvas is recorded while it is drawn once more. */

import { byId } from "../base/dom.js";
import { cssColour } from "../base/palette.js";
import { drawingOf, recorded } from "../plot/recorder.js";
import { svg } from "../plot/svg.js";

/* What is smaller is a sign in a line of text. */
const SIZE_MIN_PX = 60;
const AIR_PX = 12;
/* After so many frames a chart that is not drawn again is taken as it is. */
const FRAMES_MAX = 30;
/* Of a line of text, from its top: system-ui, and others within a pixel. */
const BASELINE = 0.79;
/* What of a style a picture needs that has no style sheet, and what it has no use for. */
const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-family", "text-anchor", "opacity", "fill-opacity"];
const OF_THE_PAGE = ["class", "tabindex", "role"];
const LEGENDS = ".key, .legend";
const NOT_IN_A_PICTURE = ".actions, .state, .spoken, :is(td, p, .scalar-head) button, svg *";
const NOT_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

/** @returns {{chart: any, title: string}[]} */
export function chartsSeen() {
    return [...document.querySelectorAll("main :is(canvas, svg)")].filter(isSeen).map((chart) => ({ chart, title: titleOf(chart) }));
}

/**
 * The charts that are seen, drawn once more by `redraw`: each with what it shows, and as the text of an
 * SVG file. The runs' table, which is the main chart's legend, is left out `withoutRuns`.
 * @param {() => void} redraw @param {boolean} [withoutRuns] @returns {Promise<{title: string, source: string, width: number}[]>}
 */
export function picturesSeen(redraw, withoutRuns) {
    return recorded(async (drawings) => {
        const lacks = ({ chart }) => chart instanceof HTMLCanvasElement && !drawings.has(chart);

        redraw();
        for (let i = 0; i < 2 || (i < FRAMES_MAX && chartsSeen().some(lacks)); i++) await frame();
        return chartsSeen().map(({ chart, title }) => {
            const root = onPaper(chart, title, drawings.get(chart), legendsOf(chart, withoutRuns));
            return { title, source: new XMLSerializer().serializeToString(root).replace(NOT_XML, "\ufffd"), width: Number(root.getAttribute("width")) };
        });
    });
}

/** @param {Element} chart */
function isSeen(chart) {
    const { width, height } = chart.getBoundingClientRect();

    return width > SIZE_MIN_PX && height > SIZE_MIN_PX && chart.checkVisibility() && !chart.closest("#report");
}

function titleOf(chart) {
    const label = chart.closest("[aria-label]")?.getAttribute("aria-label") ?? "";
    const heading = chart.closest(".panel")?.querySelector("h2")?.textContent.trim() ?? "";
    const what = chart.closest("[data-picture]")?.dataset.picture ?? label.replace(/^Chart: /, "").split(". ")[0];

    return what.startsWith(heading) || heading === "Curve" ? what : `${heading}: ${what}`;
}

// ---- a file ---------------------------------------------------------------------------------------

/* Lengths are CSS pixels. */
function onPaper(chart, title, drawing, legends) {
    const { x, y, width, height } = chart.getBoundingClientRect();
    const part = chart.closest(".companion") ?? chart.parentElement; // with its name, or its axes'
    const around = wordsIn(part, { x, y }, chart);
    const top = Math.min(0, part.getBoundingClientRect().y - y) - AIR_PX;
    const parts = [svg("g", {}, chartOf(chart, drawing, width, height), ...around.nodes)];
    let [right, bottom] = [width, height];

    for (const { legend, without } of legends) {
        const box = legend.getBoundingClientRect();
        const words = wordsIn(legend, { x: box.x, y: box.y - bottom - AIR_PX }, null, without);
        parts.push(svg("g", {}, ...words.nodes));
        right = Math.max(right, words.right);
        bottom += AIR_PX + box.height;
    }
    const size = { width: Math.ceil(right + 2 * AIR_PX), height: Math.ceil(bottom + AIR_PX - top) };
    return svg(
        "svg",
        { ...size, viewBox: `${-AIR_PX} ${top} ${size.width} ${size.height}`, role: "img", fill: "none", "stroke-linejoin": "round" },
        svg("title", {}, title),
        svg("desc", {}, `${byId("metric-text").textContent} ${byId("version").textContent}, ${new Date().toLocaleString()}, ${location.href}`),
        svg("rect", { ...size, x: -AIR_PX, y: top, fill: cssColour("--panel") }),
        ...parts,
    );
}

function chartOf(chart, drawing, width, height) {
    if (!(chart instanceof HTMLCanvasElement)) return styled(chart);
    return drawing
        ? svg("g", { transform: `scale(${width / chart.width} ${height / chart.height})` }, drawingOf(drawing, chart))
        : svg("image", { href: chart.toDataURL(), width, height });
}

/* An svg of the page with the styles that it has there. */
function styled(chart) {
    const copy = chart.cloneNode(true);
    const copies = [copy, ...copy.querySelectorAll("*")];

    [chart, ...chart.querySelectorAll("*")].forEach((node, i) => {
        const style = getComputedStyle(node);
        for (const name of STYLES) copies[i].setAttribute(name, style.getPropertyValue(name));
        for (const name of OF_THE_PAGE) copies[i].removeAttribute(name);
    });
    return copy;
}

/** An svg of the page as an address of data. @param {SVGElement} chart */
export function sourceOf(chart) {
    return addressOf(new XMLSerializer().serializeToString(styled(chart)));
}

/** @param {string} source of an SVG file */
export function addressOf(source) {
    return `data:image/svg+xml,${source.replace(/[%#"<>&\n]/g, encodeURIComponent)}`;
}

/** An SVG file in points, twice as fine as its pixels or as the screen. @param {string} source @returns {Promise<HTMLCanvasElement>} */
export async function rasterOf(source) {
    const image = new Image();
    const canvas = document.createElement("canvas");
    const ratio = Math.max(2, devicePixelRatio);

    image.src = addressOf(source);
    await image.decode();
    canvas.width = ratio * image.width;
    canvas.height = ratio * image.height;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
}

// ---- what stands around it ------------------------------------------------------------------------

/* The nearest ones. A chart that has none has the main one's, without the values of the main chart. */
function legendsOf(chart, withoutRuns) {
    const runs = document.querySelector(".legend");
    const seen = (part) => [...part.querySelectorAll(LEGENDS)].filter((legend) => legend.checkVisibility() && !(withoutRuns && legend === runs));
    const panel = chart.closest(".panel");

    for (let part = chart.parentElement; panel?.contains(part); part = part.parentElement)
        if (part.querySelector(LEGENDS)) return seen(part).map((legend) => ({ legend, without: NOT_IN_A_PICTURE }));
    return withoutRuns ? [] : [{ legend: runs, without: `${NOT_IN_A_PICTURE}, .number` }];
}

/* Words and signs of a part of the page, each at its place from `origin`. */
function wordsIn(part, origin, chart = null, without = NOT_IN_A_PICTURE) {
    const texts = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
    const nodes = [...part.querySelectorAll("svg, .dot, .rule, .ramp")].filter((sign) => sign !== chart).map((sign) => signOf(sign, origin));
    let right = 0;

    while (texts.nextNode()) {
        const parent = texts.currentNode.parentElement;
        const { color: fill, fontSize, fontFamily, fontWeight } = getComputedStyle(parent);
        const edge = (parent.closest("th, td, button") ?? part).getBoundingClientRect().right;
        for (const { words, x, y, width, height } of parent.closest(without) ? [] : linesOf(texts.currentNode)) {
            const share = (edge - x) / width; // below 1: the page cuts it
            const at = { x: x - origin.x, y: y - origin.y + BASELINE * height };
            if (share <= 0) continue;
            nodes.push(svg("text", { ...at, fill, "font-size": fontSize, "font-family": fontFamily, "font-weight": fontWeight }, share < 0.99 ? `${words.slice(0, share * words.length - 2)}…` : words));
            right = Math.max(right, at.x + width * Math.min(1, share));
        }
    }
    return { nodes, right };
}

/* A text as the page breaks it. */
function linesOf(node) {
    const lines = [];

    for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        const { x, y, right, width, height } = range.getBoundingClientRect();
        const last = lines.at(-1);
        if (!width) continue;
        if (last?.y === y) Object.assign(last, { words: `${last.words} ${word}`, width: right - last.x });
        else lines.push({ words: word, x, y, width, height });
    }
    return lines;
}

function signOf(sign, origin) {
    const box = sign.getBoundingClientRect();
    const [x, y, width, height] = [box.x - origin.x, box.y - origin.y, box.width, box.height];
    const { backgroundColor: fill, backgroundImage, borderRadius, borderTopColor: stroke, borderTopStyle } = getComputedStyle(sign);
    const colours = backgroundImage.match(/rgb\([^)]*\)/g);

    if (sign instanceof SVGElement) return svg("g", { transform: `translate(${x} ${y})` }, styled(sign));
    if (sign.matches(".rule")) return svg("line", { x1: x, y1: y + 1, x2: x + width, y2: y + 1, stroke, "stroke-width": 2, "stroke-dasharray": borderTopStyle === "dashed" ? 4 : "none" });
    const rect = svg("rect", { x, y, width, height, rx: parseFloat(borderRadius), fill: colours ? "url(#ramp)" : fill });
    if (!colours) return rect;
    const stops = colours.map((colour, i) => svg("stop", { offset: i / (colours.length - 1), "stop-color": colour }));
    return svg("g", {}, svg("linearGradient", { id: "ramp" }, ...stops), rect);
}

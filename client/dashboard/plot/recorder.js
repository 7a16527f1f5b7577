/* What is drawn on canvases, as SVG. While it is recorded, contexts and paths also note their calls: those
 * that the page and uPlot make. Styles and transforms are read when something is painted, so that it does
 * not matter who set them, and when. */

import { svg } from "./svg.js";

/* More cells of a map become one picture: editors are slow with them. */
const AREAS_MAX = 20000;
const ANCHORS = { center: "middle", right: "end" };
/* As SVG has it where nothing is said. */
const USUAL = { transform: "matrix(1, 0, 0, 1, 0, 0)", opacity: 1, "stroke-dasharray": "" };

const rounded = (/** @type {number} */ value) => Math.round(value * 100) / 100;

/* A path's words are kept on it, and on the context of which it is the current one. Of arcs there are
 * circles alone. */
const VERBS = {
    moveTo: (x, y) => `M${x} ${y}`,
    lineTo: (x, y) => `L${x} ${y}`,
    rect: (x, y, width, height) => `M${x} ${y}h${width}v${height}h${-width}z`,
    arc: (x, y, r) => `M${x + r} ${y}a${r} ${r} 0 1 1 ${-2 * r} 0a${r} ${r} 0 1 1 ${2 * r} 0`,
    closePath: () => "z",
};

/* Canvas takes a path's first line as a move. */
const wordsOf = (context, path) => ((path?.moveTo ? path : context).words ?? "").replace(/^L/, "M");

/* rgba() becomes a colour and its opacity: not all that read SVG know it. */
function painted(context, kind, name, attributes, ...children) {
    const style = context[`${kind}Style`];
    const [, rgb, alpha = 1] = /^rgba\((.+), (.+)\)$/.exec(style) ?? [];
    const all = {
        transform: String(context.getTransform()),
        ...attributes,
        [kind]: rgb ? `rgb(${rgb})` : style,
        opacity: rounded(alpha * context.globalAlpha),
    };

    if (!all.opacity) return undefined;
    if (kind === "stroke") Object.assign(all, { "stroke-width": rounded(context.lineWidth), "stroke-dasharray": context.getLineDash().map(rounded).join(" ") });
    return svg(name, Object.fromEntries(Object.entries(all).filter(([key, value]) => value !== USUAL[key])), ...children);
}

/* The text stands on its own line: not all that read SVG know another baseline. */
function written(context, kind, words, x, y, width_max) {
    const { textBaseline } = context;
    const [, weight = "normal", size, family] = /^(?:(\S+) )?([\d.]+px) (.*)$/.exec(context.font) ?? [];
    const { width, actualBoundingBoxAscent } = context.measureText(words);

    context.textBaseline = "alphabetic";
    const below = context.measureText(words).actualBoundingBoxAscent - actualBoundingBoxAscent;
    context.textBaseline = textBaseline;
    return painted(
        context,
        kind,
        "text",
        {
            x: rounded(x),
            y: rounded(y + below),
            "font-weight": weight,
            "font-size": size,
            "font-family": family,
            "text-anchor": ANCHORS[context.textAlign] ?? "start",
            ...(width > width_max ? { textLength: rounded(width_max), lengthAdjust: "spacingAndGlyphs" } : {}),
        },
        words,
    );
}

/* What a call adds to a drawing, if it does. */
const CALLS = {
    beginPath: (context) => void (context.words = ""),
    save: (_, drawing) => void drawing.saved.push(drawing.group),
    restore: (_, drawing) => void (drawing.group = drawing.saved.pop() ?? drawing.group),
    clip(context, drawing, path) {
        const id = `clip${drawing.n_clips++}`;
        const clipped = svg("g", { "clip-path": `url(#${id})` });

        drawing.group.append(svg("clipPath", { id }, svg("path", { d: wordsOf(context, path), transform: context.getTransform() })), clipped);
        drawing.group = clipped;
    },
    fill: (context, _, path) => painted(context, "fill", "path", { d: wordsOf(context, path) }),
    stroke: (context, _, path) => painted(context, "stroke", "path", { d: wordsOf(context, path) }),
    fillText: (context, _, ...values) => written(context, "fill", ...values),
    strokeText: (context, _, ...values) => written(context, "stroke", ...values),
    fillRect: (context, _, ...values) => painted(context, "fill", "path", { d: VERBS.rect(...values.map(rounded)) }),
    strokeRect: (context, _, ...values) => painted(context, "stroke", "path", { d: VERBS.rect(...values.map(rounded)) }),
};

/* One recording at a time: each puts back what it found. */
let last = Promise.resolve();

/**
 * Runs `work`, which is told what was drawn meanwhile on each canvas that was emptied before; after those
 * that were asked for before it.
 * @template T @param {(drawings: Map<HTMLCanvasElement, {root: SVGElement}>) => Promise<T>} work @returns {Promise<T>}
 */
export function recorded(work) {
    const done = last.then(() => recordedAlone(work));

    last = done.then(
        () => {},
        () => {},
    );
    return done;
}

async function recordedAlone(work) {
    const drawings = new Map();
    const undo = [];
    const replace = (target, name, change) => {
        const native = Object.getOwnPropertyDescriptor(target, name);
        Object.defineProperty(target, name, { ...native, ...change(native) });
        undo.push(() => Object.defineProperty(target, name, native));
    };
    const on = (drawn, name, note, key = "value") =>
        replace(drawn.prototype, name, ({ [key]: native }) => ({
            [key](...values) {
                note(this, values);
                return native.apply(this, values);
            },
        }));
    const begin = (canvas) => {
        const root = svg("g", {});
        drawings.set(canvas, { root, group: root, saved: [], n_clips: 0 });
    };

    for (const [name, verb] of Object.entries(VERBS))
        for (const drawn of [Path2D, CanvasRenderingContext2D])
            on(drawn, name, (path, values) => (path.words = (path.words ?? "") + (values.every(Number.isFinite) ? verb(...values.map(rounded)) : "")));
    for (const [name, call] of Object.entries(CALLS))
        on(CanvasRenderingContext2D, name, (context, values) => {
            const drawing = drawings.get(context.canvas);
            const made = drawing && call(context, drawing, ...values);
            if (made) drawing.group.append(made);
        });
    on(HTMLCanvasElement, "width", begin, "set");
    on(CanvasRenderingContext2D, "clearRect", ({ canvas }) => begin(canvas));
    /* A copy of a path has its words. */
    replace(globalThis, "Path2D", ({ value }) => ({
        value: class extends value {
            constructor(from) {
                super(from ?? "");
                this.words = from?.words ?? "";
            }
        },
    }));
    try {
        return await work(drawings);
    } finally {
        undo.forEach((step) => step());
    }
}

/** What was recorded of a canvas; the areas of a large map are one picture below all else. @param {{root: SVGElement}} drawing @param {HTMLCanvasElement} canvas */
export function drawingOf({ root }, { width, height }) {
    const areas = root.querySelectorAll(":scope > path[fill]");
    const context = document.createElement("canvas").getContext("2d");

    if (areas.length <= AREAS_MAX) return root;
    Object.assign(context.canvas, { width, height });
    for (const area of areas) {
        context.setTransform(new DOMMatrix(area.getAttribute("transform") ?? "none"));
        context.fillStyle = area.getAttribute("fill");
        context.globalAlpha = Number(area.getAttribute("opacity") ?? 1);
        context.fill(new Path2D(area.getAttribute("d")));
        area.remove();
    }
    root.prepend(svg("image", { href: context.canvas.toDataURL(), width, height }));
    return root;
}

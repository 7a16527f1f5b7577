/* Runs as lines over parallel axes, on a canvas; over it each axis has a name, which moves the axis, and
 * a strip, which brushes it. It draws what it is given and tells what is asked of it. Keys: on a name,
 * left and right move the axis, Delete takes it away; on a strip, up and down move the brush, with
 * Shift they widen it, Escape clears it, Enter shows the runs. */

import { element, oncePerFrame } from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { cssColour } from "../base/palette.js";
import { tickText } from "./svg.js";

const TOP = 34;
const BOTTOM = 34;
const SIDE = 62;
const AXIS_MIN_PX = 92;
const NEAR_PX = 8;
/* Below the axes, where runs without a value pass. */
const ABSENT_PX = 18;
const STEP = 0.05;
const FONT = "12px system-ui, sans-serif";

/**
 * @typedef {object} Picture
 * @property {import("../data/parallel.js").Axis[]} axes
 * @property {Map<string, [number, number]>} brushes
 * @property {(axis: import("../data/parallel.js").Axis) => string} words what its brush covers
 * @property {{run: string, colour: string, isCovered: boolean, isShown: boolean}[]} lines
 */

/** Events: "brush" (detail {name, shares|null}), "move" ({name, place}), "remove" (name), "pick" (run), "show", "over" (run or ""). */
export class ParallelPlot extends EventTarget {
    /** @param {HTMLElement} host */
    constructor(host) {
        super();
        this.host = host;
        this.canvas = /** @type {HTMLCanvasElement} */ (element("canvas", { "aria-hidden": "true" }));
        host.append(this.canvas);
        /** @type {Map<string, {title: HTMLElement, strip: HTMLElement, window: HTMLElement}>} */ this.parts = new Map();
        /** @type {Picture|null} */ this.picture = null;
        this.over = "";
        this.draft = null;
        this.draw = oncePerFrame(() => this.#draw());
        this.canvas.addEventListener("mousemove", (event) => this.#hover(this.#lineAt(event)));
        this.canvas.addEventListener("mouseleave", () => this.#hover(""));
        this.canvas.addEventListener("click", (event) => {
            const run = this.#lineAt(event);
            if (run) this.#tell("pick", run);
        });
        new ResizeObserver(this.draw).observe(host.parentElement);
    }

    /** @param {Picture} picture */
    show(picture) {
        this.picture = picture;
        this.draw();
    }

    #tell(name, detail) {
        this.dispatchEvent(new CustomEvent(name, { detail }));
    }

    #hover(run) {
        if (run === this.over) return;
        this.over = run;
        this.canvas.style.cursor = run ? "pointer" : "";
        this.#tell("over", run);
        this.draw();
    }

    // ---- where everything stands ----------------------------------------------------------------

    #measure() {
        const n = this.picture.axes.length;
        const width = Math.max(this.host.parentElement.clientWidth, 2 * SIDE + AXIS_MIN_PX * (n - 1));
        const height = Math.max(240, this.host.clientHeight);
        const between = n > 1 ? (width - 2 * SIDE) / (n - 1) : 0;

        this.frame = { width, height, between, inner: height - TOP - BOTTOM };
    }

    #x(i) {
        return SIDE + i * this.frame.between;
    }

    #y(place) {
        return place === null ? TOP + this.frame.inner + ABSENT_PX : TOP + this.frame.inner * (1 - place);
    }

    #shares(name) {
        return this.draft?.name === name ? this.draft.shares : this.picture.brushes.get(name);
    }

    // ---- lines ------------------------------------------------------------------------------------

    #draw() {
        if (!this.picture || this.host.clientWidth === 0) return;
        this.#measure();
        const { width, height } = this.frame;
        const ratio = devicePixelRatio;
        const context = this.canvas.getContext("2d");

        this.host.style.width = `${width}px`;
        this.canvas.width = width * ratio;
        this.canvas.height = height * ratio;
        this.canvas.style.width = `${width}px`;
        context.scale(ratio, ratio);
        context.font = FONT;
        this.#drawLines(context);
        this.picture.axes.forEach((axis, i) => this.#drawAxis(context, axis, i));
        this.#place();
        this.canvas.dataset.lines = String(this.picture.lines.length);
    }

    /* Those of one colour are one path: a thousand runs are a few strokes. */
    #drawLines(context) {
        const { lines } = this.picture;
        const ways = new Map();
        const add = (order, colour, width, alpha, i) => {
            const key = `${order} ${colour}`;
            if (!ways.has(key)) ways.set(key, { order, colour, width, alpha, path: new Path2D() });
            this.#trace(ways.get(key).path, i);
        };

        lines.forEach(({ run, colour, isCovered, isShown }, i) => {
            if (run === this.over) add(3, colour, 3.5, 1, i);
            else if (!isCovered) add(0, cssColour("--line"), 1, 1, i);
            else add(isShown ? 2 : 1, colour, isShown ? 2.25 : 1.25, isShown || lines.length < 100 ? 0.9 : 0.5, i);
        });
        for (const { colour, width, alpha, path } of [...ways.values()].sort((a, b) => a.order - b.order)) {
            context.globalAlpha = alpha;
            context.strokeStyle = colour;
            context.lineWidth = width;
            context.stroke(path);
        }
        context.globalAlpha = 1;
    }

    #trace(path, line) {
        this.picture.axes.forEach((axis, i) => {
            const y = this.#y(axis.places[line]);
            if (i === 0) path.moveTo(this.#x(i), y);
            else path.lineTo(this.#x(i), y);
        });
    }

    #drawAxis(context, axis, i) {
        const x = this.#x(i);
        const text = (words, y) => {
            context.strokeStyle = cssColour("--panel");
            context.lineWidth = 4;
            context.strokeText(words, x - 7, y);
            context.fillStyle = cssColour("--text");
            context.fillText(words, x - 7, y);
        };

        context.strokeStyle = cssColour("--muted");
        context.lineWidth = 1;
        context.strokeRect(x, TOP, 0, this.frame.inner);
        context.textAlign = "right";
        context.textBaseline = "middle";
        for (const tick of axis.ticks) {
            context.strokeStyle = cssColour("--muted");
            context.lineWidth = 1;
            context.strokeRect(x - 4, this.#y(axis.at(tick)), 4, 0);
            text(tickText(tick), this.#y(axis.at(tick)));
        }
        if (axis.places.includes(null)) text("none", this.#y(null));
    }

    /* The run whose line passes nearest to the pointer. */
    #lineAt(event) {
        const box = this.canvas.getBoundingClientRect();
        const [x, y] = [event.clientX - box.left, event.clientY - box.top];
        const { axes, lines } = this.picture;
        const i = Math.min(axes.length - 2, Math.max(0, Math.floor((x - SIDE) / this.frame.between)));
        let best = { run: "", distance: NEAR_PX };

        if (axes.length < 2) return "";
        const share = Math.min(1, Math.max(0, (x - this.#x(i)) / this.frame.between));
        lines.forEach(({ run, isCovered }, k) => {
            const [a, b] = [this.#y(axes[i].places[k]), this.#y(axes[i + 1].places[k])];
            const distance = Math.abs(a + (b - a) * share - y);
            if (isCovered && distance < best.distance) best = { run, distance };
        });
        return best.run;
    }

    // ---- names and strips -------------------------------------------------------------------------

    #place() {
        const { axes } = this.picture;
        const names = new Set(axes.map((axis) => axis.name));

        for (const [name, { title, strip }] of this.parts)
            if (!names.has(name)) {
                title.remove();
                strip.remove();
                this.parts.delete(name);
            }
        axes.forEach((axis, i) => this.#placeAxis(axis, i));
    }

    #placeAxis(axis, i) {
        if (!this.parts.has(axis.name)) this.#make(axis.name);
        const { title, strip, window } = this.parts.get(axis.name);
        const shares = this.#shares(axis.name);
        const [from, to] = shares ?? [0, 1];
        const room = Math.min(this.frame.between || 2 * SIDE, 2 * SIDE) - 6;

        title.textContent = axis.label;
        title.title = `${axis.label}: drag, or left and right, to move; Delete takes the axis away`;
        Object.assign(title.style, { left: `${this.#x(i) - room / 2}px`, width: `${room}px` });
        Object.assign(strip.style, { left: `${this.#x(i) - 12}px`, top: `${TOP}px`, height: `${this.frame.inner}px` });
        Object.assign(window.style, { top: `${100 * (1 - to)}%`, height: `${100 * (to - from)}%` });
        window.hidden = !shares;
        strip.setAttribute("aria-label", axis.label);
        strip.setAttribute("aria-valuenow", String(Math.round(50 * (from + to))));
        strip.setAttribute("aria-valuetext", shares ? this.picture.words(axis) : "all");
    }

    #make(name) {
        const title = element("button", { type: "button", class: "quiet axis-name", "data-axis": name });
        const window = element("div", { class: "axis-window" });
        const strip = element(
            "div",
            { class: "axis-strip", role: "slider", "data-axis": name, aria: { orientation: "vertical", valuemin: 0, valuemax: 100, valuenow: 50 } },
            window,
        );

        strip.tabIndex = 0;
        bindKeys(title, "axisName", {
            move: (key) => this.#tell("move", { name, place: this.#placeOf(name) + (key === "ArrowLeft" ? -1 : 1) }),
            remove: () => this.#tell("remove", name),
        });
        title.addEventListener("pointerdown", (event) => this.#dragTitle(event, name, title));
        bindKeys(strip, "axis", {
            move: (key, event) => this.#moveBrush(name, key === "ArrowUp" || key === "ArrowRight" ? 1 : -1, event.shiftKey),
            show: () => this.#tell("show"),
            leave: () => this.#tell("brush", { name, shares: null }),
        });
        strip.addEventListener("pointerdown", (event) => this.#dragStrip(event, name, strip));
        this.parts.set(name, { title, strip, window });
        this.host.append(title, strip);
    }

    #placeOf(name) {
        return this.picture.axes.findIndex((axis) => axis.name === name);
    }

    #dragTitle(down, name, title) {
        const place = this.#placeOf(name);
        const shift = (event) => event.clientX - down.clientX;

        this.#drag(
            title,
            down,
            (event) => (title.style.transform = `translateX(${shift(event)}px)`),
            (event) => {
                title.style.transform = "";
                const moved = Math.round(shift(event) / (this.frame.between || 1));
                if (moved) this.#tell("move", { name, place: place + moved });
            },
        );
    }

    #moveBrush(name, way, isWider) {
        this.#tell("brush", { name, shares: moved(this.#shares(name), way, isWider, this.#unit(name)) });
    }

    /* By which a key moves a brush: a category, or a twentieth. */
    #unit(name) {
        const { nWords } = this.picture.axes.find((axis) => axis.name === name);

        return nWords ? 1 / nWords : STEP;
    }

    /* Within a brush it is moved, at its ends one is, elsewhere a new one begins; a click clears. */
    #dragStrip(down, name, strip) {
        const box = strip.getBoundingClientRect();
        const at = (event) => Math.min(1, Math.max(0, 1 - (event.clientY - box.top) / box.height));
        const [start, old] = [at(down), this.#shares(name)];
        const way = grip(old, start, NEAR_PX / box.height);
        const shares = (event) => way(at(event));

        this.#drag(
            strip,
            down,
            (event) => {
                this.draft = { name, shares: shares(event) };
                this.draw();
            },
            (event, hasMoved) => {
                this.draft = null;
                this.#tell("brush", { name, shares: hasMoved ? shares(event) : null });
                this.draw();
            },
        );
    }

    #drag(target, down, onMove, onEnd) {
        const ends = new AbortController();
        let hasMoved = false;

        target.setPointerCapture(down.pointerId);
        const listen = (type, work) => target.addEventListener(type, work, { signal: ends.signal });
        listen("pointermove", (event) => {
            hasMoved ||= Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > 3;
            if (hasMoved) onMove(event);
        });
        for (const type of ["pointerup", "pointercancel"])
            listen(type, (event) => {
                ends.abort();
                onEnd(event, hasMoved);
            });
    }
}

/* What a drag that starts there does to a brush, of which another place makes another one. */
function grip(old, start, near) {
    if (old && Math.abs(start - old[0]) < near) return (place) => [Math.min(place, old[1]), Math.max(place, old[1])];
    if (old && Math.abs(start - old[1]) < near) return (place) => [Math.min(place, old[0]), Math.max(place, old[0])];
    if (old && start > old[0] && start < old[1]) return (place) => shifted(old, place - start);
    return (place) => [Math.min(start, place), Math.max(start, place)];
}

function shifted([from, to], by) {
    const held = Math.min(1 - to, Math.max(-from, by));

    return [from + held, to + held];
}

/* By a key: the first makes a brush at that end of the axis. */
function moved(shares, way, isWider, unit) {
    const size = Math.max(unit, Math.round(0.25 / unit) * unit);

    if (!shares) return way > 0 ? [1 - size, 1] : [0, size];
    if (!isWider) return shifted(shares, way * unit);
    return way > 0 ? [shares[0], Math.min(1, shares[1] + unit)] : [Math.max(0, shares[0] - unit), shares[1]];
}

/* Below the legend, in words: transitions and alerts of the runs that are shown, resumes, gaps, flags, and
 * which series are too short to judge. What several of them say in the same words is one line. */

import { longStep } from "../base/axis.js";
import { byId, element, oncePerFrame } from "../base/dom.js";
import { fewOf } from "../base/names.js";
import { lastStep, resumes, sentence, shortage } from "../plot/marks.js";

const GAPS_SHOWN = 8;

/** @typedef {{who: string, text: string, sign?: string, run?: string, event?: any}} Line */

/**
 * Lines that say the same become one, where the first of them stands; events stay, as each is a button.
 * @param {Line[]} lines @returns {{names: string[], line: Line}[]}
 */
export function merged(lines) {
    const found = new Map();

    for (const [i, line] of lines.entries()) {
        const key = line.event ? i : `${line.sign ?? ""}${line.text}`;
        if (found.has(key)) found.get(key).names.push(line.who);
        else found.set(key, { names: [line.who], line });
    }
    return [...found.values()];
}

export class EventList {
    /** @param {{view: any, catalogue: any, curves: any, looks: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        const redraw = oncePerFrame(() => this.#draw());

        this.chart.addEventListener("drawn", redraw);
        this.view.on(["runs", "group", "lines"], redraw);
    }

    #draw() {
        const all = merged(this.view.state.runs.flatMap((run) => this.#linesOf(run)));
        const rows = all.map(({ names, line }) => this.#row(names, line));
        const list = byId("event-list");

        byId("events").hidden = rows.length === 0 || this.looks.showsMeans;
        if (rows.length !== list.children.length || rows.some((row, i) => row.textContent !== list.children[i].textContent))
            list.replaceChildren(...rows);
    }

    /** @returns {Line[]} */
    #linesOf(run) {
        const title = this.catalogue.title(run);
        const series = this.curves.metrics.get(run) ?? [];
        const drawn = (list) => (list ?? []).filter((one) => this.#isDrawn(run, one));

        return [
            ...drawn(this.curves.events.get(run)).map((event) => ({ who: this.#whose(run, event), text: sentence(event), run, event })),
            ...drawn(this.curves.watched.get(run))
                .filter(shortage)
                .map((one) => ({ who: this.#whose(run, one), text: shortage(one) })),
            ...resumes(this.catalogue.get(run)).map((a) => ({ sign: "↻ ", who: title, text: `attempt ${a.attempt} from step ${longStep(a.first_step)}` })),
            ...series
                .filter((s) => s.gaps.length)
                .map((s) => ({ sign: "△ ", who: this.#whose(run, s), text: `rows are missing ${s.binned ? "in bins up to" : "at"} ${gapText(s.gaps)}` })),
            ...series.flatMap((s) => this.#flagsOf(run, s)),
        ];
    }

    /* What the latest point wants the reader to know. */
    #flagsOf(run, { layer }) {
        const flags = this.curves.beside.get(run)?.layers.get(layer)?.last?.flags ?? [];

        return flags.map((name) => ({ sign: "⚑ ", who: this.#whose(run, { layer }), text: this.chart.flags.sentence(name) }));
    }

    /* Of a layer whose line is there, or of a scalar. */
    #isDrawn(run, { layer }) {
        return layer === null || this.catalogue.layersOf(run, this.view.state.layer).includes(layer);
    }

    /* The run and the layer; a scalar has none. */
    #whose(run, { layer }) {
        return layer === null ? this.catalogue.title(run) : `${this.catalogue.title(run)} ${layer}`;
    }

    #row(names, { sign = "", text, run, event }) {
        const words = `${sign}${fewOf(names)}: ${text}`;

        if (!event) return element("li", { class: sign === "⚑ " ? "flag" : undefined, title: names.join("\n") }, words);
        return element(
            "li",
            {},
            element("button", { type: "button", class: "link", title: "zoom there", onclick: () => this.#zoomTo(run, event) }, words),
        );
    }

    #zoomTo(run, event) {
        const end = lastStep(event);
        const room = Math.max(5, (end - event.start) / 2);

        this.chart.zoom.toSteps(run, Math.max(0, Math.floor(event.start - room)), Math.ceil(end + room));
    }
}

/* The first few of them, by step. */
function gapText(steps) {
    const more = steps.length - GAPS_SHOWN;

    return `step ${steps.slice(0, GAPS_SHOWN).map(longStep).join(", ")}${more > 0 ? ` and ${longStep(more)} more` : ""}`;
}

/* What is on the screen as a file: each chart as SVG or PNG, and the data of the steps in view as CSV or
 * JSON, asked from the daemon again with every measure and as many points as one answer holds. */

import { byId, element } from "../base/dom.js";
import { chartsSeen, picturesSeen, rasterOf } from "./pictures.js";

/* series.query's limit. */
const POINTS_MAX = 100000;

/** @param {string} name @param {Blob} blob */
export function save(name, blob) {
    const link = document.createElement("a");

    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** A field of RFC 4180; what a spreadsheet would run as a formula is text. @param {any} value */
export function csvField(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);

    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One row a step of columns that may be binned, named as in the daemon's CSV (HTTP.md). @param {Object<string, any>} columns @returns {[string[], any[][]]} */
export function rowsOf(columns) {
    const flat = Object.entries(columns).flatMap(([name, column]) =>
        Array.isArray(column)
            ? [[name, column]]
            : Object.entries(column).map(([part, values]) => [`${name}_${part}`, values]),
    );
    const cell = (value) => (Array.isArray(value) ? value.join(" ") : value);

    return [
        flat.map(([name]) => name),
        flat.length ? flat[0][1].map((_, i) => flat.map(([, values]) => cell(values[i]))) : [],
    ];
}

/**
 * One table of all series: the union of their columns, named as in the daemon's CSV, where a layer
 * has its `layer` before and a scalar its `name`; the run stands before both.
 * @param {{run: string, name: string, layers: any[], scalars: any[]}[]} runs
 */
export function toCsv(runs) {
    const tables = runs.flatMap((r) => [
        ...r.layers.map((l) => ({ head: [r.run, r.name, l.layer, ""], rows: rowsOf(l.columns) })),
        ...r.scalars.map((s) => ({ head: [r.run, r.name, "", s.name], rows: rowsOf(s.columns) })),
    ]);
    const names = [...new Set(tables.flatMap((t) => t.rows[0]))];
    const lines = [["run", "run_name", "layer", "name", ...names]];

    for (const {
        head,
        rows: [own, rows],
    } of tables) {
        const places = names.map((n) => own.indexOf(n));
        for (const row of rows)
            lines.push([...head, ...places.map((i) => (i < 0 ? null : row[i]))]);
    }
    return `${lines.map((line) => line.map(csvField).join(",")).join("\r\n")}\r\n`;
}

export class Exporter {
    /** @param {{feed: any, view: any, catalogue: any, chart: any, redraw: () => void}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        byId("export-menu").addEventListener("toggle", () => this.#offerCharts());
        byId("export-csv").addEventListener("click", () => this.#save(() => this.#saveData("csv")));
        byId("export-json").addEventListener("click", () => this.#save(() => this.#saveData("json")));
    }

    /* A chart a row. They are looked for again when one is chosen: what is drawn meanwhile may be another. */
    #offerCharts() {
        const offer = ({ chart, title }, i) => [
            element("span", { title }, title),
            ...["SVG", "PNG"].map((kind) =>
                element("button", { type: "button", aria: { label: `${title}, as ${kind}` }, onclick: () => this.#save(() => this.#saveChart(title, i, chart.closest("#chart") !== null, kind)) }, kind),
            ),
        ];

        byId("export-charts").replaceChildren(...(byId("export-menu").open ? chartsSeen().flatMap(offer) : []));
    }

    async #saveChart(chosen, i, isMain, kind) {
        const pictures = await picturesSeen(this.redraw);
        const { title, source } = [pictures[i], ...pictures].find((picture) => picture?.title === chosen) ?? pictures[i];
        const name = this.#name(kind.toLowerCase(), isMain ? undefined : title.slice(0, 60));

        if (kind === "SVG") save(name, new Blob([source], { type: "image/svg+xml" }));
        else (await rasterOf(source)).toBlob((blob) => save(name, blob));
    }

    async #save(work) {
        byId("export-menu").open = false;
        try {
            await work();
        } catch (error) {
            byId("notice").textContent = `Not exported: ${error.message}`;
        }
    }

    #name(ending, what = this.view.state.metric) {
        const { runs } = this.view.state;
        const title = runs.length === 1 ? this.catalogue.title(runs[0]) : `${runs.length}-runs`;

        return `richd-${title}-${what}.${ending}`.replace(/[^\w.-]+/g, "_");
    }

    async #read() {
        const { runs } = this.view.state;

        return Promise.all(
            runs.map(async (run) => {
                const range = { points: POINTS_MAX, ...this.chart.places.question(run) };
                const [series, scalars, events] = await Promise.all([
                    this.feed.call("series.query", { run, ...range }),
                    this.feed.call("scalars.query", { run, ...range }),
                    this.feed.call("event.query", { run }),
                ]);
                const { name, project, config, summary } = this.catalogue.get(run);
                return {
                    run,
                    name,
                    project,
                    config,
                    summary,
                    layers: series.layers,
                    scalars: scalars.scalars,
                    events: events.events,
                };
            }),
        );
    }

    async #saveData(kind) {
        const runs = await this.#read();

        if (kind === "csv") save(this.#name("csv"), new Blob([toCsv(runs)], { type: "text/csv" }));
        else save(this.#name("json"), new Blob([JSON.stringify({ runs }, null, 1)], { type: "application/json" }));
    }
}

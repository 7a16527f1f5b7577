/* What is on the screen as a file: the main chart as PNG, and the data of the steps in view as CSV or
 * JSON, asked from the daemon again with every measure and as many points as one answer holds. */

import { byId } from "../base/dom.js";
import { cssColour } from "../base/palette.js";

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
    /** @param {{feed: any, view: any, catalogue: any, chart: any, looks: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        byId("export-png").addEventListener("click", () => this.#savePng());
        byId("export-csv").addEventListener("click", () => this.#saveData("csv"));
        byId("export-json").addEventListener("click", () => this.#saveData("json"));
    }

    #name(ending) {
        const { runs, metric } = this.view.state;
        const title = runs.length === 1 ? this.catalogue.title(runs[0]) : `${runs.length}-runs`;

        return `richd-${title}-${metric}.${ending}`.replace(/[^\w.-]+/g, "_");
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
        byId("export-menu").open = false;
        try {
            const runs = await this.#read();
            if (kind === "csv")
                save(this.#name("csv"), new Blob([toCsv(runs)], { type: "text/csv" }));
            else
                save(
                    this.#name("json"),
                    new Blob([JSON.stringify({ runs }, null, 1)], { type: "application/json" }),
                );
        } catch (error) {
            byId("notice").textContent = `Not exported: ${error.message}`;
        }
    }

    /** The chart's canvas on paper, with a line of text for each run below it. */
    #savePng() {
        const plot = this.chart.chart.plot;
        byId("export-menu").open = false;
        if (!plot) return;
        const source = plot.ctx.canvas;
        const ratio = devicePixelRatio;
        const { left } = this.chart.series();
        const lines = left.map((s) => ({
            look: this.looks.lineOf(s),
            text: `${this.looks.title(s)} ${s.layer} ${s.name}`,
        }));
        const canvas = document.createElement("canvas");
        const context = canvas.getContext("2d");

        canvas.width = source.width + 24 * ratio;
        canvas.height = source.height + (lines.length * 18 + 32) * ratio;
        context.fillStyle = cssColour("--panel");
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.drawImage(source, 12 * ratio, 12 * ratio);
        context.scale(ratio, ratio);
        context.font = "13px system-ui, sans-serif";
        lines.forEach(({ look, text }, i) =>
            drawLegendLine(context, look, text, source.height / ratio + 30 + i * 18),
        );
        canvas.toBlob((blob) => save(this.#name("png"), blob));
    }
}

function drawLegendLine(context, look, text, y) {
    context.strokeStyle = context.fillStyle = look.colour;
    context.lineWidth = 2;
    context.setLineDash(look.dash);
    context.beginPath();
    context.moveTo(24, y - 4);
    context.lineTo(60, y - 4);
    context.stroke();
    context.fillText(look.sign, 36, y);
    context.fillStyle = cssColour("--text");
    context.fillText(text, 70, y);
}

/* The other measures of the shown runs, and their scalars, each in a small chart over the same steps
 * and with the same cursor as the main one. Nothing is asked for while the section is closed. */

import { byId, element, oncePerFrame, throttled } from "../base/dom.js";
import { meansOf } from "../data/groups.js";
import { append, extent, fromLayer, fromScalar } from "../data/series.js";
import { StepChart } from "./stepchart.js";

const POINTS = 400;
const REFRESH_MS = 2000;
/* A dozen charts at once are drawn no more often than this. */
const LIVE_MS = 500;
const CHARTS_MAX = 48;
/* Values over more decades than these are drawn on a log axis. */
const LOG_FROM = 1e3;

export class Companions {
    /** @param {{feed: any, view: any, catalogue: any, looks: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("companions");
        this.grid = byId("companion-grid");
        /** @type {Map<string, {box: HTMLElement, chart: StepChart}>} */ this.charts = new Map();
        /** @type {Map<string, import("../data/series.js").Series[]>} by run */ this.series = new Map();
        this.generation = 0;
        this.draw = oncePerFrame(() => this.#draw());
        this.drawLive = throttled(this.draw, LIVE_MS);
        this.view.on(["runs", "layer", "metric", "spacing", "from", "to"], () => this.load());
        this.view.on(["pins", "group", "lines", "spread"], this.draw);
        this.section.addEventListener("toggle", () => this.load());
    }

    async load() {
        const generation = ++this.generation;
        const { runs } = this.view.state;

        if (!this.section.open) return;
        const loaded = new Map();
        await Promise.all(
            runs.map(async (run) => loaded.set(run, await this.#ask(run).catch(() => []))),
        );
        if (generation !== this.generation) return;
        this.series = loaded;
        this.draw();
    }

    async #ask(run) {
        const { layer, spacing, from, to } = this.view.state;
        const range = {
            points: POINTS,
            spacing,
            ...(from === null || to === null ? {} : { from, to }),
        };

        if (!this.catalogue.get(run)?.scalars) await this.catalogue.load(run);
        const names = this.catalogue.layersOf(run, layer);
        const metrics = this.#metrics().map((m) => m.name);
        const [measured, scalars] = await Promise.all([
            names.length
                ? this.feed.call("series.query", {
                      run,
                      metrics,
                      ...range,
                      ...(names.length === 1 ? { layer: names[0] } : {}),
                  })
                : { layers: [] },
            this.feed.call("scalars.query", { run, ...range }),
        ]);
        return [
            ...measured.layers.flatMap((entry) =>
                metrics.map((m) => fromLayer(run, entry, m, undefined)),
            ),
            ...scalars.scalars.map((entry) => fromScalar(run, entry)),
        ];
    }

    /* Not those of the main chart, which draws d_white as well. */
    #metrics() {
        const shown = [...this.catalogue.familyOf(this.view.state.metric), "d_white"];

        return this.catalogue.measures.filter((m) => !shown.includes(m.name));
    }

    /** @param {{points: any[], scalars: any[]}} page */
    takeUpdate({ points, scalars }) {
        if (!this.section.open) return;
        let isOld = false;
        const add = (run, layer, name, at, value) => {
            const series = this.series.get(run)?.find((s) => s.layer === layer && s.name === name);
            if (
                !series ||
                append(series, at, value, undefined) === "reload" ||
                series.n_added > POINTS
            )
                isOld ||= this.series.has(run);
        };

        for (const p of points)
            for (const m of this.#metrics())
                if (this.catalogue.layersOf(p.run, this.view.state.layer).includes(p.layer))
                    add(p.run, p.layer, m.name, p, p[m.name]);
        for (const s of scalars) add(s.run, "", s.name, s, s.value);
        if (isOld && !this.waits) {
            this.waits = true;
            setTimeout(() => {
                this.waits = false;
                this.load();
            }, REFRESH_MS);
        }
        this.drawLive();
    }

    #draw() {
        const all = this.view.state.runs
            .flatMap((run) => this.series.get(run) ?? [])
            .filter((s) => s.values.length > 0);
        const scalarNames = [
            ...new Set(all.filter((s) => s.layer === "").map((s) => s.name)),
        ].sort();
        const wanted = [
            ...this.#metrics().map((m) => ({ ...m, isScalar: false })),
            ...scalarNames.map((name) => ({
                name,
                description: "logged by the trainer",
                isScalar: true,
            })),
        ]
            .map((m) => ({
                ...m,
                series: all.filter((s) => s.name === m.name && (s.layer === "") === m.isScalar),
            }))
            .filter((m, _, each) => m.series.length && !isCorrected(m, each))
            .slice(0, CHARTS_MAX);

        byId("companions-empty").hidden = wanted.length > 0;
        for (const [key, { box }] of this.charts) {
            if (wanted.some((m) => keyOf(m) === key)) continue;
            box.remove();
            this.charts.delete(key);
        }
        for (const m of wanted) this.#drawOne(m);
    }

    #lines(series) {
        const { spread, layer } = this.view.state;

        return this.looks.showsMeans ? meansOf(series, (run) => this.looks.group(run), spread, layer === "*") : series;
    }

    #drawOne({ series: all, ...m }) {
        const series = this.#lines(all);
        const values = series.flatMap((s) => s.values).filter((v) => v !== null);
        const low = values.reduce((a, b) => Math.min(a, b), Infinity);
        const high = values.reduce((a, b) => Math.max(a, b), -Infinity);

        this.#chartFor(m).draw({
            traces: series.map((s) => ({
                ...this.looks.lineOf(s),
                key: `${s.group ?? s.run}/${s.layer}`,
                steps: s.steps,
                values: s.values,
                low: s.binned || s.group !== undefined ? s.low : null,
                high: s.high,
                width: 1.5,
            })),
            spacing: this.view.state.spacing,
            leftLabel: m.name,
            logY: low > 0 && high / low > LOG_FROM,
            range:
                this.view.state.from === null
                    ? extent(series)
                    : [this.view.state.from, this.view.state.to],
        });
    }

    #chartFor(m) {
        const key = keyOf(m);
        let found = this.charts.get(key);

        if (!found) {
            const host = element("div", {
                class: "small-chart",
                role: "img",
                aria: { label: `${m.name}: ${m.description}` },
            });
            const title = m.isScalar
                ? element("h3", {}, m.name)
                : element(
                      "h3",
                      {},
                      element(
                          "button",
                          {
                              type: "button",
                              class: "link",
                              title: "show in the main chart",
                              onclick: () => this.view.set({ metric: m.name }),
                          },
                          m.name,
                      ),
                  );
            const box = element(
                "div",
                { class: "companion" },
                title,
                element("p", { class: "muted small", title: m.read_as }, m.description),
                host,
            );
            const onZoom = (from, to) => this.chart.zoomTo(from, to);
            this.grid.append(box);
            this.charts.set(
                key,
                (found = {
                    box,
                    chart: new StepChart(host, {
                        compact: true,
                        onZoom,
                        onReset: () => this.view.set({ from: null, to: null }),
                    }),
                }),
            );
        }
        return found.chart;
    }
}

/* A plain form whose corrected one has a chart: the selector of the main chart offers it. */
function isCorrected(m, each) {
    return Boolean(m.corrected && each.find((o) => o.name === m.corrected)?.series.length);
}

function keyOf(m) {
    return `${m.isScalar ? "s" : "m"}/${m.name}`;
}

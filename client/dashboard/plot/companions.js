/* The other measures of the shown runs, each in a small chart over the same steps and with the same
 * cursor as the main one. Nothing is asked for while the section is closed. */

import { byId, element, oncePerFrame, throttled } from "../base/dom.js";
import { meansOf } from "../data/groups.js";
import { append, fromLayer } from "../data/series.js";
import { SmallChart } from "./smallchart.js";

const POINTS = 400;
const REFRESH_MS = 2000;
/* What is zoomed reaches beyond the frame, so that lines leave it on both sides. */
const MARGIN = 0.1;
/* A dozen charts at once are drawn no more often than this. */
const LIVE_MS = 500;
const CHARTS_MAX = 48;

export class Companions {
    /** @param {{feed: any, view: any, catalogue: any, looks: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("companions");
        this.grid = byId("companion-grid");
        /** @type {Map<string, SmallChart>} by measure */ this.charts = new Map();
        /** @type {Map<string, import("../data/series.js").Series[]>} by run */ this.series = new Map();
        this.generation = 0;
        this.draw = oncePerFrame(() => this.#draw());
        this.drawLive = throttled(this.draw, LIVE_MS);
        this.view.on(["runs", "layer", "metric", "axis", "spacing", "from", "to"], () => this.load());
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
        const { layer } = this.view.state;

        if (!this.catalogue.get(run)?.scalars) await this.catalogue.load(run);
        await this.chart.places.ready(run);
        const names = this.catalogue.layersOf(run, layer);
        const metrics = this.#metrics().map((m) => m.name);
        if (names.length === 0) return [];
        const { layers } = await this.feed.callLater("series.query", {
            run,
            metrics,
            points: POINTS,
            ...this.chart.places.question(run, MARGIN),
            ...(names.length === 1 ? { layer: names[0] } : {}),
        });
        return layers.flatMap((entry) => metrics.map((m) => fromLayer(run, entry, m, undefined)));
    }

    /* Not those of the main chart, which draws d_white as well. */
    #metrics() {
        const shown = [...this.catalogue.familyOf(this.view.state.metric), "d_white"];

        return this.catalogue.measures.filter((m) => !shown.includes(m.name));
    }

    /** @param {{points: any[]}} page */
    takeUpdate({ points }) {
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
            .filter((s) => s.values.length > 0)
            .map((s) => this.chart.places.of(s));
        const wanted = this.#metrics()
            .map((m) => ({ ...m, series: all.filter((s) => s.name === m.name) }))
            .filter((m, _, each) => m.series.length && !isCorrected(m, each))
            .slice(0, CHARTS_MAX);

        byId("companions-empty").hidden = wanted.length > 0;
        for (const [name, { box }] of this.charts) {
            if (wanted.some((m) => m.name === name)) continue;
            box.remove();
            this.charts.delete(name);
        }
        for (const m of wanted) this.#chartFor(m).draw(this.#lines(m.series));
    }

    #lines(series) {
        const { spread, layer } = this.view.state;

        return this.looks.showsMeans ? meansOf(series, (run) => this.looks.group(run), spread, layer === "*") : series;
    }

    #chartFor(m) {
        if (!this.charts.has(m.name)) {
            const button = element(
                "button",
                {
                    type: "button",
                    class: "link",
                    title: "show in the main chart",
                    onclick: () => this.view.set({ metric: m.name }),
                },
                m.name,
            );
            const made = new SmallChart(
                this,
                m.name,
                `${m.name}: ${m.description}`,
                element("h3", {}, button),
                element("p", { class: "muted small", title: m.read_as }, m.description),
            );
            this.grid.append(made.box);
            this.charts.set(m.name, made);
        }
        return this.charts.get(m.name);
    }
}

/* A plain form whose corrected one has a chart: the selector of the main chart offers it. */
function isCorrected(m, each) {
    return Boolean(m.corrected && each.find((o) => o.name === m.corrected)?.series.length);
}

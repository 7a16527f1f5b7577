/* The series of the runs that are shown: loads what the view asks for, at as many points as the
 * screen has pixels, and adds what comes live. It asks again when the view is zoomed, so that the
 * daemon's bins become finer and in the end points. */

import { likelyAccuracy } from "./sweep.js";
import { append, chooseForm, emptySeries, fromLayer, fromScalar } from "./series.js";

/* Two a pixel: each bin of series.query counts for two points. */
const POINTS_PER_PIXEL = 2;
const POINTS_MIN = 200;
/* Live points that come while a question is out may be missing in its answer: so many are kept. */
const RECENT_MAX = 2000;
/* What is zoomed reaches beyond the frame, so that lines leave it on both sides. */
const MARGIN = 0.25;
const COUNT_AGAIN_MS = 1000;

/** Events: "change" (series differ), "error" (detail: text). */
export class Curves extends EventTarget {
    /**
     * @param {import("./feed.js").Feed} feed @param {import("../base/view.js").View} view
     * @param {import("./catalogue.js").Catalogue} catalogue @param {import("./places.js").Places} places
     */
    constructor(feed, view, catalogue, places) {
        super();
        Object.assign(this, { feed, view, catalogue, places });
        this.width_px = 800;
        /** @type {Map<string, import("./series.js").Series[]>} by run */ this.metrics = new Map();
        /** @type {Map<string, import("./series.js").Series>} by run */ this.scalars = new Map();
        /** @type {Map<string, any[]>} by run */ this.events = new Map();
        /** @type {Map<string, {metric: string, layers: Map<string, {first: any, last: any}>}>} by run: each layer's first and latest point */
        this.beside = new Map();
        /** @type {Map<string, any[]>} by run: what is watched for events */ this.watched = new Map();
        /** @type {Set<string>} runs of which that is asked again */ this.counting = new Set();
        /** @type {Map<string, number>} by run: the latest question */ this.asked = new Map();
        this.recent = { points: [], scalars: [] };
        view.on(["runs"], () => this.#followRuns());
        view.on(["metric", "layer", "scalar", "axis", "spacing", "from", "to"], () => this.reload());
    }

    /** The scalar of the right axis for a run, or "". @param {string} run */
    scalarOf(run) {
        const names = this.catalogue.get(run)?.scalars ?? [];
        const wanted = this.view.state.scalar;

        if (wanted !== "auto") return names.includes(wanted) ? wanted : "";
        return likelyAccuracy(names);
    }

    reload() {
        for (const run of this.view.state.runs) this.#load(run);
    }

    #followRuns() {
        const shown = this.view.state.runs;

        for (const map of [
            this.metrics,
            this.scalars,
            this.events,
            this.watched,
            this.beside,
            this.asked,
        ])
            for (const run of map.keys()) if (!shown.includes(run)) map.delete(run);
        for (const run of shown) if (!this.asked.has(run)) this.#load(run);
        this.#tell();
    }

    #tell() {
        this.dispatchEvent(new Event("change"));
    }

    #points() {
        const points = Math.max(POINTS_MIN, Math.round(this.width_px * POINTS_PER_PIXEL));

        return this.view.state.from === null ? points : Math.round(points * (1 + 2 * MARGIN));
    }

    #range(run) {
        return { points: this.#points(), ...this.places.question(run, MARGIN) };
    }

    /* Before it is known how the measures are called, nothing is: all is loaded then. */
    async #load(run) {
        if (this.catalogue.metrics.length === 0) return;
        const number = (this.asked.get(run) ?? 0) + 1;
        const isLatest = () => this.asked.get(run) === number;

        this.asked.set(run, number);
        try {
            if (!this.catalogue.get(run)?.scalars) await this.catalogue.load(run);
            await this.places.ready(run);
            if (!isLatest() || !this.catalogue.get(run)) return;
            const [metrics, scalar, events, beside] = await Promise.all([
                this.#askMetrics(run),
                this.#askScalar(run),
                this.feed.call("event.query", { run }),
                this.#askBeside(run),
            ]);
            if (!isLatest()) return;
            this.beside.set(run, beside);
            this.metrics.set(run, metrics);
            if (scalar) this.scalars.set(run, scalar);
            else this.scalars.delete(run);
            this.events.set(run, events.events);
            this.watched.set(run, events.watched ?? []);
            this.#add(this.recent, new Set([run]));
            this.#tell();
        } catch (error) {
            if (isLatest())
                this.dispatchEvent(
                    new CustomEvent("error", {
                        detail: `${this.catalogue.title(run)}: ${error.message}`,
                    }),
                );
        }
    }

    /* The forms of the measure that may be shown, each with its own standard error. */
    #columns() {
        const forms = this.catalogue.formsOf(this.view.state.metric);
        const errors = forms.map((form) => this.catalogue.errorOf(form)).filter(Boolean);

        return { forms, metrics: [...forms, ...errors] };
    }

    async #askMetrics(run) {
        const names = this.catalogue.layersOf(run, this.view.state.layer);
        const { forms, metrics } = this.#columns();

        if (names.length === 0) return [];
        const answer = await this.feed.call("series.query", {
            run,
            metrics,
            ...this.#range(run),
            ...(names.length === 1 ? { layer: names[0] } : {}),
        });
        return answer.layers.map((entry) => {
            const form = chooseForm([entry], forms);
            return fromLayer(run, entry, form, this.catalogue.errorOf(form));
        });
    }

    /* Asked once for a measure; then points that come live keep it. */
    async #askBeside(run) {
        const { metric } = this.view.state;
        const known = this.beside.get(run);

        if (known?.metric === metric) return known;
        const [list, first] = await Promise.all([
            this.feed.call("layer.list", { run }),
            this.feed.call("series.query", {
                run,
                metrics: this.catalogue.formsOf(metric),
                limit: 1,
            }),
        ]);
        const layers = new Map(list.layers.map((l) => [l.layer, { first: null, last: l.last }]));

        for (const { layer, columns } of first.layers)
            if (columns.step.length && layers.has(layer))
                layers.get(layer).first = Object.fromEntries(
                    Object.entries(columns).map(([name, column]) => [name, column[0]]),
                );
        return { metric, layers };
    }

    #noteBeside(point) {
        const layers = this.beside.get(point.run)?.layers;
        const known = layers?.get(point.layer);

        layers?.set(point.layer, { first: known?.first ?? point, last: point });
    }

    async #askScalar(run) {
        const name = this.scalarOf(run);

        if (!name) return null;
        const answer = await this.feed.call("scalars.query", {
            run,
            names: [name],
            ...this.#range(run),
        });
        return answer.scalars.length ? fromScalar(run, answer.scalars[0]) : null;
    }

    /** A page of series.subscribe. @param {{points: any[], scalars: any[]}} page */
    takeUpdate(page) {
        const shown = new Set(this.view.state.runs);
        const mine = {
            points: page.points.filter((p) => shown.has(p.run)),
            scalars: page.scalars.filter((s) => shown.has(s.run)),
        };

        if (mine.points.length + mine.scalars.length === 0) return;
        mine.points.forEach((point) => this.#noteBeside(point));
        for (const kind of ["points", "scalars"])
            this.recent[kind] = [...this.recent[kind], ...mine[kind]].slice(-RECENT_MAX);
        if (this.#add(mine, shown)) this.#tell();
        for (const run of new Set([...mine.points, ...mine.scalars].map((item) => item.run)))
            this.#countAgain(run);
    }

    /* While a series has too few points to judge; once for what comes within a second. */
    #countAgain(run) {
        const isShort = (/** @type {any} */ series) => series.points < series.needed;

        if (this.counting.has(run) || !this.watched.get(run)?.some(isShort)) return;
        this.counting.add(run);
        setTimeout(async () => {
            this.counting.delete(run);
            const answer = await this.feed.call("event.query", { run }).catch(() => null);

            if (!answer || !this.watched.has(run)) return;
            this.watched.set(run, answer.watched ?? []);
            this.#tell();
        }, COUNT_AGAIN_MS);
    }

    /** A page of event.subscribe. @param {{events: any[]}} page */
    takeEvents({ events }) {
        for (const event of events) {
            const known = this.events.get(event.run);
            const at = known?.findIndex(
                (e) =>
                    e.layer === event.layer &&
                    e.metric === event.metric &&
                    e.kind === event.kind &&
                    (e.kind === "alert" || (e.attempt === event.attempt && e.step === event.step)),
            );

            if (at === undefined) continue;
            if (at < 0) known.push(event);
            else known[at] = event; // it has returned, or is an alert of that title again
        }
        if (events.length) this.#tell();
    }

    #add({ points, scalars }, runs) {
        const reload = new Set();
        let n_added = 0;
        const note = (run, series, result) => {
            n_added += result === "added";
            if (result === "reload" || this.#isTooLong(series)) reload.add(run);
        };

        for (const p of points) if (runs.has(p.run)) this.#addPoint(p, note);
        for (const s of scalars) if (runs.has(s.run)) this.#addScalar(s, note);
        for (const run of reload) this.#load(run);
        return n_added > 0;
    }

    #addPoint(point, note) {
        const { layer } = this.view.state;
        const { forms } = this.#columns();
        const list = this.metrics.get(point.run);

        if (
            !list ||
            !this.#isInView(point) ||
            !this.catalogue.layersOf(point.run, layer).includes(point.layer)
        )
            return;
        const form = forms.find((name) => point[name] !== null) ?? forms[0];
        let series = list.find((s) => s.layer === point.layer);
        if (!series) {
            const hasBand = Boolean(this.catalogue.errorOf(form));
            list.push((series = emptySeries(point.run, point.layer, form, hasBand)));
        }
        if (!forms.includes(series.name)) return;
        const error = this.catalogue.errorOf(series.name);
        note(point.run, series, append(series, point, point[series.name], error && point[error]));
    }

    #addScalar(scalar, note) {
        let series = this.scalars.get(scalar.run);

        if (scalar.name !== this.scalarOf(scalar.run) || !this.#isInView(scalar)) return;
        if (!series)
            this.scalars.set(
                scalar.run,
                (series = emptySeries(scalar.run, "", scalar.name, false)),
            );
        if (series.name === scalar.name)
            note(scalar.run, series, append(series, scalar, scalar.value, undefined));
    }

    #isInView({ run, step }) {
        const steps = this.places.steps(run, MARGIN);

        return steps === null || (step >= steps[0] && step <= steps[1]);
    }

    /* What came live has no bins: when it outgrows them, the daemon makes new ones. */
    #isTooLong(series) {
        const points = this.#points();

        return (
            series.n_added > 0 &&
            series.n_added >= (series.binned ? points / 2 : points) &&
            series.steps.length > points
        );
    }
}

/* The scalars of the shown runs, each in a small chart beneath the main one, in groups by what stands
 * before their slash. A chart is drawn when it comes into sight. A smoothed line has the raw one faintly
 * behind it; the values that are told are the raw ones. */

import { shortValue } from "../base/axis.js";
import { byId, debounced, element, oncePerFrame, throttled } from "../base/dom.js";
import { meansOf } from "../data/groups.js";
import { byPrefix, matcher } from "../data/scalars.js";
import { nearest, smoothed } from "../data/series.js";
import { SmallChart } from "./smallchart.js";

/* A dozen charts at once are drawn no more often than this. */
const LIVE_MS = 500;
/* The raw line behind a smoothed one, as the last digits of a colour. */
const FAINT = "48";
const CHOSEN = "chosen";

export class ScalarCharts {
    /** @param {{view: any, catalogue: any, looks: any, chart: any, scalars: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        /** @type {Map<string, any>} by name */ this.charts = new Map();
        /** @type {Set<string>} */ this.inSight = new Set();
        this.watch = new IntersectionObserver((all) => this.#onSight(all));
        this.draw = oncePerFrame(() => this.#draw());
        this.tell = oncePerFrame(() => this.inSight.forEach((name) => this.#tellValue(name)));
        this.scalars.addEventListener("change", throttled(this.draw, LIVE_MS));
        this.catalogue.addEventListener("change", debounced(() => this.#arrange(), 200));
        this.chart.addEventListener("cursor", this.tell);
        this.chart.places.addEventListener("change", this.draw);
        this.view.on(["runs", "scalars", "scalarSearch"], () => this.#arrange());
        this.view.on(["runs", "pins", "group", "lines", "spread", "smoothing", "axis", "from", "to"], this.draw);
        this.#listen();
    }

    #listen() {
        const [search, smoothing] = [byId("scalar-search"), byId("smoothing")];
        const fill = () => {
            if (document.activeElement !== search) search.value = this.view.state.scalarSearch;
            smoothing.value = this.view.state.smoothing;
            byId("smoothing-text").textContent = this.view.state.smoothing || "none";
        };

        search.addEventListener("input", debounced(() => this.view.set({ scalarSearch: search.value.trim() }), 150));
        smoothing.addEventListener("input", () => this.view.set({ smoothing: Number(smoothing.value) }));
        this.view.on(["scalarSearch", "smoothing"], fill);
        fill();
    }

    /* The boxes, each in its group: empty until they are seen. */
    #arrange() {
        const names = this.scalars.names();
        const { scalars: chosen, scalarSearch } = this.view.state;
        const found = names.filter(matcher(scalarSearch));
        const groups = byPrefix(found.filter((name) => !chosen.includes(name)));
        const first = chosen.filter((name) => names.includes(name));
        const all = [...(first.length ? [[CHOSEN, first]] : []), ...groups];

        byId("scalar-count").textContent = names.length ? `${new Set([...found, ...first]).size} of ${names.length}` : "";
        byId("scalars-empty").hidden = all.length > 0;
        byId("scalars-empty").textContent = names.length ? "No scalar has such a name." : "No scalar was logged yet.";
        if (JSON.stringify(all) === this.arranged) return;
        this.arranged = JSON.stringify(all);
        this.#forget(new Set(all.flatMap(([, of]) => of)));
        byId("scalar-groups").replaceChildren(
            ...all.map(([prefix, of]) => this.#group(prefix, of, all.length > 1)),
        );
        this.draw();
    }

    #forget(wanted) {
        for (const [name, { box }] of this.charts) {
            if (wanted.has(name)) continue;
            this.watch.unobserve(box);
            this.charts.delete(name);
            this.inSight.delete(name);
        }
    }

    #group(prefix, names, hasHead) {
        return element(
            "section",
            { aria: { label: prefix || "scalars" } },
            hasHead && element("p", { class: "muted strong" }, `${prefix || "without a group"} · ${names.length}`),
            element("div", { class: "companion-grid" }, ...names.map((name) => this.#boxOf(name))),
        );
    }

    #boxOf(name) {
        const isChosen = this.view.state.scalars.includes(name);
        let found = this.charts.get(name);

        if (!found) {
            const star = element("button", { type: "button", class: "quiet", onclick: () => this.#choose(name) });
            const value = element("span", { class: "muted small number" });
            const head = element("div", { class: "scalar-head" }, element("h3", { class: "name", title: name }, name), value, star);
            found = Object.assign(new SmallChart(this, name, `${name}: logged by the trainer`, head), { star, value });
            found.box.dataset.scalar = name;
            this.charts.set(name, found);
            this.watch.observe(found.box);
        }
        found.star.textContent = isChosen ? "★" : "☆";
        found.star.title = isChosen ? "no longer first" : "always first";
        found.star.setAttribute("aria-label", `${found.star.title}: ${name}`);
        return found.box;
    }

    #choose(name) {
        const { scalars } = this.view.state;

        this.view.set({
            scalars: scalars.includes(name) ? scalars.filter((n) => n !== name) : [...scalars, name],
        });
        this.charts.get(name)?.star.focus();
    }

    #onSight(all) {
        for (const { target, isIntersecting } of all) {
            const { scalar } = /** @type {HTMLElement} */ (target).dataset;
            if (isIntersecting && this.charts.has(scalar)) this.inSight.add(scalar);
            else this.inSight.delete(scalar);
        }
        this.scalars.see([...this.inSight]);
        this.draw();
    }

    #lines(name) {
        const all = this.scalars.of(name).map((series) => this.chart.places.of(series));

        return this.looks.showsMeans ? meansOf(all, (run) => this.looks.group(run), this.view.state.spread, false) : all;
    }

    #draw() {
        for (const name of this.inSight) this.charts.get(name).draw(this.#lines(name), (series, values) => this.#traces(series, values));
        this.tell();
    }

    #traces(series, values) {
        const { smoothing } = this.view.state;

        if (!smoothing) return [{}];
        return [
            { key: `${series.group ?? series.run}/raw`, colour: `${this.looks.lineOf(series).colour}${FAINT}`, low: null, width: 1 },
            { values: smoothed(values, smoothing), low: null },
        ];
    }

    /* At the cursor, or the latest: of one line its value, of several the least and the greatest. */
    #tellValue(name) {
        const step = this.chart.cursorStep;
        const values = this.#lines(name)
            .map((s) => (step === null ? s.values.at(-1) : s.values[nearest(s.steps, step)]))
            .filter((value) => typeof value === "number");
        const found = this.charts.get(name);
        const ends = [Math.min(...values), Math.max(...values)];

        found.value.textContent =
            values.length < 2 ? (values.length ? shortValue(values[0]) : "") : ends.map(shortValue).join(" – ");
        found.value.title = step === null ? "latest" : "at the cursor";
    }
}

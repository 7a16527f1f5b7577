/* The sweep: of all runs that the list's filter finds, what a measure came to against what was
 * varied. A click on a point shows its run in the chart above. */

import { shortValue } from "../base/axis.js";
import { byId, debounced, element, fillSelect, oncePerFrame } from "../base/dom.js";
import { colourAmong, compareValues } from "../base/looks.js";
import { groupColour } from "../base/palette.js";
import { listParameters, matcherOf } from "../data/filter.js";
import { columnsOf, differingKeys, directionOf, likelyAccuracy, likelyKey, placeOf, placeText, rowsOf } from "../data/sweep.js";
import { drawScatter, rowText } from "../plot/scatter.js";
import { dot } from "./legend.js";
import { Parallel } from "./parallel.js";

const RUNS_MAX = 1000;
const REFRESH_MS = 3000;
/* run.list gives 32 values a run. */
const AXES_MAX = 24;

export class Sweep {
    /** @param {{feed: any, view: any, catalogue: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("sweep");
        this.host = byId("sweep-chart");
        this.parallel = new Parallel(parts);
        /** @type {any[]} RUN OBJECTs with their values */ this.runs = [];
        /** @type {string[]} */ this.scalars = [];
        /** Runs that were read, of so many in all. */ this.read = this.total = 0;
        this.generation = 0;
        this.draw = oncePerFrame(() => this.#draw());
        this.loadSoon = debounced(() => this.load(), REFRESH_MS);
        this.section.addEventListener("toggle", () => this.load());
        this.view.follow(CONTROLS);
        for (const sweepAs of ["points", "axes"])
            byId(`sweep-as-${sweepAs}`).addEventListener("change", () => this.view.set({ sweepAs }));
        byId("axis-menu").addEventListener("toggle", this.draw);
        byId("sweep-step").addEventListener("change", (e) => this.#setStep(e.target.value));
        this.view.on(["search", "regex", "state", "hidden", "metric", "layer", "sweepX", "sweepY", "sweepRight", "sweepAt", "sweepStep", "sweepAxes", "sweepColour"], () => this.load());
        this.view.on(["runs", "sweepAs", "sweepBrushes"], this.draw);
        new ResizeObserver(this.draw).observe(this.host);
    }

    #setStep(text) {
        this.view.set({ sweepStep: /^\d{1,16}$/.test(text) ? Number(text) : null });
    }

    /* What a value is called that is read elsewhere than at the end. */
    #label(name) {
        const isValue = this.runs.some((run) => name in (run.values ?? {}));

        return isValue ? placeText(plain(name), this.#place(name)) : plain(name);
    }

    #place(name) {
        return placeOf(name, this.view.state, this.catalogue.formsOf(this.#y).includes(name));
    }

    /** Points of these runs came. */
    touch() {
        if (this.section.open) this.loadSoon();
    }

    get #y() {
        return this.view.state.sweepY || this.view.state.metric;
    }

    /** What is asked of each run. */
    #names() {
        const { sweepX, sweepRight, sweepAt, sweepAxes } = this.view.state;
        const wanted = [...this.catalogue.formsOf(this.#y), sweepX, this.#right(sweepRight), this.view.state.sweepColour, ...sweepAxes.slice(0, AXES_MAX)];
        /* An extreme has no standard error that we know. */
        const errors = ["last", "step"].includes(sweepAt) ? wanted.map((name) => this.catalogue.errorOf(name)) : [];

        return [...new Set([...wanted, ...errors])].filter(
            (name) => name && this.#isValue(name),
        );
    }

    #right(wanted) {
        if (wanted !== "auto") return wanted;
        const found = likelyAccuracy(this.scalars);

        return found ? `scalar:${found}` : "";
    }

    async load() {
        const generation = ++this.generation;

        if (!this.section.open) return;
        try {
            const first = this.view.state.runs[0] ?? this.runs[0]?.run;
            this.scalars = await this.catalogue.scalarsOf(first);
            const values = this.#names();
            const answer = await this.feed.callLater("run.list", {
                limit: RUNS_MAX,
                values,
                values_at: Object.fromEntries(values.map((name) => [name, this.#place(name)])),
                ...listParameters(this.view.state),
            });
            if (generation !== this.generation) return;
            this.runs = answer.runs.filter(matcherOf(this.view.state) ?? Boolean);
            this.read = answer.runs.length;
            this.total = answer.total;
            this.catalogue.take(answer.runs);
            this.draw();
            if (!first && this.runs.length) this.load(); // what they log is known now
        } catch (error) {
            byId("sweep-note").textContent = error.message;
        }
    }

    #draw() {
        const keys = differingKeys(this.runs);
        const names = this.#choose(keys);
        const rows = rowsOf(this.runs, names);

        this.#fill(keys, names);
        if (this.#showsAxes()) {
            this.#drawAxes(keys, names);
            return;
        }
        byId("sweep-empty").hidden = rows.length > 0;
        byId("sweep-empty").textContent = whyEmpty(this.runs, names);
        this.host.hidden = rows.length === 0;
        if (rows.length) this.#drawRows(rows, names);
        byId("sweep-note").textContent = this.#note(rows);
    }

    /* Of what is drawn the controls alone are seen. */
    #showsAxes() {
        const { sweepAs } = this.view.state;
        const isAxes = sweepAs === "axes";

        this.section.dataset.as = sweepAs;
        byId(`sweep-as-${sweepAs}`).checked = true;
        byId("parallel").hidden = !isAxes || this.runs.length === 0;
        if (isAxes) this.host.hidden = true;
        return isAxes;
    }

    #drawAxes(keys, { y, right }) {
        byId("sweep-empty").hidden = this.runs.length > 0;
        byId("sweep-empty").textContent = whyEmpty(this.runs, { x: "", y });
        byId("sweep-key").replaceChildren();
        byId("sweep-note").textContent = this.#note([]);
        this.parallel.draw(this.runs, {
            keys,
            values: [...this.catalogue.measures.map((m) => m.name), ...this.scalars.map((name) => `scalar:${name}`)],
            measured: [...new Set([y, right])].filter((name) => this.runs.some((run) => typeof run.values?.[name] === "number")),
            colour: this.view.state.sweepColour,
            label: (name) => this.#label(name),
        });
    }

    #isValue(name) {
        return name.startsWith("scalar:") || Boolean(this.catalogue.metric(name));
    }

    #choose(keys) {
        const { sweepX, sweepColour, sweepRight } = this.view.state;
        const x = sweepX || likelyKey(this.runs, keys);
        const forms = this.catalogue.formsOf(this.#y);
        const y = forms.find((form) => this.runs.some((run) => typeof run.values?.[form] === "number")) ?? forms[0];

        return { x, y, error: this.catalogue.errorOf(y) ?? "", group: this.#isValue(sweepColour) ? "" : sweepColour, right: this.#right(sweepRight) };
    }

    #drawRows(rows, names) {
        const groups = [...new Set(rows.map((row) => row.group))].sort(compareValues);
        const colour = names.group ? (group) => colourAmong(groups, group) : () => groupColour(0, 1, false);
        const labels = { x: this.#label(names.x), y: this.#label(names.y), right: this.#label(names.right) };
        const { runs } = this.view.state;

        drawScatter(this.host, {
            columns: columnsOf(rows),
            colour,
            title: (row) => rowText(this.catalogue.title(row.run), row, labels),
            isShown: (run) => runs.includes(run),
            onPick: (run) => this.view.show(run, !this.view.state.runs.includes(run)),
            xLabel: labels.x,
            yLabel: labels.y,
            rightLabel: rows.some((row) => row.right !== null) ? labels.right : "",
        });
        byId("sweep-key").replaceChildren(
            ...(names.group ? [element("span", { class: "muted" }, names.group)] : []),
            ...(names.group ? groups.map((g) => element("span", { class: "name" }, dot(colour(g)), g)) : []),
        );
        this.host.setAttribute("aria-label", this.#describe(rows, labels));
    }

    #describe(rows, labels) {
        const best = rows.reduce((a, b) => (b.value < a.value ? b : a));

        return `${labels.y} of ${rows.length} runs against ${labels.x}; the least, ${shortValue(best.value)}, at ${labels.x} ${best.x}`;
    }

    #note(rows) {
        const { sweepAt } = this.view.state;
        const cut = this.total > this.read ? `the newest ${this.read} of ${this.total} runs` : "";

        return [rows.length ? NOTES[sweepAt] ?? NOTES.extreme : "", cut].filter(Boolean).join("; ");
    }

    /* "best" where it is known which end is. */
    #fillPlaces(y) {
        const { sweepAt, sweepStep } = this.view.state;
        const isKnown = directionOf(y) !== "" || sweepAt === "best";

        fillSelect(byId("sweep-at"), PLACES.filter((place) => isKnown || place.value !== "best"), sweepAt);
        byId("sweep-step").hidden = sweepAt !== "step";
        if (document.activeElement !== byId("sweep-step")) byId("sweep-step").value = sweepStep ?? "";
    }

    #fill(keys, { x, y, group, right }) {
        const config = keys.map((key) => ({ value: key, text: `config: ${key}` }));
        const measures = this.catalogue.measures.map((m) => ({ value: m.name, text: m.name }));
        const scalars = this.scalars.map((name) => ({ value: `scalar:${name}`, text: name }));
        const known = (list, value) => (list.some((o) => o.value === value) || !value ? list : [...list, { value, text: plain(value) }]);

        fillSelect(byId("sweep-x"), known([...config, ...scalars, ...measures], x), x);
        fillSelect(byId("sweep-y"), known([...measures, ...scalars], y), this.view.state.sweepY || y);
        const isAxes = this.view.state.sweepAs === "axes";
        const colour = isAxes ? this.view.state.sweepColour : group;
        const colours = [{ value: "", text: isAxes ? "last axis" : "nothing" }, ...config, ...(isAxes ? [...measures, ...scalars] : [])];
        fillSelect(byId("sweep-colour"), known(colours, colour), colour);
        this.#fillPlaces(y);
        fillSelect(byId("sweep-right"), known([{ value: "", text: "nothing" }, ...scalars, ...measures], right), right);
    }
}

const PLACES = [
    { value: "last", text: "last" },
    { value: "best", text: "best" },
    { value: "least", text: "least" },
    { value: "greatest", text: "greatest" },
    { value: "step", text: "at step …" },
];

const NOTES = {
    last: "bars: one standard deviation over runs at the same place, or two standard errors of a single one",
    step: "each run's latest checkpoint up to this step; bars as at the end",
    extreme: "bars: one standard deviation over runs at the same place; the extreme of a noisy curve lies beyond its mean",
};

const CONTROLS = { "sweep-at": "sweepAt", "sweep-x": "sweepX", "sweep-y": "sweepY", "sweep-colour": "sweepColour", "sweep-right": "sweepRight" };

function plain(name) {
    return name.replace(/^scalar:/, "");
}

function whyEmpty(runs, { x, y }) {
    if (runs.length === 0) return "No run is listed.";
    if (!x) return "These runs differ in no key of their configuration: init(config={\"lr\": 0.1}) says what was varied.";
    return `No run that is listed has both ${plain(x)} and ${plain(y)}.`;
}

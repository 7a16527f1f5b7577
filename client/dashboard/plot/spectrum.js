/* The feature decomposition of one layer at one step: rho_k / rho_1 on a log axis, and how much of
 * the outputs' (PI_hat) and the targets' (PI_star) function space the first k features hold. A slider
 * goes through the steps that have a spectrum. */

import { decades, longStep, shortValue } from "../base/axis.js";
import { byId, debounced, element, fillSelect, oncePerFrame } from "../base/dom.js";
import { cssColour } from "../base/palette.js";

const { uPlot } = globalThis;

/* A point has a spectrum when it has one of these. The first needs all eigenvalues, the others some
 * of the leading ones. */
const SIGNS_OF_SPECTRUM = ["effective_rank", "dims_99", "alpha_req"];
const POINTS = 20000;
const CACHE_MAX = 200;
const REFRESH_MS = 1000;
/* While the slider moves, spectra that are not loaded yet are asked for at this pace. */
const SLIDE_MS = 30;
const RHO_FLOOR = 1e-8;
const FONT = "12px system-ui, sans-serif";

export class SpectrumView {
    /** @param {{feed: any, view: any, catalogue: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("spectrum");
        this.host = byId("spectrum-chart");
        this.slider = byId("spectrum-step");
        /** @type {number[]} */ this.steps = [];
        /** @type {Map<string, Promise<any>>} */ this.cache = new Map();
        this.generation = 0;
        this.shape = "";
        this.draw = oncePerFrame(() => this.#draw());
        const show = debounced(() => this.#show(), SLIDE_MS);
        this.slider.addEventListener("input", () => this.#slide(Number(this.slider.value)));
        byId("spectrum-layer").addEventListener("change", (e) =>
            this.view.set({ spectrumLayer: e.target.value, spectrumStep: null }),
        );
        byId("focus").addEventListener("change", (e) =>
            this.view.set({ focus: e.target.value, spectrumLayer: "", spectrumStep: null }),
        );
        this.view.on(["runs", "focus", "spectrumLayer"], () => this.load());
        this.view.on(["spectrumStep"], show);
        this.section.addEventListener("toggle", () => this.load());
        this.catalogue.addEventListener(
            "change",
            debounced(() => this.#fillChoices(), 300),
        );
        new ResizeObserver(() => this.plot?.setSize(this.#size())).observe(this.host);
    }

    get layer() {
        const names = this.catalogue.layersOf(this.view.run, "*");
        const wanted = this.view.state.spectrumLayer;

        return names.includes(wanted) ? wanted : (this.catalogue.layersOf(this.view.run, "")[0] ?? "");
    }

    #fillChoices() {
        const runs = this.view.state.runs.map((run) => ({
            value: run,
            text: this.catalogue.title(run),
        }));
        const layers = this.catalogue
            .layersOf(this.view.run, "*")
            .map((name) => ({ value: name, text: name }));

        fillSelect(byId("focus"), runs, this.view.run);
        fillSelect(byId("spectrum-layer"), layers, this.layer);
    }

    /** Finds the steps that have a spectrum, and shows one. */
    async load() {
        const generation = ++this.generation;
        const { run } = this.view;

        this.#fillChoices();
        if (!this.section.open) return;
        try {
            if (run && !this.catalogue.get(run)?.scalars) await this.catalogue.load(run);
            const { layer } = this;
            const answer = layer
                ? await this.feed.call("series.query", {
                      run,
                      layer,
                      metrics: SIGNS_OF_SPECTRUM,
                      points: POINTS,
                  })
                : { layers: [] };
            if (generation !== this.generation) return;
            this.steps = answer.layers.flatMap(stepsWithSpectrum);
        } catch {
            this.steps = []; // the chart above says what is wrong with the run
        }
        this.#fillChoices();
        this.#show();
    }

    /** Points of the run came live. @param {any[]} points */
    takePoints(points) {
        const { run } = this.view;
        const { layer } = this;
        const mine = points.filter(
            (p) =>
                p.run === run &&
                p.layer === layer &&
                SIGNS_OF_SPECTRUM.some((name) => p[name] !== null),
        );

        if (mine.length === 0) return;
        if (mine.some((p) => p.step <= (this.steps.at(-1) ?? -1))) {
            setTimeout(() => this.load(), REFRESH_MS); // a new attempt took over
            return;
        }
        this.steps.push(...mine.map((p) => p.step));
        if (this.section.open) this.#show();
    }

    #index() {
        const step = this.view.state.spectrumStep;
        const found =
            step === null ? this.steps.length - 1 : this.steps.findLastIndex((s) => s <= step);

        return Math.max(0, found);
    }

    #slide(i) {
        const isLast = i >= this.steps.length - 1;

        this.view.set({ spectrumStep: isLast ? null : this.steps[i] });
        this.#tellStep(i);
    }

    #tellStep(i) {
        const step = this.steps[i];

        byId("spectrum-step-text").textContent = step === undefined ? "–" : longStep(step);
        this.slider.setAttribute(
            "aria-valuetext",
            step === undefined ? "none" : `step ${longStep(step)}`,
        );
    }

    async #show() {
        const i = this.#index();
        const step = this.steps[i];

        this.slider.max = String(Math.max(0, this.steps.length - 1));
        this.slider.disabled = this.steps.length < 2;
        this.slider.value = String(i);
        this.#tellStep(i);
        byId("spectrum-empty").hidden = this.steps.length > 0;
        byId("spectrum-body").hidden = this.steps.length === 0;
        this.spectrum = step === undefined ? null : await this.#ask(step).catch(() => null);
        if (step === this.steps[this.#index()]) this.draw();
        if (this.steps[i + 1] !== undefined) this.#ask(this.steps[i + 1]).catch(() => {});
    }

    #ask(step) {
        const { run } = this.view;
        const { layer } = this;
        const key = `${run}/${layer}/${step}`;
        let answer = this.cache.get(key);

        if (!answer) {
            answer = this.feed.call("spectrum.query", { run, layer, step });
            answer.catch(() => this.cache.delete(key));
            if (this.cache.size >= CACHE_MAX) this.cache.delete(this.cache.keys().next().value);
            this.cache.set(key, answer);
        }
        return answer;
    }

    // ---- drawing -----------------------------------------------------------------------------

    #size() {
        return {
            width: Math.max(200, this.host.clientWidth),
            height: Math.max(160, this.host.clientHeight),
        };
    }

    #data(s) {
        const first = s.rho[0] || 1;
        const relative = s.rho.map((r) => (r / first >= RHO_FLOOR ? r / first : null));
        const none = s.rho.map(() => null);

        return [s.rho.map((_, i) => i + 1), relative, s.pi_hat ?? none, s.pi_star ?? none];
    }

    #draw() {
        const s = this.spectrum;
        if (!s || this.host.clientWidth === 0) return;
        const shape = `${s.rho.length} ${cssColour("--text")}`;

        if (this.plot && shape === this.shape) this.plot.setData(this.#data(s));
        else {
            this.shape = shape;
            this.plot?.destroy();
            this.plot = new uPlot(this.#options(s.rho.length), this.#data(s), this.host);
        }
        this.host.dataset.step = String(s.step);
        this.#describe(s);
    }

    #describe(s) {
        const cells = [
            ["ρ₁", shortValue(s.rho[0])],
            ["tr S", shortValue(s.total)],
            ["p", String(s.p)],
            ["n", String(s.n)],
            ["rank F", String(s.rank)],
            ["Π̂(rank F)", shortValue(at(s.pi_hat, s.rank))],
            ["Π*(rank Y*)", shortValue(at(s.pi_star, s.rank_targets))],
        ];
        byId("spectrum-facts").replaceChildren(
            ...cells.flatMap(([name, value]) => [
                element("dt", {}, name),
                element("dd", { class: "number" }, value),
            ]),
        );
        byId("spectrum-note").textContent = s.few_rows
            ? "Fewer rows than features: eigenvalues are given, eigenfunctions are not defined."
            : "";
        this.host.setAttribute(
            "aria-label",
            `Spectrum at step ${s.step}: ${s.rho.length} eigenvalues, relative size ${shortValue(s.rho.at(-1) / s.rho[0])} at the last; ` +
                `the first ${s.rank} features hold ${shortValue(at(s.pi_hat, s.rank))} of the outputs' space`,
        );
    }

    #options(n) {
        const colours = [cssColour("--run-0"), cssColour("--run-1"), cssColour("--run-2")];
        const style = {
            stroke: cssColour("--muted"),
            font: FONT,
            labelFont: FONT,
            ticks: { stroke: cssColour("--line"), width: 1, size: 4 },
        };
        const grid = { stroke: cssColour("--line"), width: 1 };
        const isLong = n > 12;

        return {
            ...this.#size(),
            legend: { show: false },
            padding: [10, null, 0, null],
            scales: {
                x: { time: false, distr: isLong ? 3 : 1, range: [1, Math.max(2, n)] },
                rho: {
                    distr: 3,
                    range: (_u, min) => [
                        Math.min(1e-3, 10 ** Math.floor(Math.log10(min || 1e-3))),
                        1.3,
                    ],
                },
                pi: { range: [0, 1.03] },
            },
            series: [
                {},
                line("rho", colours[0], [], n),
                line("pi", colours[1], [7, 3], n),
                line("pi", colours[2], [2, 3], n),
            ],
            axes: [
                {
                    ...style,
                    grid,
                    size: 28,
                    label: "k",
                    labelSize: 16,
                    labelGap: 0,
                    ...(isLong ? powers(4) : {}),
                    values: (_u, vs) => vs.map((v) => (v === null ? "" : String(v))),
                },
                {
                    ...style,
                    grid,
                    scale: "rho",
                    label: "ρₖ / ρ₁",
                    labelSize: 18,
                    labelGap: 0,
                    size: 50,
                    ...powers(5),
                    values: (_u, vs) =>
                        vs.map((v) =>
                            v === null ? "" : v >= 0.01 ? String(v) : v.toExponential(0),
                        ),
                },
                {
                    ...style,
                    scale: "pi",
                    side: 1,
                    grid: { show: false },
                    label: "Π̂, Π*",
                    labelSize: 18,
                    labelGap: 0,
                    size: 40,
                },
            ],
            cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
            hooks: { setCursor: [(u) => this.#sayAt(u.cursor.idx)] },
        };
    }

    #sayAt(i) {
        const s = this.spectrum;

        byId("spectrum-value").textContent =
            i === null || i === undefined || !s || i >= s.rho.length
                ? ""
                : `k = ${i + 1}: ρₖ/ρ₁ ${shortValue(s.rho[i] / s.rho[0])}, Π̂ ${shortValue(s.pi_hat?.[i])}, Π* ${shortValue(s.pi_star?.[i])}`;
    }
}

function line(scale, stroke, dash, n) {
    return { scale, stroke, dash, width: 1.75, points: { show: n <= 40, size: 5 } };
}

/** Ticks of a log axis, at most `count`. */
function powers(count) {
    return {
        splits: (_u, _axis, min, max) => decades(min, max, count),
        filter: (_u, splits) => splits,
    };
}

/** The k-th element, k from 1, or the last one. */
function at(list, k) {
    return list ? list[Math.min(k, list.length) - 1] : null;
}

function stepsWithSpectrum({ binned, columns }) {
    const steps = binned ? columns.step_end : columns.step;
    const signs = SIGNS_OF_SPECTRUM.map((name) => (binned ? columns[name].last : columns[name]));

    return steps.filter((_, i) => signs.some((values) => values[i] !== null));
}

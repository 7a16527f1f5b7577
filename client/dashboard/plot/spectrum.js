/* The feature decomposition: what a slider and an animation over the steps show of the run in focus, or
 * of all shown runs, and beside it the spectra that were pinned. The charts are spectrumchart.js's. */

import { longStep, shortValue } from "../base/axis.js";
import { byId, debounced, element, fillSelect, oncePerFrame, replaceRows } from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { cssColour, groupColour, marker } from "../base/palette.js";
import { hasSpectrum, placeOf, placeText, Spectra } from "../data/spectra.js";
import { Player } from "./player.js";
import { relative, SpectrumChart } from "./spectrumchart.js";

const REFRESH_MS = 1000;
/* While the slider moves, spectra that are not loaded yet are asked for at this pace. */
const SLIDE_MS = 30;
/* More curves cannot be told apart. */
const CURVES_MAX = 12;
const AHEAD_STEPS = 8;

/** @typedef {import("../data/spectra.js").Place} Place */

export class SpectrumView {
    /** @param {{feed: any, view: any, catalogue: any, looks: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("spectrum");
        this.host = byId("spectrum-chart");
        this.slider = byId("spectrum-step");
        this.spectra = new Spectra(this.feed);
        this.chart = new SpectrumChart(byId("spectrum-rho"), byId("spectrum-pi"), (k) => this.#sayAt(k));
        this.player = new Player(byId("spectrum-play"), {
            pace: () => this.view.state.spectrumSpeed,
            advance: () => this.#advance(),
            onStop: () => this.#choose(this.playStep),
        });
        /** The steps of each layer that the slider moves. @type {Map<string, number[]>} */ this.lists = new Map();
        /** @type {(Place & {colour?: string, marker: number, width: number, isPinned: boolean, spectrum: any})[]} */
        this.curves = [];
        /** @type {number|null} */ this.playStep = null;
        /** @type {number|null} */ this.k = null;
        this.generation = 0;
        this.shown = 0;
        this.draw = oncePerFrame(() => this.#draw());
        this.#listen();
    }

    #listen() {
        const show = debounced(() => this.#show(), SLIDE_MS);

        this.slider.addEventListener("input", () => {
            const step = this.steps[Number(this.slider.value)];
            this.player.stop();
            this.#choose(step);
        });
        bindKeys(this.slider, "spectrumStep", { pin: () => this.#pinShown(), play: () => this.player.toggle() });
        bindKeys(this.host, "spectrum", {
            move: (key, event) => this.#moveCursor(key, event.shiftKey ? 10 : 1),
            leave: () => this.#toFeature(null),
        });
        byId("spectrum-pin").addEventListener("click", () => this.#pinShown());
        this.view.follow({ "spectrum-all": "spectrumAll", "spectrum-log-k": "spectrumLogK", "spectrum-log-rho": "spectrumLogRho", "spectrum-against": "spectrumAgainst" });
        byId("spectrum-speed").addEventListener("change", (e) => this.view.set({ spectrumSpeed: Number(e.target.value) }));
        byId("spectrum-layer").addEventListener("change", (e) => this.view.set({ spectrumLayer: e.target.value, spectrumStep: null }));
        byId("focus").addEventListener("change", (e) => this.view.set({ focus: e.target.value, spectrumLayer: "", spectrumStep: null }));
        this.view.on(["runs", "focus", "spectrumLayer", "spectrumAll"], () => this.load());
        this.view.on(["spectrumStep", "spectrumPins"], show);
        this.view.on(["spectrumAgainst", "spectrumLogK", "spectrumLogRho", "spectrumSpeed", "group"], this.draw);
        this.section.addEventListener("toggle", () => this.load());
        this.spectra.addEventListener("kept", oncePerFrame(() => this.#drawStored()));
        this.catalogue.addEventListener("change", debounced(() => this.#fillChoices(), 300));
    }

    // ---- what is looked at -------------------------------------------------------------------

    get layer() {
        return this.#layerOf(this.view.run);
    }

    /* The wanted layer; where none is, or the run in focus has it not, the last one. "" for none. */
    #layerOf(run) {
        const wanted = this.view.state.spectrumLayer;
        const [last = ""] = this.catalogue.layersOf(run, "");

        if (wanted === "") return last;
        if (this.catalogue.layersOf(run, "*").includes(wanted)) return wanted;
        return run === this.view.run ? last : "";
    }

    /* The layers that the slider moves, the one in focus first. */
    #tracked() {
        const { run } = this.view;
        const { runs, spectrumAll } = this.view.state;
        const all = spectrumAll ? [run, ...runs.filter((other) => other !== run)] : [run];

        return all.map((id) => ({ run: id, layer: this.#layerOf(id) })).filter((place) => place.layer);
    }

    #stepsOf({ run, layer }) {
        return this.lists.get(`${run}/${layer}`) ?? [];
    }

    /** The slider's, ascending. */
    get steps() {
        const lists = this.#tracked().map((place) => this.#stepsOf(place));

        return lists.length === 1 ? lists[0] : [...new Set(lists.flat())].sort((a, b) => a - b);
    }

    #index(steps = this.steps) {
        const step = this.playStep ?? this.view.state.spectrumStep;
        const found = step === null ? steps.length - 1 : steps.findLastIndex((s) => s <= step);

        return Math.max(0, found);
    }

    /* Each run's own step at the slider's, or the last one before it. @returns {Place[]} */
    #placesAt(step) {
        return this.#tracked().flatMap((place) => {
            const own = this.#stepsOf(place);
            const found = own.findLast((s) => s <= step);
            return found === undefined ? [] : [{ ...place, step: found }];
        });
    }

    /** @returns {Place[]} */
    #pins() {
        return this.view.state.spectrumPins.map(placeOf).filter(Boolean);
    }

    /* What moves, then what is pinned. */
    #places(step) {
        const places = [...this.#placesAt(step).map((p) => ({ ...p, width: 2.25 })), ...this.#pins().map((p) => ({ ...p, width: 1.5 }))];
        const pinned = new Set(this.view.state.spectrumPins);
        const seen = new Set();

        return places
            .map((place, i) => ({ ...place, marker: i, key: placeText(place), isPinned: pinned.has(placeText(place)) }))
            .filter(({ key }) => !seen.has(key) && seen.add(key))
            .slice(0, CURVES_MAX);
    }

    /* Each with a colour of its own, as the theme has it: a run's, where that is free. */
    #coloured(places) {
        const used = new Set();

        return places.map((place) => {
            let colour = this.looks.colour(place.run);
            for (let n = 0; used.has(colour); n++) colour = groupColour(n, 0, false);
            used.add(colour);
            return { ...place, colour };
        });
    }

    // ---- loading -----------------------------------------------------------------------------

    #fillChoices() {
        const { state, run } = this.view;

        fillSelect(byId("focus"), state.runs.map((id) => ({ value: id, text: this.catalogue.title(id) })), run);
        fillSelect(byId("spectrum-layer"), this.catalogue.layersOf(run, "*"), this.layer);
        byId("spectrum-all").checked = state.spectrumAll;
        byId("spectrum-all-label").hidden = state.runs.length < 2;
        byId("spectrum-against").value = state.spectrumAgainst;
        byId("spectrum-log-k").checked = state.spectrumLogK;
        byId("spectrum-log-rho").checked = state.spectrumLogRho;
        byId("spectrum-speed").value = String(state.spectrumSpeed);
    }

    /** Finds the steps that have a spectrum, and shows one. */
    async load() {
        const generation = ++this.generation;

        this.player.stop();
        this.#fillChoices();
        if (!this.section.open) return;
        const runs = this.view.state.spectrumAll ? this.view.state.runs : [this.view.run].filter(Boolean);
        await Promise.all(runs.filter((run) => !this.catalogue.get(run)?.scalars).map((run) => this.catalogue.load(run)));
        const lists = await Promise.all(
            this.#tracked().map(async ({ run, layer }) => [
                `${run}/${layer}`,
                await this.spectra.stepsOf(run, layer).catch(() => []), // the chart above says what is wrong with the run
            ]),
        );
        if (generation !== this.generation) return;
        this.lists = new Map(lists);
        this.#fillChoices();
        this.#show();
    }

    /** Points came live. @param {any[]} points */
    takePoints(points) {
        const mine = points.filter((p) => hasSpectrum(p) && this.lists.has(`${p.run}/${p.layer}`));
        const isOver = mine.filter((p) => p.step <= (this.#stepsOf(p).at(-1) ?? -1));

        if (mine.length === 0) return;
        if (isOver.length) {
            for (const { run, layer } of isOver) this.spectra.forget(run, layer); // a new attempt took over
            setTimeout(() => this.load(), REFRESH_MS);
            return;
        }
        for (const point of mine) this.#stepsOf(point).push(point.step);
        if (this.section.open) this.#show();
    }

    async #show() {
        const turn = ++this.shown;
        const { steps } = this;
        const i = this.#index(steps);
        const places = this.#places(steps[i] ?? -1);

        this.#tellStep(steps, i);
        byId("spectrum-empty").hidden = places.length > 0;
        byId("spectrum-body").hidden = places.length === 0;
        const found = await Promise.all(places.map((place) => this.spectra.ask(place).catch(() => null)));
        if (turn !== this.shown) return;
        this.curves = places.map((place, n) => ({ ...place, spectrum: found[n] }));
        this.draw();
        this.#fetchAhead(steps, i);
    }

    #fetchAhead(steps, i) {
        const count = this.player.isPlaying ? AHEAD_STEPS : 1;

        this.spectra.fetchAhead(steps.slice(i + 1, i + 1 + count).flatMap((step) => this.#placesAt(step)));
    }

    // ---- the slider --------------------------------------------------------------------------

    #choose(step) {
        const { steps } = this;

        this.playStep = null;
        this.view.set({ spectrumStep: step === undefined || step === steps.at(-1) ? null : step });
        this.#tellStep(steps, this.#index(steps));
    }

    #tellStep(steps, i) {
        const text = steps[i] === undefined ? "–" : longStep(steps[i]);

        this.slider.max = String(Math.max(0, steps.length - 1));
        this.slider.disabled = byId("spectrum-play").disabled = steps.length < 2;
        this.slider.value = String(i);
        this.slider.setAttribute("aria-valuetext", `step ${text}`);
        byId("spectrum-step-text").textContent = text;
    }

    /* The animation's next step, once it is here; from the last one it begins at the first. The address
     * learns of it when the animation stops: browsers refuse to be told more often. */
    async #advance() {
        const { steps } = this;
        const i = this.#index(steps);
        const next = this.playStep === null && i === steps.length - 1 ? 0 : i + 1;
        const { turn } = this.player;

        if (steps[next] === undefined || !this.section.open) return false;
        await Promise.all(this.#placesAt(steps[next]).map((place) => this.spectra.ask(place).catch(() => null)));
        if (turn !== this.player.turn) return false;
        this.playStep = steps[next];
        await this.#show();
        await new Promise(requestAnimationFrame); // it is drawn
        return true;
    }

    #pinShown() {
        const shown = this.curves.filter((c) => c.width > 2).map(placeText);
        const { spectrumPins } = this.view.state;
        const fresh = shown.filter((key) => !spectrumPins.includes(key));

        this.view.set({ spectrumPins: fresh.length ? [...spectrumPins, ...fresh] : spectrumPins.filter((key) => !shown.includes(key)) });
    }

    #pin(key, isPinned) {
        const others = this.view.state.spectrumPins.filter((pin) => pin !== key);

        this.view.set({ spectrumPins: isPinned ? [...others, key] : others });
    }

    /* Which of the slider's steps are here, as a line below it. */
    #drawStored() {
        const canvas = byId("spectrum-stored");
        const { steps } = this;
        const context = canvas.getContext("2d");
        const width = (canvas.width = Math.max(1, canvas.clientWidth));

        context.fillStyle = cssColour("--accent");
        steps.forEach((step, i) => {
            const isHere = this.#placesAt(step).every((place) => this.spectra.has(place));
            if (isHere) context.fillRect((width * i) / steps.length, 0, Math.max(1, width / steps.length), canvas.height);
        });
    }

    // ---- drawing -----------------------------------------------------------------------------

    #draw() {
        this.curves = this.#coloured(this.curves);
        const curves = this.curves.filter((c) => c.spectrum);
        const { spectrumAgainst, spectrumLogK, spectrumLogRho } = this.view.state;

        this.#fillChoices();
        this.#drawStored();
        if (this.host.clientWidth === 0) return;
        this.chart.draw({ curves, against: spectrumAgainst, logK: spectrumLogK, logRho: spectrumLogRho });
        if (curves.length) this.#describe(curves);
        this.#drawRows();
        byId("spectrum-note").textContent = this.#note(curves);
    }

    #name({ run, layer, step }) {
        return `${this.catalogue.title(run)} ${layer}, step ${longStep(step)}`;
    }

    #note(curves) {
        const few = curves.some((c) => c.spectrum.few_rows) ? "Fewer rows than features: eigenvalues are given, eigenfunctions are not defined, and Π̂ and Π* are left out. " : "";
        const { spectrumAll, runs } = this.view.state;
        const without = spectrumAll ? runs.filter((run) => !this.#stepsOf({ run, layer: this.#layerOf(run) }).length) : [];
        const lacking = without.length ? `Without a spectrum of this layer: ${without.map((run) => this.catalogue.title(run)).join(", ")}. ` : "";
        const all = this.#placesAt(Infinity).length + this.view.state.spectrumPins.length;

        return few + lacking + (all > CURVES_MAX ? `${CURVES_MAX} curves are drawn.` : "");
    }

    #describe([first]) {
        const s = first.spectrum;
        const cells = [["ρ₁", shortValue(s.rho[0])], ["tr S", shortValue(s.total)], ["p", s.p], ["n", s.n], ["rank F", s.rank]];

        byId("spectrum-facts").replaceChildren(
            ...cells.flatMap(([name, value]) => [element("dt", {}, name), element("dd", { class: "number" }, String(value))]),
        );
        this.host.dataset.step = String(s.step);
        this.host.setAttribute(
            "aria-label",
            `Spectra of ${this.curves.map((c) => this.#name(c)).join("; ")}. Of the first, ${s.rho.length} eigenvalues, relative size ` +
                `${shortValue(s.rho.at(-1) / s.rho[0])} at the last; the first ${s.rank} features hold ` +
                `${shortValue(at(s.pi_hat, s.rank))} of the outputs' space. Left and right arrow move the cursor over the features.`,
        );
    }

    /* The curves with their values at the cursor's k, else at the rank of the outputs. */
    #drawRows() {
        const first = this.curves.find((c) => c.spectrum)?.spectrum;
        const k = this.k ?? first?.rank ?? 1;

        byId("spectrum-k").textContent = this.k === null ? `at k = ${k}, the outputs' rank` : `at k = ${k}`;
        replaceRows(byId("spectrum-rows"), this.curves.map((curve) => this.#row(curve, k)));
    }

    #row(curve, k) {
        const { spectrum, isPinned, key } = curve;
        const sign = element("td", { class: "sign", aria: { hidden: true } }, marker(curve.marker));
        const value = (list) => element("td", { class: "number" }, spectrum ? shortValue(list(spectrum)?.[k - 1]) : "–");
        const name = this.#name(curve);
        const aria = { pressed: isPinned, label: `keep ${name}` };
        const keep = element("button", { type: "button", class: "quiet", aria, onclick: () => this.#pin(key, !isPinned) }, isPinned ? "unpin" : "pin");

        sign.style.color = curve.colour;
        return element(
            "tr",
            { dataset: { key } },
            sign,
            element("th", { scope: "row", class: "name", title: name }, name),
            value(relative),
            value((s) => s.pi_hat),
            value((s) => s.pi_star),
            element("td", {}, keep),
        );
    }

    // ---- the cursor --------------------------------------------------------------------------

    #moveCursor(key, far) {
        const longest = Math.max(1, ...this.curves.map((c) => c.spectrum?.rho.length ?? 1));
        const at = this.k ?? 0;
        const k = { ArrowRight: at + far, ArrowLeft: at - far, Home: 1, End: longest }[key];

        this.#toFeature(Math.min(longest, Math.max(1, k)));
    }

    /* @param {number|null} to its number, from 1 */
    #toFeature(to) {
        this.chart.point(to);
        this.#sayAt(to);
        byId("spectrum-value").textContent = to === null ? "" : this.#words(to);
    }

    #words(k) {
        const s = this.curves.find((c) => c.spectrum)?.spectrum;

        return s ? `k ${k}: ρ ${shortValue(relative(s)[k - 1])}, Π̂ ${shortValue(s.pi_hat?.[k - 1])}, Π* ${shortValue(s.pi_star?.[k - 1])}` : "";
    }

    #sayAt(k) {
        if (k === this.k) return;
        this.k = k;
        this.#drawRows();
    }
}

/** The k-th element, k from 1, or the last one. */
function at(list, k) {
    return list ? list[Math.min(k, list.length) - 1] : null;
}

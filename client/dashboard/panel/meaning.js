/* What is drawn, for a reader who has never heard of it: a line under the chart, and a panel with all
 * that metric.list says of the measure and the flags of the points in view. Nothing of its own but the
 * words that every measure stands on (index.html). */

import { longStep, shortValue } from "../base/axis.js";
import { byId, element, oncePerFrame } from "../base/dom.js";
import { LINES_MAX } from "../data/depth.js";
import { countFlags } from "../data/flags.js";
import { SPREADS } from "../data/groups.js";

/* Of metric.list, in the order in which a reader asks. */
const FACTS = {
    description: "in the field's words",
    read_as: "read it as",
    range: "range",
    compare: "compare it",
    rows: "rows it wants",
    misleads: "it misleads",
    formula: "formula",
    source: "source",
};

/* A sentence of metric.list as one: the table's rows begin small and have no stop. */
function sentence(text) {
    return text.endsWith(".") ? text : `${text}.`;
}

/** @param {import("../data/catalogue.js").Metric} info */
function wordsOf(info) {
    return info.in_words ?? sentence(`${info.description}: ${info.read_as}`);
}

export class Meaning {
    /** @param {{view: any, catalogue: any, looks: any, chart: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.section = byId("meaning");
        const redraw = oncePerFrame(() => this.draw());

        this.chart.addEventListener("drawn", redraw);
        this.section.addEventListener("toggle", redraw);
        this.view.on([], redraw);
        byId("meaning-open").addEventListener("click", () => {
            this.section.open = true;
            this.section.scrollIntoView({ block: "nearest" });
            this.section.querySelector("summary").focus({ preventScroll: true });
        });
    }

    draw() {
        const forms = [...new Set(this.chart.series().left.map((s) => s.name))];
        const name = forms.length === 1 ? forms[0] : this.view.state.metric;
        const info = this.catalogue.metric(name);

        this.#drawCaption(info, forms);
        byId("meaning-name").textContent = info?.name ?? "the measure";
        if (this.section.open && info) this.#drawPanel(info);
    }

    // ---- the line under the chart ------------------------------------------------------------

    #drawCaption(info, forms) {
        const { band } = this.view.state;

        byId("metric-text").textContent = info ? `${info.name}: ${wordsOf(info)}` : "";
        byId("references-text").textContent = this.#referenceText();
        byId("band-text").textContent = band ? this.#bandText(forms) : "";
        byId("layers-text").textContent = this.chart.cutLayers
            ? `lines: ${LINES_MAX} of ${this.chart.cutLayers} layers, evenly chosen; the heat map has all of them`
            : "";
        byId("metric").title = info?.read_as ?? "";
    }

    #bandText(forms) {
        if (this.looks.showsMeans) return `band: ${SPREADS[this.view.state.spread]}`;
        if (this.chart.series().left.some((s) => s.binned)) return "band: least and greatest of a bin";
        return forms.some((form) => this.catalogue.errorOf(form))
            ? `band: ± 2 standard errors of ${forms.join(", ")}`
            : "";
    }

    #referenceText() {
        const all = this.chart.references().map((r) => r.text);

        return all.length
            ? `thin dotted lines: ${all.join(", ")}; compare a run with its own beginning, and with runs of the same p and C`
            : "";
    }

    // ---- the panel ---------------------------------------------------------------------------

    #drawPanel(info) {
        const facts = Object.entries(FACTS).filter(([member]) => info[member]);
        const needs = info.needs === "nothing" ? [] : [["it needs", info.needs]];
        const form = info.corrected ? [["corrected for few rows", info.corrected]] : [];

        byId("meaning-words").textContent = wordsOf(info);
        byId("meaning-ends").textContent = info.low_end ? `Low: ${info.low_end}. High: ${info.high_end}.` : "";
        byId("meaning-facts").replaceChildren(
            ...[...facts.map(([member, label]) => [label, info[member], member]), ...needs, ...form].flatMap(
                ([label, text, member]) => [
                    element("dt", {}, label),
                    element("dd", {}, member === "formula" ? element("code", {}, text) : text),
                ],
            ),
        );
        this.#drawFlags();
    }

    #drawFlags() {
        const left = this.chart.series().left.filter((s) => s.group === undefined);
        const { points, binned, counts } = countFlags(left, this.chart.range());

        byId("meaning-flags").replaceChildren(
            ...[...counts].map(([name, count]) =>
                element(
                    "li",
                    {},
                    `⚑ ${sentence(this.chart.flags.sentence(name))} ${count ? `${longStep(count)} of ${longStep(points)}` : "Some of the"} points.`,
                ),
            ),
        );
        byId("meaning-flags-note").textContent = binned
            ? counts.size
                ? "Too many points for a look at each: zoom in to see which have these flags."
                : "No point in view has a flag."
            : counts.size
              ? "What the daemon wants you to know of points in view:"
              : points
                ? `None of the ${longStep(points)} points in view has a flag.`
                : "No point is in view.";
    }
}

/* The table of runs: a row a run that the list's filter finds, a column for what the reader chose.
 * Only the rows in sight exist. Order and numbers are the daemon's, so a sort is over all runs.
 * Keys: arrows move from row to row; tableheads.js has what the heads do. */

import { longStep } from "../base/axis.js";
import { byId, element, oncePerFrame, replaceRows, unlessHeld } from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { columnOf, extremesOf, usualColumns, valuesOf } from "../data/columns.js";
import { listParameters, matcherOf, patternOf } from "../data/filter.js";
import { RunPages } from "../data/runpages.js";
import { differingKeys, likelyAccuracy } from "../data/sweep.js";
import { dot, stateText } from "./legend.js";
import { arranged } from "./movecolumns.js";
import { TableHeads } from "./tableheads.js";

const ROW_PX = 28;
const SPARE_ROWS = 8;
const POLL_MS = 5000;

/** Events: "selected". */
export class RunsTable extends EventTarget {
    /** @param {{feed: any, view: any, catalogue: any, looks: any}} parts */
    constructor(parts) {
        super();
        Object.assign(this, parts);
        this.section = byId("runs-table");
        this.scroller = byId("runs-table-scroll");
        /** Ids of runs. @type {Set<string>} */ this.selected = new Set();
        /** @type {string[]} */ this.scalars = [];
        /** Keys by which the runs that were read differ. @type {string[]} */ this.keys = [];
        /** @type {string[]} */ this.usual = [];
        this.active = 0;
        this.note = "";
        this.pages = new RunPages(this.feed, this.catalogue, () => this.#parameters(), () => matcherOf(this.view.state));
        this.draw = oncePerFrame(unlessHeld(this.section, () => this.#draw()));
        this.heads = new TableHeads({ view: this.view, catalogue: this.catalogue, redraw: this.draw });
        this.#follow();
    }

    #follow() {
        this.section.addEventListener("toggle", () => this.load());
        this.scroller.addEventListener("scroll", this.draw, { passive: true });
        bindKeys(byId("runs-table-rows"), "table", { move: (key, event) => this.#move(key, event) });
        byId("select-all").addEventListener("change", (e) => this.#selectAll(e.target.checked));
        byId("columns-usual").addEventListener("click", () => this.view.set({ tableColumns: [] }));
        byId("column-menu").addEventListener("toggle", this.draw);
        this.pages.addEventListener("change", () => this.#learn());
        this.pages.addEventListener("error", (event) => this.#tell(/** @type {CustomEvent} */ (event).detail));
        this.view.on(["search", "regex", "state", "hidden"], () => {
            this.pages.forget();
            this.#restart();
        });
        this.view.on(["search", "regex", "state"], () => this.release(this.selected)); // nothing unseen is deleted
        this.view.on(["tableColumns", "tableSort", "tableDescending"], () => {
            this.pages.reorder();
            if (this.section.open) this.#restart();
            else this.section.open = true; // a link that names columns is about the table
        });
        this.view.on(["metric"], () => this.load());
        this.view.on(["runs", "group", "tablePins"], this.draw);
        setInterval(() => document.hidden || this.#want(), POLL_MS);
        new ResizeObserver(this.draw).observe(this.scroller);
    }

    async load() {
        if (!this.section.open || this.catalogue.metrics.length === 0) return;
        this.scalars = await this.catalogue.scalarsOf(this.view.state.runs[0]).catch(() => this.scalars);
        this.pages.restart();
        this.draw();
    }

    #restart() {
        this.scroller.scrollTop = 0;
        this.load();
    }

    #tell(note) {
        this.note = note;
        this.draw();
    }

    // ---- what is asked -----------------------------------------------------------------------

    #parameters() {
        const { tableSort, tableDescending } = this.view.state;

        return {
            ...listParameters(this.view.state),
            values: valuesOf(this.#wanted(), this.catalogue),
            extremes: extremesOf(this.#wanted()),
            sort: tableSort,
            descending: tableDescending,
        };
    }

    #wanted() {
        const { tableColumns, metric } = this.view.state;

        return tableColumns.length ? tableColumns : [...this.catalogue.formsOf(metric), ...this.#accuracy()];
    }

    #accuracy() {
        const name = likelyAccuracy(this.scalars);

        return name ? [`scalar:${name}`] : [];
    }

    /* A page came: what its runs tell of columns. */
    #learn() {
        const runs = [...this.pages.seen.values()];
        const { metric } = this.view.state;
        const forms = this.catalogue.formsOf(metric);
        const form = forms.find((name) => runs.some((run) => typeof run.values?.[name] === "number")) ?? forms[0];

        this.keys = differingKeys(runs);
        this.usual = usualColumns(runs, this.keys, [form, ...this.#accuracy()]);
        this.#tell("");
    }

    /** The names of the columns, from the left. */
    get #columns() {
        const { tableColumns, tablePins } = this.view.state;

        return arranged(tableColumns.length ? tableColumns : this.usual, tablePins);
    }

    #visible() {
        const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PX) - SPARE_ROWS);
        const last = Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW_PX) + SPARE_ROWS;

        return [first, Math.min(this.pages.total - 1, last)];
    }

    #want() {
        const [first, last] = this.#visible();

        if (this.section.open && this.feed.isLive) this.pages.want(first, Math.max(first, last));
    }

    // ---- drawing -----------------------------------------------------------------------------

    #draw() {
        if (!this.section.open) return;
        const names = this.#columns;
        const [first, last] = this.#visible();
        const runs = [this.pages.run(first), this.pages.run(last)].filter(Boolean);
        const columns = names.map((name) => ({ name, ...columnOf(name, this.catalogue, runs) }));
        const rows = [];

        this.#want();
        const isInSight = this.active >= first && this.active <= last;
        const stop = isInSight ? this.active : Math.min(last, Math.ceil(this.scroller.scrollTop / ROW_PX));
        for (let i = first; i <= last; i++) rows.push(this.#row(i, columns, i === stop ? 0 : -1));
        replaceRows(byId("runs-table-rows"), [space(first), ...rows, space(this.pages.total - 1 - last)]);
        byId("runs-table-grid").setAttribute("aria-rowcount", String(this.pages.total + 1));
        this.heads.draw(columns, columns.map((column) => this.#textsOf(column, first, last)));
        this.heads.drawMenu(this.keys, this.scalars);
        byId("runs-table-count").textContent = longStep(this.pages.total);
        byId("select-all").checked = this.pages.total > 0 && this.selected.size >= this.pages.total;
        byId("runs-table-note").textContent = this.note || this.#why();
    }

    #textsOf(column, first, last) {
        const texts = [];

        for (let i = first; i <= last; i++) if (this.pages.run(i)) texts.push(cellText(this.pages.run(i), column));
        return texts;
    }

    #why() {
        const { search, regex } = this.view.state;

        return (regex && search && patternOf(search).why) || (this.pages.total === 0 ? "No run matches." : "");
    }

    #row(i, columns, tabIndex) {
        const run = this.pages.run(i);
        const common = { aria: { rowindex: i + 2 }, dataset: { row: String(i), key: run?.run ?? `row ${i}`, run: run?.run ?? "" } };

        if (!run) return element("tr", common, element("td", { class: "muted" }, "…"));
        const box = element("input", {
            type: "checkbox",
            checked: this.selected.has(run.run),
            tabIndex,
            aria: { label: `select ${this.catalogue.title(run.run)}` },
            onclick: (event) => this.#select(i, run.run, event),
        });

        return element(
            "tr",
            { ...common, class: run.hidden ? "is-hidden" : "" },
            element("td", {}, box),
            ...columns.map((column) => this.#cell(run, column, tabIndex)),
        );
    }

    #cell(run, column, tabIndex) {
        const { name, isNumber } = column;
        const text = cellText(run, column);

        if (name !== "name") return element("td", { class: isNumber ? "number name" : "name", title: text }, text);
        const isShown = this.view.state.runs.includes(run.run);
        const show = () => this.view.show(run.run, !isShown);

        return element(
            "th",
            { scope: "row", class: "name", title: text },
            isShown ? dot(this.looks.colour(run.run)) : null,
            element("button", { type: "button", class: "link", tabIndex, aria: { pressed: isShown }, onclick: show }, text),
        );
    }

    // ---- choosing rows -----------------------------------------------------------------------

    /* With shift, all from the row that was active before. */
    #select(i, id, { target, shiftKey }) {
        const [from, to] = [i, this.active].sort((a, b) => a - b);
        const runs = [id];

        for (let j = from; shiftKey && j <= to; j++) runs.push(this.pages.run(j)?.run);
        for (const run of runs.filter(Boolean)) {
            if (target.checked) this.selected.add(run);
            else this.selected.delete(run);
        }
        this.active = i;
        this.#tellSelected();
    }

    async #selectAll(isSelected) {
        this.selected = new Set();
        if (isSelected) {
            const runs = await this.pages.all().catch((error) => (this.#tell(error.message), []));
            this.selected = new Set(runs.map((run) => run.run));
        }
        this.#tellSelected();
    }

    #tellSelected() {
        this.dispatchEvent(new Event("selected"));
        this.draw();
    }

    /** These runs are selected no longer. @param {Iterable<string>} runs */
    release(runs) {
        for (const run of runs) this.selected.delete(run);
        this.#tellSelected();
    }

    #move(key, event) {
        const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_PX) - 2);
        const move = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[key];

        this.active = Number(event.target.closest("tr").dataset.row);
        this.#focusRow(Math.max(0, Math.min(this.pages.total - 1, this.active + move)));
    }

    #focusRow(i) {
        const top = i * ROW_PX;
        const room = this.scroller.clientHeight - 2 * ROW_PX;

        this.active = i;
        if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
        if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room;
        this.#draw();
        byId("runs-table-rows").querySelector(`tr[data-row="${i}"] input`)?.focus({ preventScroll: true });
    }
}

function cellText(run, { name, cell }) {
    return name === "state" ? stateText(run.state) + (run.hidden ? " · hidden" : "") : cell(run);
}

/* The rows out of sight. */
function space(count) {
    const row = element("tr", { class: "space-row", aria: { hidden: true } }, element("td"));

    row.style.height = `${Math.max(0, count) * ROW_PX}px`;
    return row;
}

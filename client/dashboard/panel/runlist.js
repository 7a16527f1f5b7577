/* The list of runs: only the rows in sight exist, so ten thousand runs cost what twenty do. Pinned
 * runs stand above it. A row shows a run when its box is checked; keys: arrows move, space shows,
 * p pins. */

import { longStep, shortValue } from "../base/axis.js";
import {
    byId,
    debounced,
    element,
    fillSelect,
    oncePerFrame,
    replaceRows,
    throttled,
    unlessHeld,
} from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { SHOWN_MAX } from "../base/view.js";
import { shownOf } from "../data/catalogue.js";
import { dot, stateText, swatch } from "./legend.js";

const ROW_PX = 46;
const SPARE_ROWS = 6;
const SEARCH_MS = 150;
const POLL_MS = 5000;
/* Numbers that change faster than this cannot be read. */
const LIVE_MS = 250;

function nothingFound(search) {
    return search.includes("=")
        ? 'No run matches. lr=0.1 asks for a value of the configuration, "lr=0.1" for the text.'
        : "No run matches.";
}

export class RunList {
    /** @param {{view: any, catalogue: any, source: any, looks: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.scroller = byId("run-scroll");
        this.list = byId("run-rows");
        this.active = 0;
        this.draw = oncePerFrame(unlessHeld(byId("runs"), () => this.#draw()));
        this.source.addEventListener("change", this.draw);
        this.catalogue.addEventListener("change", throttled(this.draw, LIVE_MS));
        this.view.on(["runs", "pins", "group"], this.draw);
        this.scroller.addEventListener("scroll", this.draw, { passive: true });
        new ResizeObserver(this.draw).observe(this.scroller);
        bindKeys(this.list, "list", { move: (key) => this.#move(key), pin: (_key, event) => this.#pin(event) });
        this.list.addEventListener("focusin", (event) => this.#onFocus(event));
        setInterval(() => document.hidden || this.#wantVisible(), POLL_MS);
        this.#followInputs();
        byId("show-all").addEventListener("click", () => this.#showAll());
    }

    get #showsAll() {
        const { runs } = this.view.state;

        return runs.length > 0 && runs.length >= Math.min(this.source.count, SHOWN_MAX);
    }

    /* Of groups of several runs the means: the runs are a bush. */
    async #showAll() {
        if (this.#showsAll) {
            this.view.set({ runs: this.view.state.pins });
            return;
        }
        const runs = await this.source.first(SHOWN_MAX);
        const groups = new Set(runs.map((run) => this.looks.group(run)));
        const hasMeans = this.view.state.group !== "" && 2 * groups.size <= runs.length;

        this.view.set({ runs, ...(hasMeans ? { lines: "means" } : {}) });
    }

    #followInputs() {
        const search = byId("search");
        const apply = debounced(
            () => this.view.set({ search: search.value.trim(), regex: byId("regex").checked }),
            SEARCH_MS,
        );

        search.addEventListener("input", apply);
        byId("regex").addEventListener("change", apply);
        this.view.follow({ "state-filter": "state", "hidden-too": "hidden", "group-by": "group" });
        this.view.on(["search", "regex", "state", "hidden"], ({ search: text, regex, state, hidden }) => {
            if (document.activeElement !== search) search.value = text;
            byId("regex").checked = regex;
            byId("hidden-too").checked = hidden;
            byId("state-filter").value = state;
            this.scroller.scrollTop = 0;
        });
    }

    #wantVisible() {
        this.source.followOpen();
        const [first, last] = this.#visible();

        if (last >= first) this.source.want(first, last);
    }

    #visible() {
        const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PX) - SPARE_ROWS);
        const last =
            Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW_PX) + SPARE_ROWS;

        return [first, Math.min(this.source.total - 1, last)];
    }

    #draw() {
        const [first, last] = this.#visible();
        const rows = [];

        this.source.want(first, Math.max(first, last));
        for (let i = first; i <= last; i++) rows.push(this.#row(i));
        this.list.style.height = `${this.source.total * ROW_PX}px`;
        replaceRows(this.list, rows);
        this.#drawPins();
        this.#drawNotes();
    }

    #drawNotes() {
        const { pattern, progress, count } = this.source;
        const { regex, search, group } = this.view.state;
        const keys = [...this.source.keys].sort().map((k) => ({ value: `config.${k}`, text: `config: ${k}` }));
        const fixed = [{ value: "", text: "nothing" }, "project", "group", "state"];
        const known = group === "" || fixed.includes(group) || keys.some((k) => k.value === group);

        byId("run-count").textContent = longStep(count);
        byId("show-all").textContent = this.#showsAll ? "show none" : count > SHOWN_MAX ? `show ${SHOWN_MAX}` : "show all";
        byId("show-all").hidden = count === 0;
        byId("run-note").textContent =
            (regex && search && pattern.why) ||
            progress ||
            (count === 0 && search ? nothingFound(search) : "");
        fillSelect(
            byId("group-by"),
            [...fixed, ...keys, ...(known ? [] : [group])],
            group,
        );
    }

    #drawPins() {
        const { pins } = this.view.state;

        byId("pins").hidden = pins.length === 0;
        replaceRows(
            byId("pin-rows"),
            pins.map((run) =>
                element("li", { class: "run", dataset: { run, key: run } }, this.#body(run, 0)),
            ),
        );
    }

    #place(item, i) {
        item.style.top = `${i * ROW_PX}px`;
        return item;
    }

    #row(i) {
        const row = this.source.row(i);
        const common = {
            dataset: { row: String(i), key: `row ${i}` },
            aria: { setsize: this.source.total, posinset: i + 1 },
        };

        if (!row) return this.#place(element("li", { ...common, class: "run waiting" }, "…"), i);
        if ("heading" in row)
            return this.#place(
                element("li", { ...common, class: "heading" }, this.#heading(row, i)),
                i,
            );
        return this.#place(
            element(
                "li",
                {
                    ...common,
                    class: "run",
                    dataset: { row: String(i), run: row.run, key: row.run },
                },
                this.#body(
                    row.run,
                    i === this.active || (i === 0 && !this.source.row(this.active)) ? 0 : -1,
                ),
            ),
            i,
        );
    }

    #heading(row, i) {
        const all = row.runs.every((r) => this.view.state.runs.includes(r));
        const onchange = () => {
            const { runs } = this.view.state;
            this.view.set({
                runs: all
                    ? runs.filter((r) => !row.runs.includes(r))
                    : [...new Set([...runs, ...row.runs.slice(0, SHOWN_MAX)])],
            });
        };

        return element(
            "label",
            { title: `show all of them, at most ${SHOWN_MAX}` },
            element("input", {
                type: "checkbox",
                checked: all,
                tabIndex: i === this.active ? 0 : -1,
                onchange,
            }),
            dot(this.looks.groupColour(row.heading)),
            element("span", { class: "name" }, row.heading),
            element("span", { class: "muted" }, ` ${longStep(row.count)}`),
        );
    }

    #body(id, tabIndex) {
        const run = this.catalogue.get(id);
        const isShown = this.view.state.runs.includes(id);
        const isPinned = this.view.state.pins.includes(id);
        const [name] = this.catalogue.layersOf(id, "");
        const last = run?.layers.find((l) => l.layer === name);
        const shown = shownOf(last);

        return [
            element(
                "label",
                {},
                element("input", {
                    type: "checkbox",
                    checked: isShown,
                    tabIndex,
                    onchange: (e) => this.view.show(id, e.target.checked),
                }),
                isShown
                    ? swatch(this.looks.line(id, last?.layer ?? ""))
                    : dot(this.looks.colour(id)),
                element(
                    "span",
                    { class: "what", title: run?.note },
                    element("span", { class: "name" }, run?.name ?? id),
                    element(
                        "span",
                        { class: "muted small" },
                        run
                            ? `${stateText(run.state)} · ${run.project}${run.group ? ` · ${run.group}` : ""}`
                            : "",
                    ),
                ),
                element(
                    "span",
                    { class: "figures" },
                    element(
                        "span",
                        { class: "number", title: shown.form },
                        shortValue(shown.value) + shown.star,
                    ),
                    element(
                        "span",
                        { class: "muted small number" },
                        run?.last_step === null ? "no step" : `step ${longStep(run?.last_step)}`,
                    ),
                ),
            ),
            element(
                "button",
                {
                    type: "button",
                    class: "quiet pin",
                    tabIndex,
                    aria: { label: `pin ${run?.name ?? id}`, pressed: isPinned },
                    onclick: () => this.view.pin(id, !isPinned),
                },
                isPinned ? "★" : "☆",
            ),
        ];
    }

    // ---- keyboard ----------------------------------------------------------------------------

    #onFocus(event) {
        const row = event.target.closest("li")?.dataset.row;

        if (row !== undefined) this.active = Number(row);
    }

    #pin(event) {
        const run = event.target.closest("li")?.dataset.run;

        if (run) this.view.pin(run, !this.view.state.pins.includes(run));
    }

    #move(key) {
        const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_PX) - 1);
        const move = {
            ArrowDown: 1,
            ArrowUp: -1,
            PageDown: page,
            PageUp: -page,
            Home: -Infinity,
            End: Infinity,
        }[key];

        this.#focusRow(Math.min(this.source.total - 1, Math.max(0, this.active + move)));
    }

    #focusRow(i) {
        const top = i * ROW_PX;

        this.active = i;
        if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
        if (top + ROW_PX > this.scroller.scrollTop + this.scroller.clientHeight)
            this.scroller.scrollTop = top + ROW_PX - this.scroller.clientHeight;
        this.#draw();
        this.list.querySelector(`li[data-row="${i}"] input`)?.focus({ preventScroll: true });
    }
}

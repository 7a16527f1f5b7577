/* The heads of the runs' table: a button a column, which sorts, a handle, which resizes, and the menu that
 * chooses columns. A column is as wide as what it has shown, up to what columns.js gives it, until a reader
 * resizes it. movecolumns.js has the keys and drags that move and pin columns. */

import { byId, element, replaceRows } from "../base/dom.js";
import { beginsWithGreatest, columnOf, extremesBeside, FIELDS } from "../data/columns.js";
import { makeMovable, stick } from "./movecolumns.js";

const BOXES_PX = 28;
const RESIZE_PX = 16;
const WIDTHS_PX = [48, 800];
/* Beside a cell's text: its padding and the handle; at a name the dot of its colour. */
const BESIDE_PX = 22;
const DOT_PX = 18;

export class TableHeads {
    /** @param {{view: any, catalogue: any, redraw: () => void}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.scroller = byId("runs-table-scroll");
        /** By the reader. @type {Map<string, number>} */ this.widths = new Map();
        /** What was shown needs so much. @type {Map<string, number>} */ this.needed = new Map();
        this.pen = document.createElement("canvas").getContext("2d");
    }

    /** @param {any[]} columns from the left, with their names @param {string[][]} texts of the cells of each */
    draw(columns, texts) {
        this.columns = columns;
        this.pen.font = getComputedStyle(this.scroller).font;
        columns.forEach((column, i) => this.#measure(column, texts[i]));
        replaceRows(byId("runs-table-head"), [byId("select-all-cell"), ...columns.map((column) => this.#head(column))]);
        this.#drawWidths();
        this.#stick();
    }

    #measure({ name, text }, texts) {
        const longest = Math.max(...[`${text} ▾`, ...texts].map((one) => this.pen.measureText(one).width));
        const width = Math.ceil(longest) + BESIDE_PX + (name === "name" ? DOT_PX : 0);

        this.needed.set(name, Math.max(width, this.needed.get(name) ?? WIDTHS_PX[0]));
    }

    #width({ name, widthPx }) {
        return this.widths.get(name) ?? Math.min(widthPx, this.needed.get(name) ?? widthPx);
    }

    get #names() {
        return this.columns.map(({ name }) => name);
    }

    #stick() {
        const pinned = this.columns.filter(({ name }) => this.view.state.tablePins.includes(name));
        const rows = [byId("runs-table-head"), ...byId("runs-table-rows").querySelectorAll("tr[data-row]")];

        stick(rows, [BOXES_PX, ...pinned.map((column) => this.#width(column))], this.scroller.clientWidth);
    }

    #drawWidths() {
        const widths = this.columns.map((column) => this.#width(column));
        const columnOfBoxes = element("col", { class: "boxes" });

        byId("runs-table-columns").replaceChildren(
            columnOfBoxes,
            ...widths.map((width) => {
                const made = element("col");
                made.style.width = `${width}px`;
                return made;
            }),
        );
        byId("runs-table-grid").style.width = `${BOXES_PX + widths.reduce((a, b) => a + b, 0)}px`;
    }

    #head(column) {
        const { name, text, sort, isNumber } = column;
        const { tableSort, tableDescending } = this.view.state;
        const isSorted = sort !== undefined && sort === tableSort;
        const sign = isSorted ? (tableDescending ? " ▾" : " ▴") : "";
        const pin = this.view.state.tablePins.includes(name) ? "★ " : "";
        const head = element(
            "th",
            {
                scope: "col",
                title: `${name.replace(/^config:/, "config: ")}; a drag, or Shift and an arrow, moves the column, p pins it`,
                dataset: { key: name },
                class: isNumber ? "number" : "",
                ...(isSorted ? { aria: { sort: tableDescending ? "descending" : "ascending" } } : {}),
            },
            element("button", { type: "button", class: "link", onclick: sort && (() => this.#sortBy(sort)) }, pin + text + sign),
            this.#handle(column),
        );

        makeMovable(head, this.view, this.#names);
        return head;
    }

    #sortBy(sort) {
        const { tableSort, tableDescending } = this.view.state;

        this.view.set({
            tableSort: sort,
            tableDescending: sort === tableSort ? !tableDescending : beginsWithGreatest(sort, this.catalogue),
        });
    }

    #handle(column) {
        const { name, text } = column;
        const width = () => this.#width(column);
        const set = (px) => {
            this.widths.set(name, Math.max(WIDTHS_PX[0], Math.min(WIDTHS_PX[1], Math.round(px))));
            this.redraw();
        };
        const handle = element("input", {
            type: "range",
            class: "handle",
            min: WIDTHS_PX[0],
            max: WIDTHS_PX[1],
            step: RESIZE_PX,
            aria: { label: `width of ${text}` },
            onpointerdown: (event) => this.#drag(event, handle, width(), set),
            oninput: () => set(Number(handle.value)),
        });

        handle.value = String(width());
        return handle;
    }

    /* The table is not drawn while a pointer is down on it: only the widths follow. */
    #drag(event, handle, from, set) {
        const { clientX } = event;
        const move = (e) => {
            set(from + e.clientX - clientX);
            this.#drawWidths();
        };

        event.preventDefault();
        handle.setPointerCapture(event.pointerId);
        handle.addEventListener("pointermove", move);
        handle.addEventListener("lostpointercapture", () => handle.removeEventListener("pointermove", move), { once: true });
    }

    /** What can be chosen. @param {string[]} keys of the configuration @param {string[]} scalars */
    drawMenu(keys, scalars) {
        const names = this.#names;
        const offered = [
            ...extremesBeside(names, this.catalogue),
            ...Object.keys(FIELDS),
            ...keys.map((key) => `config:${key}`),
            ...scalars.map((name) => `scalar:${name}`),
            ...this.catalogue.measures.map((m) => m.name),
        ];
        const all = [...new Set([...names, ...offered])];

        if (byId("column-menu").open === false && byId("column-choices").childElementCount) return;
        replaceRows(
            byId("column-choices"),
            all.map((name) => this.#choice(name, names)),
        );
    }

    #choice(name, names) {
        const isChosen = names.includes(name);
        const onchange = () =>
            this.view.set({ tableColumns: isChosen ? names.filter((n) => n !== name) : beside(names, name) });

        return element(
            "label",
            { class: "check", dataset: { key: name } },
            element("input", { type: "checkbox", checked: isChosen, disabled: isChosen && names.length === 1, onchange }),
            columnOf(name, this.catalogue).text,
            name.startsWith("config:") ? element("span", { class: "muted" }, "config") : null,
        );
    }
}

/* A new column stands last; an extreme beside the value at the end. */
function beside(names, name) {
    const at = names.indexOf(name.replace(/^(least|greatest):/, ""));
    return at < 0 ? [...names, name] : names.toSpliced(at + 1, 0, name);
}

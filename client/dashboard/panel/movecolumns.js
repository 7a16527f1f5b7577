/* Where the columns of a table stand: moved by a drag of their heads or by keys, and pinned, so that they
 * stay on the left while the others are scrolled. The names of columns and of pins are the view's. */

import { bindKeys } from "../base/keys.js";

/* A press that moves less is a click. */
const DRAG_PX = 6;
/* Pinned columns leave so much of the table to the others. */
const SHARE_MAX = 0.65;

/** The pinned columns first. @param {string[]} names @param {string[]} pins */
export function arranged(names, pins) {
    return [...pins.filter((name) => names.includes(name)), ...names.filter((name) => !pins.includes(name))];
}

/** `name` at another place. @param {string[]} names @param {string} name @param {number} to */
export function moved(names, name, to) {
    const rest = names.filter((other) => other !== name);

    rest.splice(Math.max(0, to), 0, name);
    return rest;
}

/**
 * Lets the button of a head move its column: dragged onto another head, with Shift and an arrow, and
 * pinned with p.
 * @param {HTMLElement} head with data-key @param {any} view @param {string[]} names of the columns, from the left
 */
export function makeMovable(head, view, names) {
    const button = head.querySelector("button");
    const { key: name } = head.dataset;
    const { tablePins } = view.state;
    const move = (to) => {
        const tableColumns = moved(names, name, to);
        view.set({ tableColumns, tablePins: tableColumns.filter((other) => tablePins.includes(other)) });
    };
    const by = (n) => move(names.indexOf(name) + n);
    const onto = (key) => move(names.indexOf(key));
    const pin = () =>
        view.set({ tablePins: tablePins.includes(name) ? tablePins.filter((other) => other !== name) : [...tablePins, name] });

    bindKeys(button, "column", { move: (key, { shiftKey }) => shiftKey && by(key === "ArrowLeft" ? -1 : 1), pin });
    button.addEventListener("pointerdown", (press) => follow(press, head.parentElement, onto));
}

function follow(press, heads, onto) {
    const done = new AbortController();
    let over = null;
    const point = (target) => {
        over?.classList.remove("drop");
        over = target ?? null;
        over?.classList.add("drop");
    };
    const listen = (type, work) => addEventListener(type, work, { signal: done.signal });

    listen("pointermove", ({ clientX, clientY }) => {
        const target = document.elementFromPoint(clientX, clientY)?.closest("th");
        point(Math.abs(clientX - press.clientX) > DRAG_PX && target?.parentElement === heads ? target : null);
    });
    for (const type of ["pointerup", "pointercancel"])
        listen(type, () => {
            const key = type === "pointerup" && over?.dataset.key;
            point(null);
            done.abort();
            if (key) onto(key);
        });
}

/**
 * Keeps the first cells of each row on the left: that of the boxes and the pinned ones, as far as there
 * is room for others beside them.
 * @param {HTMLTableRowElement[]} rows @param {number[]} widths of the boxes' column and of the pinned ones @param {number} room_px
 */
export function stick(rows, widths, room_px) {
    const lefts = widths.map((_, i) => widths.slice(0, i).reduce((a, b) => a + b, 0));
    const count = widths.length > 1 ? widths.filter((width, i) => lefts[i] + width <= SHARE_MAX * room_px).length : 0;

    for (const row of rows)
        [...row.cells].forEach((cell, i) => {
            cell.classList.toggle("pinned", i < count);
            if (i < count) cell.style.left = `${lefts[i]}px`;
        });
}

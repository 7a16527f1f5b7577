/* The keys that work everywhere: to each part of the page, and to the dialog that lists all commands. It
 * can be told to leave single letters alone, for who speaks or mistypes them. */

import { byId, element } from "../base/dom.js";
import { bindKeys, KEYS } from "../base/keys.js";

const OFF = "richd.keys-off";
const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓" };

/* Where letters are typed, or choose an option. */
const TYPES = "textarea, select, input:not([type=checkbox], [type=radio], [type=range])";

const panels = () => [.../** @type {NodeListOf<any>} */ (document.querySelectorAll("main .panel"))].filter((p) => p.offsetParent);

export function followKeyboard() {
    const [dialog, off] = [byId("keys-dialog"), byId("keys-off")];
    const elsewhere = (work) => (key, event) =>
        event.target.matches(TYPES) || document.querySelector("dialog[open]") || off.checked ? false : work(key);
    const open = () => {
        drawKeys();
        dialog.showModal();
    };

    try {
        off.checked = localStorage.getItem(OFF) === "true";
        off.addEventListener("change", () => localStorage.setItem(OFF, String(off.checked)));
    } catch {
        // storage is forbidden: it lasts as long as the page
    }
    byId("keys").addEventListener("click", open);
    bindKeys(document, "page", {
        help: elsewhere(open),
        filter: elsewhere(() => toRuns("#search")),
        runs: elsewhere(() => toRuns("#run-rows input")),
        neighbour: elsewhere((key) => {
            const all = panels();
            toPanel(all[all.findIndex((p) => p.contains(document.activeElement)) + (key === "j" ? 1 : -1)]);
        }),
        panel: elsewhere((key) => toPanel(panels()[Number(key) - 1])),
    });
}

/* On a narrow screen the list has the page's place. */
function toRuns(selector) {
    if (!byId("runs").offsetParent) byId("runs-toggle").click();
    byId("runs").querySelector(selector)?.focus();
}

function toPanel(panel) {
    if (!panel) return;
    if (panel.tagName === "DETAILS") panel.open = true;
    panel.scrollIntoView({ block: "nearest" });
    (panel.querySelector("summary") ?? byId("chart")).focus({ preventScroll: true });
}

/* Without the numbers and names of runs behind it. */
function titleOf(heading) {
    return [...heading.childNodes].map((n) => (n.className?.includes("muted") ? "" : n.textContent)).join("").trim();
}

function drawKeys() {
    const numbered = panels().map((p, i) => `${i + 1} ${titleOf(p.querySelector("h2"))}`);

    byId("keys-panels").textContent = numbered.slice(0, 9).join(" · ");
    byId("keys-rows").replaceChildren(
        ...Object.values(KEYS).flatMap(([title, rows]) => [
            element("tr", {}, element("th", { colspan: 2, scope: "rowgroup" }, element("h3", {}, title))),
            ...rows.map(([, keys, text]) =>
                element(
                    "tr",
                    {},
                    element("td", {}, ...keys.split(" ").flatMap((key) => [element("kbd", {}, SIGNS[key] ?? key), " "])),
                    element("td", {}, text),
                ),
            ),
        ]),
    );
}

/* The page's one dialog for a question: a line, an area of text, or only a yes. */

import { byId } from "../base/dom.js";

/**
 * Asks in a dialog: with `line` or `area` for a text, with both for both, with neither for a yes.
 * @param {{title: string, text: string, action: string, line?: string, area?: string, areaLabel?: string}} question
 * @returns {Promise<any>} the text; with both [line, area]; null: no
 */
export function ask({ title, text, action, line, area, areaLabel }) {
    const dialog = byId("edit-dialog");
    const fields = [
        ["edit-line", line],
        ["edit-area", area],
    ];

    byId("edit-title").textContent = title;
    byId("edit-text").textContent = text;
    byId("edit-do").textContent = action;
    for (const [id, value] of fields) {
        byId(id).hidden = value === undefined;
        byId(id).value = value ?? "";
        byId(`${id}-label`).textContent = title;
    }
    byId("edit-area-label").textContent = areaLabel ?? title;
    byId("edit-area-label").classList.toggle("spoken", areaLabel === undefined);
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) =>
        dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? answerOf(fields) : null), { once: true }),
    );
}

function answerOf(fields) {
    const asked = fields.filter(([, value]) => value !== undefined);
    const texts = asked.map(([id]) => byId(id).value);

    return texts.length === 2 ? texts : (texts[0] ?? "");
}

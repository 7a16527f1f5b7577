/* The menu of views that persons have saved on the daemon: opened by everybody, saved, overwritten and
 * deleted by who may write. It asks for the list each time it is opened, so two pages see each
 * other's. A view is the query of a link (base/permalink.js), and keeps no data: runs that it names
 * may have left. */

import { byId, element, replaceRows } from "../base/dom.js";
import { bindKeys } from "../base/keys.js";
import { visible } from "../base/names.js";
import { decode, encode } from "../base/permalink.js";
import { ask } from "./ask.js";

/* Runs that have left, named in the note. */
const NAMES_SHOWN = 5;

/** @typedef {{name: string, query: string, note: string, saved: number}} SavedView */

export class SavedViews {
    /** @param {{feed: any, view: any, catalogue: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        /** @type {SavedView[]} */ this.views = [];
        this.menu = byId("views-menu");
        this.menu.addEventListener("toggle", () => this.menu.open && this.load());
        bindKeys(this.menu, "views", { move: (key) => this.#move(key === "ArrowDown" ? 1 : -1), leave: () => this.#close() });
        byId("view-save").addEventListener("click", () => this.#save());
        for (const type of ["live", "stale"]) this.feed.addEventListener(type, () => this.#draw());
        this.view.on([], () => this.menu.open && this.#draw());
        this.view.on(["runs"], () => this.#tellGone());
        this.catalogue.addEventListener("change", () => this.#tellGone());
    }

    async load() {
        try {
            this.views = (await this.feed.call("view.list")).views;
            this.#tell(this.views.length ? "" : "No view is saved yet.");
        } catch (error) {
            this.#tell(error.message);
        }
        this.#draw();
    }

    #tell(text) {
        byId("view-note").textContent = text;
    }

    get #mayWrite() {
        return this.feed.isLive && this.feed.mayWrite;
    }

    #draw() {
        byId("view-save").disabled = !this.#mayWrite;
        byId("view-save").title = this.#mayWrite ? "" : "This page may only read: saving needs the owner's link.";
        replaceRows(byId("view-rows"), this.views.map((saved) => this.#row(saved)));
    }

    /** @param {SavedView} saved */
    #row(saved) {
        const name = visible(saved.name);
        const isShown = encode(decode(saved.query)) === encode(this.view.state);
        const change = (sign, what, act) =>
            element("button", { type: "button", class: "quiet", title: what, aria: { label: `${what}: ${name}` }, onclick: act }, sign);

        return element(
            "li",
            { dataset: { key: saved.name } },
            element(
                "button",
                { type: "button", class: "open", title: visible(saved.note), aria: isShown ? { current: "true" } : {}, onclick: () => this.open(saved) },
                element("span", { class: "name" }, name),
                saved.note && element("span", { class: "muted small" }, visible(saved.note.split("\n")[0])),
            ),
            this.#mayWrite && change("⟳", "Overwrite with the present view", () => this.#overwrite(saved)),
            this.#mayWrite && change("✕", "Delete", () => this.#delete(saved)),
        );
    }

    #move(step) {
        const names = [...byId("view-rows").querySelectorAll(".open")];
        const at = names.indexOf(document.activeElement);

        if (names.length) names[(at + step + names.length) % names.length].focus();
    }

    #close() {
        this.menu.open = false;
        this.menu.querySelector("summary").focus();
    }

    // ---- open ----------------------------------------------------------------------------------

    /** Shows it; the browser's "back" leads to what was shown before. @param {SavedView} saved */
    open(saved) {
        this.menu.open = false;
        history.pushState(null, "", location.href);
        this.view.set(decode(saved.query));
    }

    /* Which runs of a view or a link this daemon has not. */
    #tellGone() {
        const { runs } = this.view.state;
        const gone = runs.filter((run) => this.catalogue.absent.has(run)).map(visible);
        const more = gone.length - NAMES_SHOWN;
        const names = gone.slice(0, NAMES_SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
        const text = `${gone.length} of ${runs.length} runs of this view ${gone.length === 1 ? "is" : "are"} not on this daemon: ${names}.`;

        if (byId("gone-note").textContent !== (gone.length ? text : "")) byId("gone-note").textContent = gone.length ? text : "";
    }

    // ---- change --------------------------------------------------------------------------------

    async #change(method, params, done) {
        try {
            await this.feed.change(method, params);
            byId("notice").textContent = done;
        } catch (error) {
            byId("notice").textContent = error.message;
        }
        await this.load();
    }

    async #save() {
        const answer = await ask({
            title: "Save this view",
            text: "For everybody who reads this daemon. A name, and a note if there is more to say.",
            line: "",
            area: "",
            areaLabel: "note",
            action: "Save",
        });
        const [name, note] = answer ?? ["", ""];

        if (!name.trim()) return;
        await this.#change(
            "view.save",
            { name: name.trim(), note, query: encode(this.view.state) },
            `Saved as "${visible(name.trim())}".`,
        );
    }

    /** @param {SavedView} saved */
    async #overwrite({ name }) {
        const title = `Overwrite "${visible(name)}"?`;
        const text = "It becomes what the page shows now. Its note stays.";

        if ((await ask({ title, text, action: "Overwrite" })) === null) return;
        await this.#change("view.save", { name, query: encode(this.view.state), replace: true }, `"${visible(name)}" is the present view.`);
    }

    /** @param {SavedView} saved */
    async #delete({ name }) {
        const text = "The runs stay as they are; the view is gone for everybody.";

        if ((await ask({ title: `Delete "${visible(name)}"?`, text, action: "Delete" })) === null) return;
        await this.#change("view.delete", { name }, `"${visible(name)}" is deleted.`);
    }
}

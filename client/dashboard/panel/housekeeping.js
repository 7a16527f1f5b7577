/* What is done to the runs that are selected in the table: shown in the charts, hidden, tagged, noted,
 * renamed, deleted. Each change is sent once, and the last one can be taken back, but a deletion. */

import { byId } from "../base/dom.js";
import { visible } from "../base/names.js";
import { SHOWN_MAX } from "../base/view.js";
import { ask } from "./ask.js";

/* Changes that are on their way together. */
const AT_ONCE = 20;
const NAMES_SHOWN = 5;
const MAY_NOT = {
    withToken: "This page may read. The link that richctl open prints to the daemon's owner may also change runs.",
    withoutToken: "This daemon asks for no token, so nobody may change runs over HTTP; on its own machine richctl does.",
};

/** Events: "change" (runs are called, listed or told otherwise). */
export class Housekeeping extends EventTarget {
    /** @param {{feed: any, view: any, catalogue: any, table: any}} parts */
    constructor(parts) {
        super();
        Object.assign(this, parts);
        /** What the last change replaced, by run. @type {Map<string, object>} */ this.before = new Map();
        this.isBusy = false;
        const actions = {
            "runs-show": () => this.#show(),
            "runs-hide": () => this.#edit(() => ({ hidden: true })),
            "runs-unhide": () => this.#edit(() => ({ hidden: false })),
            "runs-tag": () => this.#tag(),
            "runs-note": () => this.#note(),
            "runs-rename": () => this.#rename(),
            "runs-delete": () => this.#delete(),
            "runs-undo": () => this.#undo(),
        };

        for (const [id, act] of Object.entries(actions))
            byId(id).addEventListener("click", () => act()?.catch?.((error) => this.#tell(error.message)));
        this.table.addEventListener("selected", () => this.#fill());
        for (const type of ["live", "stale"]) this.feed.addEventListener(type, () => this.#fill());
        this.#fill();
    }

    get #selected() {
        return [...this.table.selected];
    }

    #fill() {
        const count = this.table.selected.size;
        const mayWrite = this.feed.mayWrite && this.feed.isLive && !this.isBusy;

        byId("selected-count").textContent = count ? `${count} selected` : "";
        byId("runs-show").disabled = count === 0;
        for (const id of ["runs-hide", "runs-unhide", "runs-tag", "runs-note", "runs-delete"])
            byId(id).disabled = count === 0 || !mayWrite;
        byId("runs-rename").disabled = count !== 1 || !mayWrite;
        byId("runs-undo").hidden = this.before.size === 0;
        byId("runs-undo").disabled = !mayWrite;
        this.#tellRight();
    }

    #tellRight() {
        const { isLive, mayWrite, token } = this.feed;
        const isTold = Object.values(MAY_NOT).includes(byId("housekeeping-note").textContent);

        if (isLive && !mayWrite) this.#tell(token ? MAY_NOT.withToken : MAY_NOT.withoutToken);
        else if (isTold) this.#tell("");
    }

    #tell(text) {
        byId("housekeeping-note").textContent = text;
    }

    #show() {
        const { runs } = this.view.state;
        const all = [...new Set([...runs, ...this.#selected])];

        this.view.set({ runs: all.slice(0, SHOWN_MAX) });
        if (all.length > SHOWN_MAX) this.#tell(`The charts show ${SHOWN_MAX} runs at most.`);
    }

    // ---- changes -----------------------------------------------------------------------------

    /* `changeOf` gives what run.edit takes for a run, of the RUN OBJECT as it is stored now. */
    async #edit(changeOf, runs = this.#selected) {
        const before = new Map();
        const done = await this.#each(runs, async (id) => {
            const run = await this.feed.call("run.get", { run: id });
            const change = changeOf(run);

            before.set(id, Object.fromEntries(Object.keys(change).map((name) => [name, run[name]])));
            this.catalogue.take([await this.feed.change("run.edit", { run: id, ...change })]);
        });

        this.before = before;
        this.#finish(runs.length, done, "changed");
    }

    #undo() {
        const { before } = this;

        return this.#edit(({ run }) => before.get(run), [...before.keys()]);
    }

    /* Some at a time. @returns {Promise<string[]>} what was said of those that failed */
    async #each(runs, work) {
        const failures = [];

        this.isBusy = true;
        this.#fill();
        for (let i = 0; i < runs.length; i += AT_ONCE) {
            const results = await Promise.allSettled(runs.slice(i, i + AT_ONCE).map(work));
            failures.push(...results.filter((r) => r.status === "rejected").map((r) => r.reason.message));
            this.#tell(`${Math.min(i + AT_ONCE, runs.length)} of ${runs.length}`);
        }
        this.isBusy = false;
        return failures;
    }

    #finish(count, failures, what) {
        const good = count - failures.length;

        this.#fill();
        this.#tell(
            `${good} ${good === 1 ? "run was" : "runs were"} ${what}.` +
                (failures.length ? ` ${failures.length} of ${count} may not be: ${failures[0]}` : ""),
        );
        this.dispatchEvent(new Event("change"));
    }

    async #tag() {
        const text = await ask({
            title: `Tags of ${this.#meant()}`,
            text: "Tags to add, with commas between them; -TAG takes one away.",
            line: "",
            action: "Change tags",
        });
        const words = (text ?? "").split(",").map((word) => word.trim()).filter(Boolean);
        const away = words.filter((word) => word.startsWith("-")).map((word) => word.slice(1));
        const more = words.filter((word) => !word.startsWith("-"));

        if (words.length)
            await this.#edit(({ tags }) => ({ tags: [...new Set([...tags, ...more])].filter((tag) => !away.includes(tag)) }));
    }

    async #note() {
        const runs = this.#selected;
        const one = runs.length === 1 ? await this.feed.call("run.get", { run: runs[0] }) : null;
        const note = await ask({
            title: `Note of ${this.#meant()}`,
            text: one ? "" : "It takes the place of the notes that they have.",
            area: one?.note ?? "",
            action: "Write note",
        });

        if (note !== null) await this.#edit(() => ({ note }), runs);
    }

    async #rename() {
        const [id] = this.#selected;
        const run = await this.feed.call("run.get", { run: id });
        const name = await ask({ title: `Rename ${this.#meant()}`, text: "", line: run.name, action: "Rename" });

        if (name) await this.#edit(() => ({ name }), [id]);
    }

    async #delete() {
        const runs = this.#selected;
        const answer = await ask({
            title: `Delete ${this.#meant()}?`,
            text: `All that is stored of ${runs.length === 1 ? "it" : "them"} leaves the history: ${this.#names(runs)}. This cannot be undone. A run that is open is not deleted.`,
            action: "Delete",
        });

        if (answer === null) return;
        const failures = await this.#each(runs, async (id) => {
            await this.feed.change("run.delete", { run: id });
            this.before.delete(id);
            this.table.selected.delete(id);
        });
        this.#finish(runs.length, failures, "deleted");
    }

    #meant() {
        const runs = this.#selected;

        return runs.length === 1 ? this.catalogue.title(runs[0]) : `${runs.length} runs`;
    }

    #names(runs) {
        const names = runs.slice(0, NAMES_SHOWN).map((id) => visible(this.catalogue.title(id)));

        return names.join(", ") + (runs.length > NAMES_SHOWN ? ` and ${runs.length - NAMES_SHOWN} more` : "");
    }
}

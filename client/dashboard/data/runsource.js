/* The runs behind the list. Without grouping or a regular expression the daemon searches and counts,
 * and only the pages in sight are asked for; otherwise all runs are read once, page by page, and
 * searched here. The list itself does not know which. */

import { compareValues, groupValue } from "../base/looks.js";
import { listParameters, matcherOf, patternOf } from "./filter.js";

const PAGE = 100;
const PAGE_OF_ALL = 1000;
/* How long a page of a list may be wrong about a state; points come live anyway. */
const FRESH_MS = 5000;

/** @typedef {{run: string}|{heading: string, count: number, runs: string[]}|null} Row null: on its way */

/** Events: "change". */
export class RunSource extends EventTarget {
    /** @param {any} feed @param {any} view @param {any} catalogue */
    constructor(feed, view, catalogue) {
        super();
        Object.assign(this, { feed, view, catalogue });
        this.total = 0;
        /** How many are read, of those that have to be; for a note. */ this.progress = "";
        /** @type {Map<number, {ids: string[], asked: number}>} */ this.pages = new Map();
        /** @type {Row[]|null} */ this.rows = null;
        this.generation = 0;
        this.keys = new Set();
        view.on(["search", "regex", "state", "hidden", "group"], () => this.restart());
    }

    get #isLocal() {
        const { group, regex, search } = this.view.state;

        return group !== "" || (regex && search !== "");
    }

    /** The regular expression, or why it is none. */
    get pattern() {
        return patternOf(this.view.state.search);
    }

    restart() {
        this.generation++;
        this.pages.clear();
        this.rows = null;
        if (this.#isLocal) this.#readAll();
        else this.#readPage(0);
    }

    /** @param {number} i @returns {Row} */
    row(i) {
        if (this.rows) return this.rows[i] ?? null;
        const page = this.pages.get(Math.floor(i / PAGE));
        const id = page?.ids[i % PAGE];

        return id ? { run: id } : null;
    }

    /** Makes sure that rows first..last are on their way and fresh. @param {number} first @param {number} last */
    want(first, last) {
        if (this.#isLocal) return;
        for (let p = Math.floor(first / PAGE); p <= Math.floor(last / PAGE); p++) {
            const page = this.pages.get(p);
            if (!page || performance.now() - page.asked > FRESH_MS) this.#readPage(p);
        }
    }

    /**
     * Asks which runs are open, and again for those that were and are no more: what is out of sight,
     * or has been grouped, is in no page that is read again.
     */
    async followOpen() {
        const known = [...this.catalogue.runs.values()].filter((run) => run.state === "open");

        if (known.length === 0) return;
        const answer = await this.feed
            .call("run.list", { state: "open", hidden: true, limit: PAGE_OF_ALL, config: false })
            .catch(() => null);
        if (!answer || answer.total > answer.runs.length) return;
        const open = new Set(answer.runs.map((run) => run.run));
        const ended = known.filter((run) => !open.has(run.run)).slice(0, PAGE);

        for (const run of ended) await this.catalogue.load(run.run);
        if (ended.length) this.dispatchEvent(new Event("change"));
    }

    #params(offset, limit) {
        return { offset, limit, ...listParameters(this.view.state) };
    }

    async #readPage(p) {
        const generation = this.generation;
        const old = this.pages.get(p);

        this.pages.set(p, { ids: old?.ids ?? [], asked: performance.now() });
        try {
            const answer = await this.feed.call("run.list", this.#params(p * PAGE, PAGE));
            if (generation !== this.generation) return;
            this.total = answer.total;
            this.#take(answer.runs);
            this.pages.set(p, { ids: answer.runs.map((r) => r.run), asked: performance.now() });
            this.progress = "";
            this.dispatchEvent(new Event("change"));
        } catch (error) {
            this.#fail(error, generation);
        }
    }

    async #readAll() {
        const generation = this.generation;
        const ids = [];

        try {
            for (let total = 1; ids.length < total;) {
                const answer = await this.feed.call(
                    "run.list",
                    this.#params(ids.length, PAGE_OF_ALL),
                );
                if (generation !== this.generation) return;
                total = answer.runs.length ? answer.total : 0;
                this.#take(answer.runs);
                ids.push(...answer.runs.map((r) => r.run));
                this.progress = ids.length < total ? `reading ${ids.length} of ${total}` : "";
                this.#arrange(ids);
            }
        } catch (error) {
            this.#fail(error, generation);
        }
    }

    #fail(error, generation) {
        if (generation !== this.generation) return;
        this.progress = error.message;
        this.dispatchEvent(new Event("change"));
    }

    #take(runs) {
        this.catalogue.take(runs, true);
        for (const run of runs) {
            if (run.config && typeof run.config === "object")
                for (const key of Object.keys(run.config)) this.keys.add(key);
        }
    }

    #arrange(ids) {
        const { group } = this.view.state;
        const matches = matcherOf(this.view.state);
        const found = ids.filter((id) => !matches || matches(this.catalogue.get(id)));
        const groups = new Map();

        for (const id of found) {
            const value = groupValue(this.catalogue.get(id), group);
            if (!groups.has(value)) groups.set(value, []);
            groups.get(value).push(id);
        }
        this.rows = [...groups]
            .sort(([a], [b]) => compareValues(a, b))
            .flatMap(([heading, runs]) => [
                ...(group ? [{ heading, count: runs.length, runs }] : []),
                ...runs.map((run) => ({ run })),
            ]);
        this.total = this.rows.length;
        this.n_runs = found.length;
        this.dispatchEvent(new Event("change"));
    }

    /** The first runs of the list, at most `n`. @param {number} n @returns {Promise<string[]>} */
    async first(n) {
        if (this.rows) return this.rows.flatMap((row) => (row && "run" in row ? row.run : [])).slice(0, n);
        const answer = await this.feed.call("run.list", this.#params(0, n));

        this.#take(answer.runs);
        return answer.runs.map((r) => r.run);
    }

    /** How many runs there are, for the heading. */
    get count() {
        return this.rows ? this.n_runs : this.total;
    }
}

/* A list of runs that is read a page at a time, as it is looked at: the order, the filter and the
 * number are the daemon's, so ten thousand runs cost what a screen of them does. */

const PAGE = 100;
const PAGE_OF_ALL = 1000;
/* How long a page may be wrong about what a run has become. */
const FRESH_MS = 5000;

/** Events: "change", "error" (detail: a sentence). */
export class RunPages extends EventTarget {
    /** @param {any} feed @param {any} catalogue @param {() => object} parameters of run.list, as they are now */
    constructor(feed, catalogue, parameters) {
        super();
        Object.assign(this, { feed, catalogue, parameters });
        this.total = 0;
        /** @type {Map<number, {runs: any[], asked: number}>} */ this.pages = new Map();
        /** All that was read of this filter, in any order. @type {Map<string, any>} */ this.seen = new Map();
        this.generation = 0;
    }

    /** Reads again; what was read stays in sight until it is there. */
    restart() {
        this.generation++;
        for (const page of this.pages.values()) page.asked = -Infinity;
        this.want(0, 0);
    }

    /** The runs come in another order from now on. The total stays, so that nothing jumps. */
    reorder() {
        this.pages.clear();
    }

    /** Other runs are meant from now on. */
    forget() {
        this.reorder();
        this.seen.clear();
    }

    /** @param {number} i @returns {any} null: on its way */
    run(i) {
        return this.pages.get(Math.floor(i / PAGE))?.runs[i % PAGE] ?? null;
    }

    /** Makes sure that rows first..last are on their way and fresh. @param {number} first @param {number} last */
    want(first, last) {
        for (let p = Math.floor(first / PAGE); p <= Math.floor(last / PAGE); p++) {
            const page = this.pages.get(p);
            if (!page || performance.now() - page.asked > FRESH_MS) this.#read(p);
        }
    }

    async #read(p) {
        const generation = this.generation;

        this.pages.set(p, { runs: this.pages.get(p)?.runs ?? [], asked: performance.now() });
        try {
            const answer = await this.#list(p * PAGE, PAGE);
            if (generation !== this.generation) return;
            this.total = answer.total;
            this.catalogue.take(answer.runs);
            for (const run of answer.runs) this.seen.set(run.run, run);
            this.pages.set(p, { runs: answer.runs, asked: performance.now() });
            this.dispatchEvent(new Event("change"));
        } catch (error) {
            if (generation === this.generation)
                this.dispatchEvent(new CustomEvent("error", { detail: error.message }));
        }
    }

    #list(offset, limit) {
        return this.feed.call("run.list", { ...this.parameters(), offset, limit });
    }

    /** Every run that the filter finds. @returns {Promise<any[]>} */
    async all() {
        const runs = [];

        for (let total = 1; runs.length < total;) {
            const answer = await this.#list(runs.length, PAGE_OF_ALL);
            runs.push(...answer.runs);
            total = answer.runs.length ? answer.total : 0;
        }
        this.catalogue.take(runs);
        return runs;
    }
}

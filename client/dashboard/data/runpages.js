/* A list of runs that is read a page at a time, as it is looked at: the order, the filter and the
 * number are the daemon's, so ten thousand runs cost what a screen of them does. */

const PAGE = 100;
const PAGE_OF_ALL = 1000;
/* How long a page may be wrong about what a run has become. */
const FRESH_MS = 5000;

/** Events: "change", "error" (detail: a sentence). */
export class RunPages extends EventTarget {
    /**
     * @param {any} feed @param {any} catalogue @param {() => any} parameters of run.list, as they are now; `extremes` by columns.js
     * @param {() => ((run: any) => boolean)|null} matcher what the daemon cannot search by: all runs are read
     *   then, once each time that the list is read again
     */
    constructor(feed, catalogue, parameters, matcher) {
        super();
        Object.assign(this, { feed, catalogue, parameters, matcher });
        this.total = 0;
        /** @type {Map<number, {runs: any[], asked: number}>} */ this.pages = new Map();
        /** All that was read of this filter, in any order. @type {Map<string, any>} */ this.seen = new Map();
        this.generation = 0;
        this.allOf = -1;
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
        if (this.matcher()) {
            if (this.allOf !== this.generation) this.#readAll();
            return;
        }
        for (let p = Math.floor(first / PAGE); p <= Math.floor(last / PAGE); p++) {
            const page = this.pages.get(p);
            if (!page || performance.now() - page.asked > FRESH_MS) this.#read(p);
        }
    }

    async #read(p) {
        this.pages.set(p, { runs: this.pages.get(p)?.runs ?? [], asked: performance.now() });
        await this.#take(async () => {
            const { total, runs } = await this.#list(p * PAGE, PAGE);
            return () => {
                this.total = total;
                this.catalogue.take(runs);
                this.#put(p, runs);
            };
        });
    }

    async #readAll() {
        this.allOf = this.generation;
        await this.#take(async () => {
            const runs = await this.all();
            return () => {
                this.pages.clear();
                this.total = runs.length;
                for (let p = 0; p * PAGE < runs.length; p++) this.#put(p, runs.slice(p * PAGE, (p + 1) * PAGE));
            };
        });
    }

    #put(p, runs) {
        for (const run of runs) this.seen.set(run.run, run);
        this.pages.set(p, { runs, asked: performance.now() });
    }

    /* What is asked for, unless the list was read again meanwhile. */
    async #take(ask) {
        const generation = this.generation;

        try {
            const put = await ask();
            if (generation !== this.generation) return;
            put();
            this.dispatchEvent(new Event("change"));
        } catch (error) {
            if (generation === this.generation)
                this.dispatchEvent(new CustomEvent("error", { detail: error.message }));
        }
    }

    /* Extremes come by a list of their own each: a list has a value at one place. */
    async #list(offset, limit) {
        const { extremes = {}, ...parameters } = this.parameters();
        const ask = (more) => this.feed.callLater("run.list", { ...parameters, offset, limit, ...more });
        const [answer, ...others] = await Promise.all([
            ask({}),
            ...Object.entries(extremes).map(([place, values]) => ask({ values, values_at: Object.fromEntries(values.map((name) => [name, place])) })),
        ]);

        Object.keys(extremes).forEach((place, i) => {
            const found = new Map(others[i].runs.map((run) => [run.run, run.values]));
            for (const run of answer.runs)
                for (const [name, value] of Object.entries(found.get(run.run) ?? {})) (run.values ??= {})[`${place}:${name}`] = value;
        });
        return answer;
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
        return runs.filter(this.matcher() ?? Boolean);
    }
}

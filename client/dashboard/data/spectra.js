/* Spectra of points: asked once each and kept, and fetched ahead of a slider or an animation. */

/* A point has a spectrum when it has one of these. The first needs all eigenvalues, the others some
 * of the leading ones. */
const SIGNS_OF_SPECTRUM = ["effective_rank", "dims_99", "alpha_req"];
/* series.query's points of the whole run: more steps than this are told in bins, by their last. */
const POINTS = 20000;
/* One of p = 4096 takes 160 kB. */
const KEPT_MAX = 200;
/* So many are under way ahead; what the reader waits for goes before them. */
const AHEAD_MAX = 3;

/** @typedef {{run: string, layer: string, step: number}} Place */

/** @param {any} point of series.subscribe */
export function hasSpectrum(point) {
    return SIGNS_OF_SPECTRUM.some((name) => point[name] !== null);
}

/** A place as the view keeps it. @param {Place} place */
export function placeText({ run, layer, step }) {
    return `${step}/${run}/${layer}`;
}

/** @param {string} text @returns {Place|null} null for what is none */
export function placeOf(text) {
    const found = /^(\d{1,16})\/([^/]+)\/([^]+)$/.exec(text);

    return found && { step: Number(found[1]), run: found[2], layer: found[3] };
}

/** Event: "kept", when one more is there. */
export class Spectra extends EventTarget {
    /** @param {import("./feed.js").Feed} feed */
    constructor(feed) {
        super();
        this.feed = feed;
        /** @type {Map<string, {answer: Promise<any>, spectrum: any}>} */ this.kept = new Map();
        /** @type {Place[]} */ this.wanted = [];
        this.underWay = 0;
    }

    /** The steps at which a layer has one, ascending. @param {string} run @param {string} layer @returns {Promise<number[]>} */
    async stepsOf(run, layer) {
        const metrics = SIGNS_OF_SPECTRUM;
        const { layers } = await this.feed.callLater("series.query", { run, layer, metrics, points: POINTS });

        return layers.flatMap(stepsWithSpectrum);
    }

    /** Whether it is here already. @param {Place} place */
    has(place) {
        return Boolean(this.kept.get(placeText(place))?.spectrum);
    }

    /** SPECTRUM of FEED.md. @param {Place} place @returns {Promise<any>} */
    ask({ run, layer, step }) {
        const key = placeText({ run, layer, step });
        const entry = this.kept.get(key) ?? { answer: this.feed.call("spectrum.query", { run, layer, step }), spectrum: null };

        if (!this.kept.delete(key)) this.#await(key, entry);
        this.kept.set(key, entry); // what was asked for last goes last
        if (this.kept.size > KEPT_MAX) this.kept.delete(this.kept.keys().next().value);
        return entry.answer;
    }

    #await(key, entry) {
        entry.answer.then(
            (spectrum) => {
                entry.spectrum = spectrum;
                this.dispatchEvent(new Event("kept"));
            },
            () => this.kept.delete(key),
        );
    }

    /** Fetches these, some at a time, in the place of what was still to be fetched. @param {Place[]} places */
    fetchAhead(places) {
        this.wanted = places.filter((place) => !this.kept.has(placeText(place)));
        this.#next();
    }

    #next() {
        while (this.underWay < AHEAD_MAX && this.wanted.length) {
            const done = () => {
                this.underWay--;
                this.#next();
            };

            this.underWay++;
            this.ask(this.wanted.shift()).then(done, done);
        }
    }

    /** Another attempt took over: what was kept of the layer may be superseded. @param {string} run @param {string} layer */
    forget(run, layer) {
        for (const key of [...this.kept.keys()])
            if (key.endsWith(`/${run}/${layer}`)) this.kept.delete(key);
    }
}

function stepsWithSpectrum({ binned, columns }) {
    const steps = binned ? columns.step_end : columns.step;
    const signs = SIGNS_OF_SPECTRUM.map((name) => (binned ? columns[name].last : columns[name]));

    return steps.filter((_, i) => signs.some((values) => values[i] !== null));
}

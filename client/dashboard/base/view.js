/* What is looked at: everything that a permalink holds, and nothing else. Modules change it with
 * set() and are told by name what changed; none of them talks to another one directly. */

import { byId } from "./dom.js";

/**
 * @typedef {object} ViewState
 * @property {string[]} runs shown, in the order in which they were added
 * @property {string[]} pins those of them that stay on top of the list
 * @property {string} metric of the left axis; the corrected form of a measure shows the plain one
 *   where it is null (Catalogue.formsOf)
 * @property {string} layer a name; "" each run's last layer; "*" all
 * @property {string} scalar on the right axis; "" none; "auto" an accuracy, if there is one
 * @property {string[]} scalars whose small charts come first
 * @property {string} scalarSearch which scalars have a small chart; "" all
 * @property {number} smoothing of the scalars' small charts: the weight of the average, 0 none
 * @property {"step"|"time"|"elapsed"|"epoch"} axis of all charts over time: the step, the time of day, the
 *   time since a run's start, its epoch
 * @property {"log"|"linear"} spacing
 * @property {number|null} from first place in view: a step, seconds or an epoch; null: all
 * @property {number|null} to
 * @property {string[]} reference what is compared with: a run, its layer and a measure; [] nothing
 * @property {boolean} band
 * @property {string} search
 * @property {boolean} regex the search is a regular expression
 * @property {string} state of the listed runs; "" any
 * @property {boolean} hidden whether hidden runs are listed, too
 * @property {string} group "" or what the list is grouped by: "project", "group", "config.lr"
 * @property {"runs"|"means"} lines of the charts: each run, or the mean of each group
 * @property {"sd"|"se"|"range"} spread what the band around a mean is
 * @property {string} focus the run of the heat map and the spectrum; "" the first one
 * @property {number|null} depthPin the step with which the layers' profile is compared; null: the first
 * @property {string[]} layerPair two layers of the focus run that are compared over the steps; [] none
 * @property {string} spectrumLayer "" the focus run's last one
 * @property {number|null} spectrumStep null: the latest
 * @property {boolean} spectrumAll of all shown runs, not of the one in focus alone
 * @property {string[]} spectrumPins spectra beside it, "STEP/RUN/LAYER" each
 * @property {"k"|"rho"} spectrumAgainst what the shares PI are drawn against
 * @property {boolean} spectrumLogK
 * @property {boolean} spectrumLogRho
 * @property {number} spectrumSpeed of the animation, in steps a second
 * @property {string} mapLayer whose checkpoints are compared; "" all layers at one step
 * @property {number|null} mapStep null: the latest
 * @property {string} mapWith the run it is compared with; "" itself
 * @property {string[]} tableColumns of the runs' table; [] those that fit the runs
 * @property {string[]} tablePins those of them that stay on the left
 * @property {string} tableSort "sort" of run.list
 * @property {boolean} tableDescending
 * @property {string} sweepX a key of the configuration, a measure or scalar:NAME; "" what was varied most
 * @property {string} sweepY a measure or scalar:NAME; "" the measure of the chart
 * @property {string} sweepColour a key of the configuration; "" none
 * @property {string} sweepRight of the right axis, as sweepY; "" none; "auto" an accuracy
 * @property {"last"|"best"|"least"|"greatest"|"step"} sweepAt where the values of a run are read
 * @property {"points"|"axes"} sweepAs points against one value, or lines over parallel axes
 * @property {string[]} sweepAxes keys of the configuration, measures and scalar:NAME; [] those that fit the runs
 * @property {string[]} sweepBrushes as data/parallel.js writes them
 * @property {number|null} sweepStep with "step": of its latest checkpoint up to this one
 */

/** Runs that the charts show at most: more lines tell nothing apart. */
export const SHOWN_MAX = 50;

/** @type {ViewState} */
export const DEFAULTS = Object.freeze({
    runs: [],
    pins: [],
    metric: "d_debiased",
    layer: "",
    scalar: "auto",
    scalars: [],
    scalarSearch: "",
    smoothing: 0,
    axis: "step",
    spacing: "log",
    from: null,
    to: null,
    reference: [],
    band: true,
    search: "",
    regex: false,
    state: "",
    hidden: false,
    group: "",
    lines: "runs",
    spread: "sd",
    focus: "",
    depthPin: null,
    layerPair: [],
    spectrumLayer: "",
    spectrumStep: null,
    spectrumAll: false,
    spectrumPins: [],
    spectrumAgainst: "k",
    spectrumLogK: true,
    spectrumLogRho: true,
    spectrumSpeed: 4,
    mapLayer: "",
    mapStep: null,
    mapWith: "",
    tableColumns: [],
    tablePins: [],
    tableSort: "created",
    tableDescending: true,
    sweepX: "",
    sweepY: "",
    sweepColour: "",
    sweepRight: "auto",
    sweepAt: "last",
    sweepStep: null,
    sweepAs: "points",
    sweepAxes: [],
    sweepBrushes: [],
});

export class View extends EventTarget {
    constructor() {
        super();
        /** @type {ViewState} */
        this.state = { ...DEFAULTS };
    }

    /** The run that a panel of a single run shows: the one in focus, or the first; "" for none. */
    get run() {
        const { focus, runs } = this.state;

        return runs.includes(focus) ? focus : (runs[0] ?? "");
    }

    /** How the axis is spaced: the time of day has no beginning from which to take logarithms. */
    get spacing() {
        return this.state.axis === "time" ? "linear" : this.state.spacing;
    }

    /** Changes what differs, and notifies the listeners. @param {Partial<ViewState>} change */
    set(change) {
        const names = Object.keys(change).filter(
            (name) => JSON.stringify(change[name]) !== JSON.stringify(this.state[name]),
        );

        if (names.length === 0) return;
        for (const name of names) this.state[name] = change[name];
        this.dispatchEvent(new CustomEvent("change", { detail: new Set(names) }));
    }

    /**
     * Calls back when one of `names` (all, when none is given) changed.
     * @param {string[]} names @param {(state: ViewState) => void} callback
     */
    on(names, callback) {
        this.addEventListener("change", (event) => {
            const changed = /** @type {CustomEvent} */ (event).detail;
            if (names.length === 0 || names.some((n) => changed.has(n))) callback(this.state);
        });
    }

    /** Controls of the page that change a field each: a box by whether it is checked. @param {Record<string, string>} fields by the control's id */
    follow(fields) {
        for (const [id, name] of Object.entries(fields))
            byId(id).addEventListener("change", ({ target }) => this.set({ [name]: target.type === "checkbox" ? target.checked : target.value }));
    }

    /** Shows a run, or no longer. @param {string} run @param {boolean} isShown */
    show(run, isShown) {
        const { runs, pins } = this.state;

        if (isShown) this.set({ runs: runs.includes(run) ? runs : [...runs, run] });
        else this.set({ runs: runs.filter((r) => r !== run), pins: pins.filter((r) => r !== run) });
    }

    /** Pins a run, which also shows it, or no longer. @param {string} run @param {boolean} isPinned */
    pin(run, isPinned) {
        const { runs, pins } = this.state;

        if (!isPinned) this.set({ pins: pins.filter((r) => r !== run) });
        else
            this.set({
                pins: [...pins.filter((r) => r !== run), run],
                runs: runs.includes(run) ? runs : [...runs, run],
            });
    }
}

/* Who looks like what in the charts: a colour of its own, near to what the run's id says, or that of what
 * runs are grouped by; dash and marker by the place among the runs that are shown. */

import { colourIndex, cssColour, dash, groupColour, marker, N_COLOURS } from "./palette.js";

const NO_VALUE = "(none)";

/** What a run is grouped by: "project", "group", "state" or "config.NAME". @param {any} run @param {string} key */
export function groupValue(run, key) {
    if (!run || !key) return "";
    const value = key.startsWith("config.") ? run.config?.[key.slice(7)] : run[key];

    return value === undefined || value === null || value === ""
        ? NO_VALUE
        : typeof value === "object"
          ? JSON.stringify(value)
          : String(value);
}

/** Numbers by size, before words by letters. @param {string} a @param {string} b */
export function compareValues(a, b) {
    const [x, y] = [Number(a), Number(b)];

    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || a.localeCompare(b);
}

/**
 * The colour of one of these groups, which are in their order: a ramp where all are numbers. Of no
 * value, and of what is none of them, muted.
 * @param {string[]} groups @param {string} value
 */
export function colourAmong(groups, value) {
    const named = groups.filter((group) => group !== NO_VALUE);
    const place = named.indexOf(value);

    if (place < 0) return cssColour("--muted");
    return groupColour(place, named.length, !named.some((group) => Number.isNaN(Number(group))));
}

/**
 * Which colour each run has, no two the same: the one that its id says, or where an earlier run has it
 * already, the next that is free. It follows from the list alone, so a link shows the same; a run that is
 * added changes none, and one that is removed only those that made way for it.
 * @param {string[]} runs in their order @returns {Map<string, number>}
 */
export function coloursOf(runs) {
    const taken = new Set();
    const found = new Map();

    for (const run of runs) {
        let index = colourIndex(run);

        for (let i = 1; taken.has(index); i++) index = i < N_COLOURS ? (colourIndex(run) + i) % N_COLOURS : i;
        taken.add(index);
        found.set(run, index);
    }
    return found;
}

export class Looks {
    /** @param {import("./view.js").View} view @param {import("../data/catalogue.js").Catalogue} catalogue */
    constructor(view, catalogue) {
        this.view = view;
        this.catalogue = catalogue;
        /** Of these runs. @type {{runs: string[]|null, colours: Map<string, number>}} */
        this.own = { runs: null, colours: new Map() };
    }

    #indexOf(run) {
        const { runs } = this.view.state;

        if (this.own.runs !== runs) this.own = { runs, colours: coloursOf(runs) };
        return this.own.colours.get(run) ?? colourIndex(run);
    }

    /** What a run is grouped by, as text; "" where runs are not grouped. @param {string} run */
    group(run) {
        return groupValue(this.catalogue.get(run), this.view.state.group);
    }

    /** The groups of the runs that are shown, in their order. @returns {string[]} */
    groups() {
        const { group, runs } = this.view.state;
        const values = group ? runs.map((run) => this.group(run)) : [];

        return [...new Set(values)].sort(compareValues);
    }

    /** The colour of a group that is shown; of another one muted. @param {string} value */
    groupColour(value) {
        return colourAmong(this.groups(), value);
    }

    /** @param {string} run */
    colour(run) {
        return this.view.state.group
            ? this.groupColour(this.group(run))
            : groupColour(this.#indexOf(run), 0, false);
    }

    /** Whether a line is the mean of a group. */
    get showsMeans() {
        return this.view.state.group !== "" && this.view.state.lines === "means";
    }

    /** What a line is called: its run, or the group whose mean it is. @param {any} series a Series or a Mean */
    title(series) {
        const key = this.view.state.group;

        if (series.group === undefined) return this.catalogue.title(series.run);
        return key.startsWith("config.") ? `${key.slice(7)} = ${series.group}` : series.group;
    }

    /** How a line looks. @param {any} series a Series or a Mean */
    lineOf(series) {
        if (series.group === undefined) return this.line(series.run, series.layer);
        const place = Math.max(0, this.groups().indexOf(series.group));
        const ofLayer = this.line(series.runs[0], series.layer);
        return {
            colour: this.groupColour(series.group),
            dash: this.view.state.layer === "*" ? ofLayer.dash : dash(place),
            marker: place,
            sign: marker(place),
            width: 2.25,
        };
    }

    /** The run's place in the chart; -1 when it is not shown. @param {string} run */
    place(run) {
        return this.view.state.runs.indexOf(run);
    }

    /**
     * How a line of the run looks. With all layers shown the dash stands for the layer, else for
     * the run.
     * @param {string} run @param {string} layer
     */
    line(run, layer) {
        const { layer: wanted, pins } = this.view.state;
        const place = Math.max(0, this.place(run));
        const depth = this.catalogue.layersOf(run, "*").indexOf(layer);

        return {
            colour: this.colour(run),
            dash: dash(
                wanted === "*" ? this.catalogue.layersOf(run, "*").length - 1 - depth : place,
            ),
            marker: place,
            sign: marker(place),
            width: pins.includes(run) ? 2.5 : 1.75,
        };
    }
}

/* Who looks like what in the charts: colour by the run's id, or by what runs are grouped by; dash and
 * marker by the place among the runs that are shown, so that no two of one colour look alike. */

import { colour, colourIndex, dash, marker } from "./palette.js";

/** What a run is grouped by: "project", "group", "state" or "config.NAME". @param {any} run @param {string} key */
export function groupValue(run, key) {
    if (!run || !key) return "";
    const value = key.startsWith("config.") ? run.config?.[key.slice(7)] : run[key];

    return value === undefined || value === null || value === ""
        ? "(none)"
        : typeof value === "object"
          ? JSON.stringify(value)
          : String(value);
}

export class Looks {
    /** @param {import("./view.js").View} view @param {import("../data/catalogue.js").Catalogue} catalogue */
    constructor(view, catalogue) {
        this.view = view;
        this.catalogue = catalogue;
    }

    /** The index of a run's colour in the palette. @param {string} run */
    index(run) {
        const { group } = this.view.state;

        return colourIndex(group ? `${group}=${groupValue(this.catalogue.get(run), group)}` : run);
    }

    /** @param {string} run */
    colour(run) {
        return colour(this.index(run));
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

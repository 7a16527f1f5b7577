/* Layers by their depth: which of many are drawn as lines, and what a measure is from the first to the
 * last. Pure functions over Series. */

import { nearest } from "./series.js";

/** As many lines of one run a reader tells apart. */
export const LINES_MAX = 8;

/** Rows of evaluation are the layer NAME@eval, beside NAME. @param {string} layer */
export function isTraining(layer) {
    return !layer.endsWith("@eval");
}

/**
 * Those of training, in their order of depth, and behind them those of evaluation.
 * @template {{layer: string}} T @param {T[]} layers @returns {{training: T[], evaluation: T[]}}
 */
export function byRows(layers) {
    const [training, evaluation] = [true, false].map((kind) => layers.filter(({ layer }) => isTraining(layer) === kind));

    return training.length ? { training, evaluation } : { training: evaluation, evaluation: [] };
}

/** The layers that the chart has lines of: of too many those of training, evenly chosen. @template {{layer: string}} T @param {T[]} layers */
export function drawnLayers(layers) {
    return layers.length <= LINES_MAX ? layers : evenly(byRows(layers).training, LINES_MAX);
}

/**
 * At most `count` of a list, evenly chosen, the first and the last with them.
 * @template T @param {T[]} list @param {number} count @returns {T[]}
 */
export function evenly(list, count) {
    if (list.length <= count) return list;
    return Array.from({ length: count }, (_, i) => list[Math.round((i * (list.length - 1)) / (count - 1))]);
}

/**
 * What each layer has at its point nearest to a step; null where it has none.
 * @param {import("./series.js").Series[]} layers the first one first @param {number} step @returns {(number|null)[]}
 */
export function profileAt(layers, step) {
    return layers.map(({ steps, values }) => values[nearest(steps, step)] ?? null);
}

/** The step of any layer's point that is nearest to a step; null without one. @param {import("./series.js").Series[]} layers @param {number} step */
export function nearestStep(layers, step) {
    const found = layers
        .map(({ steps }) => steps[nearest(steps, step)])
        .filter((known) => known !== undefined);

    return found.length ? found.reduce((a, b) => (Math.abs(b - step) < Math.abs(a - step) ? b : a)) : null;
}

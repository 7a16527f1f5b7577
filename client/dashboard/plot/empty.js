/* Why the chart is empty, and what to do next. */

/** @param {any} chart the MainChart @returns {string} */
export function whyEmpty({ view, catalogue, curves, places, flags }) {
    const { runs, from, axis, metric } = view.state;

    if (runs.length === 0)
        return catalogue.runs.size
            ? "Choose a run from the list."
            : "No run yet. Call richd.init() in a training program: its curve appears here by itself.";
    if (runs.every((r) => catalogue.absent.has(r)))
        return "This daemon does not know the run that the link names: choose another one from the list.";
    if (from !== null) return "No point between these steps: 0 shows all.";
    if (axis === "epoch" && places.extent() === null)
        return "No epoch is known: log a scalar named epoch, or have steps_per_epoch in the configuration.";
    if (!runs.some((r) => catalogue.get(r)?.n_points))
        return "No point yet: the first comes with the first checkpoint of the training program (run.checkpoint(), or run.watch()).";
    const names = new Set(runs.flatMap((r) => curves.metrics.get(r) ?? []).flatMap((s) => s.flagged.flatMap((f) => f.names)));

    return [`No point has ${metric}. Choose another measure, or see what the points say:`, ...[...names].map((name) => `⚑ ${flags.sentence(name)}`)].join("\n");
}

/* What the main chart shows, as lines of Python that read it from the daemon again and draw it: every point,
 * none binned. Names are JSON texts, which Python reads alike. Pure functions. */

/**
 * @typedef {object} Curve
 * @property {[string, string|null, string, string|null][]} members run, layer (null: a scalar), measure or scalar, its
 *   standard error; one, or the runs of a mean
 * @property {[number, number]|null} steps of the runs that are read; null: all
 * @property {string} label "" none
 * @property {string} colour @property {number[]} dash @property {number} width
 * @property {number} [marker] @property {boolean} right of the right axis @property {boolean} band
 */

/**
 * @typedef {object} Drawn
 * @property {string} title what is seen @property {string} link
 * @property {Curve[]} curves @property {{value: number, text: string, colour: string}[]} levels
 * @property {import("../base/axis.js").Axis} axis @property {"log"|"linear"} spacing
 * @property {"sd"|"se"|"range"|null} spread of means; null: of runs
 * @property {boolean} isDark @property {[number, number]} x @property {[number, number]} y
 * @property {[number, number]|null} y2 @property {number[]} ticks of a log axis
 * @property {string} leftLabel @property {string} rightLabel
 */

const DAY_S = 86400;
const PLACES = {
    step: ['    x = table["step"].astype(float)'],
    time: [`    x = table["time"].astype("int64") / (1e6 * ${DAY_S})  # days since 1970, UTC`],
    elapsed: ['    x = table["time"].astype("int64") / 1e6 - stored.created'],
    epoch: ['    x = epochs(stored, table["step"])'],
};
const LABELS = { step: "step", time: "time (UTC)", elapsed: "seconds since the run's start", epoch: "epoch" };
const EPOCHS = [
    "def epochs(stored, steps):",
    '    """As they were logged, else as the configuration has them; between, and beyond, by the straight line."""',
    '    names = [name for name in stored.scalars if name.lower().split("/")[-1] == "epoch"]',
    '    at, epoch = stored.scalars[names[0]] if names else (np.array([0, stored.config["steps_per_epoch"]]), np.array([0, 1]))',
    "    rises = np.append(True, np.diff(epoch) > 0)",
    "    at, epoch = at[rises], epoch[rises]",
    '    i = np.clip(np.searchsorted(at, steps, "right"), 1, len(at) - 1)',
    "    return epoch[i - 1] + (steps - at[i - 1]) * (epoch[i] - epoch[i - 1]) / (at[i] - at[i - 1])",
    "",
    "",
];
/* Over time nothing was trained between two attempts. */
const BROKEN = [
    '    breaks = np.flatnonzero(np.diff(table["attempt"][keep])) + 1',
    "    x, y, half = np.insert(x, breaks, x[breaks]), np.insert(y, breaks, np.nan), np.insert(half, breaks, np.nan)",
];
const MEAN = [
    "def mean_of(curves):",
    '    """The mean of runs where half of them have been, each between its points by the straight line, and the band."""',
    "    x = np.unique(np.concatenate([curve[0] for curve in curves]))",
    "    values = np.array([np.interp(x, *curve[:2], left=np.nan, right=np.nan) for curve in curves])",
    "    n = np.sum(~np.isnan(values), axis=0)",
    "    keep = n >= min(len(curves), max(2, (len(curves) + 1) // 2))",
    "    x, values, n = x[keep], values[:, keep], n[keep]",
    "    mean = np.nanmean(values, axis=0)",
];
const SPREADS = {
    sd: ["    half = np.nanstd(values, axis=0, ddof=min(1, len(curves) - 1))", "    return x, mean, mean - half, mean + half"],
    se: ["    half = 2 * np.nanstd(values, axis=0, ddof=min(1, len(curves) - 1)) / np.sqrt(n)", "    return x, mean, mean - half, mean + half"],
    range: ["    return x, mean, np.nanmin(values, axis=0), np.nanmax(values, axis=0)"],
};

/* In points, as multiples of the line's width. */
const dashOf = ({ dash, width }) => (dash.length ? `(0, (${dash.map((length) => (length / width).toFixed(1)).join(", ")}))` : '"-"');
const text = JSON.stringify;
const python = (value) => (value === null ? "None" : text(value));
const member = (fields) => `(${fields.map(python).join(", ")})`;
const word = (isTrue) => (isTrue ? "True" : "False");

function functions({ axis, spread }) {
    const isBroken = spread === null && (axis === "time" || axis === "elapsed");

    return [
        ...(axis === "epoch" ? EPOCHS : []),
        "def curve(run, layer, name, error, steps):",
        '    """Places, values and the band around them: two standard errors of a measure."""',
        "    stored = richd.run(run)",
        "    if layer is None:",
        "        table = stored.scalars.table(name)",
        '        y, half = table["value"], np.full(len(table), np.nan)',
        "    else:",
        "        table = stored.series([name, error] if error else [name], layers=layer, steps=steps)",
        "        y, half = table[name], 2 * table[error] if error else np.full(len(table), np.nan)",
        ...PLACES[axis],
        '    keep = np.argsort(x, kind="stable")',
        "    keep = keep[~np.isnan(y[keep])]",
        "    x, y, half = x[keep], y[keep], half[keep]",
        ...(isBroken ? BROKEN : []),
        "    return x, y, y - half, y + half",
        "",
        "",
        ...(spread === null ? [] : [...MEAN, ...SPREADS[spread], "", ""]),
    ];
}

/* Runs, layers and looks: what a reader will change. */
function tableOf({ curves }) {
    return [
        "curves = [  # right axis, label, (run, layer, name, its error), steps, band, look",
        ...curves.map((curve) => {
            const marker = curve.marker === undefined ? "" : `, marker="${"os^DvP"[curve.marker % 6]}", markevery=0.1, markersize=5${curve.right ? `, markerfacecolor="none"` : ""}`;
            const look = `dict(color=${text(curve.colour)}, linestyle=${dashOf(curve)}, linewidth=${curve.width}${marker})`;
            const steps = curve.steps ? `(${curve.steps.join(", ")})` : "None";
            return `    (${word(curve.right)}, ${text(curve.label || "_")}, [${curve.members.map(member).join(", ")}], ${steps}, ${word(curve.band)}, ${look}),`;
        }),
        "]",
    ];
}

function drawing({ curves, levels, axis, spacing, spread, x, y, y2, ticks, leftLabel, rightLabel }) {
    const hasRight = curves.some((curve) => curve.right);
    const limits = (pair) => `(${pair.map((end) => Number(end.toPrecision(8))).join(", ")})`;
    const ends = axis === "time" ? x.map((end) => end / DAY_S) : x;

    return [
        'figure, left = plt.subplots(figsize=(9.4, 4.4), layout="constrained")',
        ...(hasRight ? ["right = left.twinx()"] : []),
        "for is_right, label, members, steps, has_band, look in curves:",
        `    axis = ${hasRight ? "right if is_right else " : ""}left`,
        spread === null ? "    x, y, low, high = curve(*members[0], steps)" : "    x, y, low, high = mean_of([curve(*member, steps) for member in members])",
        "    axis.plot(x, y, label=label, **look)",
        "    if has_band:",
        '        axis.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)',
        ...levels.map(({ value, text: name, colour }) => `left.axhline(${value}, color=${text(colour)}, linestyle=":", linewidth=1, label=${text(name)})`),
        ...(spacing === "log" ? [`left.set_xscale("function", functions=(np.log1p, np.expm1))`, `left.set_xticks(${text(ticks)})`] : []),
        ...(axis === "time" ? ["left.xaxis_date()"] : []),
        `left.set(xlabel=${text(LABELS[axis])}, ylabel=${text(leftLabel)}, xlim=${axis === "time" ? `(${ends.join(", ")})` : limits(ends)}, ylim=${limits(y)})`,
        ...(hasRight && y2 ? [`right.set(ylabel=${text(rightLabel)}, ylim=${limits(y2)})`] : []),
        'left.legend(fontsize="small")',
        "plt.show()",
    ];
}

/** @param {Drawn} drawn @returns {string} */
export function pythonOf(drawn) {
    return [
        `# ${drawn.title}`,
        `# ${drawn.link}`,
        '# The daemon is the one of this machine, or that of RICHD_FEED: the link that "richctl open" prints.',
        "import matplotlib.pyplot as plt",
        "import numpy as np",
        "import richd",
        ...(drawn.isDark ? ["", 'plt.style.use("dark_background")'] : []),
        "",
        "",
        ...functions(drawn),
        ...tableOf(drawn),
        "",
        ...drawing(drawn),
        "",
    ].join("\n");
}

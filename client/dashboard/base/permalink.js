/* The view in the address, after the #, so that a link shows a colleague the same picture. What is
 * as by default is left out; what a link says wrongly is passed over. A token stands there
 * only in the link that the daemon prints, until token.js has taken it. */

import { DEFAULTS } from "./view.js";

/** How each kind of value is written and read; undefined: not understood. */
const CODECS = {
    object: [
        (list) => list.map(encodeURIComponent).join(","),
        (text) => text.split(",").filter(Boolean).map(decodeURIComponent),
    ],
    number: [String, (text) => (/^\d{1,16}$/.test(text) ? Number(text) : undefined)],
    place: [String, (text) => (/^\d{1,16}(\.\d{1,3})?$/.test(text) ? Number(text) : undefined)],
    share: [String, (text) => (/^0\.\d{1,4}$/.test(text) ? Number(text) : undefined)],
    boolean: [(flag) => (flag ? "1" : "0"), (text) => ({ 1: true, 0: false })[text]],
    string: [String, (text) => text],
};
/** Where a field's default does not say it. */
const KINDS = {
    from: "place",
    to: "place",
    smoothing: "share",
    depthPin: "number",
    spectrumStep: "number",
    mapStep: "number",
    sweepStep: "number",
};
const CHOICES = {
    axis: ["step", "time", "elapsed", "epoch"],
    spacing: ["log", "linear"],
    state: ["", "open", "finished", "failed", "lost"],
    lines: ["runs", "means"],
    sweepAs: ["points", "axes"],
    sweepAt: ["last", "best", "least", "greatest", "step"],
    spread: ["sd", "se", "range"],
    spectrumAgainst: ["k", "rho"],
    spectrumSpeed: [1, 2, 4, 10],
};

function codecOf(name) {
    return CODECS[KINDS[name] ?? typeof DEFAULTS[name]];
}

/** @param {import("./view.js").ViewState} state @returns {string} without the # */
export function encode(state) {
    const parameters = new URLSearchParams();

    for (const name of Object.keys(DEFAULTS)) {
        if (JSON.stringify(state[name]) !== JSON.stringify(DEFAULTS[name]))
            parameters.set(name, codecOf(name)[0](state[name]));
    }
    return parameters.toString();
}

/** @param {string} text with or without the # @returns {import("./view.js").ViewState} */
export function decode(text) {
    const state = structuredClone(DEFAULTS);

    for (const [name, value] of new URLSearchParams(text.replace(/^#/, ""))) {
        if (!(name in DEFAULTS)) continue;
        try {
            const read = codecOf(name)[1](value);
            if (read !== undefined && (!CHOICES[name] || CHOICES[name].includes(read)))
                state[name] = read;
        } catch {
            // a broken escape: as if it were not there
        }
    }
    return {
        ...state,
        ...(state.from !== null && state.to !== null && state.from > state.to
            ? { from: null, to: null }
            : {}),
    };
}

/** Keeps the address and the view equal, both ways. @param {import("./view.js").View} view */
export function followAddress(view) {
    view.set(decode(location.hash));
    view.on([], (state) => {
        const hash = encode(state);
        if (hash !== location.hash.slice(1))
            history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    });
    addEventListener("hashchange", () => view.set(decode(location.hash)));
}

/* Names that anybody gave, as text to be read. Pure functions. */

/* They turn the direction of the text behind them, or are not seen. */
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
/* Longer names of layers are cut. */
const LENGTH_MAX = 30;
/* Of many names that say the same. */
const NAMES_SHOWN = 3;

/** The name with a sign in the place of each character that is not seen. @param {string} name */
export function visible(name) {
    return name.replace(UNSEEN, "\ufffd");
}

/**
 * Names of layers, cut where they are alike: at the beginning. `names` have more than one when they
 * are shown side by side.
 * @param {string[]} names @param {number} [longest] @returns {Map<string, string>} by full name
 */
export function shortened(names, longest = LENGTH_MAX) {
    const parts = names.map((name) => name.split("."));
    let same = 0;

    while (names.length > 1 && parts.every((p) => p.length > same + 1 && p[same] === parts[0][same]))
        same++;
    return new Map(
        names.map((name, i) => [name, cut((same ? "…" : "") + parts[i].slice(same).join("."), longest)]),
    );
}

function cut(name, longest) {
    return visible(name.length > longest ? `…${name.slice(1 - longest)}` : name);
}

/** "a, b, c and 6 more" @param {string[]} names */
export function fewOf(names) {
    const more = names.length - NAMES_SHOWN;

    return more > 1 ? `${names.slice(0, NAMES_SHOWN).join(", ")} and ${more} more` : names.join(", ");
}

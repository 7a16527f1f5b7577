/* What is typed into the search box, as the parameters of run.list (FEED.md). Words are searched for;
 * tag:paper, group:x, project:x and state:open are exact; lr=0.1, lr=1e-4..1e-2, lr=..1e-2 ask for a
 * value or a range of the configuration. Quotation marks make a text of it: tag:"two words",
 * depth="12", and of a whole word one that is searched for as it stands: "lr=0.1". Pure functions. */

const TOKEN = /(?:[^\s"]|"[^"]*"?)+/g;
const NAMED = /^(tag|group|project|state):(.+)$/;
const CONFIG = /^([\p{L}_][^\s="]*)=(.+)$/u;
const RANGE = /^(.*)\.\.(.*)$/;

/**
 * @param {string} text
 * @returns {{search?: string, tags?: string[], group?: string, project?: string, state?: string, config?: Object<string, any>}}
 */
export function parseFilter(text) {
    const found = {};
    const words = [];

    for (const token of text.match(TOKEN) ?? []) {
        const [, name, wanted] = NAMED.exec(token) ?? [];
        const [, key, value] = CONFIG.exec(token) ?? [];

        if (name === "tag") (found.tags ??= []).push(unquoted(wanted));
        else if (name) found[name] = unquoted(wanted);
        else if (key) (found.config ??= {})[key] = configValue(value);
        else words.push(unquoted(token));
    }
    return words.length ? { search: words.join(" "), ...found } : found;
}

/**
 * The parameters by which run.list finds the runs that the view lists. A regular expression is no
 * matter of the daemon's.
 * @param {import("../base/view.js").ViewState} state
 */
export function listParameters({ search, regex, state, hidden }) {
    return {
        config: true,
        ...(state ? { state } : {}),
        ...(hidden ? { hidden } : {}),
        ...(regex ? {} : parseFilter(search)),
    };
}

/**
 * The search as a regular expression, or why it is none.
 * @param {string} search @returns {{regex: RegExp|null, why: string}}
 */
export function patternOf(search) {
    try {
        return { regex: new RegExp(search, "im"), why: "" };
    } catch (error) {
        return { regex: null, why: String(error.message).replace(/^Invalid regular expression: /, "") };
    }
}

/**
 * Whether a run is found by the view's regular expression, in what the daemon searches; null: there is
 * none, and the daemon searches.
 * @param {{search: string, regex: boolean}} state @returns {((run: any) => boolean)|null}
 */
export function matcherOf({ search, regex }) {
    if (!regex || !search) return null;
    const pattern = patternOf(search).regex;
    const texts = (run) => [run.name, run.project, `${run.project}/${run.name}`, run.group, ...(run.tags ?? []), run.note ?? "", run.run];

    return (run) => pattern !== null && pattern.test(texts(run).join("\n"));
}

function unquoted(text) {
    return text.replaceAll('"', "");
}

function configValue(text) {
    const [, min, max] = RANGE.exec(text) ?? [];

    if (min !== undefined && (isNumber(min) || isNumber(max)) && (!min || isNumber(min)) && (!max || isNumber(max)))
        return { ...(min ? { min: Number(min) } : {}), ...(max ? { max: Number(max) } : {}) };
    if (isNumber(text)) return Number(text);
    if (text === "true" || text === "false") return text === "true";
    return unquoted(text);
}

function isNumber(text) {
    return text !== "" && Number.isFinite(Number(text));
}

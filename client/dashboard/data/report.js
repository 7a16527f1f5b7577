/* A report: texts and views in an order, as one HTML file that needs neither network nor script, and as
 * the text in which a saved view's note keeps its draft. Pure functions. */

import { visible } from "../base/names.js";
import { escaped, toHtml } from "./marktext.js";

/**
 * A view as it was when it was taken. `rows` are cells as text, behind the picture of the run's line.
 * @typedef {{kind: "view", title: string, query: string, taken?: string, about?: string,
 *   pictures?: {title: string, source: string, width: number}[],
 *   table?: {head: string[], rows: {line: string, cells: string[]}[]}}} ViewItem
 */
/** @typedef {{kind: "text", text: string}} TextItem */
/** @typedef {{title: string, items: (ViewItem|TextItem)[]}} Report */

/* Pictures are taken in light colours; in the dark they are turned around, and the hues back. */
const STYLE = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:930px;margin:2em auto;padding:0 16px;color:#1c1f22;background:#fff}
h2{margin-top:2em}figure{display:inline-block;vertical-align:top;max-width:100%;margin:1em 14px 0 0;break-inside:avoid}img{width:100%;display:block}
figcaption,.about{font-size:13px;color:#565c63}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:3px 12px 3px 0;border-bottom:1px solid #e3e3df}tr{break-inside:avoid}h2,h3{break-after:avoid}td img{width:34px}a{color:#0a5fa8}
@media(prefers-color-scheme:dark){body{color:#e4e5e2;background:#191d21}img{filter:invert(.9) hue-rotate(180deg)}figcaption,.about{color:#a0a8af}th,td{border-color:#2b3137}a{color:#7db9ee}}
@media print{body{color:#000;background:#fff;margin:0;max-width:none}img{filter:none}.wide{overflow:visible}}`;

function picture({ title, source, width }) {
    return `<figure style="width:${Number(width)}px"><img src="${escaped(source)}" alt="${escaped(title)}"><figcaption>${escaped(title)}</figcaption></figure>`;
}

function table({ head, rows }) {
    const row = ({ line, cells }) =>
        `<tr><td>${line && `<img src="${escaped(line)}" alt="">`}</td>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`;

    return `<div class="wide"><table><thead><tr><td></td>${head.map((name) => `<th>${escaped(name)}</th>`).join("")}</tr></thead><tbody>${rows.map(row).join("")}</tbody></table></div>`;
}

function section(item, page) {
    if (item.kind === "text") return toHtml(item.text);
    const [first, ...others] = (item.pictures ?? []).map(picture);

    return `<section><h2>${escaped(item.title)}</h2>
<p class="about">${escaped([item.about, item.taken].filter(Boolean).join(" · "))} · <a href="${escaped(`${page}#${item.query}`)}">live view</a></p>
${first ?? ""}
${item.table ? table(item.table) : ""}
${others.join("\n")}</section>`;
}

/** @param {Report} report @param {string} page its address, to which views are linked @param {string} made how and when */
export function reportHtml({ title, items }, page, made) {
    return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
${items.map((item) => section(item, page)).join("\n")}
<p class="about">${escaped(made)}</p></body></html>
`;
}

// ---- as text --------------------------------------------------------------------------------------

const VIEW_LINE = /^\[(.*)\]\(#(\S*)\)$/;

/** The draft without its pictures: a heading, then texts, and views as [title](#query). @param {Report} report */
export function toText({ title, items }) {
    const parts = items.map((item) => (item.kind === "text" ? item.text.trim() : `[${item.title}](#${item.query})`));

    return [`# ${title}`, ...parts].join("\n\n");
}

/** @param {string} text @returns {Report|null} null: it is none */
export function fromText(text) {
    const [first, ...blocks] = text.split(/\n\s*\n/);
    /** @type {(ViewItem|TextItem)[]} */ const items = [];

    if (!first.startsWith("# ") || !blocks.some((one) => VIEW_LINE.test(one))) return null;
    for (const one of blocks) {
        const [, title, query] = VIEW_LINE.exec(one) ?? [];
        const last = items.at(-1);

        if (query !== undefined) items.push({ kind: "view", title: visible(title), query });
        else if (last?.kind === "text") last.text += `\n\n${one}`;
        else items.push({ kind: "text", text: one });
    }
    return { title: visible(first.slice(2)), items };
}

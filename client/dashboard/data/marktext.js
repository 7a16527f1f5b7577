/* Text that a person writes, as HTML: paragraphs, # headings, - lists, **bold**, *emphasis*, `code` and
 * [links](https://…). Everything else stands as it was typed. Pure functions. */

const SIGNS = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
/* In their order: what is code is no emphasis. */
const SPAN = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;

/** @param {any} text what may stand in HTML, also within quotation marks */
export function escaped(text) {
    return String(text).replace(/[&<>"']/g, (sign) => SIGNS[sign]);
}

function line(text) {
    return escaped(text).replace(SPAN, (_all, code, bold, emphasis, name, address) => {
        if (code) return `<code>${code}</code>`;
        if (bold) return `<strong>${bold}</strong>`;
        if (emphasis) return `<em>${emphasis}</em>`;
        return `<a href="${address}">${name}</a>`;
    });
}

function block(text) {
    const lines = text.split("\n");
    const [, signs, heading] = /^(#{1,3}) +(.*)$/.exec(text) ?? [];

    if (heading) return `<h${signs.length + 1}>${line(heading)}</h${signs.length + 1}>`;
    if (lines.every((one) => /^[-*] /.test(one))) return `<ul>${lines.map((one) => `<li>${line(one.slice(2))}</li>`).join("")}</ul>`;
    return `<p>${lines.map(line).join("<br>")}</p>`;
}

/** @param {string} text */
export function toHtml(text) {
    return text.trim().split(/\n\s*\n/).filter(Boolean).map(block).join("\n");
}

/* The report: views of the page and texts between them, put together by a person and downloaded as one
 * HTML file. The draft stays in this browser; without its pictures it is kept on the daemon, as the
 * note of a saved view. */

import { byId, debounced, element, fillSelect } from "../base/dom.js";
import { visible } from "../base/names.js";
import { decode, encode } from "../base/permalink.js";
import { fromText, reportHtml, toText } from "../data/report.js";
import { configValue, differingKeys } from "../data/sweep.js";
import { ask } from "./ask.js";
import { save } from "./export.js";
import { addressOf, picturesSeen, rasterOf, sourceOf } from "./pictures.js";

const KEY = `richd.report ${location.pathname}`;
const SAVE_MS = 500;
/* Of a note, FEED.md. */
const TEXT_MAX = 16384;
/* A view is there when nothing was asked for so long; one that never comes to rest is taken as it is. */
const QUIET_MS = 700;
const PATIENCE_MS = 20000;
/* A picture whose SVG is longer is kept in points: a draft has some megabytes. */
const SVG_MAX = 400000;

const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

export class ReportPanel {
    /** @param {{feed: any, view: any, catalogue: any, redraw: () => void}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        /** @type {import("../data/report.js").Report} */ this.report = recall() ?? { title: "Report", items: [] };
        /** @type {import("./views.js").SavedView[]} */ this.kept = [];
        this.keep = debounced(() => this.#keep(), SAVE_MS);
        const actions = {
            "report-view": () => this.#addView(),
            "report-text": () => this.#add({ kind: "text", text: "" }),
            "report-again": () => this.#takeAgain(),
            "report-download": () => this.#download(),
            "report-keep": () => this.#keepOnDaemon(),
            "report-empty": () => this.#empty(),
        };

        for (const [id, act] of Object.entries(actions))
            byId(id).addEventListener("click", () => act()?.catch?.((error) => this.#tell(error.message)));
        byId("report-title").addEventListener("input", (event) => this.#change({ title: event.target.value }));
        byId("report-kept").addEventListener("change", (event) => this.#openKept(event.target.value));
        byId("report").addEventListener("toggle", () => byId("report").open && this.#listKept());
        for (const type of ["live", "stale"]) this.feed.addEventListener(type, () => this.#fill());
        this.#draw();
    }

    #tell(text) {
        byId("report-note").textContent = text;
    }

    #change(change) {
        Object.assign(this.report, change);
        this.keep();
    }

    // ---- items ---------------------------------------------------------------------------------

    #add(item) {
        this.report.items.push(item);
        this.#draw();
        this.keep();
        byId("report-items").lastElementChild?.querySelector("input, textarea")?.focus();
    }

    #move(item, by) {
        const { items } = this.report;
        const from = items.indexOf(item);
        const to = Math.min(items.length - 1, Math.max(0, from + by));

        items.splice(to, 0, ...items.splice(from, 1));
        this.#draw();
        this.keep();
        byId("report-items").children[to].querySelector(by < 0 ? ".up" : ".down").focus();
    }

    #remove(item) {
        this.report.items = this.report.items.filter((other) => other !== item);
        this.#draw();
        this.keep();
        byId("report-view").focus();
    }

    #draw() {
        byId("report-title").value = this.report.title;
        byId("report-items").replaceChildren(...this.report.items.map((item) => this.#row(item)));
        this.#fill();
    }

    #fill() {
        const { items } = this.report;

        byId("report-count").textContent = items.length || "";
        byId("report-download").disabled = byId("report-empty").disabled = items.length === 0;
        byId("report-again").disabled = !items.some((item) => item.kind === "view");
        byId("report-keep").disabled = items.length === 0 || !this.feed.isLive || !this.feed.mayWrite;
    }

    #row(item) {
        const name = item.kind === "view" ? item.title : "text";
        const button = (sign, what, kind, act) =>
            element("button", { type: "button", class: `quiet ${kind}`, title: what, aria: { label: `${what}: ${name}` }, onclick: act }, sign);

        return element(
            "li",
            {},
            item.kind === "view" ? this.#viewFields(item) : this.#textField(item),
            element(
                "span",
                {},
                button("↑", "move up", "up", () => this.#move(item, -1)),
                button("↓", "move down", "down", () => this.#move(item, 1)),
                button("✕", "remove", "remove", () => this.#remove(item)),
            ),
        );
    }

    #viewFields(item) {
        const rename = (event) => {
            item.title = event.target.value;
            this.keep();
        };

        return element(
            "div",
            {},
            element("input", { type: "text", value: item.title, aria: { label: "title of the view" }, oninput: rename }),
            element("button", { type: "button", class: "link small", onclick: () => this.view.set(decode(item.query)) }, "show"),
            item.pictures
                ? element("span", { class: "shots" }, item.pictures.map((picture) => this.#thumbnail(item, picture)))
                : element("span", { class: "muted small" }, "without pictures: take them again"),
        );
    }

    #thumbnail(item, picture) {
        const remove = () => {
            item.pictures = item.pictures.filter((other) => other !== picture);
            this.#draw();
            this.keep();
        };
        const what = `remove the picture: ${picture.title}`;

        return element("button", { type: "button", title: what, onclick: remove }, element("img", { src: picture.source, alt: what }));
    }

    #textField(item) {
        const write = (event) => {
            item.text = event.target.value;
            this.keep();
        };

        return element("textarea", { rows: 4, aria: { label: "text" }, placeholder: "# a heading, a paragraph, - a list, **bold**, [a link](https://…)", oninput: write }, item.text);
    }

    // ---- pictures ------------------------------------------------------------------------------

    /* In light colours, as paper has them. */
    async #take(query, title) {
        const { dataset } = document.documentElement;
        const { theme } = dataset;

        const about = [byId("range-text"), ...document.querySelectorAll(".caption span")].map((node) => node.textContent).filter(Boolean).join(" · ");

        try {
            dataset.theme = "light";
            const pictures = await Promise.all((await picturesSeen(this.redraw, true)).map(attached));
            return { kind: "view", title, query, taken: new Date().toLocaleString(), about, pictures, table: this.#table() };
        } finally {
            dataset.theme = theme;
            this.redraw();
        }
    }

    /* The chart's legend, with what of the configuration differs. */
    #table() {
        const { runs } = this.view.state;
        const known = runs.map((run) => this.catalogue.get(run)).filter(Boolean);
        const keys = differingKeys(known);
        const texts = (cells) => [...cells].slice(1, -1).map((cell) => cell.textContent.trim());
        const config = (run) => keys.map((key) => visible(String(configValue(this.catalogue.get(run)?.config, key) ?? "")));
        const [who, ...others] = texts(byId("legend-head").rows[0].cells);
        const rows = [...byId("legend").rows].map((row) => {
            const [title, ...values] = texts(row.cells);
            const line = row.querySelector("svg");
            return { line: line ? sourceOf(line) : "", cells: [title, ...config(row.dataset.run), ...values] };
        });

        return { head: [who, ...keys.map(visible), ...others], rows };
    }

    async #addView() {
        const { runs, metric } = this.view.state;
        const title = runs.length === 1 ? this.catalogue.title(runs[0]) : `${runs.length} runs`;

        this.#add(await this.#take(encode(this.view.state), `${metric} of ${title}`));
    }

    /* Each view is shown until all of it is there. */
    async #takeAgain() {
        const before = this.view.state;
        const shown = { ...before };

        for (const item of this.report.items.filter(({ kind }) => kind === "view")) {
            this.#tell(`Taking "${item.title}" …`);
            this.view.set(decode(item.query));
            await this.#rest();
            Object.assign(item, await this.#take(item.query, item.title));
        }
        this.view.set(shown);
        this.#tell("");
        this.#draw();
        this.keep();
    }

    async #rest() {
        const end = performance.now() + PATIENCE_MS;

        for (let quiet = performance.now(); performance.now() < Math.min(end, quiet + QUIET_MS); await frame())
            if (this.feed.waiting.size) quiet = performance.now();
    }

    // ---- out -----------------------------------------------------------------------------------

    async #download() {
        const page = location.origin + location.pathname;
        const made = `Made with ${byId("version").textContent}, ${new Date().toLocaleString()}.`;
        const name = this.report.title.replace(/[^\w.-]+/g, "_") || "report";

        save(`${name}.html`, new Blob([reportHtml(this.report, page, made)], { type: "text/html" }));
    }

    /* Storage has some megabytes: a draft that is larger stays without its pictures. */
    #keep() {
        const bare = { ...this.report, items: this.report.items.map((item) => ({ ...item, pictures: undefined })) };

        try {
            localStorage.setItem(KEY, JSON.stringify(this.report));
        } catch {
            try {
                localStorage.setItem(KEY, JSON.stringify(bare));
                this.#tell("The draft is too large for this browser's storage: its pictures stay until the page is closed.");
            } catch {
                this.#tell("This browser stores nothing: the draft stays until the page is closed.");
            }
        }
    }

    async #empty() {
        if ((await ask({ title: "Empty the report?", text: "The draft in this browser is gone then.", action: "Empty" })) === null) return;
        this.report = { title: "Report", items: [] };
        this.#draw();
        this.keep();
    }

    // ---- on the daemon -------------------------------------------------------------------------

    async #keepOnDaemon() {
        const { title, items } = this.report;
        const note = toText(this.report);
        const query = items.find(({ kind }) => kind === "view")?.query ?? encode(this.view.state);

        if (new TextEncoder().encode(note).length > TEXT_MAX)
            return this.#tell("The report's texts and links are longer than the 16 KiB that the daemon keeps.");
        await this.#listKept();
        const isThere = this.kept.some(({ name }) => name === title);
        if (isThere && (await ask({ title: `Overwrite "${visible(title)}"?`, text: "The report, or the view, of that name on the daemon.", action: "Overwrite" })) === null) return;
        await this.feed.change("view.save", { name: title, query, note, replace: isThere });
        this.#tell(`Kept on the daemon as the view "${visible(title)}", without its pictures.`);
        await this.#listKept();
    }

    async #listKept() {
        this.kept = (await this.feed.call("view.list")).views;
        const reports = this.kept.filter(({ note }) => fromText(note));

        fillSelect(
            byId("report-kept"),
            [{ value: "", text: reports.length ? "open …" : "none" }, ...reports.map(({ name }) => ({ value: name, text: visible(name) }))],
            "",
        );
    }

    async #openKept(name) {
        const report = fromText(this.kept.find((view) => view.name === name)?.note ?? "");

        byId("report-kept").value = "";
        if (!report) return;
        if (this.report.items.length && (await ask({ title: `Open "${report.title}"?`, text: "It takes the place of the draft in this browser.", action: "Open" })) === null) return;
        this.report = report;
        this.#draw();
        this.keep();
    }
}

async function attached({ source, ...picture }) {
    return { ...picture, source: source.length > SVG_MAX ? (await rasterOf(source)).toDataURL() : addressOf(source) };
}

function recall() {
    try {
        const report = JSON.parse(localStorage.getItem(KEY));

        return Array.isArray(report?.items) ? report : null;
    } catch {
        return null; // storage is forbidden, or holds something else
    }
}

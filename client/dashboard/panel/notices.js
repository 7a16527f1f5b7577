/* What happened while nobody looked: transitions, and runs that ended, failed or were lost. The title
 * of the tab counts them; the browser tells of them where the reader has turned that on. Many at once
 * are one notice, which grows until the page is seen again. */

import { byId, debounced, throttled } from "../base/dom.js";
import { sentence } from "../plot/marks.js";

const KEPT = "richd.notify";
const SCOPES = ["off", "shown", "all"];
/* What comes within this is told at once. */
const GATHER_MS = 1000;
/* Of ten thousand runs the states are looked through no more often. */
const LOOK_MS = 500;
/* Out of sight the list of runs asks for nothing. */
const POLL_MS = 4000;
const LINES_MAX = 4;
const ENDS = { finished: "has finished", failed: "has failed", lost: "is lost: its trainer is silent" };

function kept() {
    try {
        const found = localStorage.getItem(KEPT);
        return SCOPES.includes(found) && globalThis.Notification?.permission === "granted" ? found : "off";
    } catch {
        return "off";
    }
}

/** What a notice says of several things: the last ones, and how many more. @param {string[]} lines */
export function summary(lines) {
    if (lines.length === 1) return { title: "richd", body: lines[0] };
    const more = lines.length - LINES_MAX;

    return {
        title: `richd: ${lines.length} things happened`,
        body: [...lines.slice(-LINES_MAX), ...(more > 0 ? [`and ${more} more`] : [])].join("\n"),
    };
}

export class Notices {
    /** @param {{view: any, catalogue: any, source: any}} parts */
    constructor(parts) {
        Object.assign(this, parts);
        this.scope = kept();
        /** @type {string[]} since the page was seen last */ this.lines = [];
        /** @type {Map<string, string>} by run */ this.states = new Map();
        this.tell = debounced(() => this.#tell(), GATHER_MS);
        this.catalogue.addEventListener("change", throttled(() => this.#takeStates(), LOOK_MS));
        setInterval(() => document.hidden && this.source.followOpen(), POLL_MS);
        document.addEventListener("visibilitychange", () => this.#look());
        byId("notify").addEventListener("change", (e) => this.#choose(e.target.value));
        this.#fill("");
    }

    #fill(note) {
        byId("notify").value = this.scope;
        byId("notify-note").textContent = note;
    }

    async #choose(scope) {
        const { Notification } = globalThis;
        const answer = scope === "off" ? "" : await Notification?.requestPermission().catch(() => "denied");
        const isOn = answer === "granted";

        this.scope = isOn ? scope : "off";
        this.#fill(isOn || scope === "off" ? "" : "This browser does not allow it for this page.");
        try {
            localStorage.setItem(KEPT, this.scope);
        } catch {
            // it lasts as long as the page
        }
    }

    #isMeant(run) {
        return this.scope === "all" || this.view.state.runs.includes(run);
    }

    #takeStates() {
        for (const { run, name, state } of this.catalogue.runs.values()) {
            const before = this.states.get(run);
            this.states.set(run, state);
            if (before === "open" && ENDS[state] && this.#isMeant(run)) this.#add(`${name} ${ENDS[state]}`);
        }
    }

    /** A page of event.subscribe. @param {{events: any[]}} page */
    takeEvents({ events }) {
        for (const event of events)
            if (this.#isMeant(event.run))
                this.#add(`${this.catalogue.title(event.run)} ${event.layer ?? ""}: ${sentence(event)}`);
    }

    #add(line) {
        if (!document.hidden) return; // it stands on the page
        this.lines.push(line);
        this.tell();
    }

    #tell() {
        if (this.lines.length === 0) return;
        document.title = `(${this.lines.length}) richd`;
        if (this.scope === "off") return;
        const { title, body } = summary(this.lines);
        try {
            this.notice = new Notification(title, { body, icon: "icon.svg", tag: "richd" });
            this.notice.onclick = () => window.focus();
        } catch {
            this.scope = "off"; // as on Android, where a page has no notices of its own
            this.#fill("This browser has none for a page.");
        }
    }

    #look() {
        if (document.hidden) return;
        this.lines = [];
        document.title = "richd";
        this.notice?.close();
    }
}

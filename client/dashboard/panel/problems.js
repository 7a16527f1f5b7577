/* What the daemon says is wrong with its history (server.status): a sign in the bar, which opens into
 * the sentences. Nothing is there when all is well. */

import { byId } from "../base/dom.js";

const ASK_MS = 10_000;

export class Problems {
    /** @param {import("../data/feed.js").Feed} feed */
    constructor(feed) {
        this.feed = feed;
        feed.addEventListener("live", () => this.#ask());
        setInterval(() => feed.isLive && !document.hidden && this.#ask(), ASK_MS);
    }

    async #ask() {
        const status = await this.feed.call("server.status").catch(() => ({}));

        if (status.problems) this.#show(status.problems);
    }

    /** @param {string[]} problems */
    #show(problems) {
        const text = problems.length === 1 ? "△ 1 problem" : `△ ${problems.length} problems`;

        byId("problems").hidden = problems.length === 0;
        if (byId("problem-count").textContent !== text) byId("problem-count").textContent = text;
        if (problems.length > 0 && byId("problem-spoken").textContent !== text)
            byId("problem-spoken").textContent = text;
        byId("problem-rows").replaceChildren(
            ...problems.map((problem) => {
                const row = document.createElement("li");

                row.textContent = problem;
                return row;
            }),
        );
    }
}

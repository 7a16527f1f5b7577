/* Housekeeping: the table of runs, what is asked of it and what is changed through it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, waitUntil } from "./harness.js";

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;
/** Links with the owner's token, and for a reader's page. */
let owner, reader;

before(async () => {
    daemon = new Daemon();
    daemon.http = "on"; // with tokens of its own
    await daemon.start();
    player = new Player(daemon);
    const { page } = JSON.parse(readFileSync(join(daemon.folder, "endpoints.json")));
    const lines = readFileSync(join(daemon.folder, "state", "page.token"), "utf8").trim().split("\n");
    owner = page;
    reader = `${daemon.url}#token=${lines.find((line) => line.startsWith("read ")).slice(5)}`;
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

/* A daemon that takes a change and ends the connection before it answers. */
async function changeOverABrokenConnection(page) {
    return page.evaluate(async () => {
        const { Feed, UnknownOutcome } = await import("./data/feed.js");
        const sent = [];
        let changesUntilEnd = 1;
        class Breaking {
            constructor() {
                setTimeout(() => this.onopen());
            }
            send(text) {
                const { id, method } = JSON.parse(text);
                sent.push(method);
                if (method !== "run.edit") setTimeout(() => this.onmessage({ data: JSON.stringify({ id, result: { may_write: true } }) }));
                else if (changesUntilEnd-- > 0) setTimeout(() => this.onclose());
            }
            close() {}
        }
        const real = window.WebSocket;
        window.WebSocket = Breaking;
        const feed = new Feed("ws://nowhere/");
        const live = () => new Promise((resolve) => feed.addEventListener("live", resolve, { once: true }));
        const tooEarly = await feed.change("run.edit", {}).catch((error) => error.message);
        feed.connect();
        await live();
        const first = feed.change("run.edit", {}).catch((error) => error instanceof UnknownOutcome);
        const question = feed.call("run.list");
        await live();
        await question;
        window.WebSocket = real;
        return { sent, tooEarly, isUnknown: await first, mayWrite: feed.mayWrite };
    });
}

test("a change is not sent again after a broken connection, a question is", async () => {
    const page = await openPage(owner);

    assert.deepEqual(await changeOverABrokenConnection(page), {
        sent: ["server.hello", "run.edit", "run.list", "server.hello", "run.list"],
        tooEarly: "There is no connection; nothing was changed.",
        isUnknown: true,
        mayWrite: true,
    });
    await closePage(page);
});

test("a change that is not allowed is an error of its own, and asks for no token", async () => {
    const page = await openPage(reader);

    await page.waitForSelector("#live[data-state=live]");
    const { code, mayWrite } = await page.evaluate(async () => {
        const { Feed, feedAddress } = await import("./data/feed.js");
        const { takeToken } = await import("./base/token.js");
        const feed = new Feed(feedAddress());
        feed.token = takeToken();
        feed.addEventListener("token", () => (document.title = "asked"));
        feed.connect();
        await new Promise((resolve) => feed.addEventListener("live", resolve, { once: true }));
        const { code } = await feed.change("run.edit", { run: "x", note: "n" }).catch((error) => error);
        return { code, mayWrite: feed.mayWrite };
    });
    assert.deepEqual({ code, mayWrite, title: await page.title() }, { code: -32003, mayWrite: false, title: "richd" });
    await closePage(page);
});

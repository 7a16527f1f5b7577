/* Housekeeping: the table of runs, what is asked of it and what is changed through it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { closePage, Daemon, openPage, requests, waitUntil } from "./harness.js";
import { column, HEAD, openTable, ROWS, useStage } from "./stage.js";

const stage = useStage(undefined, { tokens: true });

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
    const page = await openPage(stage.owner);

    assert.deepEqual(await changeOverABrokenConnection(page), {
        sent: ["server.hello", "run.edit", "run.list", "server.hello", "run.list"],
        tooEarly: "There is no connection; nothing was changed.",
        isUnknown: true,
        mayWrite: true,
    });
    await closePage(page);
});

test("a change that is not allowed is an error of its own, and asks for no token", async () => {
    const page = await openPage(stage.reader);

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

async function sweep() {
    for (const [i, lr] of [0.001, 0.01, 0.1, 1].entries()) {
        const id = `t${i}`;
        await stage.player.do("open", id, {
            name: `trial-${i}`,
            project: "table",
            config: { lr, opt: i % 2 ? "adam" : "sgd", depth: 3 },
            tags: i < 2 ? ["paper"] : [],
        });
        await stage.player.do("checkpoint", id, { step: 10, d_lr: 0.5 - 0.1 * i, test_acc: 0.2 * i });
        if (i) await stage.player.do("close", id);
    }
}

test("a row a run: keys that differ, last values, sorted by the daemon, columns and order in the link", async () => {
    await sweep();
    const page = await openTable(`${stage.owner}&search=project%3Atable&runs=t0`);

    await waitUntil(async () => (await page.locator(HEAD).count()) > 6, "columns");
    assert.deepEqual(await page.$$eval(HEAD, (all) => all.map((cell) => cell.dataset.key)), [
        "project", "name", "state", "config:lr", "config:opt", "d_debiased", "scalar:test_acc", "tags", "created", "duration",
    ]);
    assert.deepEqual(await column(page, "name"), ["trial-3", "trial-2", "trial-1", "trial-0"]);
    assert.deepEqual(await column(page, "config:opt"), ["adam", "sgd", "adam", "sgd"]);
    assert.match((await column(page, "d_debiased"))[0], /^0\.\d+ ± 0\.\d+$/);

    await page.click(`${HEAD}[data-key="scalar:test_acc"] button`);
    await waitUntil(async () => (await column(page, "name"))[0] === "trial-3", "the best accuracy first");
    assert.equal(await page.getAttribute(`${HEAD}[data-key="scalar:test_acc"]`, "aria-sort"), "descending");
    await page.focus(`${HEAD}[data-key="config:lr"] button`);
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    await waitUntil(async () => (await column(page, "config:lr")).join() === "1,0.1,0.01,0.001", "by lr, from above");
    await page.click("#column-menu summary");
    await page.getByLabel("pr_debiased", { exact: true }).check();
    await page.getByLabel("project", { exact: true }).uncheck();
    await waitUntil(async () => (await page.locator(`${HEAD}[data-key=pr_debiased]`).count()) === 1, "the column");
    const link = page.url();
    await closePage(page);

    const again = await openPage(`${stage.owner}&${link.split("#")[1]}`);
    await waitUntil(async () => (await column(again, "config:lr")).join() === "1,0.1,0.01,0.001", "the same order");
    assert.equal(await again.locator(`${HEAD}[data-key=project]`).count(), 0);
    assert.match((await column(again, "pr_debiased"))[0], /^\d/);
    await closePage(again);
});

test("the search box narrows list and table by configuration and tags", async () => {
    const page = await openTable(`${stage.owner}&search=project%3Atable`);

    for (const [text, count] of [["project:table lr=1e-2..1", 3], ["project:table tag:paper lr=0.01", 1], ["trial opt=sgd", 2], ["", null]]) {
        await page.fill("#search", text);
        if (count)
            await waitUntil(async () => (await page.textContent("#runs-table-count")) === String(count) && (await page.textContent("#run-count")) === String(count), text);
    }
    await closePage(page);
});

test("columns are resized by keyboard and by pointer", async () => {
    const page = await openTable(`${stage.owner}&search=project%3Atable`);
    const width = () => page.locator(`${HEAD}[data-key=name]`).evaluate((cell) => Math.round(cell.getBoundingClientRect().width));
    const before = await width();

    await page.focus(`${HEAD}[data-key=name] .handle`);
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await waitUntil(async () => (await width()) >= before + 16, "a wider column");
    const wider = await width();
    const box = await page.locator(`${HEAD}[data-key=name] .handle`).boundingBox();
    await page.mouse.move(box.x + 3, box.y + 8);
    await page.mouse.down();
    await page.mouse.move(box.x - 60, box.y + 8, { steps: 4 });
    await page.mouse.up();
    await waitUntil(async () => Math.abs((await width()) - (wider - 63)) <= 3, "a narrower column");
    await closePage(page);
});

async function answerDialog(page, text) {
    await page.waitForSelector("#edit-dialog[open]");
    if (text !== null) await page.fill(":is(#edit-line, #edit-area):visible", text);
    await page.click("#edit-do");
}

test("many runs are hidden, tagged and noted at once, and taken back; one is renamed", async () => {
    const page = await openTable(`${stage.owner}&search=project%3Atable`);
    const names = () => column(page, "name");

    await page.check(`${ROWS}[data-run=t1] input`);
    await page.locator(`${ROWS}[data-run=t3] input`).click({ modifiers: ["Shift"] });
    assert.equal(await page.textContent("#selected-count"), "3 selected");
    await page.click("#runs-hide");
    await waitUntil(async () => (await names()).join() === "trial-0", "three hidden");
    await page.waitForSelector("#run-rows li[data-run=t1]", { state: "detached" });
    await page.click("#runs-undo");
    await waitUntil(async () => (await names()).length === 4, "all again");

    await page.click("#runs-hide");
    await waitUntil(async () => (await names()).length === 1, "hidden once more");
    await page.check("#hidden-too");
    await waitUntil(async () => (await names()).length === 4, "hidden ones are listed");
    assert.match((await column(page, "state"))[0], /hidden/);
    await page.click("#runs-unhide");
    await waitUntil(async () => !(await column(page, "state")).join().includes("hidden"), "unhidden");

    await page.click("#runs-tag");
    await answerDialog(page, "best, -paper");
    await waitUntil(async () => (await column(page, "tags")).join("|") === "best|best|best|paper", "the tags");
    await page.click("#runs-note");
    await answerDialog(page, "see the plot");
    await waitUntil(async () => (await column(page, "note")).join("|") === "see the plot|see the plot|see the plot|", "the notes");
    await page.uncheck(`${ROWS}[data-run=t2] input`);
    await page.uncheck(`${ROWS}[data-run=t3] input`);
    await page.click("#runs-rename");
    await answerDialog(page, "the good one");
    await waitUntil(async () => (await names()).includes("the good one"), "the name");
    await closePage(page);
});

test("runs are deleted after a question; an open one stays, and says why", async () => {
    const page = await openTable(`${stage.owner}&search=project%3Atable&runs=t3`);

    await page.check("#select-all");
    await waitUntil(async () => (await page.textContent("#selected-count")) === "4 selected", "all");
    await page.click("#runs-delete");
    await page.waitForSelector("#edit-dialog[open]");
    assert.match(await page.textContent("#edit-text"), /trial-3.*cannot be undone/);
    await page.keyboard.press("Escape");
    await page.waitForSelector("#edit-dialog", { state: "hidden" });
    assert.equal(requests(page, "run.delete").length, 0);
    await page.click("#runs-delete");
    await answerDialog(page, null);
    await waitUntil(async () => (await column(page, "name")).join() === "trial-0", "the open one alone");
    assert.match(await page.textContent("#housekeeping-note"), /3 runs were deleted\. 1 of 4 may not be: .*open/);
    await waitUntil(() => !/t3/.test(page.url()), "no deleted run in the address");
    await closePage(page);
});

test("a reader's page changes nothing, and says why", async () => {
    const page = await openTable(`${stage.reader}&search=project%3Atable`);

    await page.check(`${ROWS} input`);
    assert.ok(await page.isDisabled("#runs-delete"));
    assert.ok(await page.isEnabled("#runs-show"));
    assert.match(await page.textContent("#housekeeping-note"), /may read.*richctl open/);
    await page.click("#runs-show");
    await waitUntil(() => /runs=t0/.test(page.url()), "it is shown");
    await closePage(page);
});

test("where no token is asked for, nobody changes runs over HTTP, which is said", async (t) => {
    const open = await new Daemon().start();
    t.after(() => open.close());
    const page = await openPage(open.url);

    await waitUntil(async () => /asks for no token/.test(await page.textContent("#housekeeping-note")), "the reason");
    await closePage(page);
});

test("text stands on the left, numbers on the right", async () => {
    const page = await openPage(stage.owner);
    const sides = await page.evaluate(async () => {
        const { columnOf } = await import("./data/columns.js");
        const runs = [{ config: { lr: 0.1, opt: "adam" } }, { config: { lr: 1 } }];
        return ["config:lr", "config:opt", "note", "scalar:loss"].map((name) => columnOf(name, { errorOf() {} }, runs).isNumber);
    });

    assert.deepEqual(sides, [true, false, false, true]);
    await closePage(page);
});

/* Views that persons save on the daemon, and the menu that opens them. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import { closePage, openPage, requests, waitForStep, waitUntil } from "./harness.js";
import { useStage } from "./stage.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const stage = useStage(
    async ({ player }) => {
        for (const run of ["a", "b"]) {
            await player.do("open", run, { name: run });
            for (const step of [1, 10, 100]) await player.do("checkpoint", run, { step, d_lr: 0.5 });
            await player.do("close", run);
        }
    },
    { tokens: true },
);

const OPENS = "#view-rows .open";
const names = (page) => page.$$eval(`${OPENS} .name`, (all) => all.map((one) => one.textContent));
const notice = (page) => page.textContent("#notice");

async function openMenu(page) {
    await page.waitForSelector("#live[data-state=live]");
    if (!(await page.evaluate(() => document.getElementById("views-menu").open))) await page.click("#views-menu summary");
}

async function saveAs(page, name, note = "") {
    await openMenu(page);
    await page.click("#view-save");
    await page.fill("#edit-line", name);
    await page.fill("#edit-area", note);
    await page.click("#edit-do");
}

test("a view is saved, opened from another page, overwritten and deleted", async () => {
    const page = await openPage(`${stage.owner}&runs=a&metric=u&spacing=linear`);

    await saveAs(page, "Figure 3", "the one of the paper");
    await waitUntil(async () => (await names(page)).join() === "Figure 3", "the view in the menu");
    assert.equal(await page.getAttribute(OPENS, "aria-current"), "true");
    await saveAs(page, "Figure 3");
    await waitUntil(async () => (await notice(page)).includes("there is a view"), "the refusal");

    const other = await openPage(`${stage.owner}&runs=b`);
    await waitForStep(other, 100);
    await openMenu(other);
    await other.click(OPENS);
    await waitUntil(() => other.evaluate(() => location.hash === "#runs=a&metric=u&spacing=linear"), "the saved view");
    await other.goBack();
    await waitUntil(() => other.evaluate(() => location.hash === "#runs=b"), "the view before");
    await openMenu(other);
    await other.click("[aria-label^='Overwrite']");
    await other.click("#edit-do");
    await waitUntil(async () => (await notice(other)).includes("is the present view"), "the new content");
    await closePage(other);

    await page.evaluate(() => (document.getElementById("views-menu").open = false));
    await openMenu(page);
    await page.click(OPENS);
    await waitUntil(() => page.evaluate(() => location.hash === "#runs=b"), "what the other page saved");
    await openMenu(page);
    assert.equal(await page.textContent(`${OPENS} .small`), "the one of the paper");
    await page.click("[aria-label^='Delete']");
    await page.click("#edit-do");
    await waitUntil(async () => (await names(page)).length === 0, "the view to go");
    await closePage(page);
});

async function findings(page, selector) {
    await page.evaluate(AXE); // not a script of the page: the CSP stays as it is
    const { violations } = await page.evaluate((where) => window.axe.run(where), selector);

    return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
}

test("a reader opens views by keyboard, and changes none", async () => {
    const page = await openPage(`${stage.owner}&runs=a`);
    await saveAs(page, "one");
    await waitUntil(async () => (await notice(page)).includes("Saved"), "the first view");
    await saveAs(page, "two");
    await waitUntil(async () => (await names(page)).length === 2, "two views");
    assert.deepEqual(await findings(page, "header"), []);
    await closePage(page);

    const other = await openPage(stage.reader);
    await other.waitForSelector("#live[data-state=live]");
    await other.focus("#views-menu summary");
    await other.keyboard.press("Enter");
    await waitUntil(async () => (await names(other)).join() === "one,two", "the views");
    assert.equal(await other.isDisabled("#view-save"), true);
    assert.equal(await other.locator("#view-rows button").count(), 2);
    await other.keyboard.press("ArrowDown");
    await other.keyboard.press("ArrowDown");
    await other.keyboard.press("ArrowUp");
    await other.keyboard.press("Enter");
    await waitUntil(() => other.evaluate(() => location.hash === "#runs=a"), "the first view");
    await other.focus("#views-menu summary");
    await other.keyboard.press("Enter");
    await other.keyboard.press("Escape");
    assert.equal(await other.evaluate(() => document.getElementById("views-menu").open), false);
    assert.deepEqual(requests(other, "view.save"), []);
    await closePage(other);
});

test("a view says which of its runs are gone, and brings no token", async () => {
    const page = await openPage(`${stage.owner}&runs=a`);
    await page.waitForSelector("#live[data-state=live]");
    const token = () => page.evaluate(() => sessionStorage.getItem(`richd.token ${location.pathname}`));
    const mine = await token();
    await page.evaluate(async () => {
        const { Feed, feedAddress } = await import("./data/feed.js");
        const { takeToken } = await import("./base/token.js");
        const feed = new Feed(feedAddress());
        feed.token = takeToken();
        feed.connect();
        await new Promise((resolve) => feed.addEventListener("live", resolve, { once: true }));
        await feed.change("view.save", { name: "old", query: "runs=a,left,b&token=stolen" });
    });
    await openMenu(page);
    await page.click(`${OPENS}:has-text("old")`);
    await waitUntil(async () => (await page.textContent("#gone-note")) === "1 of 3 runs of this view is not on this daemon: left.", "the note");
    assert.equal(await token(), mine);
    assert.equal(await page.evaluate(() => location.hash), "#runs=a%2Cleft%2Cb");
    await closePage(page);
});

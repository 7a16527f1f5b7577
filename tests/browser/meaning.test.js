/* What is drawn explains itself: the words at the axis' ends, the panel of the measure, flags as marks. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, waitForStep, waitUntil } from "./harness.js";

const { countFlags, flaggedOf, noteFlags, spansOf } = await import("../../client/dashboard/data/flags.js");

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let daemon;
let player;
let page;

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    await player.do("open", "few", { name: "few rows" });
    for (const step of [1, 10, 20, 30, 40, 100]) await player.do("checkpoint", "few", { step, d_lr: 0.3 });
    page = await openPage(`${daemon.url}#runs=few`);
    await waitForStep(page, 100);
});

after(async () => {
    await closePage(page);
    await closeBrowser();
    await player.close();
    await daemon.close();
});

async function waitForText(selector, pattern) {
    await waitUntil(async () => pattern.test(await page.textContent(selector)), `${selector} to say ${pattern}`);
}

test("flags of points are found by step, and the later attempt counts", () => {
    const flagged = flaggedOf({ step: [1, 2, 3, 2], flags: [["biased"], ["partial"], [], ["constant"]] });

    assert.deepEqual(flagged, [
        { step: 1, names: ["biased"] },
        { step: 2, names: ["constant"] },
    ]);
    noteFlags(flagged, { step: 3, flags: ["biased"] });
    noteFlags(flagged, { step: 4, flags: [] });
    noteFlags(flagged, { step: 1, flags: [] });
    assert.deepEqual(flagged.map((f) => f.step), [2, 3]);
});

test("flagged points in a row are one span, and those that would touch", () => {
    const one = { steps: [1, 2, 3, 4, 5, 90], flagged: [1, 2, 4, 90].map((step) => ({ step, names: ["biased"] })) };
    const spans = (touch) => spansOf(one, touch).map(({ from, to, count }) => [from, to, count]);

    assert.deepEqual(spans(() => false), [[1, 2, 2], [4, 4, 1], [90, 90, 1]]);
    assert.deepEqual(spans((a, b) => b - a < 5), [[1, 4, 3], [90, 90, 1]]);
});

test("flags are counted in view, and points without the measure among them", () => {
    const series = { binned: false, steps: [1, 2, 3], flagged: [{ step: 3, names: ["biased"] }, { step: 4, names: ["constant"] }] };
    const { points, counts } = countFlags([series], [2, 9]);

    assert.equal(points, 3);
    assert.deepEqual([...counts], [["biased", 1], ["constant", 1]]);
});

test("the panel says what the daemon says of the measure that is drawn", async () => {
    const { metrics } = await (await fetch(`${daemon.url}api/v1/measures`)).json();
    const info = (name) => metrics.find((m) => m.name === name);

    await page.click("#meaning-open");
    await waitForText("#meaning-words", /At 0 \(rich\)/);
    assert.equal(await page.textContent("#meaning-words"), info("d_debiased").in_words);
    assert.equal(await page.textContent("#meaning-ends"), "Low: rich. High: lazy.");
    for (const member of ["formula", "range", "compare", "rows", "misleads", "source"])
        assert.ok((await page.textContent("#meaning-facts")).includes(info("d_debiased")[member]), member);
    await page.selectOption("#metric", "d_white");
    await waitForText("#meaning-name", /^d_white$/);
    assert.equal(await page.textContent("#meaning-ends"), "");
    await page.selectOption("#metric", "d_debiased");
    await waitForText("#meaning-name", /^d_debiased$/);
});

test("the panel counts the flags of the points in view", async () => {
    await waitForText("#meaning-flags", /⚑ biased: too few rows for the plain values.* 6 of 6 points/);
    await page.evaluate(() => (location.hash = "runs=few&from=5&to=45"));
    await waitForText("#meaning-flags", /4 of 4 points/);
    await page.evaluate(() => (location.hash = "runs=few"));
    await waitForText("#meaning-flags", /6 of 6 points/);
});

test("the pointer on a mark and the keyboard's cursor show what the flag says", async () => {
    const over = await page.locator("#chart .u-over").boundingBox();

    await page.mouse.move(over.x + over.width / 2, over.y + over.height - 8);
    await waitForText("#flag-tip", /^few rows head, 6 points, step 1 – 100\n⚑ biased: too few rows/);
    await page.mouse.move(over.x + over.width / 2, over.y + 20);
    await waitUntil(() => page.locator("#flag-tip").isHidden(), "the text to go");
    await page.focus("#chart");
    await page.keyboard.press("ArrowRight");
    await waitForText("#flag-tip", /^⚑ biased: too few rows/);
    await waitForText("#spoken", /^step 1: .*, ⚑ biased: too few rows/);
    await page.keyboard.press("Escape");
    await waitUntil(() => page.locator("#flag-tip").isHidden(), "the text to go");
});

test("the keys that the dialog lists are those that are bound, and the focus comes back", async () => {
    const rows = () => page.$$eval("#keys-rows tr", (all) => all.map((row) => row.textContent));
    const keys = await page.evaluate(async () => Object.values((await import("./base/keys.js")).KEYS));

    await page.focus("#chart");
    await page.keyboard.press("?");
    await page.waitForSelector("#keys-dialog[open]");
    assert.equal((await rows()).length, keys.length + keys.flatMap(([, list]) => list).length);
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run("#keys-dialog"));
    assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes[0].html}`), []);
    await page.keyboard.press("j"); // the page behind it stays as it is
    await page.keyboard.press("Escape");
    await waitUntil(() => page.evaluate(() => document.activeElement.id === "chart"), "the focus to be back");
    await page.click("#keys");
    await page.check("#keys-off");
    await page.keyboard.press("Escape");
    await waitUntil(() => page.evaluate(() => document.activeElement.id === "keys"), "the focus to be back");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "keys");
    await page.click("#keys");
    await page.uncheck("#keys-off");
    await page.keyboard.press("Escape");
});

test("every panel is reached by keys, and so are the runs", async () => {
    const focus = () => page.evaluate(() => document.activeElement.closest(".panel")?.id);
    const names = await page.$$eval("main .panel", (all) => all.map((panel) => panel.id));
    const reached = [];

    await page.keyboard.press("1");
    for (const _ of names) {
        reached.push(await focus());
        await page.keyboard.press("j");
    }
    assert.deepEqual(reached, names);
    await page.keyboard.press("3");
    assert.equal(await focus(), names[2]);
    await page.keyboard.press("k");
    assert.equal(await focus(), names[1]);
    await page.keyboard.press("r");
    assert.ok(await page.evaluate(() => document.activeElement.matches("#run-rows input")));
    await page.keyboard.press("/");
    await page.keyboard.type("j?1");
    assert.equal(await page.inputValue("#search"), "j?1");
    await page.fill("#search", "");
});

test("an empty chart says why, and what to do next", async () => {
    const says = (pattern) => waitForText("#chart-empty", pattern);

    await player.do("open", "empty", {});
    await page.evaluate(() => (location.hash = "runs=empty"));
    await says(/^No point yet: the first comes with the first checkpoint/);
    await page.evaluate(() => (location.hash = "runs=gone"));
    await says(/^This daemon does not know the run/);
    await page.evaluate(() => (location.hash = "runs=few&metric=s_init"));
    await says(/^No point has s_init\. Choose another measure.*\n⚑ biased: too few rows/);
});

/* What a day of training asks of the page: many scalars at a time, time and epochs as the axis, a run to
 * compare with, and to be told what happened. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, requests, waitForStep, waitUntil } from "./harness.js";

const N_SCALARS = 120;
const STEPS = [1, 2, 4, 8, 16, 32];

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

/* train/loss, train/acc, and many of one kind. */
function logged(step) {
    const many = Array.from({ length: N_SCALARS }, (_, i) => [`norm/layer${i}`, i + 1 / step]);

    return { ...Object.fromEntries(many), "train/loss": 1 / step, "train/acc": 1 - 1 / step, epoch: step / 4 };
}

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    for (const run of ["a", "b"]) {
        await player.do("open", run, { name: run, project: "daily" });
        for (const step of STEPS) await player.do("checkpoint", run, { step, d_lr: 0.6 / step, ...logged(step) });
    }
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

const namesOf = (page) => page.$$eval("[data-scalar]", (all) => all.map((box) => box.dataset.scalar));
const asked = (page) => new Set(requests(page, "scalars.query").flatMap((q) => q.names));

test("of many scalars those in sight are asked for, and a filter, a star and the link choose", async () => {
    const page = await openPage(`${daemon.url}#runs=a,b`);

    await waitForStep(page, 32);
    await waitUntil(async () => (await namesOf(page)).length === N_SCALARS + 3, "a box for each name");
    await page.locator("[data-scalar=epoch]").scrollIntoViewIfNeeded();
    await page.waitForSelector("[data-scalar=epoch] canvas");
    assert.ok(asked(page).size < N_SCALARS / 2, `${asked(page).size} names asked`);
    assert.ok(!asked(page).has("train/loss"));

    await page.fill("#scalar-search", "train/*");
    await waitUntil(async () => (await namesOf(page)).join() === "train/acc,train/loss", "the two of train");
    await page.waitForSelector("[data-scalar='train/loss'] canvas");
    assert.equal(await page.textContent("#scalar-count"), `2 of ${N_SCALARS + 3}`);

    await page.click("[data-scalar='train/loss'] button");
    await page.fill("#scalar-search", "norm/layer7 norm/layer8*");
    const chosen = ["train/loss", "norm/layer7", ...[..."  0123456789"].map((d) => `norm/layer8${d.trim()}`)];
    await waitUntil(
        async () => (await namesOf(page))[0] === "train/loss" && (await namesOf(page)).includes("norm/layer89"),
        "what was chosen first",
    );
    for (const name of await namesOf(page)) assert.ok(chosen.includes(name) || /layer7/.test(name), name);
    await page.reload();
    await waitUntil(async () => (await namesOf(page))[0] === "train/loss", "the link to restore it");
    assert.match(page.url(), /scalars=train%252Floss&scalarSearch=norm/);
    await closePage(page);
});

test("a scalar is smoothed as TensorBoard does, with the raw line behind, and grows live", async () => {
    const page = await openPage(`${daemon.url}#runs=a,b&scalarSearch=train/loss&smoothing=0.5`);
    const value = () => page.textContent("[data-scalar='train/loss'] .scalar-head span");

    await page.locator("[data-scalar='train/loss']").scrollIntoViewIfNeeded();
    await waitUntil(async () => /0\.031/.test(await value()), "the latest value, not smoothed");
    const { even, begins, holes } = await page.evaluate(async () => {
        const { smoothed } = await import("./data/series.js");
        return {
            even: smoothed([3, 3, 3], 0.9),
            begins: smoothed([1, 0], 0.5),
            holes: smoothed([1, null, 0], 0.5),
        };
    });
    for (const mean of even) assert.ok(Math.abs(mean - 3) < 1e-12);
    assert.deepEqual(begins, [1, 0.25 / 0.75]);
    assert.deepEqual(holes, [1, null, 0.25 / 0.75]);
    await player.do("checkpoint", "a", { step: 64, d_lr: 0.1, ...logged(64) });
    await waitUntil(async () => /0\.0156/.test(await value()), "the live value");
    await closePage(page);
});

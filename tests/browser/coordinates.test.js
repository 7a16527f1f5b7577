/* A sweep read elsewhere than at its end, its runs as lines over parallel axes, and two layers
 * compared over the steps. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, requests, waitUntil } from "./harness.js";

const RATES = [0.001, 0.01, 0.1, 1];

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

/* Each run falls to its least D_LR at step 20, and rises again; the accuracy is best there. */
before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    for (const [i, lr] of RATES.entries()) {
        const id = `run${i}`;
        const config = { lr, opt: i % 2 ? "sgd" : "adam", ...(i ? { depth: i } : {}) };

        await player.do("open", id, { name: id, project: "sweep", config, layers: ["low", "head"] });
        for (const [step, d_lr, test_acc] of [
            [10, 0.5, 0.2],
            [20, 0.1 + 0.1 * i, 0.9 - 0.1 * i],
            [30, 0.55, 0.5],
        ])
            await player.do("checkpoint", id, { step, d_lr, test_acc });
    }
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

const titles = (page) => page.$$eval("#sweep-chart .point", (all) => all.map((p) => p.getAttribute("aria-label")));
const valueOf = (title, name) => Number(new RegExp(`${name} (-?[\\d.]+)`).exec(title)?.[1]);

test("a sweep is read at its last value, its least, its best or at a step", async () => {
    const page = await openPage(`${daemon.url}#runs=run0&sweepX=lr&sweepRight=scalar:test_acc&metric=d_lr`);
    const areNear = async (expected, name) => {
        const values = (await titles(page)).map((title) => valueOf(title, name));
        return values.length === 4 && values.every((v, i) => Math.abs(v - expected[i]) < 0.03);
    };

    await waitUntil(() => areNear([0.55, 0.55, 0.55, 0.55], "d_lr"), "the last values");
    const offered = await page.$$eval("#sweep-at option", (all) => all.map((o) => o.value));
    assert.deepEqual(offered, ["last", "least", "greatest", "step"], "which end of d_lr is best is not known");

    await page.selectOption("#sweep-at", "least");
    await waitUntil(() => areNear([0.1, 0.2, 0.3, 0.4], "least d_lr"), "the least values");
    await waitUntil(() => areNear([0.9, 0.8, 0.7, 0.6], "greatest test_acc"), "an accuracy at its good end");
    assert.ok((await titles(page)).every((title) => !title.includes("±")), "an extreme has no standard error");
    assert.deepEqual(requests(page, "run.list").at(-1).values_at["d_lr"], "least");

    await page.selectOption("#sweep-at", "step");
    await page.fill("#sweep-step", "25");
    await page.press("#sweep-step", "Enter");
    await waitUntil(() => areNear([0.1, 0.2, 0.3, 0.4], "d_lr at step 25"), "the values at the step");
    assert.match(page.url(), /sweepAt=step&sweepStep=25/);

    await page.selectOption("#sweep-y", "scalar:test_acc");
    await page.selectOption("#sweep-at", "best");
    await waitUntil(() => areNear([0.9, 0.8, 0.7, 0.6], "greatest test_acc"), "the best accuracy");
    await closePage(page);
});

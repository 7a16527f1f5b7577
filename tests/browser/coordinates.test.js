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

const strip = (name) => `#parallel-chart .axis-strip[data-axis="${name}"]`;
const title = (name) => `#parallel-chart .axis-name[data-axis="${name}"]`;
const axisNames = (page) =>
    page.$$eval("#parallel-chart .axis-name", (all) =>
        all.map((e) => ({ name: e.dataset.axis, x: e.getBoundingClientRect().x })).sort((a, b) => a.x - b.x).map((e) => e.name),
    );
const says = (page, pattern) => waitUntil(async () => pattern.test(await page.textContent("#brushed")), `${pattern}`);

test("a page that is opened without a link has the accuracy beside the measure", async () => {
    const page = await openPage(daemon.url);

    await waitUntil(async () => (await page.inputValue("#sweep-right")) === "scalar:test_acc", "the right axis");
    await waitUntil(async () => (await titles(page)).some((title) => title.includes("test_acc")), "its values");
    await closePage(page);
});

test("runs are brushed over parallel axes by pointer and by keys, and shown in the chart", async () => {
    const page = await openPage(`${daemon.url}#runs=run0&sweepAs=axes&metric=d_lr`);

    await says(page, /^4 runs\. Drag/);
    await waitUntil(async () => (await axisNames(page)).join() === "lr,depth,opt,d_lr,scalar:test_acc", "the axes");
    await page.focus(strip("lr"));
    await page.keyboard.press("ArrowUp"); // the upper quarter
    await says(page, /^1 of 4 runs: lr 0\.\d+ to 1$/);
    await page.keyboard.press("Shift+ArrowDown");
    await page.keyboard.press("Shift+ArrowDown");
    await says(page, /^2 of 4 runs/);
    assert.match(await page.getAttribute(strip("lr"), "aria-valuetext"), /^0\.\d+ to 1$/);
    await page.focus(strip("opt"));
    await page.keyboard.press("ArrowDown");
    await says(page, /^1 of 4 runs: lr .*, opt adam$/);
    await page.keyboard.press("Enter");
    await waitUntil(() => /runs=run2&/.test(page.url()), "the run in the chart");
    await page.keyboard.press("Escape");
    await says(page, /^2 of 4 runs/);

    const again = await openPage(page.url());
    await says(again, /^2 of 4 runs: lr/);
    await closePage(again);

    await page.click("#brushes-clear");
    await page.locator(strip("depth")).scrollIntoViewIfNeeded();
    const box = await page.locator(strip("depth")).boundingBox();
    await page.mouse.move(box.x + 12, box.y + box.height * 0.4);
    await page.mouse.down();
    await page.mouse.move(box.x + 12, box.y + box.height * 0.8);
    await page.mouse.move(box.x + 12, box.y + box.height + 30);
    await page.mouse.up();
    await says(page, /^2 of 4 runs: depth 1 to 2\.2/); // one run has no depth
    await closePage(page);
});

test("parallel axes are moved, taken away and added; several brushes combine", async () => {
    const page = await openPage(`${daemon.url}#runs=run0&sweepAs=axes&metric=d_lr`);

    await waitUntil(async () => (await axisNames(page)).length === 5, "the axes");
    await page.focus(title("opt"));
    await page.keyboard.press("ArrowLeft");
    await waitUntil(async () => (await axisNames(page)).join() === "lr,opt,depth,d_lr,scalar:test_acc", "another order");
    assert.equal(await page.evaluate(() => document.activeElement.dataset.axis), "opt", "the focus stays");
    await page.keyboard.press("Delete");
    await waitUntil(async () => (await axisNames(page)).join() === "lr,depth,d_lr,scalar:test_acc", "one less");
    await page.locator(title("lr")).scrollIntoViewIfNeeded();
    const box = await page.locator(title("lr")).boundingBox();
    const next = await page.locator(title("depth")).boundingBox();
    await page.mouse.move(box.x + 40, box.y + 8);
    await page.mouse.down();
    await page.mouse.move(next.x + 30, box.y + 8);
    await page.mouse.move(next.x + 60, box.y + 8);
    await page.mouse.up();
    await waitUntil(async () => (await axisNames(page)).join() === "depth,lr,d_lr,scalar:test_acc", "a dragged axis");
    await page.click("#axis-menu summary");
    await page.check("#axis-choices [data-key=pr] input");
    await waitUntil(() => /sweepAxes=depth%2Clr%2Cd_lr%2Cscalar%253Atest_acc%2Cpr/.test(page.url()), "the link");

    const { n, covered } = await page.evaluate(async () => {
        const { axisOf, coveredBy, sharesOf, brushOf } = await import("./data/parallel.js");
        const runs = Array.from({ length: 1000 }, (_, i) => ({ config: { lr: 10 ** -(i % 5), opt: i % 2 ? "a" : "b", one: 7 } }));
        const axes = ["lr", "opt", "one", "gone"].map((name) => axisOf(runs, name, name));
        const brushes = new Map([
            ["lr", sharesOf(axes[0], brushOf(axes[0], [0.5, 1]))],
            ["opt", sharesOf(axes[1], { name: "opt", low: "a", high: "a" })],
        ]);

        return { n: axes.map((axis) => axis.ticks.length), covered: coveredBy(axes, brushes, 1000).filter(Boolean).length };
    });
    assert.deepEqual(n, [5, 2, 1, 0]);
    assert.equal(covered, 300); // three of five rates, one of two optimisers
    await closePage(page);
});

test("two layers are compared over the steps, with their difference", async () => {
    const page = await openPage(`${daemon.url}#runs=run0&metric=d_lr`);

    await page.waitForSelector("#pair:visible");
    assert.ok(await page.locator("#pair-chart").isHidden());
    await page.selectOption("#pair-0", "low");
    await waitUntil(() => /layerPair=low%2Chead/.test(page.url()), "the pair in the link");
    await waitUntil(async () => (await page.locator("#pair-chart polyline").count()) === 3, "two curves and a difference");
    // head has 0.5, 0.1, 0.55; low is half as far from 0.6
    assert.match(await page.textContent("#pair-text"), /^low less head: 0\.02\d* at the end, 0\.2[45]\d* at most, at step 20$/);
    await page.selectOption("#pair-0", "");
    await page.waitForSelector("#pair-chart", { state: "hidden" });
    await closePage(page);
});

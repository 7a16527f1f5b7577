/* Many runs and many layers at a glance: means of groups in place of a bush of lines, and the heat
 * map in place of a slab of layers. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, readTable, waitForStep, waitUntil } from "./harness.js";

const RATES = [0.001, 0.01, 0.1, 1];
const SEEDS = [0, 1, 2, 3];
const RUNS = RATES.flatMap((lr, i) => SEEDS.map((seed) => ({ id: `r${i}s${seed}`, lr, seed })));
const LINK = `#runs=${RUNS.map((run) => run.id).join(",")}&group=config.lr`;

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    for (const { id, lr, seed } of RUNS) {
        await player.do("open", id, { name: id, project: "sweep", config: { lr, seed } });
        for (const step of [10, 100, 1000])
            if (step < 1000 || seed < 3) // the last seed ends early
                await player.do("checkpoint", id, { step, d_lr: 0.3 + 0.02 * seed + 0.1 * Math.log10(lr) * 0.5 + 0.1, test_acc: 0.5 + 0.1 * seed });
    }
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

const legend = (page) =>
    page.$$eval("#legend tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));

test("sixteen runs are four lines with bands, each named, with its number of runs", async () => {
    const page = await openPage(`${daemon.url}${LINK}&metric=d_lr`);

    await waitForStep(page, 1000);
    assert.equal(await page.isHidden("#spread"), true);
    await page.focus("#lines-runs");
    await page.keyboard.press("ArrowRight");
    await waitUntil(async () => (await legend(page)).length === 4, "four rows");
    assert.match(page.url(), /lines=means/);

    const values = await Promise.all(
        SEEDS.slice(0, 3).map(async (seed) => {
            const answer = await (await fetch(`${daemon.url}api/v1/runs/r0s${seed}/series?layer=head`)).json();
            return answer.layers[0].columns.d_lr.at(-1);
        }),
    );
    const mean = values.reduce((sum, v) => sum + v, 0) / 3;
    const sd = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 2);
    const [first] = await legend(page);
    assert.deepEqual(first.slice(1, 7), ["lr = 0.001", "head", mean.toFixed(4), `± ${sd.toFixed(4)}`, "0.6000", "3 of 4 runs"]);
    const strokes = await page.$$eval("#legend .swatch line", (all) => all.map((l) => l.getAttribute("stroke")));
    assert.equal(new Set(strokes).size, 4);
    assert.match(await page.getAttribute("#chart", "aria-label"), /of 4 means over/);
    assert.match(await page.textContent("#mean-text"), /straight line between them/);
    assert.match(await page.textContent("#band-text"), /one standard deviation over the group's runs/);

    assert.equal(await page.isHidden("#events"), true);
    await page.selectOption("#spread", "range");
    await waitUntil(async () => / – /.test((await legend(page))[0][4]), "least and greatest");
    await page.focus("#chart");
    await page.keyboard.press("Home");
    await waitUntil(async () => (await legend(page))[0][6] === "4 of 4 runs", "all of them at the first step");
    const [head] = await readTable(page);
    assert.deepEqual(head.slice(0, 2), ["step", "lr = 0.001 head d_lr"]);
    await closePage(page);
});

test("a link shows the means, a new point moves its group's, and a group is removed by its button", async () => {
    const page = await openPage(`${daemon.url}${LINK}&lines=means&spread=se`);

    await waitUntil(async () => (await legend(page)).length === 4, "four rows");
    await waitForStep(page, 1000);
    assert.equal(await page.inputValue("#spread"), "se");
    const [before] = await legend(page);
    await player.do("checkpoint", "r0s3", { step: 1000, d_lr: 0.9, test_acc: 0.1 });
    await waitUntil(async () => (await legend(page))[0][6] === "4 of 4 runs", "the fourth run");
    assert.ok(Number((await legend(page))[0][3]) > Number(before[3]));
    await page.click("#legend tr:first-child button");
    await waitUntil(async () => (await legend(page)).length === 3, "three rows");
    assert.doesNotMatch(page.url(), /r0s/);
    await page.check("#lines-runs");
    await waitUntil(async () => (await legend(page)).length === 12, "the runs again");
    await closePage(page);
});

test("of twelve layers the heat map comes first, the chart has eight lines, and two steps are compared through depth", async () => {
    const layers = Array.from({ length: 12 }, (_, i) => `block${i}`);
    await player.do("open", "deep", { name: "deep", project: "deep", layers });
    for (const [step, d_lr] of [[10, 0.8], [100, 0.4], [1000, 0.1]]) await player.do("checkpoint", "deep", { step, d_lr });
    const page = await openPage(`${daemon.url}#runs=deep&metric=d_lr`);
    const above = () =>
        page.evaluate(() => document.getElementById("layers").getBoundingClientRect().top < document.getElementById("chart").getBoundingClientRect().top);
    const said = (id) => page.textContent(`#${id}`);

    await page.waitForSelector('#heatmap[data-layers="12"]');
    assert.equal(await above(), false);
    await page.selectOption("#layer", "*");
    await waitUntil(async () => (await legend(page)).length === 8, "eight lines");
    assert.equal(await above(), true);
    assert.equal(await page.locator("#legend th").evaluateAll((all) => all.filter((th) => !th.textContent).length), 0);
    assert.match(await said("layers-text"), /8 of 12 layers, evenly chosen/);
    const shown = (await legend(page)).map((row) => row[2]);
    assert.deepEqual([shown[0], shown.at(-1)].map((name) => name.replace(/^…/, "")), ["block0", "block11"]);

    await waitUntil(async () => (await said("profile-pinned")) === "step 10, the first", "the first step");
    assert.match(await said("profile-now"), /^step 1.000$/);
    assert.equal(await page.locator("#profile-chart circle.now").count(), 12);
    await page.focus("#heatmap");
    for (const key of ["ArrowLeft", "ArrowLeft", "Enter", "ArrowRight"]) await page.keyboard.press(key);
    await waitUntil(async () => (await said("profile-pinned")) === "step 100, pinned", "the pinned step");
    assert.match(page.url(), /depthPin=100/);
    assert.match(await page.getAttribute("#profile-chart", "aria-label"), /^d_lr against depth, step 100: 0\.\d+ in the first layer, 0\.\d+ in the last; step 1.000: 0\.\d+ in the first/);
    await page.click("#profile-unpin");
    await waitUntil(async () => /the first/.test(await said("profile-pinned")), "the first step again");
    await page.selectOption("#layer", "");
    await waitUntil(async () => !(await above()), "the map in its place");
    await closePage(page);
});

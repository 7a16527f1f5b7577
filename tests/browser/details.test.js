/* Small things that a stranger meets: marks, words, colours, and how few clicks a question takes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { boxOf, closePage, openPage, waitForStep, waitUntil } from "./harness.js";
import { column, openTable, ROWS, useStage } from "./stage.js";

const N_LONG = 4000;
const stage = useStage(async ({ daemon, player }) => {
    await daemon.stop();
    daemon.fill("flagged", N_LONG);
    await daemon.start();
    await player.do("open", "deep", { name: "deep", layers: ["conv", "conv@eval", "head"] });
    for (const step of [1, 10, 100]) await player.do("checkpoint", "deep", { step, d_lr: 0.5 });
});

async function waitForText(page, selector, pattern) {
    await waitUntil(async () => pattern.test(await page.textContent(selector)), `${selector} to say ${pattern}`);
}

test("a long run, which is drawn in bins, has marks where any of its points has a flag", async () => {
    const page = await openPage(`${stage.owner}#runs=long&spacing=linear`);

    await waitForStep(page, N_LONG);
    await page.evaluate(() => (document.getElementById("meaning").open = true));
    await waitForText(page, "#meaning-flags", /⚑ biased: .* Some of the points\./);
    await waitForText(page, "#meaning-flags-note", /zoom in to see which/);
    const { x, y, width, height } = await boxOf(page, "#chart .u-over");
    for (let share = 0.24; share < 0.26 && (await page.locator("#flag-tip").isHidden()); share += 0.002)
        await page.mouse.move(x + share * width, y + height - 8);
    await waitForText(page, "#flag-tip", /^long head, some of the points, step (9|1.0)\d\d – 1.0\d\d\n⚑ biased/);
    await page.evaluate(() => (location.hash = "runs=long&from=900&to=1100"));
    await waitForText(page, "#meaning-flags", /⚑ biased: .* 10 of \d+ points\./);
    await closePage(page);
});

test("layers of evaluation rows stand apart in the map, and not between those of depth", async () => {
    const page = await openPage(`${stage.owner}#runs=deep&layer=%2A`);
    const named = () => page.$$eval("#profile-chart title", (all) => [...new Set(all.map((one) => one.textContent.split(",")[0]))].join());
    const rows = [];

    await page.evaluate(() => (document.getElementById("layers").open = true));
    await page.waitForSelector("#heatmap[data-layers='3']");
    await waitUntil(async () => (await named()) === "conv,head", "the profile over layers of training");
    await page.focus("#heatmap");
    for (const key of ["ArrowRight", "ArrowDown", "ArrowDown"]) {
        await page.keyboard.press(key);
        rows.push((await page.textContent("#heat-value")).split(",")[0]);
    }
    assert.deepEqual(rows, ["conv@eval", "head", "conv"]);
    await closePage(page);
});

test("at 400 px the head of the page is one line, and at 1440 px no time in the table is cut", async () => {
    const page = await openPage(`${stage.owner}#runs=deep&tableColumns=name%2Ccreated%2Cupdated`, { viewport: { width: 400, height: 800 } });
    const tops = () => page.$$eval("header > button, header > .menu > summary", (all) => all.map((one) => one.getBoundingClientRect()).filter((box) => box.width).map((box) => Math.round(box.top)));

    await page.waitForSelector("#live[data-state=live]");
    assert.equal(new Set(await tops()).size, 1);
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.waitForSelector(`${ROWS} button`);
    assert.deepEqual(await page.$$eval(`${ROWS} td`, (all) => all.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)), []);
    await closePage(page);
});

test("of the runs that are shown no two have the same colour, and a link shows the same", async () => {
    const page = await openPage(stage.owner);
    const { nine, many, fewer, kept } = await page.evaluate(async () => {
        const { coloursOf } = await import("./base/looks.js");
        const { groupColour } = await import("./base/palette.js");
        const names = (n) => Array.from({ length: n }, (_, i) => `wd1-seed${i}`);
        const shades = (n) => [...coloursOf(names(n)).values()].map((index) => groupColour(index, 0, false));
        const [before, after] = [coloursOf(names(8)), coloursOf(names(9))];
        return { nine: shades(9), many: shades(50), fewer: shades(3), kept: names(8).every((run) => before.get(run) === after.get(run)) };
    });

    assert.equal(new Set(nine).size, 9);
    assert.equal(new Set(many).size, 50);
    assert.deepEqual(fewer, nine.slice(0, 3));
    assert.ok(kept, "a run that is added changes no other's colour");
    await closePage(page);
});

test("the first click on a column brings the best first", async () => {
    const page = await openPage(stage.owner);
    const first = await page.evaluate(async () => {
        const { beginsWithGreatest } = await import("./data/columns.js");
        const catalogue = { metric: (name) => ["d_debiased", "pr"].includes(name), isRichness: (name) => name === "d_debiased" };
        return ["scalar:test_acc", "scalar:loss", "scalar:reward", "created", "d_debiased", "pr", "config:lr", "name"].map((sort) => beginsWithGreatest(sort, catalogue));
    });

    assert.deepEqual(first, [true, false, true, true, false, true, false, false]);
    await closePage(page);
});

test("the means of groups take two clicks: what they are grouped by, and all", async () => {
    for (const [i, lr] of [0.1, 0.1, 0.01, 0.01].entries()) {
        await stage.player.do("open", `s${i}`, { name: `s${i}`, project: "means", config: { lr } });
        for (const step of [1, 10]) await stage.player.do("checkpoint", `s${i}`, { step, d_lr: 0.5 - 0.1 * i });
        await stage.player.do("close", `s${i}`);
    }
    const page = await openPage(`${stage.owner}#search=project%3Ameans`);

    await page.waitForSelector("#group-by option[value='config.lr']", { state: "attached" });
    await page.selectOption("#group-by", "config.lr");
    await page.click("#show-all");
    await waitUntil(async () => (await page.locator("#legend tr[data-group]").count()) === 2, "two means");
    assert.equal(await page.isChecked("#lines-means"), true);
    assert.equal(await page.textContent("#show-all"), "show none");
    await page.click("#show-all");
    await waitUntil(async () => (await page.locator("#legend tr").count()) === 0, "none");
    await closePage(page);
});

test("every key that a part of the page binds is in the list of keys", async () => {
    const { readdirSync, readFileSync } = await import("node:fs");
    const folder = new URL("../../client/dashboard/", import.meta.url);
    const files = ["base", "data", "plot", "panel"].flatMap((room) => readdirSync(new URL(room, folder)).map((name) => `${room}/${name}`));
    const bound = files.filter((file) => /addEventListener\("keydown"/.test(readFileSync(new URL(file, folder), "utf8")));

    assert.deepEqual(bound, ["base/keys.js", "plot/scatter.js"]); // a point of the sweep is a button: Enter and Space
});

test("what several runs say in the same words is one line", async () => {
    const page = await openPage(stage.owner);
    const { lines, few } = await page.evaluate(async () => {
        const { fewOf } = await import("./base/names.js");
        const { merged } = await import("./panel/events.js");
        const event = { start: 1 };
        const of = (who, text, more = {}) => ({ who, text, ...more });
        const all = [of("a", "too few"), of("a", "biased", { sign: "⚑ " }), of("b", "too few"), of("a", "falls", { event }), of("b", "falls", { event })];
        return { lines: merged(all).map(({ names, line }) => `${names.join("+")} ${line.text}`), few: [2, 4, 9].map((n) => fewOf([..."abcdefghi"].slice(0, n))) };
    });

    assert.deepEqual(lines, ["a+b too few", "a biased", "a falls", "b falls"]);
    assert.deepEqual(few, ["a, b", "a, b, c, d", "a, b, c and 6 more"]);
    await closePage(page);
});

test("the columns that stand there as usual have room at 1440 px", async () => {
    for (const i of [0, 1, 2]) {
        await stage.player.do("open", `w${i}`, { name: `trial-${i}`, project: "wide", config: { lr: 0.1 / (3 + i), seed: i, opt: i ? "adam" : "sgd" } });
        await stage.player.do("checkpoint", `w${i}`, { step: 10, d_lr: 0.5, test_acc: 0.9 });
    }
    const page = await openTable(`${stage.owner}#search=project%3Awide`, { viewport: { width: 1440, height: 900 } });

    await waitUntil(async () => (await column(page, "config:lr")).join() === "0.02,0.025,0.0333333", "settings in six digits");
    await waitUntil(() => page.evaluate(() => [document.getElementById("runs-table-scroll")].every((box) => box.scrollWidth <= box.clientWidth)), "all columns in sight");
    await closePage(page);
});

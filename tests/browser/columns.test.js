/* The runs' table: which runs the search finds, and where its columns stand. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { closePage, openPage, waitUntil } from "./harness.js";
import { column, HEAD, openTable, useStage } from "./stage.js";

const stage = useStage(async ({ player }) => {
    for (const [i, lr] of [0.001, 0.01, 0.1].entries()) {
        await player.do("open", `t${i}`, { name: `trial-${i}`, project: "table", config: { lr, opt: i % 2 ? "adam" : "sgd" } });
        for (const [k, test_acc] of [0.3, 0.9 - 0.1 * i, 0.5].entries())
            await player.do("checkpoint", `t${i}`, { step: 10 * (k + 1), d_lr: 0.5 - 0.1 * i, test_acc });
        await player.do("close", `t${i}`);
    }
});

const keys = (page) => page.$$eval(HEAD, (all) => all.map((cell) => cell.dataset.key));

test("a regular expression finds the same runs in list, table and sweep", async () => {
    const page = await openTable(`${stage.owner}#regex=1&search=trial-%5B02%5D%24&tableSort=config%3Alr&tableDescending=0`);

    await waitUntil(async () => (await column(page, "name")).join() === "trial-0,trial-2", "two runs in the table");
    assert.equal(await page.textContent("#runs-table-count"), "2");
    assert.equal(await page.textContent("#run-count"), "2");
    await waitUntil(async () => (await page.locator("#sweep-chart .point").count()) === 2, "two runs in the sweep");
    await page.check("#select-all");
    await waitUntil(async () => (await page.textContent("#selected-count")) === "2 selected", "those two selected");
    await page.fill("#search", "trial-(");
    await waitUntil(async () => /parenthes|Unterminated/i.test(await page.textContent("#runs-table-note")), "why it is none");
    await page.fill("#search", "table/trial-1");
    await waitUntil(async () => (await column(page, "name")).join() === "trial-1", "another run");
    await page.uncheck("#regex");
    await page.fill("#search", "trial");
    await waitUntil(async () => (await column(page, "name")).length === 3, "all by words");
    await closePage(page);
});

/* In one go: the table puts other cells there when it is drawn. */
const left = (page, key) =>
    page.evaluate((selector) => Math.round(document.querySelector(selector).getBoundingClientRect().left), `${HEAD}[data-key="${key}"]`);

test("columns are moved by keys and by a drag, and pinned; the link has both", async () => {
    const page = await openTable(`${stage.owner}#tableColumns=name,state,config%253Alr,tags,note,id,created,updated,duration,points,step,attempt`, { viewport: { width: 1000, height: 900 } }); // not all have room
    const link = () => new URL(page.url()).hash;

    await page.focus(`${HEAD}[data-key=state] button`);
    await page.keyboard.press("Shift+ArrowRight");
    await waitUntil(async () => (await keys(page)).slice(0, 3).join() === "name,config:lr,state", "the state one further");
    assert.equal(await page.evaluate(() => document.activeElement.closest("th").dataset.key), "state");
    await page.dragAndDrop(`${HEAD}[data-key=tags] button`, `${HEAD}[data-key=name] button`);
    await waitUntil(async () => (await keys(page))[0] === "tags", "the tags first");
    assert.doesNotMatch(link(), /tableSort/); // a drag is no click
    await page.focus(`${HEAD}[data-key=name] button`);
    await page.keyboard.press("p");
    await waitUntil(async () => (await keys(page)).slice(0, 2).join() === "name,tags", "the name pinned");
    const [name, tags] = [await left(page, "name"), await left(page, "tags")];
    await page.evaluate(() => (document.getElementById("runs-table-scroll").scrollLeft = 300));
    await waitUntil(async () => (await left(page, "tags")) < tags - 200, "the others to scroll");
    assert.equal(await left(page, "name"), name);
    assert.match(link(), /tablePins=name/);

    const again = await openTable(page.url());
    await waitUntil(async () => (await keys(again)).slice(0, 4).join() === "name,tags,config:lr,state", "the order of the link");
    await again.focus(`${HEAD}[data-key=name] button`);
    await again.keyboard.press("p");
    await waitUntil(() => again.evaluate(() => document.querySelectorAll("#runs-table .pinned").length === 0), "nothing pinned");
    await closePage(again);
    await closePage(page);
});

test("the least and the greatest of a value stand beside the last one", async () => {
    const page = await openTable(`${stage.owner}#tableColumns=name,scalar%253Atest_acc,d_debiased&tableSort=name&tableDescending=0`);

    await page.click("#column-menu summary");
    await page.getByLabel("greatest test_acc", { exact: true }).check();
    await waitUntil(async () => (await column(page, "greatest:scalar:test_acc")).join() === "0.9000,0.8000,0.7000", "the best accuracies");
    assert.deepEqual(await keys(page), ["name", "scalar:test_acc", "greatest:scalar:test_acc", "d_debiased"]);
    assert.deepEqual(await column(page, "scalar:test_acc"), ["0.5000", "0.5000", "0.5000"]);
    await page.getByLabel("least test_acc", { exact: true }).check();
    await waitUntil(async () => (await column(page, "least:scalar:test_acc")).join() === "0.3000,0.3000,0.3000", "the least ones");
    await closePage(page);
});

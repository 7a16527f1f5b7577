/* The page under load: ten thousand runs, a million points, a run that streams. Figures are printed,
 * not asserted: they are the machine's as much as the page's. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
    boxOf,
    closeBrowser,
    closePage,
    Daemon,
    drag,
    openPage,
    Player,
    requests,
    waitForStep,
    waitUntil,
} from "./harness.js";

/** @type {Daemon} */ let daemon;

before(async () => {
    daemon = await new Daemon().start();
    await daemon.stop(); // its tables are there now
    daemon.fill("runs", 10000);
    daemon.fill("points", 1000000);
    await daemon.start();
});

after(async () => {
    await closeBrowser();
    await daemon?.close();
});

/** Frames a second over `seconds`, and the longest frame. */
async function frames(page, seconds, during = async () => {}) {
    const counting = page.evaluate(
        (ms) =>
            new Promise((resolve) => {
                const began = performance.now();
                let n = 0;
                let last = began;
                let longest = 0;
                const tick = (now) => {
                    n++;
                    longest = Math.max(longest, now - last);
                    last = now;
                    if (now - began < ms) requestAnimationFrame(tick);
                    else resolve({ rate: (1000 * (n - 1)) / (now - began), longest_ms: longest });
                };
                requestAnimationFrame(tick);
            }),
        seconds * 1000,
    );

    await during();
    return counting;
}

test("ten thousand runs: a chart at once, few rows in the page, search on the daemon's side", async () => {
    const page = await openPage(daemon.url);
    await waitForStep(page, 1);
    const took = await page.evaluate(() => performance.now());
    console.log(`first chart with 10,001 runs: ${took.toFixed(0)} ms after the click`);

    assert.match(await page.textContent("#run-count"), /10\s001/);
    const { rate } = await frames(page, 2, async () => {
        for (let i = 0; i < 20; i++) {
            await page.evaluate((share) => {
                const list = document.getElementById("run-scroll");
                list.scrollTop = list.scrollHeight * share;
            }, i / 19);
            await page.waitForTimeout(90);
        }
    });
    console.log(`frames a second while the list is scrolled: ${rate.toFixed(0)}`);
    await page.waitForSelector("#run-rows li[data-run=bulk-1]");
    assert.ok((await page.locator("#run-rows li").count()) < 60);
    const asked = Date.now();
    await page.fill("#search", "sweep-4321");
    await waitUntil(async () => (await page.textContent("#run-count")) === "1", "the one");
    console.log(`search among 10,001 runs: ${Date.now() - asked} ms with the typing's pause`);
    assert.equal(await page.getAttribute("#run-rows li", "data-run"), "bulk-4321");
    await page.check("#regex");
    await page.fill("#search", "sweep-99\\d\\d$");
    await waitUntil(
        async () => (await page.textContent("#run-count")) === "100",
        "a hundred of ten thousand",
    );
    await closePage(page);
});

test("ten thousand runs in the table: sorted over all, few rows in the page", async () => {
    const page = await openPage(`${daemon.url}#runs=bulk-1&search=sweep&tableSort=config:seed&tableDescending=0`);
    const first = () => page.textContent("#runs-table-rows tr[data-row] th");
    const began = Date.now();

    await page.waitForSelector("#runs-table-rows tr[data-row] button");
    console.log(`table of 10,000 runs: ${Date.now() - began} ms`);
    assert.equal(await first(), "sweep-1");
    const asked = Date.now();
    await page.click("#runs-table-head th[data-key=d_lr] button");
    await waitUntil(async () => (await first()) !== "sweep-1", "the order of d_lr");
    console.log(`sorted by d_lr over 10,000 runs: ${Date.now() - asked} ms after the click`);
    const { rate, longest_ms } = await frames(page, 2, async () => {
        for (let i = 0; i < 20; i++) {
            await page.evaluate((share) => {
                const table = document.getElementById("runs-table-scroll");
                table.scrollTop = table.scrollHeight * share;
            }, i / 19);
            await page.waitForTimeout(90);
        }
    });
    console.log(`frames a second while the table is scrolled: ${rate.toFixed(0)}, longest ${longest_ms.toFixed(0)} ms`);
    assert.ok((await page.locator("#runs-table-rows tr").count()) < 60);
    await page.click("#runs-table-rows tr[data-row='9999'] input");
    await page.keyboard.press("Home");
    await waitUntil(() => page.evaluate(() => document.activeElement.closest("tr")?.dataset.row === "0"), "the first row");
    await page.click("#select-all"); // it is checked when all are read
    await waitUntil(async () => (await page.textContent("#selected-count")) === "10000 selected", "all of them");
    await closePage(page);
});

test("a sweep of a thousand runs is drawn at another value", async () => {
    const page = await openPage(`${daemon.url}#runs=bulk-1`);
    await waitUntil(async () => (await page.locator("#sweep-chart .point").count()) === 1000, "its points");
    const took = await page.evaluate(() => {
        const began = performance.now();
        const select = document.getElementById("sweep-at");
        const drawn = new Promise((resolve) =>
            new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)))).observe(
                document.getElementById("sweep-chart"),
                { childList: true },
            ),
        );

        select.value = "greatest";
        select.dispatchEvent(new Event("change", { bubbles: true }));
        return drawn;
    });

    console.log(`sweep of 1,000 runs at their greatest values: ${took.toFixed(0)} ms after the choice`);
    assert.match(await page.textContent("#sweep-note"), /the newest 1000 of 10001 runs/);
    await closePage(page);
});

test("a million points: bins from the daemon, the spike survives, zoom goes down to points", async () => {
    const page = await openPage(`${daemon.url}#runs=long`);
    await waitForStep(page, 999999);
    const ask = () =>
        page.evaluate(async (url) => {
            const socket = new WebSocket(url.replace("http", "ws") + "ws", "richd.token");
            await new Promise((resolve) => (socket.onopen = resolve));
            const began = performance.now();
            socket.send(
                JSON.stringify({
                    jsonrpc: "2.0",
                    id: 1,
                    method: "series.query",
                    params: { run: "long", metrics: ["d_lr", "d_lr_se"], points: 2000 },
                }),
            );
            const { data } = await new Promise((resolve) => (socket.onmessage = resolve));
            const took = performance.now() - began;
            socket.close();
            return { took, layer: JSON.parse(data).result.layers[0] };
        }, daemon.url);
    const { took, layer } = await ask();

    console.log(`1,000,000 points in bins: answered in ${took.toFixed(0)} ms`);
    assert.equal(layer.binned, true);
    assert.equal(Math.max(...layer.columns.d_lr.max), 0.95);
    const box = await boxOf(page, "#chart .u-over");
    const { rate, longest_ms } = await frames(page, 2, async () => {
        for (let i = 0; i < 60; i++) {
            await page.mouse.move(box.x + (box.width * i) / 60, box.y + 50);
            await page.waitForTimeout(25);
        }
    });
    console.log(
        `frames a second under the cursor: ${rate.toFixed(0)}, longest ${longest_ms.toFixed(0)} ms`,
    );
    await page.evaluate(() => (location.hash = "#runs=long&from=500000&to=500200"));
    await waitUntil(
        () => requests(page, "series.query").some((q) => q.from > 0 && q.to < 600000),
        "finer points",
    );
    await waitUntil(
        async () => /±/.test(await page.textContent("#legend")),
        "points in place of bins",
    );
    await drag(page, 0.2, 0.6);
    await waitUntil(async () => /steps 500/.test(await page.textContent("#range-text")), "zoom");
    await closePage(page);
});

test("3,600 points and more coming: the page stays fluent", async () => {
    const player = new Player(daemon);
    await player.do("open", "stream", { name: "stream" });
    await player.do("stream", "stream", { count: 3600 });
    const page = await openPage(`${daemon.url}#runs=stream&scalar=&spacing=linear`);
    await waitForStep(page, 3599);
    const streaming = player.do("stream", "stream", { count: 200, rate: 40 });
    const { rate, longest_ms } = await frames(page, 4);

    console.log(
        `frames a second with 3,600 points and 40 more a second: ${rate.toFixed(0)}, longest ${longest_ms.toFixed(0)} ms`,
    );
    const { step } = await streaming;
    await waitForStep(page, step);
    await closePage(page);
    await player.close();
});

test("the page is small, and comes by few requests", async () => {
    const page = await openPage(daemon.url);
    const files = await page.evaluate(() =>
        ["navigation", "resource"]
            .flatMap((type) => performance.getEntriesByType(type))
            .filter(({ initiatorType }) => ["navigation", "script", "link"].includes(initiatorType))
            .map(({ name, encodedBodySize }) => [name, encodedBodySize]),
    );
    const bytes = files.reduce((sum, [, size]) => sum + size, 0);

    console.log(`the page: ${bytes} bytes as they are sent, in ${files.length} files`);
    assert.ok(files.length >= 5 && files.length < 10, files.join("\n"));
    assert.ok(bytes > 80000 && bytes < 130000);
    await closePage(page);
});

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

test("places between the rows of a table, and gaps between attempts", async () => {
    const page = await openPage(daemon.url);
    const found = await page.evaluate(async () => {
        const { between, broken, rising } = await import("./data/places.js");
        const table = rising([[30, 9], [10, 1], [20, 5], [25, 2]]);
        return {
            table,
            inside: between(table.steps, table.xs, 15),
            beyond: between(table.steps, table.xs, 40),
            alone: between([7], [3], 100),
            none: between([], [], 1),
            gap: broken({ steps: [1, 2, 8], values: [5, 6, 7], low: null, high: null, attempts: [1, 1, 2] }),
        };
    });

    assert.deepEqual(found, {
        table: { steps: [10, 20, 30], xs: [1, 5, 9] },
        inside: 3,
        beyond: 13,
        alone: 3,
        none: null,
        gap: { steps: [1, 2, 5, 8], values: [5, 6, null, 7], low: null, high: null },
    });
    await closePage(page);
});

test("ticks of a clock are whole, and places are told as a person reads them", async () => {
    const page = await openPage(daemon.url, { timezoneId: "Asia/Kolkata" });
    const found = await page.evaluate(async () => {
        const { longPlace, namedPlace, shortPlace, ticks } = await import("./base/axis.js");
        const start = Date.UTC(2026, 10, 27, 20, 7) / 1000;
        return {
            times: ticks(start, start + 6 * 3600, 3600, "linear", "time").map((x) => shortPlace(x, "time")),
            spans: [0, 0.25, 90, 150, 5400, 7230, 259200].map((x) => longPlace(x, "elapsed")),
            epochs: ticks(0, 0.9, 0.2, "linear", "epoch").map((x) => shortPlace(x, "epoch")),
            named: [namedPlace(3, "step"), namedPlace(1.5, "epoch"), namedPlace(7200, "elapsed"), namedPlace(start, "time")],
        };
    });

    assert.deepEqual(found.times, ["11-28 02:00", "11-28 03:00", "11-28 04:00", "11-28 05:00", "11-28 06:00", "11-28 07:00"]);
    assert.deepEqual(found.spans, ["0 s", "0.3 s", "90 s", "2:30 min", "90 min", "2:01 h", "3 d"]);
    assert.deepEqual(found.epochs, ["0", "0.2", "0.4", "0.6", "0.8"]);
    assert.deepEqual(found.named, ["step 3", "epoch 1.50", "2 h after the start", "2026-11-28 01:37:00"]);
    await closePage(page);
});

async function places(page) {
    await page.evaluate(() => (document.getElementById("data").open = true));
    return page.$$eval("#table-body th", (all) => all.map((cell) => cell.textContent));
}

test("all charts go over epochs, and a zoom asks for the steps of it", async () => {
    const page = await openPage(`${daemon.url}#runs=b`);

    await waitForStep(page, 32);
    await page.selectOption("#axis", "epoch");
    await waitUntil(async () => (await places(page)).join() === "0.25,0.50,1.00,2.00,4.00,8.00", "the epochs");
    assert.match(page.url(), /axis=epoch/);
    assert.match(await page.getAttribute("#legend .strong", "title"), /at epoch 8\.00/);
    await page.goto(`${daemon.url}#runs=b&axis=epoch&from=1.5&to=4.5`);
    await page.reload();
    await waitUntil(async () => requests(page, "series.query").some((q) => q.from > 0 && q.from <= 6 && q.to >= 18 && q.to < 32), "a question of steps");
    await waitUntil(async () => (await places(page)).join() === "2.00,4.00", "what is in view");
    assert.equal(await page.textContent("#range-text"), "1.50 – 4.50");
    await page.click("#zoom-all");
    await waitUntil(async () => (await places(page)).length === 6, "all of them");
    await closePage(page);
});

test("over time a run that was resumed goes on behind its gap, live too", async () => {
    for (const step of [1, 2, 3, 4]) {
        if (step === 1) await player.do("open", "gap", { name: "gap", project: "daily" });
        await player.do("checkpoint", "gap", { step, d_lr: 0.5, loss: step });
    }
    await player.do("close", "gap");
    await player.do("open", "gap", { name: "gap", project: "daily" });
    await player.do("checkpoint", "gap", { step: 3, d_lr: 0.4, loss: 3 });
    const page = await openPage(`${daemon.url}#runs=gap&axis=time`);

    await waitUntil(async () => (await places(page)).length === 3, "steps 1, 2, and 3 of the second attempt");
    const clock = await places(page);
    assert.match(clock[0], /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    assert.deepEqual([...clock].sort(), clock);
    await player.do("checkpoint", "gap", { step: 5, d_lr: 0.3, loss: 5 });
    await waitUntil(async () => (await places(page)).length === 4, "the live point");
    await page.selectOption("#axis", "elapsed");
    await waitUntil(async () => (await places(page)).some((x) => / s$/.test(x)), "seconds since the start");
    await player.do("close", "gap");
    await closePage(page);
});

test("a reference stays in the chart, the link and the browser until it is removed", async () => {
    const page = await openPage(`${daemon.url}#runs=a,b`);
    const row = () => page.textContent("#legend-reference");

    await waitForStep(page, 32);
    await page.click("#legend tr[data-run=a] button[data-kind=keep]");
    await waitUntil(async () => /reference: a.*-?0\.\d+d_debiased/.test(await row()), `the row of the reference, not ${await row()}`);
    assert.match(page.url(), /reference=a%2Chead%2Cd_debiased/);
    await page.click("#legend tr[data-run=a] button[data-kind=remove]");
    await page.selectOption("#metric", "pr");
    await waitUntil(async () => /where the measure is d_debiased/.test(await row()), "another measure");
    await page.goto(`${daemon.url}#runs=b`);
    await page.reload();
    await waitUntil(async () => /reference: a.*-?0\.\d+d_debiased/.test(await row()), "what the browser keeps");
    await page.focus("#chart");
    await page.keyboard.press("Home");
    await waitUntil(async () => /0\.[2-7]\d+d_debiased/.test(await row()), `its value at the cursor, not ${await row()}`);
    await page.click("#legend-reference button");
    await waitUntil(async () => (await row()) === "", "no reference");
    await page.reload();
    await waitForStep(page, 32);
    assert.equal(await row(), "");
    await page.goto(`${daemon.url}#runs=b&reference=gone,head,d_lr`);
    await page.reload();
    await waitUntil(async () => /not on this daemon/.test(await row()), "a run that is not there");
    await closePage(page);
});

/* Notices are kept in place of being shown, and the tab is out of sight when the test says so. */
function stub({ permission }) {
    const state = { hidden: false, shown: [], closed: 0 };

    window.noticed = state;
    Object.defineProperty(document, "hidden", { get: () => state.hidden });
    window.Notification = class {
        static permission = permission;
        static async requestPermission() {
            return permission;
        }
        constructor(title, options) {
            state.shown.push({ title, ...options });
        }
        close() {
            state.closed++;
        }
    };
}

async function hide(page, isHidden) {
    await page.evaluate((hidden) => {
        window.noticed.hidden = hidden;
        document.dispatchEvent(new Event("visibilitychange"));
    }, isHidden);
}

test("what happens out of sight is counted in the title, and told by the browser where that is on", async () => {
    const page = await openPage(daemon.url);
    await page.context().grantPermissions(["notifications"]);
    await page.addInitScript(stub, { permission: "granted" });
    for (const run of ["n1", "n2", "n3"]) {
        await player.do("open", run, { name: run, project: "daily" });
        await player.do("checkpoint", run, { step: 1, d_lr: 0.5 });
    }
    await page.goto(`${daemon.url}#runs=n1,n2`);
    await page.reload();
    await waitForStep(page, 1);
    const shown = () => page.evaluate(() => window.noticed.shown);

    await hide(page, true);
    await player.do("close", "n1");
    await waitUntil(async () => (await page.title()) === "(1) richd", "the count in the title");
    assert.deepEqual(await shown(), [], "nobody turned it on");
    await hide(page, false);
    assert.equal(await page.title(), "richd");

    await page.selectOption("#notify", "all");
    await waitUntil(() => page.evaluate(() => localStorage.getItem("richd.notify") === "all"), "the choice to be kept");
    await hide(page, true);
    await player.do("close", "n2");
    await player.do("close", "n3");
    await waitUntil(async () => /n2 has finished\nn3 has finished|n3 has finished\nn2 has finished/.test((await shown()).at(-1)?.body), "one notice of both");
    assert.match((await shown()).at(-1).title, /2 things happened/);
    assert.equal(await page.title(), "(2) richd");
    await hide(page, false);
    assert.ok(await page.evaluate(() => window.noticed.closed > 0));
    await closePage(page);
});

test("a transition out of sight is told, and a browser that forbids notices is believed", async () => {
    const page = await openPage(`${daemon.url}#runs=a`);
    await waitForStep(page, 32);
    const said = await page.evaluate(async () => {
        const { Notices, summary } = await import("./panel/notices.js");
        let isHidden = true;
        Object.defineProperty(document, "hidden", { get: () => isHidden });
        const view = { state: { runs: ["a"] } };
        const catalogue = Object.assign(new EventTarget(), { runs: new Map(), title: (run) => run });
        const notices = new Notices({ view, catalogue });
        const event = { metric: "pr", direction: "fall", from: 80, to: 8, start: 3, end: 9, returned: null, agrees: null, layer: "head" };
        notices.takeEvents({ events: [{ ...event, run: "a" }, { ...event, run: "b" }] });
        return { lines: notices.lines, many: summary(["1", "2", "3", "4", "5", "6"]) };
    });

    assert.deepEqual(said.lines, ["a head: pr falls 80.00 → 8.0000 over steps 3–9"]);
    assert.deepEqual(said.many, { title: "richd: 6 things happened", body: "3\n4\n5\n6\nand 2 more" });
    await closePage(page);

    const other = await openPage(daemon.url);
    await other.addInitScript(stub, { permission: "denied" });
    await other.reload();
    await other.selectOption("#notify", "shown");
    await waitUntil(async () => /does not allow/.test(await other.textContent("#notify-note")), "the reason");
    assert.equal(await other.inputValue("#notify"), "off");
    await closePage(other);
});

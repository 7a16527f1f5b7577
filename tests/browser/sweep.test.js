/* What a sweep asks of the page: groups with colours of their own, runs that end out of sight, names
 * and steps as people have them, measures that not every checkpoint has. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { after, before, test } from "node:test";

import { boxOf, closeBrowser, closePage, Daemon, openPage, Player, waitForStep, waitUntil, weakColours } from "./harness.js";

const RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1];
const LONG = ["model.transformer.decoder.blocks.11.feed_forward.dense_out", "model.transformer.decoder.blocks.12.feed_forward.dense_out"];
const TURNED = "lr\u202e01=rl";

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    for (const [i, lr] of RATES.entries()) {
        await player.do("open", `rate${i}`, { name: `rate-${i}`, project: "sweep", config: { lr } });
        await player.do("checkpoint", `rate${i}`, { step: 10, d_lr: 0.1 + 0.05 * i });
    }
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

async function waitForText(page, selector, pattern) {
    await waitUntil(
        async () => pattern.test(await page.textContent(selector)),
        `${selector} to say ${pattern}, not "${await page.textContent(selector)}"`,
    );
}

test("nine learning rates have nine colours, which chart, key and list share", async () => {
    const runs = RATES.map((_, i) => `rate${i}`);
    const page = await openPage(`${daemon.url}#runs=${runs.join(",")}&group=config.lr`);

    await waitForStep(page, 10);
    await waitUntil(async () => (await page.locator("#legend tr").count()) === 9, "nine rows");
    const strokes = await page.$$eval("#legend .swatch line", (all) => all.map((l) => l.getAttribute("stroke")));
    assert.equal(new Set(strokes).size, 9, strokes.join());
    assert.deepEqual(
        await page.$$eval("#group-key .name", (all) => all.map((n) => n.textContent)),
        RATES.map((lr) => `${lr} × 1`),
    );
    assert.match(await page.textContent("#legend"), /rate-4 lr = 0\.01/);
    const dots = await page.$$eval("#run-rows li.heading .dot", (all) => all.map((d) => d.style.background));
    assert.equal(new Set(dots).size, dots.length);
    await closePage(page);
});

test("colours of groups differ from each other and from the paper, numbers and names, light and dark", async () => {
    for (const colorScheme of ["light", "dark"]) {
        const page = await openPage(daemon.url, { colorScheme });
        const sets = await page.evaluate(async () => {
            const { groupColour } = await import("./base/palette.js");
            return [true, false].flatMap((isRamp) =>
                [1, 2, 8, 12, 24].map((n) => Array.from({ length: n }, (_, i) => groupColour(i, n, isRamp))),
            );
        });
        assert.deepEqual(sets.filter((set) => new Set(set).size < set.length), []);
        assert.deepEqual(await weakColours(page, sets.flat()), []);
        await closePage(page);
    }
});

test("a run that ends out of sight is no longer open in a grouped list", async () => {
    await player.do("open", "ends", { name: "ends", project: "sweep", config: { lr: 5 } });
    await player.do("checkpoint", "ends", { step: 1, d_lr: 0.3 });
    const page = await openPage(`${daemon.url}#runs=rate0&group=config.lr`);
    const state = () => page.textContent("#run-rows li[data-run=ends]");

    await waitUntil(async () => /open/.test(await state().catch(() => "")), "the run to be open");
    await player.do("close", "ends");
    await waitUntil(async () => /finished/.test(await state()), "the run to have finished");
    await closePage(page);
});

test("a measure of few checkpoints is a line over them, and its last value stays in the legend", async () => {
    await player.do("open", "sparse", { name: "sparse", project: "odd" });
    for (let step = 1; step <= 7; step++)
        await player.do("checkpoint", "sparse", { step, d_lr: 0.2, spectrum: step % 3 === 1 && step < 7 });
    const page = await openPage(`${daemon.url}#runs=sparse&metric=effective_rank`);

    await waitForStep(page, 4);
    const trace = () =>
        page.evaluate(async () => document.querySelectorAll("#legend .number.strong")[0]?.title);
    await waitUntil(async () => (await trace()) === "effective_rank at step 4", "the last that was measured");
    assert.match(await page.textContent("#legend .number.strong"), /\d/);
    await player.do("checkpoint", "sparse", { step: 8, d_lr: 0.2, spectrum: true });
    await waitUntil(async () => (await trace()) === "effective_rank at step 8", "the new one");
    await closePage(page);
});

test("a step below the attempt's first one stands where it belongs, at once and after a reload", async () => {
    await player.do("open", "back", { name: "back", project: "odd" });
    await player.do("checkpoint", "back", { step: 100, d_lr: 0.5 });
    await player.do("checkpoint", "back", { step: 200, d_lr: 0.4 });
    const page = await openPage(`${daemon.url}#runs=back`);
    const steps = async () => {
        await page.evaluate(() => (document.getElementById("data").open = true));
        return page.$$eval("#table-body th", (all) => all.map((cell) => cell.textContent));
    };

    await waitForStep(page, 200);
    await player.do("checkpoint", "back", { step: 50, d_lr: 0.6 });
    await waitUntil(async () => (await steps()).join() === "50,100,200", "the step, live");
    await page.reload();
    await waitForStep(page, 200);
    await waitUntil(async () => (await steps()).join() === "50,100,200", "the step, read again");
    await closePage(page);
});

test("long names of layers are cut at their beginning, and leave the buttons in sight", async () => {
    await player.do("open", "deep", { name: "deep", project: "odd", layers: LONG });
    await player.do("checkpoint", "deep", { step: 1, d_lr: 0.3 });
    const page = await openPage(`${daemon.url}#runs=deep&layer=*`, { viewport: { width: 1280, height: 900 } });

    await waitUntil(async () => (await page.locator("#legend .layer").count()) === 2, "two layers");
    const [first, second] = await page.$$eval("#legend .layer", (all) => all.map((cell) => cell.textContent));
    assert.notEqual(first, second);
    assert.match(second, /^….*12\.feed_forward\.dense_out$/);
    const button = await boxOf(page, "#legend button[data-kind=remove]");
    const panel = await page.locator("#legend").evaluate((body) => body.closest(".panel").getBoundingClientRect().right);
    assert.ok(button.x + button.width <= panel);
    await closePage(page);
});

test("a name that turns the text around turns nothing", async () => {
    await player.do("open", "turned", { name: TURNED, project: "odd" });
    await player.do("checkpoint", "turned", { step: 1, d_lr: 0.3 });
    const page = await openPage(`${daemon.url}#runs=turned`);

    await waitForText(page, "#legend .name", /lr\ufffd01=rl/);
    assert.doesNotMatch(await page.textContent("body"), /\u202e/);
    await closePage(page);
});

test("the state of a run is there in full, whatever its project is called", async () => {
    await player.do("open", "wordy", { name: "wordy", project: "a-project-with-a-name-of-many-words", group: "and-a-group" });
    await player.do("checkpoint", "wordy", { step: 1, d_lr: 0.3 });
    const page = await openPage(`${daemon.url}#runs=wordy`, { viewport: { width: 1440, height: 900 } });
    const line = "#run-rows li[data-run=wordy] .what .small";

    await waitForText(page, line, /^◉ open · a-project/);
    await closePage(page);
});

test("a link with a run's name shows the run", async () => {
    const page = await openPage(`${daemon.url}#runs=rate-3&pins=rate-3`);

    await waitForStep(page, 10);
    await waitUntil(() => /runs=rate3&pins=rate3/.test(page.url()), "the id in the address");
    await closePage(page);
});

/* A proxy that knows no WebSockets, and hands on the browser's Host or puts its own there. */
async function startProxy(t, keepsHost) {
    const { port, hostname } = new URL(daemon.url);
    const proxy = createServer((asked, answer) => {
        const { connection, upgrade, ...headers } = asked.headers;
        const onward = request(
            {
                hostname,
                port,
                path: asked.url,
                headers: keepsHost ? headers : { ...headers, host: `${hostname}:${port}` },
            },
            (got) => {
                answer.writeHead(got.statusCode, got.headers);
                got.pipe(answer);
            },
        );
        onward.on("error", () => answer.destroy());
        onward.end();
    }).listen(0, "127.0.0.1");

    t.after(() => (proxy.closeAllConnections(), proxy.close()));
    await once(proxy, "listening");
    return `http://127.0.0.1:${proxy.address().port}/`;
}

test("behind a proxy that keeps something back the page says what is missing", async (t) => {
    const withHost = await openPage(await startProxy(t, true));
    await waitForText(withHost, "#notice", /no WebSocket comes through: a proxy/);
    const withoutHost = await openPage(await startProxy(t, false));
    await withoutHost.waitForSelector("#not-started:visible");
    assert.match(await withoutHost.textContent("#not-started"), /proxy_set_header Host/);

    for (const page of [withHost, withoutHost]) {
        page.complaints = page.complaints.filter((text) => !/WebSocket|status of 4/.test(text));
        await closePage(page);
    }
});

test("the sweep shows what a measure came to against what was varied, and a click shows its run", async () => {
    const page = await openPage(`${daemon.url}#runs=rate0&search=rate-`);

    await waitUntil(async () => (await page.locator("#sweep-chart .point").count()) === 9, "nine points");
    assert.equal(await page.inputValue("#sweep-x"), "lr");
    const points = await page.$$eval("#sweep-chart .point", (all) =>
        all.map((p) => ({ run: p.dataset.run, x: Number(p.getAttribute("cx")), y: Number(p.getAttribute("cy")) })),
    );
    assert.deepEqual(points.map((p) => p.run), RATES.map((_, i) => `rate${i}`));
    for (let i = 2; i < points.length; i++) {
        const steps = points.slice(i - 2, i + 1).map((p) => p.x);
        const share = (steps[2] - steps[1]) / (steps[1] - steps[0]);
        assert.ok(share > 0.8 && share < 1.25, "a log axis by itself"); // 1, 3, 10, ...
        assert.ok(points[i].y < points[i - 1].y); // d_lr rises with lr
    }
    assert.match(await page.getAttribute("#sweep-chart", "aria-label"), /of 9 runs against lr; the least, 0\.\d+, at lr 0\.0001/);

    await page.click("#sweep-chart .point[data-run=rate5]");
    await waitUntil(() => /runs=rate0,?.*rate5/.test(decodeURIComponent(page.url())), "the run in the address");
    await page.focus("#sweep-chart .point[data-run=rate6]");
    await page.keyboard.press("Enter");
    await waitUntil(() => /rate6/.test(page.url()), "by keyboard");
    await closePage(page);
});

test("seeds at one place have a mean and a deviation, keys that do not differ are not offered", async () => {
    const page = await openPage(daemon.url);
    const found = await page.evaluate(async () => {
        const { columnsOf, differingKeys, likelyKey, rowsOf, spacingOf } = await import("./data/sweep.js");
        const run = (id, config, value, right) => ({ run: id, config, values: { u: value, u_se: 0.1, "scalar:acc": right } });
        const runs = [
            run("a", { lr: 1, seed: 0, depth: 3, opt: "sgd" }, 0.2, 0.5),
            run("b", { lr: 1, seed: 1, depth: 3, opt: "sgd" }, 0.4, 0.7),
            run("c", { lr: 10, seed: 2, depth: 3, opt: "adam" }, 0.6, null),
            run("d", { seed: 3, depth: 3 }, 0.9, 0.9),
            run("e", { lr: 2, seed: 4, depth: 3 }, null, 0.9),
        ];
        const keys = differingKeys(runs);
        const rows = rowsOf(runs, { x: "lr", group: "", y: "u", error: "u_se", right: "scalar:acc" });
        const scatter = rowsOf(runs, { x: "scalar:acc", group: "opt", y: "u", error: "", right: "" });

        return {
            keys,
            likely: likelyKey(runs, keys),
            columns: columnsOf(rows).map(({ x, mean, sd, right }) => [x, mean, sd, right].map((v) => v && Number(v.toFixed(6)))),
            scatter: scatter.map((row) => [row.x, row.value, row.group]),
            spacing: [spacingOf([1, 19]), spacingOf([0.001, 1]), spacingOf([0, 100])],
        };
    });

    assert.deepEqual(found, {
        keys: ["seed", "lr", "opt"],
        likely: "lr",
        columns: [
            [1, 0.3, 0.141421, 0.6],
            [10, 0.6, null, null],
        ],
        scatter: [
            [0.5, 0.2, "sgd"],
            [0.7, 0.4, "sgd"],
            [0.9, 0.9, "(none)"],
        ],
        spacing: ["linear", "log", "linear"],
    });
    await closePage(page);
});

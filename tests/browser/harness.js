/* What the browser tests share: the real daemon in a folder of its own, a trainer on a string, one
 * Chromium, and pages that fail a test by any error or CSP violation on their console. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const BUILD = join(ROOT, process.env.RICHD_BUILD ?? "build");
const PAGE = join(ROOT, "client", "dashboard");
const PYTHON = "/usr/bin/python3";
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/* What takes longer on a busy machine is a failure. */
export const PATIENCE_MS = 30000;

/** Waits until `condition` gives something true, and returns that. */
export async function waitUntil(condition, what, timeout_ms = PATIENCE_MS) {
    const deadline = Date.now() + timeout_ms;

    for (;;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > deadline) throw new Error(`waited ${timeout_ms} ms for ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

/** A port that is free, and below those that the kernel gives to others while the daemon is away. */
async function freePort() {
    for (;;) {
        const port = 10000 + Math.floor(22000 * Math.random());
        const server = createServer().listen(port, "127.0.0.1");
        const bound = await once(server, "listening").then(
            () => true,
            () => false,
        );

        server.close();
        if (bound) return port;
    }
}

function cleanEnvironment() {
    return Object.fromEntries(
        Object.entries(process.env).filter(
            ([name]) =>
                !/^(RICHD_|XDG_|STATE_DIRECTORY|RUNTIME_DIRECTORY|NOTIFY_SOCKET)/.test(name),
        ),
    );
}

/** One richd, started and stopped in folders that outlive it; its HTTP port stays the same. */
export class Daemon {
    /** @param {...string} flags */
    constructor(...flags) {
        this.folder = mkdtempSync(join(tmpdir(), "richd-"));
        this.flags = flags;
    }

    async start() {
        this.http ??= `127.0.0.1:${await freePort()}`;
        const log = openSync(join(this.folder, "log"), "a");

        this.process = spawn(
            join(BUILD, "richd"),
            [
                "--state-dir",
                join(this.folder, "state"),
                "--runtime-dir",
                this.folder,
                "--http",
                this.http,
                ...this.flags,
            ],
            { stdio: ["ignore", log, log], env: cleanEnvironment() },
        );
        await waitUntil(() => {
            if (this.process.exitCode !== null) throw new Error(`richd ended: ${this.output}`);
            return existsSync(join(this.folder, "endpoints.json"));
        }, "the daemon to be ready");
        this.url = `${JSON.parse(readFileSync(join(this.folder, "endpoints.json"))).http}/`;
        return this;
    }

    get output() {
        return readFileSync(join(this.folder, "log"), "utf8");
    }

    async stop() {
        const ended = once(this.process, "exit");

        this.process.kill("SIGTERM");
        const [code] = await ended;
        if (code !== 0) throw new Error(`richd ended with ${code}: ${this.output}`);
    }

    /** kill -9: what no checkpoint has made durable is lost. */
    async kill() {
        const ended = once(this.process, "exit");

        this.process.kill("SIGKILL");
        await ended;
        rmSync(join(this.folder, "endpoints.json")); // the next one's shall be waited for
    }

    /** Puts runs or points into the stopped daemon's history, faster than a trainer could. */
    fill(what, n) {
        const done = spawnSync(
            PYTHON,
            [
                join(ROOT, "tests/browser/fill.py"),
                join(this.folder, "state/richd.sqlite"),
                what,
                String(n),
            ],
            { encoding: "utf8" },
        );

        if (done.status !== 0) throw new Error(done.stderr);
    }

    async close() {
        if (this.process?.exitCode === null) await this.stop();
        rmSync(this.folder, { recursive: true, force: true });
    }
}

/** The trainer of player.py. */
export class Player {
    /** @param {Daemon} daemon */
    constructor(daemon) {
        this.process = spawn(PYTHON, [join(ROOT, "tests/browser/player.py"), daemon.folder], {
            stdio: ["pipe", "pipe", "inherit"],
            env: { ...cleanEnvironment(), OPENBLAS_NUM_THREADS: "1" },
        });
        this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    }

    async do(command, run, fields = {}) {
        this.process.stdin.write(`${JSON.stringify({ do: command, run, ...fields })}\n`);
        const answer = JSON.parse((await this.lines.next()).value);

        if (answer.error) throw new Error(answer.error);
        return answer;
    }

    async close() {
        const ended = once(this.process, "exit");

        this.process.stdin.end();
        await ended;
    }
}

let browser = null;

/**
 * A page on that address. Its console must stay silent: closeBrowser() throws what it said.
 * @param {string} url @param {object} [options] of the browser's context
 */
export async function openPage(url, options = {}) {
    browser ??= await chromium.launch({
        executablePath: CHROMIUM,
        args: process.getuid() === 0 ? ["--no-sandbox"] : [],
    });
    const context = await browser.newContext({
        viewport: { width: 1280, height: 900 },
        ...options,
    });
    /* The page has its modules in one file; a test that looks at one of them imports the source. */
    await context.route(/\/(base|data|plot|panel)\/\w+\.js$/, (route, request) =>
        route.fulfill({ path: join(PAGE, ...new URL(request.url()).pathname.split("/")) }),
    );
    const page = await context.newPage();

    page.complaints = [];
    page.on("pageerror", (error) => page.complaints.push(error.stack));
    page.on(
        "console",
        (message) =>
            message.type() === "error" &&
            !/WebSocket connection|net::ERR/.test(message.text()) &&
            page.complaints.push(message.text()),
    );
    page.sent = [];
    page.on("websocket", (socket) =>
        socket.on("framesent", ({ payload }) => page.sent.push(JSON.parse(payload))),
    );
    await page.goto(url);
    return page;
}

/** Closes the page, and fails when its console complained. */
export async function closePage(page) {
    const { complaints } = page;

    await page.context().close();
    if (complaints.length) throw new Error(`the page complained:\n${complaints.join("\n")}`);
}

export async function closeBrowser() {
    await browser?.close();
    browser = null;
}

/** The requests of a method that the page sent, oldest first. */
export function requests(page, method) {
    return page.sent.filter((m) => m.method === method).map((m) => m.params);
}

/** Waits until the main chart shows a point of that step or a later one. */
export async function waitForStep(page, step) {
    await waitUntil(
        async () => Number((await page.getAttribute("#chart", "data-step")) ?? -1) >= step,
        `step ${step} on the chart`,
    );
}

/** What the table under the chart holds: rows of text, the head first. */
export async function readTable(page) {
    await page.evaluate(() => (document.getElementById("data").open = true));
    await page.waitForSelector("#table-body tr");
    await page.waitForTimeout(700);
    return page.$$eval("#data tr", (rows) =>
        rows.map((row) => [...row.cells].map((cell) => cell.textContent)),
    );
}

/** Where an element lies. The page may put another in its place between the question and the answer:
 * then it is asked again. */
export async function boxOf(page, selector) {
    for (const end = Date.now() + 10000; Date.now() < end; ) {
        const box = await page.locator(selector).boundingBox();
        if (box) return box;
    }
    throw new Error(`${selector} is not shown`);
}

/** Drags over the main chart, from and to shares of its plotting area. */
export async function drag(page, from, to) {
    const box = await boxOf(page, "#chart .u-over");

    await page.mouse.move(box.x + box.width * from, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + (box.width * (from + to)) / 2, box.y + box.height / 2);
    await page.mouse.move(box.x + box.width * to, box.y + box.height / 2);
    await page.mouse.up();
}

/** Of colours as #rrggbb those whose contrast with the panels' paper is below 3 : 1. */
export function weakColours(page, colours) {
    return page.evaluate(async (all) => {
        const { cssColour } = await import("./base/palette.js");
        const luminance = (hex) => {
            const [r, g, b] = [1, 3, 5]
                .map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = luminance(cssColour("--panel"));

        return all.filter((hex) => {
            const [low, high] = [luminance(hex), paper].sort((a, b) => a - b);
            return (high + 0.05) / (low + 0.05) < 3;
        });
    }, colours);
}

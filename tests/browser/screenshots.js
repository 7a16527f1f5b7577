/* The pictures of client/dashboard/screenshots: the example is trained twice on a daemon of its own,
 * then the page is photographed with both runs. Run by `make screenshots`. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { closeBrowser, closePage, Daemon, openPage, Player, ROOT, waitForStep } from "./harness.js";

const FOLDER = join(ROOT, "client", "dashboard", "screenshots");
const BYTES_MAX = 300000;

/* Trains addition mod 97; resolves with the run's id. */
async function train(daemon, seed) {
    const args = [
        join(ROOT, "client/python/examples/grokking_mod97.py"),
        "--runtime-dir",
        daemon.folder,
        "--seed",
        String(seed),
    ];
    const example = spawn("/usr/bin/python3", args, {
        env: { ...process.env, PYTHONPATH: join(ROOT, "client/python/src") },
        stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";

    example.stdout.on("data", (data) => (output += data));
    const [code] = await once(example, "exit");
    if (code !== 0) throw new Error(output);
    return /^run (\S+)/.exec(output)[1];
}

async function photograph(url, name, options, prepare = async () => {}) {
    const page = await openPage(url, options);
    const path = join(FOLDER, `${name}.png`);

    await waitForStep(page, 1);
    await page.waitForTimeout(1500);
    await prepare(page);
    await page.waitForTimeout(800);
    await page.screenshot({ path });
    await closePage(page);
    const { size } = statSync(path);
    if (size > BYTES_MAX) throw new Error(`${path} has ${size} bytes`);
    console.log(`${path} ${size} bytes`);
}

const daemon = await new Daemon().start();
const player = new Player(daemon);
try {
    mkdirSync(FOLDER, { recursive: true });
    const runs = await Promise.all([train(daemon, 0), train(daemon, 1)]);
    await player.do("open", "four", {
        name: "four-layers",
        project: "replay",
        layers: ["block1", "block2", "block3", "head"],
    });
    await player.do("replay", "four", { csv: "mod97_squared_error_seed3.csv" });
    const both = `${daemon.url}#runs=${runs.join(",")}`;
    const size = (width, height) => ({ viewport: { width, height } });

    await photograph(both, "light", { ...size(1360, 1120), colorScheme: "light" });
    await photograph(both, "dark", { ...size(1360, 1120), colorScheme: "dark" });
    await photograph(`${daemon.url}#runs=four&layer=*`, "layers", {
        ...size(1360, 1120),
        colorScheme: "light",
    });
    await photograph(`${both}&from=500&to=1300`, "zoom", {
        ...size(1360, 760),
        colorScheme: "light",
    });
    await photograph(both, "narrow", { ...size(400, 900), colorScheme: "light" });
} finally {
    await closeBrowser();
    await player.close();
    await daemon.close();
}

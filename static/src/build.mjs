// Builds the console's files into OUT (built/, vendor/, manifest.json). Called by script/assets: node build.mjs OUT
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const out = resolve(process.argv[2]);
const modules = join(here, "node_modules");
const manifest = {};

const FONTS = { "inter-latin.woff2": "inter-latin-wght-normal", "inter-latin-ext.woff2": "inter-latin-ext-wght-normal" };
const VENDORED = {
  "htmx.js": "htmx.org/dist/htmx.min.js",
  "uplot.js": "uplot/dist/uPlot.iife.min.js",
  "uplot.css": "uplot/dist/uPlot.min.css",
};
const PACKAGES = ["@fontsource-variable/inter", "daisyui", "htmx.org", "lucide-static", "tailwindcss", "uplot"];
// icon("copy"), icon_name="plus", icon="users"; names chosen at run time stand in a comment that begins with "icons" and a colon.
const ICON = /(?<![\w-])icon(?:_name)?\s*[=(]\s*["']([a-z0-9-]+)["']/g;
const MORE_ICONS = /\bicons: ([a-z0-9]+(?:[ -][a-z0-9]+)*)/g;

const read = (...path) => readFileSync(join(...path));
const text = (...path) => readFileSync(join(...path), "utf8");
const scripts = (folder) => readdirSync(folder).filter((name) => name.endsWith(".js")).sort();

function keep(folder, name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  const extension = extname(name);
  const hashed = `${name.slice(0, -extension.length)}-${hash}${extension}`;
  writeFileSync(join(out, folder, hashed), content);
  manifest[name] = `${folder}/${hashed}`;
  return hashed;
}

function filesBelow(folder, extension) {
  return readdirSync(folder, { recursive: true }).sort()
    .filter((name) => name.endsWith(extension) && !name.includes("__pycache__")).map((name) => text(folder, name));
}

// The icons that templates and navigation name, as one file of symbols.
function sprite() {
  const sources = [...filesBelow(join(root, "templates"), ".html"), ...filesBelow(join(root, "app/console"), ".py")];
  const named = [ICON, MORE_ICONS].flatMap((pattern) => sources.flatMap((source) =>
    [...source.matchAll(pattern)].flatMap((match) => match[1].trim().split(/\s+/))));
  const symbols = [...new Set(named)].sort().map((name) => {
    const file = join(modules, "lucide-static/icons", `${name}.svg`);
    if (!existsSync(file)) throw new Error(`there is no icon "${name}" in lucide-static`);
    const drawn = text(file);
    const inside = drawn.slice(drawn.indexOf(">", drawn.indexOf("<svg")) + 1, drawn.lastIndexOf("</svg>"));
    return `<symbol id="${name}" viewBox="0 0 24 24">${inside.replace(/\s*\n\s*/g, "")}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`;
}

function stylesheet(fonts) {
  const scratch = mkdtempSync(join(tmpdir(), "assets-"));
  try {
    const target = join(scratch, "app.css");
    const command = [join(modules, "@tailwindcss/cli/dist/index.mjs"), "-i", join(here, "css/app.css"), "-o", target, "--minify"];
    execFileSync(process.execPath, command, { cwd: here, stdio: ["ignore", "ignore", "pipe"] });
    let css = text(target);
    for (const [name, hashed] of Object.entries(fonts)) css = css.replaceAll(new RegExp(`url\\(["']?${name}["']?\\)`, "g"), `url(../vendor/${hashed})`);
    return `${css.trimEnd()}\n`;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function licences() {
  return PACKAGES.map((name) => {
    const { version, license } = JSON.parse(text(modules, name, "package.json"));
    const file = readdirSync(join(modules, name)).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name} ${version} (${license})\n\n${file ? text(modules, name, file).trim() : ""}\n`;
  }).join(`\n${"-".repeat(78)}\n\n`);
}

for (const folder of ["built", "vendor"]) mkdirSync(join(out, folder), { recursive: true });
const fonts = Object.fromEntries(Object.entries(FONTS).map(([name, file]) =>
  [name, keep("vendor", name, read(modules, "@fontsource-variable/inter/files", `${file}.woff2`))]));
for (const [name, path] of Object.entries(VENDORED)) keep("vendor", name, read(modules, path));
keep("vendor", "icons.svg", sprite());
keep("built", "app.css", stylesheet(fonts));
keep("built", "app.js", scripts(join(here, "js/app")).map((name) => text(here, "js/app", name)).join("\n"));
for (const name of scripts(join(here, "js"))) keep("built", name, read(here, "js", name));
writeFileSync(join(out, "vendor", "LICENSES.txt"), licences());
writeFileSync(join(out, "manifest.json"), `${JSON.stringify(manifest, Object.keys(manifest).sort(), 2)}\n`);

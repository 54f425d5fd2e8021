// node shot.mjs INPUT.json PICTURE.png light|dark WIDTH: draws a dashboard and takes its picture.
// With HEIGHT in the environment, only so many pixels of it.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const [input, picture, mode, width] = process.argv.slice(2);
const here = import.meta.dirname;
const dashboard = JSON.parse(fs.readFileSync(input, 'utf8')).dashboard;
const rows = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
const height = process.env.HEIGHT ?? 96 + rows * 38 + 16;

const page = `<!doctype html><html><head><meta charset="utf-8"><link rel="stylesheet" href="/bundle.css">
<style>html,body{margin:0}body{font-family:Inter,sans-serif}</style>
<script>window.__MODE=${JSON.stringify(mode)};window.__grafana_public_path__='/public/';window.__INPUT=${fs.readFileSync(input)};</script>
</head><body><div id="root"></div><script src="/bundle.js"></script></body></html>`;
const types = { '.svg': 'image/svg+xml', '.js': 'text/javascript', '.css': 'text/css' };

function fileOf(url) {
  if (url === '/bundle.js' || url === '/bundle.css') return path.join(here, 'out', url);
  const icon = url.split('/img/icons/')[1];
  return icon && path.join(here, 'node_modules/@grafana/ui/dist/public/img/icons', icon);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost').pathname;
  const file = fileOf(url);
  if (url === '/') response.setHeader('content-type', 'text/html').end(page);
  else if (file && fs.existsSync(file)) response.setHeader('content-type', types[path.extname(file)]).end(fs.readFileSync(file));
  else response.writeHead(404).end(); // Fonts: Debian's Inter is taken instead.
}).listen(0, '127.0.0.1', () => {
  const browser = spawn('chromium', [
    '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', `--window-size=${width},${height}`, '--virtual-time-budget=8000',
    '--enable-logging=stderr', `--screenshot=${picture}`, `http://127.0.0.1:${server.address().port}/`,
  ], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  browser.stderr.on('data', (data) => { said += data; });
  browser.on('exit', (code) => {
    server.close();
    server.closeAllConnections();
    const errors = said.split('\n').filter((line) => /CONSOLE.*(Error|ERROR)/.test(line) && !/404/.test(line));
    if (errors.length) console.error(errors.join('\n'));
    process.exitCode = errors.length ? 1 : code;
  });
});

// Bundles the preview for a browser.
import fs from 'node:fs';
import { build } from 'esbuild';

// @grafana/ui comes as .mjs, for which esbuild follows Node: `import X from 'commonjs'` is then all of
// module.exports, and React refuses it. A module in between that is no .mjs brings `default` back.
const defaultOfCommonJs = {
  name: 'default-of-commonjs',
  setup(bundler) {
    bundler.onResolve({ filter: /^[^./]/ }, async (asked) => {
      const fromModule = asked.kind === 'import-statement' && asked.importer.endsWith('.mjs');
      if (!fromModule || asked.pluginData === 'resolved') return undefined;
      const { kind, resolveDir, importer } = asked;
      const found = await bundler.resolve(asked.path, { kind, resolveDir, importer, pluginData: 'resolved' });
      if (found.errors.length || found.namespace !== 'file' || found.path.endsWith('.mjs')) return found;
      const isCommonJs = /__esModule|exports\./.test(fs.readFileSync(found.path, 'utf8').slice(0, 4000));
      return isCommonJs ? { path: found.path, namespace: 'between', sideEffects: false } : found;
    });
    bundler.onLoad({ filter: /.*/, namespace: 'between' }, ({ path }) => {
      const name = JSON.stringify(path);
      return { contents: `export * from ${name}; export { default } from ${name};`, resolveDir: '/', loader: 'js' };
    });
  },
};

await build({
  entryPoints: ['src/main.jsx'],
  outfile: 'out/bundle.js',
  bundle: true,
  minify: true,
  format: 'iife',
  platform: 'browser',
  target: 'chrome120',
  jsx: 'automatic',
  legalComments: 'none',
  mainFields: ['module', 'browser', 'main'],
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  loader: { '.svg': 'dataurl', '.ttf': 'dataurl' },
  alias: { 'monaco-editor': './src/nothing.js', '@monaco-editor/react': './src/nothing.js' },
  plugins: [defaultOfCommonJs],
  logLevel: 'warning',
  logLimit: 20,
});

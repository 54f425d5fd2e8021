// Draws window.__INPUT: a dashboard, the answers to its queries, its time range and its variables' values.
import 'uplot/dist/uPlot.min.css';
import {
  EventBusSrv, FieldConfigOptionsRegistry, FieldType, ThemeContext, applyFieldOverrides, cacheFieldDisplayNames, createTheme, dateTime,
  displayNameOverrideProcessor, fieldColorModeRegistry, identityOverrideProcessor, standardTransformers, standardTransformersRegistry, transformDataFrame,
} from '@grafana/data';
import { GlobalStyles, PanelContextProvider, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { Header, Heading } from './chrome.jsx';
import { frames } from './frames.js';
import { Panel } from './panels.jsx';

const ROW_HEIGHT = 30, GAP = 8, HEADER_HEIGHT = 96, MARGIN = 16;

// Grafana registers some transformations under a second name, which the registry refuses.
const byId = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));
standardTransformersRegistry.setInit(() => [...byId.values()].map((one) => ({ id: one.id, name: one.name, transformation: one, editor: null })));

// The registry of field options is in Grafana's application; to draw, it is enough that each is taken over.
const STANDARD = ['unit', 'min', 'max', 'decimals', 'noValue', 'color', 'thresholds', 'mappings', 'links', 'filterable', 'description', 'actions'];
const CUSTOM = [
  'drawStyle', 'lineWidth', 'fillOpacity', 'gradientMode', 'stacking', 'axisPlacement', 'axisLabel', 'axisColorMode', 'axisBorderShow', 'axisCenteredZero',
  'barAlignment', 'barWidthFactor', 'showPoints', 'pointSize', 'spanNulls', 'insertNulls', 'lineInterpolation', 'lineStyle', 'scaleDistribution',
  'thresholdsStyle', 'hideFrom', 'axisSoftMin', 'axisSoftMax', 'axisGridShow', 'align', 'width', 'minWidth', 'cellOptions', 'inspect', 'filterable', 'hidden',
];
const registry = new FieldConfigOptionsRegistry(() => {
  const taken = { process: identityOverrideProcessor, shouldApply: () => true, override: null, editor: null };
  return [
    ...STANDARD.map((id) => ({ ...taken, id, path: id, name: id })),
    { ...taken, id: 'displayName', path: 'displayName', name: 'displayName', process: displayNameOverrideProcessor },
    ...CUSTOM.map((path) => ({ ...taken, id: `custom.${path}`, path, name: path, isCustom: true })),
  ];
});

const last = (observable) => new Promise((resolve, reject) => {
  let value;
  observable.subscribe({ next: (next) => { value = next; }, error: reject, complete: () => resolve(value) });
});

// Grafana colours by display name, which these components lose for the first series of a plot.
function fixColour(field, theme) {
  const mode = field.config.color?.mode;
  if (field.type !== FieldType.number || !mode?.endsWith('-by-name')) return;
  const colour = fieldColorModeRegistry.get(mode).getCalculator(field, theme)(0, 0);
  field.config.color = { mode: 'fixed', fixedColor: colour };
}

async function dataOf(panel, answers, theme) {
  const raw = (panel.targets ?? []).flatMap((target) => frames(target, answers[target.refId] ?? { series: [] }));
  const known = (panel.transformations ?? []).filter((one) => byId.has(one.id));
  const transformed = await last(transformDataFrame(known, raw));
  const data = applyFieldOverrides({ data: transformed, fieldConfig: panel.fieldConfig, fieldConfigRegistry: registry, replaceVariables: (text) => text, theme, timeZone: 'utc' });
  cacheFieldDisplayNames(data);
  for (const field of data.flatMap((frame) => frame.fields)) fixColour(field, theme);
  return data;
}

async function main() {
  const { dashboard, answers, from, to, now, variables } = window.__INPUT;
  Date.now = () => now;
  const theme = createTheme({ colors: { mode: window.__MODE } });
  const range = { from: dateTime(from), to: dateTime(to) };
  const timeRange = { ...range, raw: range };
  const column = (window.innerWidth - 2 * MARGIN + GAP) / 24;
  const placed = await Promise.all(dashboard.panels.map(async (panel) => {
    const { x, y, w, h } = panel.gridPos;
    const width = w * column - GAP, height = h * (ROW_HEIGHT + GAP) - GAP;
    const style = { position: 'absolute', left: MARGIN + x * column, top: HEADER_HEIGHT + y * (ROW_HEIGHT + GAP), width };
    if (panel.type === 'row') return <div key={panel.id} style={style}><Heading title={panel.title} height={height} /></div>;
    const ofPanel = answers[panel.id] ?? {};
    const data = await dataOf(panel, ofPanel, theme);
    return <div key={panel.id} style={style}><Panel panel={panel} data={data} answers={ofPanel} timeRange={timeRange} width={width} height={height} /></div>;
  }));
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const page = { position: 'relative', height: HEADER_HEIGHT + bottom * (ROW_HEIGHT + GAP) + MARGIN, background: theme.colors.background.canvas };
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PortalContainer />
      <PanelContextProvider value={{ eventsScope: '__global_', eventBus: new EventBusSrv(), canAddAnnotations: () => false }}>
        <div style={page}>
          <Header title={dashboard.title} variables={variables} from={from} to={to} height={HEADER_HEIGHT} margin={MARGIN} />
          {placed}
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>,
  );
}

main().catch((error) => { document.body.innerText = `ERROR ${error.stack}`; });

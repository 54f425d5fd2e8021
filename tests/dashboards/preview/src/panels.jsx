// One panel of each type, by Grafana's own component where its packages have it.
import { VizOrientation, getFieldDisplayValues, renderMarkdown } from '@grafana/data';
import { BigValue, PanelChrome, Table, TimeSeries, VizRepeater, useTheme2 } from '@grafana/ui';
import { Heatmap } from './heatmap.jsx';

function Stat({ panel, data, width, height }) {
  const theme = useTheme2();
  const { options } = panel;
  const values = getFieldDisplayValues({
    data,
    fieldConfig: panel.fieldConfig,
    reduceOptions: options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    sparkline: false,
    percentChange: Boolean(options.showPercentChange),
    timeZone: 'utc',
  });
  const one = ({ value, width, height }) => (
    <BigValue value={value.display} count={values.length} colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode}
      text={options.text} textMode={options.textMode} theme={theme} width={width} height={height} percentChangeColorMode={options.percentChangeColorMode} />
  );
  return <VizRepeater source={values} getValues={() => values} width={width} height={height} orientation={VizOrientation.Auto} renderCounter={0} autoGrid renderValue={one} />;
}

function Lines({ frame, height }) {
  const [times, lines] = ['Time', 'Line'].map((name) => frame.fields.find((field) => field.name === name).values);
  const short = (time) => new Date(time).toISOString().replace('T', ' ').slice(0, 23);
  return (
    <pre style={{ height, fontSize: 12, margin: 0, overflow: 'hidden', background: 'none', border: 0, padding: 0 }}>
      {times.slice(0, 12).map((time, i) => `${short(time)}  ${lines[i]}\n`)}
    </pre>
  );
}

function Empty({ panel, height }) {
  const theme = useTheme2();
  const style = { display: 'flex', height, alignItems: 'center', justifyContent: 'center', color: theme.colors.text.secondary };
  return <div style={style}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
}

function Inside({ panel, data, answers, timeRange, width, height }) {
  const { options } = panel;
  if (panel.type === 'text') return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(options.content) }} />;
  if (!data.length || data.every((frame) => !frame.length)) return <Empty panel={panel} height={height} />;
  switch (panel.type) {
    case 'timeseries':
      return <TimeSeries frames={data} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={{ calcs: [], ...options.legend }} options={options} structureRev={1} replaceVariables={(text) => text} />;
    case 'heatmap':
      return <Heatmap answer={answers.A} timeRange={timeRange} width={width} height={height} unit={panel.fieldConfig.defaults.unit} />;
    case 'stat':
      return <Stat panel={panel} data={data} width={width} height={height} />;
    case 'table':
      return <Table data={data[0]} width={width} height={height} noHeader={!options.showHeader} showTypeIcons={false} cellHeight={options.cellHeight} initialSortBy={options.sortBy} timeRange={timeRange} />;
    case 'logs':
      return <Lines frame={data[0]} height={height} />;
    default:
      throw new Error(`nothing draws a panel of type ${panel.type}`);
  }
}

export function Panel(props) {
  const { panel, width, height } = props;
  return (
    <PanelChrome title={panel.title} description={panel.description || undefined} width={width} height={height} padding={panel.type === 'table' ? 'none' : 'md'}
      hoverHeader={!panel.title} displayMode={panel.transparent ? 'transparent' : 'default'}>
      {(innerWidth, innerHeight) => <Inside {...props} width={innerWidth} height={innerHeight} />}
    </PanelChrome>
  );
}

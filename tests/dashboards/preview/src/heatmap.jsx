// The heatmap panel is in Grafana's application, not in its packages: cells on the packages' own axes.
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { formattedValueToString, getValueFormat } from '@grafana/data';
import { UPlotChart, UPlotConfigBuilder, useTheme2 } from '@grafana/ui';
import { interpolateOranges } from 'd3-scale-chromatic';
import { useMemo } from 'react';

const bound = (le) => (le === '+Inf' ? Infinity : +le);

// Buckets are cumulative; those above and below all values are left out.
function cellsOf(series) {
  const rows = [...series].sort((one, other) => bound(one.metric.le) - bound(other.metric.le));
  const times = [...new Set(rows.flatMap((row) => row.values.map(([time]) => time * 1000)))].sort((a, b) => a - b);
  const at = rows.map((row) => new Map(row.values.map(([time, value]) => [time * 1000, +value])));
  const cells = rows.map((_, i) => times.map((time) => Math.max(0, (at[i].get(time) ?? 0) - (i ? at[i - 1].get(time) ?? 0 : 0))));
  const used = cells.map((row) => row.some((count) => count > 0.01));
  const first = Math.max(0, used.indexOf(true) - 1);
  const last = used.lastIndexOf(true) + 1;
  return { times, cells: cells.slice(first, last), bounds: rows.slice(first, last).map((row) => row.metric.le) };
}

function configure({ times, cells, bounds }, step, timeRange, unit, theme) {
  const most = Math.max(...cells.flat());
  const format = getValueFormat(unit);
  const label = (le) => (le === '+Inf' ? '∞' : formattedValueToString(format(+le)));
  const builder = new UPlotConfigBuilder('utc');
  builder.addScale({ scaleKey: 'x', isTime: true, orientation: ScaleOrientation.Horizontal, direction: ScaleDirection.Right, range: () => [timeRange.from.valueOf(), timeRange.to.valueOf()] });
  builder.addScale({ scaleKey: 'y', isTime: false, orientation: ScaleOrientation.Vertical, direction: ScaleDirection.Up, range: () => [0, cells.length] });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: 'utc', theme, grid: { show: false } });
  builder.addAxis({ scaleKey: 'y', placement: AxisPlacement.Left, theme, grid: { show: false }, size: 70, splits: () => bounds.map((_, i) => i + 1), values: (_, splits) => splits.map((i) => label(bounds[i - 1])) });
  builder.addSeries({ scaleKey: 'y', theme, pathBuilder: () => null, show: true, pxAlign: false, drawStyle: 'points', pointSize: 0 });
  builder.addHook('draw', (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    cells.forEach((row, y) => row.forEach((count, x) => {
      if (count <= 0) return;
      const left = plot.valToPos(times[x] - step, 'x', true), right = plot.valToPos(times[x], 'x', true);
      const top = plot.valToPos(y + 1, 'y', true), bottom = plot.valToPos(y, 'y', true);
      const share = 0.1 + 0.9 * Math.sqrt(count / most);
      ctx.fillStyle = interpolateOranges(theme.isDark ? 1 - share : share);
      ctx.fillRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
    }));
    ctx.restore();
  });
  return builder;
}

export function Heatmap({ answer, timeRange, width, height, unit }) {
  const theme = useTheme2();
  const plotted = useMemo(() => cellsOf(answer.series), [answer]);
  const config = useMemo(() => configure(plotted, answer.stepMs, timeRange, unit, theme), [plotted]);
  return <UPlotChart config={config} data={[plotted.times, plotted.times.map(() => 0)]} width={width} height={height} />;
}

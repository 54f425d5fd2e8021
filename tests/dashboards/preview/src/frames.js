// A Prometheus's answer as Grafana's data frames, the way Grafana's Prometheus data source makes them.
import { FieldType, toDataFrame } from '@grafana/data';

const named = (target, labels) => {
  if (target.legendFormat && target.legendFormat !== '__auto') {
    return target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  return Object.entries(labels).map(([label, value]) => `${label}="${value}"`).join(', ') || 'Value';
};

function table(target, series) {
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const ofLabel = (name) => ({ name, type: FieldType.string, values: series.map((one) => one.metric[name] ?? '') });
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map((one) => one.value[0] * 1000) },
      ...labels.map(ofLabel),
      { name: `Value #${target.refId}`, type: FieldType.number, values: series.map((one) => +one.value[1]) },
    ],
  });
}

// A step without a value is a gap: Grafana's panel draws no line over it.
function withGaps(samples, step) {
  const byTime = new Map(samples.map(([time, value]) => [Math.round(time * 1000), +value]));
  const times = [];
  const last = Math.round(samples.at(-1)[0] * 1000);
  for (let time = Math.round(samples[0][0] * 1000); time <= last; time += step) times.push(time);
  return { times, values: times.map((time) => byTime.get(time) ?? null) };
}

export function frames(target, answer) {
  if (answer.frame) return [toDataFrame({ refId: target.refId, ...answer.frame })];
  if (target.format === 'table') return answer.series.length ? [table(target, answer.series)] : [];
  return answer.series.map((one) => {
    const samples = one.values ?? [one.value];
    const { times, values } = withGaps(samples, answer.stepMs || Infinity);
    return toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: times, config: { interval: answer.stepMs } },
        { name: 'Value', type: FieldType.number, labels: one.metric, values, config: { displayNameFromDS: named(target, one.metric) } },
      ],
    });
  });
}

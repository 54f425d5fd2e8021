// What Grafana shows around panels: the title, the time range, the variables, and headings of rows.
import { useTheme2 } from '@grafana/ui';

function Box({ label, value }) {
  const { colors, shape } = useTheme2();
  const half = { padding: '5px 9px', border: `1px solid ${colors.border.medium}`, whiteSpace: 'nowrap' };
  return (
    <span style={{ display: 'inline-flex', fontSize: 12, marginRight: 8 }}>
      {label && <span style={{ ...half, background: colors.background.secondary, borderRight: 0, borderRadius: shape.radius.default, fontWeight: 500 }}>{label}</span>}
      <span style={{ ...half, background: colors.background.primary }}>{value}</span>
    </span>
  );
}

const short = (time) => new Date(time).toISOString().replace('T', ' ').slice(0, 16);

export function Header({ title, variables, from, to, height, margin }) {
  const { colors } = useTheme2();
  const line = { display: 'flex', alignItems: 'center', height: height / 2, padding: `0 ${margin}px` };
  return (
    <div style={{ height, color: colors.text.primary }}>
      <div style={{ ...line, justifyContent: 'space-between', background: colors.background.primary, borderBottom: `1px solid ${colors.border.weak}` }}>
        <span style={{ fontSize: 15, fontWeight: 500 }}>Dashboards › LLM gateway › {title}</span>
        <Box value={`${short(from)} to ${short(to)} UTC`} />
      </div>
      <div style={{ ...line, overflow: 'hidden' }}>{variables.map(([label, value]) => <Box key={label} label={label} value={value} />)}</div>
    </div>
  );
}

export function Heading({ title, height }) {
  const { colors } = useTheme2();
  return <div style={{ height, display: 'flex', alignItems: 'center', fontSize: 16, fontWeight: 500, color: colors.text.primary }}>⌄&nbsp; {title}</div>;
}

// node mistakes.mjs < QUERIES.json: where each of the queries is no LogQL.
import fs from 'node:fs';
import { parser } from '@grafana/lezer-logql';

function mistakes(query) {
  const found = [];
  parser.parse(query).iterate({
    enter({ type, from }) {
      if (type.isError) found.push(`at ${from}: ${query.slice(from, from + 20)}`);
    },
  });
  return found;
}

console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, 'utf8')).map(mistakes)));

// A reporter for node's test runner: a JSON line [test id, outcome] per test to SUITE_REPORT; failures to stdout.
// The id is file::suite > ... > test, as the events nest.
import { appendFileSync } from 'node:fs';
import { basename } from 'node:path';

const path = [];

export default async function* reporter(source) {
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      path.length = data.nesting;
      path[data.nesting] = data.name;
    } else if (type === 'test:pass' || type === 'test:fail') {
      path.length = data.nesting;
      // The runner wraps each file in a test of the file's own name, which is not one of the suite's.
      if (data.details?.type === 'suite' || data.name === data.file) continue;
      const id = `test/${basename(data.file ?? '')}::${[...path, data.name].join(' > ')}`;
      const skipped = data.skip !== undefined || data.todo !== undefined;
      const outcome = skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed';
      appendFileSync(process.env.SUITE_REPORT, `${JSON.stringify([id, outcome])}\n`);
      if (outcome === 'failed') yield `${id}\n${data.details?.error?.cause?.stack ?? data.details?.error}\n`;
    }
  }
}

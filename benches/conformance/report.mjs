// What the suite's results say: a table of all caches, and a list of what larder does not pass.
//
//     node report.mjs SUITE RESULTS NAME TITLE [NAME TITLE]…
//
// SUITE is the folder of the suite, RESULTS that of NAME.json.

import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [suite, results, ...caches] = process.argv.slice(2)
const ofSuite = file => import(pathToFileURL(path.resolve(suite, file)))
const { determineTestResult } = await ofSuite('lib/display.mjs')
// Without the tests of `Surrogate-Control`, which are in a file of their own: that is no field of HTTP's, and the suite
// has dropped them since.
const suites = (await ofSuite('tests/index.mjs')).default
const tests = suites.flatMap(each => each.tests).filter(test => !test.browser_only)

// Tests of 0.4.5 that a cache cannot pass if it does what RFC 9111 says. They are in a column of their own, for every
// cache, whatever came of them. No other test depends on one of these.
const contradicting = new Set([
  // The suite is older than RFC 9111 and wants the response to be stale. Section 5.1: what is not a non-negative integer
  // is to be ignored, so that the response, with `max-age=3600` and a `Date` of now, is fresh.
  'age-parse-nonnumeric', // abc
  'age-parse-negative', // -7200
  'age-parse-float', // 7200.0
  'age-parse-parameter', // 7200;foo=bar
  'age-parse-numeric-parameter', // 7200;foo=111
  // The same section: of several, the first is to be used, and with that these are fresh. (The suite's other tests of
  // several ages, suffix, suffix-twoline and prefix, agree.)
  'age-parse-prefix-twoline', // 0 and 7200
  'age-parse-dup-0', // 0, 0
  'age-parse-dup-0-twoline', // 0 and 0
  'age-parse-dup-old', // 3600, 3600 with max-age=10000
  // The origin breaks off. Sections 4.2.4, 5.2.2.2, 5.2.2.4, 5.2.2.8 and 5.2.2.10 forbid the stale response, so that the
  // cache has to answer with an error of its own, such as a 504. The suite takes whatever lacks the origin's count of
  // requests to come from the cache.
  'stale-close-must-revalidate',
  'stale-close-proxy-revalidate',
  'stale-close-no-cache',
  'stale-close-s-maxage=2'
])
for (const id of contradicting) {
  if (!tests.some(test => test.id === id)) throw new Error(`the suite has no test ${id}`)
  const dependent = tests.find(test => test.depends_on?.includes(id))
  if (dependent) throw new Error(`${dependent.id} depends on ${id}, whose result says nothing`)
}

// By the sign the suite shows; it does not export the names.
const outcomes = {
  '✅': 'passed',
  '⛔️': 'failed',
  '⚠️': 'not optimal',
  '⚪️': 'depends on a failed one',
  '🔹': 'set-up failed',
  '↻': 'set-up failed', // The cache asked the origin twice.
  Y: 'yes',
  N: 'no'
}
function outcome (test, answers) {
  const sign = determineTestResult(suites, test.id, answers)[2]
  if (!(sign in outcomes)) throw new Error(`${test.id}: the suite says ${sign}`)
  return outcomes[sign]
}

const isCheck = test => test.kind === 'check'
const checks = tests.filter(isCheck)
const judged = tests.filter(test => !isCheck(test) && !contradicting.has(test.id))
const columns = ['passed', 'failed', 'not optimal', 'depends on a failed one', 'set-up failed']
const row = cells => console.log(`| ${cells.join(' | ')} |`)
const read = name => JSON.parse(fs.readFileSync(path.join(results, `${name}.json`), 'utf8'))

row(['cache', ...columns, 'contradicts RFC 9111', 'checks answered yes'])
row(['---', ...Array(columns.length + 2).fill('--:')])
for (let i = 0; i < caches.length; i += 2) {
  const answers = read(caches[i])
  const count = (those, what) => those.filter(test => outcome(test, answers) === what).length
  row([caches[i + 1], ...columns.map(what => count(judged, what)), contradicting.size, count(checks, 'yes')])
}
const required = judged.filter(test => test.kind !== 'optimal').length
console.log(`
${judged.length + contradicting.size} tests of what a cache must do or had better do (${required} and \
${judged.length - required}, and ${contradicting.size} that contradict RFC 9111), and ${checks.length} checks, which \
only ask what it does.`)

const larder = caches.indexOf('larder')
if (larder >= 0) {
  const answers = read('larder')
  console.log(`\nWhat ${caches[larder + 1]} does not pass:\n`)
  for (const what of columns.slice(1)) {
    for (const test of judged.filter(test => outcome(test, answers) === what)) {
      const failed = test.depends_on?.filter(id => !['passed', 'yes'].includes(outcome(tests.find(each => each.id === id), answers)))
      const reason = failed?.length ? failed.map(id => `\`${id}\``).join(', ') : answers[test.id][1]
      console.log(`- \`${test.id}\` (${test.kind ?? 'required'}, ${what}): ${test.name} – ${reason}`)
    }
  }
}

// Adds up test results: node scripts/test-summary.mjs FILE... prints "N passed, N failed" as its last line; exit code 1
// where a test failed or a file is missing (a run that ended without a report has failed). A FILE is a vitest JSON report
// or a text whose last line reads "N passed, N failed" (the native driver's).
import { readFileSync } from "node:fs";

let passed = 0;
let failed = 0;
let skipped = 0;
for (const file of process.argv.slice(2)) {
  try {
    const text = readFileSync(file, "utf8");
    if (file.endsWith(".json")) {
      const report = JSON.parse(text);
      passed += report.numPassedTests;
      failed += report.numFailedTests;
      skipped += report.numPendingTests + report.numTodoTests;
      for (const suite of report.testResults) {
        for (const test of suite.assertionResults) {
          if (test.status === "failed") console.log(`FAILED ${suite.name}: ${test.fullName}`);
          if (test.status === "pending" || test.status === "skipped") console.log(`skipped: ${test.fullName}`);
        }
        // A file that cannot be loaded holds no test that could fail.
        if (suite.status === "failed" && !suite.assertionResults.some((test) => test.status === "failed")) {
          failed++;
          console.log(`FAILED ${suite.name}: ${suite.message}`);
        }
      }
    } else {
      const counts = [...text.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1);
      if (!counts) throw new Error("no result; it did not end well");
      passed += Number(counts[1]);
      failed += Number(counts[2]);
    }
  } catch (error) {
    failed++;
    console.log(`FAILED ${file}: ${error.message}`);
  }
}
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
